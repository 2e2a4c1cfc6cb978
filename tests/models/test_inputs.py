"""Files and PIL images become what the network was trained on; tensors stay what they are."""

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image

import robust_reps_ext as rr
from robust_reps_ext.datasets.samples import open_data_set
from robust_reps_ext.models.inputs import images_for, size_of
from robust_reps_ext.runtime.errors import InputError

STATISTICS = ((0.5, 0.5, 0.5), (0.2, 0.2, 0.2))


def halves(width, height):
    """Black at the left, white at the right."""
    image = Image.new("L", (width, height))
    image.paste(255, (width // 2, 0, width, height))
    return image.convert("RGB")


@pytest.fixture
def files(tmp_path):
    paths = [tmp_path / "wide.png", tmp_path / "high.png"]
    for path, size in zip(paths, ((120, 60), (40, 90)), strict=True):
        halves(*size).save(path)
    return paths


def network(classes):
    torch.manual_seed(0)
    return torchvision.models.resnet18(num_classes=classes)


@pytest.mark.parametrize("name", ["photographs-robust", "photographs-judge", "critters-standard"])
def test_bundled_networks_know_their_size(name):
    assert size_of(rr.load_model(name)) == 64


def test_a_model_that_is_loaded_again_knows_it_too():
    model = rr.load_model(rr.load_model("critters-robust"), layer="body.2")
    assert size_of(model) == 64
    # What every experiment records stays what an earlier version recorded.
    assert "size" not in model.card


def test_files_and_pil_images_become_the_size_trained_on(files):
    model = rr.load_model("critters-robust")
    for given in (files, files[0].parent, [Image.open(path) for path in files]):
        found = images_for(model, "images", given)
        assert found.shape == (2, 3, 64, 64)
        assert torch.equal(found, rr.load_images(files if given is files else given, size=64))
    # The middle square: half of it is white.
    assert images_for(model, "images", files[0]).mean() == pytest.approx(0.5, abs=0.01)


def test_tensors_and_arrays_are_never_resized():
    model = rr.load_model("critters-robust")
    assert images_for(model, "images", torch.rand(1, 3, 40, 48)).shape == (1, 3, 40, 48)
    assert images_for(model, "images", np.zeros((1, 40, 48, 3), np.uint8)).shape == (1, 3, 40, 48)


def test_the_data_set_that_a_network_is_loaded_with_tells_the_size(files):
    model = rr.load_model(network(10), dataset="cifar")
    assert size_of(model) == 32
    assert images_for(model, "images", files).shape == (2, 3, 32, 32)
    assert size_of(rr.load_model(network(9), dataset="restricted_imagenet")) == 224


def test_of_a_network_alone_nothing_is_known(files):
    few = rr.load_model(network(5), normalize=STATISTICS)
    assert size_of(few) is None
    assert images_for(few, "images", files[:1]).shape == (1, 3, 60, 120)
    with pytest.raises(InputError, match="several sizes"):
        images_for(few, "images", files)


def test_photographs_of_several_sizes_for_a_network_of_imagenet(files):
    many = rr.load_model(network(1000), normalize=STATISTICS)
    assert images_for(many, "images", files).shape == (2, 3, 224, 224)
    # Of one size, they were brought to it on purpose.
    assert images_for(many, "images", [halves(96, 96)] * 2).shape == (2, 3, 96, 96)


def test_the_fit_of_a_checkpoint_is_kept(files):
    model = rr.load_model("critters-robust")
    model.image_size = None  # as of a file that holds what its data set was
    model.card = model.card | {"data_set": {"size": 32, "fit": "stretch"}}
    stretched = images_for(model, "images", files[0])
    assert torch.equal(stretched, rr.load_images(files[0], size=32, fit="stretch"))


def test_starts_become_the_size_of_their_targets(files):
    found = rr.invert("critters-robust", files, start=files[::-1], iterations=1)
    assert found.images.shape == (2, 3, 64, 64)
    assert torch.equal(found.start, rr.load_images(files[::-1], size=64))


def test_a_class_is_made_from_noise_without_a_size():
    made = rr.generate("critters-robust", 3, start="noise", iterations=1)
    assert made.images.shape == (1, 3, 64, 64)


def test_files_stand_where_a_loader_does(files):
    model = rr.load_model("critters-robust")
    pictures = [Image.open(path) for path in files]
    found = [
        rr.most_activating(model, given, k=1, coordinates=[0, 5])
        for given in (files[0].parent, str(files[0].parent / "*.png"), files[::-1], pictures[::-1])
    ]
    assert {one.seen for one in found} == {2}
    for one in found[1:]:
        assert torch.equal(one.most.images, found[0].most.images)
    with pytest.raises(InputError, match="no labels"):
        rr.evaluate(model, files)


def test_as_many_files_are_told_as_there_are(files):
    done = []
    rr.most_activating(
        *("critters-robust", files),
        k=1,
        coordinates=[0],
        batch_size=1,
        progress=lambda some, all, _: done.append((some, all)),
    )
    assert done == [(1, 2), (2, 2)]


class Folder(torch.utils.data.Dataset):
    """What an ImageFolder without a transform gives: PIL images of several sizes, and labels."""

    def __init__(self, files):
        self.files = files

    def __len__(self):
        return len(self.files)

    def __getitem__(self, i):
        return Image.open(self.files[i]), i


def test_data_sets_of_pil_images_are_read_alike(files):
    data = Folder([*files, *files])
    small = rr.load_model("critters-robust")
    assert rr.evaluate(small, data, eps=0.1, attack_steps=[1])[0].n == 4
    found = rr.most_activating(small, data, k=1, coordinates=[0])
    assert found.most.images.shape[-2:] == (64, 64)
    large = rr.load_model(network(1000), normalize=STATISTICS)
    assert rr.evaluate(large, data, eps=0.1, attack_steps=[1])[0].n == 4


def test_data_sets_of_no_one_size_tell_none():
    data = open_data_set("critters")
    data.size = (32, 48)  # as of shards that are no squares
    assert size_of(rr.load_model(network(9), dataset=data)) is None
    del data.size
    data.ds_name = "a data set of one's own"
    assert size_of(rr.load_model(network(9), dataset=data)) is None


def test_files_are_read_alike_at_every_layer(files):
    model = rr.load_model("critters-robust")
    images = images_for(model, "images", files)
    for layer in ("body.4", "body.4:mean"):
        found = rr.representation(model, files, layer=layer)
        assert torch.equal(found, rr.representation(model, images, layer=layer))


def test_files_to_start_from_are_read_as_the_targets_are(files):
    model = rr.load_model(network(9), normalize=STATISTICS)
    model.card["data_set"] = {"name": "folder", "size": 32, "fit": "stretch"}
    found = rr.invert(model, files, start=files, iterations=1)
    assert found.images.shape == (2, 3, 32, 32)
    assert torch.equal(found.start, found.target_images)
