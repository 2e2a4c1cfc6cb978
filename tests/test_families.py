"""The table of families in docs/models.md: what holds for each, found by trying it."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
from robustness import cifar_models, imagenet_models
from torch import nn
from torchvision import models as torchvision_models

import robust_reps_ext as rr
from robust_reps_ext.models.architectures import recognized
from robust_reps_ext.models.layers import RepresentationModel

DOCS = Path(__file__).parent.parent / "docs" / "models.md"
MEAN, STD = 0.5, 0.25
NORMALIZE = ((MEAN,) * 3, (STD,) * 3)
CLASSES = 10

# What the table says of each family -> (what makes it, pixels, name of the last linear layer,
# whether its input has passed a ReLU).
FAMILIES = {
    "`robustness` resnet18": (imagenet_models.resnet18, 64, "fc", True),
    "`robustness` resnet50": (imagenet_models.resnet50, 64, "fc", True),
    "`robustness` vgg16": (imagenet_models.vgg16, 32, "classifier.6", True),
    "`robustness` densenet161": (imagenet_models.densenet161, 64, "classifier", True),
    "`robustness` resnet18 for CIFAR": (cifar_models.resnet18, 32, "linear", True),
    "torchvision resnet50": (torchvision_models.resnet50, 64, "fc", True),
    "torchvision wide_resnet50_2": (torchvision_models.wide_resnet50_2, 64, "fc", True),
    "torchvision vgg16_bn": (torchvision_models.vgg16_bn, 32, "classifier.6", True),
    "torchvision mobilenet_v2": (torchvision_models.mobilenet_v2, 64, "classifier.1", True),
    "torchvision convnext_tiny": (torchvision_models.convnext_tiny, 64, "classifier.2", False),
    "torchvision vit_b_16": (
        lambda num_classes: torchvision_models.vit_b_16(num_classes=num_classes, image_size=64),
        *(64, "heads.head", False),
    ),
    "torchvision swin_t": (torchvision_models.swin_t, 64, "head", False),
    "timm resnet26": ("resnet26", 64, "fc", True),
    "timm vit_tiny": ("vit_tiny_patch16_224", 224, "head", False),
    "timm convnext_atto": ("convnext_atto", 64, "head.fc", False),
    "timm efficientnet_b0": ("efficientnet_b0", 64, "classifier", False),
}
COLUMNS = (
    "logits are the network's",
    "R(x) is the last linear layer's input",
    "`invert` lowers the distance",
    "`visualize` raises the coordinate",
    "ReLU passed",
    "recognised by its weights",
)
_found: dict[str, list[str]] = {}


def made(name: str) -> nn.Module:
    make = FAMILIES[name][0]
    torch.manual_seed(0)
    if isinstance(make, str):
        return timm.create_model(make, num_classes=CLASSES).eval()
    return make(num_classes=CLASSES).eval()


@pytest.mark.parametrize("name", FAMILIES)
def test_family(name):
    try_family(name)


def try_family(name):
    _, size, head, relu = FAMILIES[name]
    network = made(name)
    seen = []
    handle = network.get_submodule(head).register_forward_pre_hook(
        lambda _module, args: seen.append(args[0].flatten(1))
    )
    x = torch.rand(1, 3, size, size)
    with torch.no_grad():
        logits = network((x - MEAN) / STD)
    handle.remove()
    names = set(network.state_dict())

    model = rr.load_model(network, normalize=NORMALIZE)
    with torch.no_grad():
        (ours, latent), _ = model(x, with_latent=True)
    torch.testing.assert_close(ours, logits, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(latent, seen[0], atol=1e-6, rtol=1e-6)
    if isinstance(model.model, RepresentationModel):
        assert (model.model.site(x).relu is not None) is relu

    inverted = rr.invert(model, x, iterations=4, step_size=0.3)
    assert inverted.objective[0] < 0.95 * inverted.trace[0, 0]
    raised = rr.visualize(model, coordinates=[3], seeds=x, iterations=4, step_size=0.3).synthesis
    assert raised.objective[0] > raised.trace[0, 0]

    assert set(network.state_dict()) == names
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in network.modules())
    _found[name] = [*["yes"] * 4, "yes" if relu else "there is none", recognition(network)]


def recognition(network: nn.Module) -> str:
    """Whether the weights alone say which architecture they are of."""
    try:
        found = recognized(network.state_dict())
    except rr.InputError as error:
        return "several fit: `arch=`" if "these weights fit timm:" in str(error) else str(error)
    return "yes" if found[1] == CLASSES else f"with {found[1]} classes"


def test_the_documentation_has_this_table():
    """Whoever changes what holds finds the table to put into docs/models.md in the message."""
    for name in FAMILIES:
        if name not in _found:
            try_family(name)
    lines = ["| family | " + " | ".join(COLUMNS) + " |", "|---" * (len(COLUMNS) + 1) + "|"]
    lines += [f"| {name} | " + " | ".join(_found[name]) + " |" for name in FAMILIES]
    table = "\n".join(lines)
    assert table in DOCS.read_text("utf-8"), f"docs/models.md should say\n{table}"
