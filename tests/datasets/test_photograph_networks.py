"""The networks of photographs: how many coordinates R(x) has, and that a linear layer ends them."""

import pytest
import torch

from robust_reps_ext.datasets.photograph_networks import ARCHITECTURES, PhotographsResNet

COORDINATES = {"photographs_resnet": 4096, "photographs_resnet_wide": 4608}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_representation_is_averages_of_the_last_maps_and_the_logits_are_linear_in_it(name):
    network = ARCHITECTURES[name](num_classes=7).eval()
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        logits, representation = network(images, with_latent=True)
        maps = network.body(images)
    assert representation.shape == (2, COORDINATES[name])
    if network.grid < 4:  # of 4 x 4 positions, averages over 2 x 2
        maps = torch.nn.functional.avg_pool2d(maps.relu(), 2, stride=1)
    torch.testing.assert_close(representation, maps.relu().flatten(1))
    torch.testing.assert_close(logits, network.fc(representation))


@pytest.mark.parametrize(("depth", "maps", "made"), [(1, None, 32), (2, None, 32), (2, 5, 5)])
def test_only_the_last_convolution_makes_more_maps(depth, maps, made):
    network = PhotographsResNet(num_classes=7, width=4, depth=depth, maps=maps)
    assert network.body[-1].conv2.out_channels == made
    convolutions = [part for part in network.body.modules() if isinstance(part, torch.nn.Conv2d)]
    shortcut = convolutions.pop() if convolutions[-1].kernel_size == (1, 1) else None
    assert max(part.out_channels for part in convolutions[:-1]) == 32
    assert shortcut is None or shortcut.out_channels == made
