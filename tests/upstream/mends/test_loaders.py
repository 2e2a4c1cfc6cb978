"""What folders and loaders must give: every image, errors with names, an order that repeats."""

from __future__ import annotations

import logging
import random

import numpy as np
import pytest
import torch
from PIL import Image
from robustness import datasets, loaders
from robustness.tools import folder
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.transforms import v2

from robust_reps_ext.runtime.errors import InputError

TO_TENSOR = (transforms.ToTensor(), transforms.ToTensor())
# Python 3.12 warns whenever a process with threads forks, as every DataLoader with workers does.
FORKS = pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
COLOURS = {"apple": 10, "bear": 120, "cow": 240}


def draw(path, value=100, size=(8, 8)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (value, value, value)).save(path)
    return path


@pytest.fixture
def tree(tmp_path):
    """train/ with 12 and val/ with 6 images in three classes, each image of its own grey."""
    for name, value in COLOURS.items():
        for i in range(4):
            draw(tmp_path / "train" / name / f"{i}.png", value + i)
        for i in range(2):
            draw(tmp_path / "val" / name / f"{i}.png", value + i)
    return tmp_path


def make(tree, workers=0, batch_size=4, pair=TO_TENSOR, **options):
    return loaders.make_loaders(workers, batch_size, pair, str(tree), **options)


def greys(loader):
    return [round(image.mean().item() * 255) for images, _ in loader for image in images]


def test_all_kinds_of_image_files_are_found_and_read(tmp_path):
    names = ["a.jpg", "b.JPEG", "c.png", "d.webp", "e.tiff", "f.TIF", "g.bmp", "h.ppm"]
    for name in [*names, ".hidden.png"]:
        draw(tmp_path / "one" / name)
    draw(tmp_path / "one" / "i.jpg").rename(tmp_path / "one" / "i.jfif")
    draw(tmp_path / ".cache" / "x.png")
    (tmp_path / "one" / "notes.txt").write_text("no image")
    images = folder.ImageFolder(str(tmp_path))
    assert images.classes == ["one"]
    assert [path.rpartition("/")[2] for path, _ in images.samples] == [*names, "i.jfif"]
    for image, _ in images:
        assert image.mode == "RGB"
        assert abs(np.asarray(image).astype(int) - 100).max() <= 2


def test_every_mode_becomes_rgb(tmp_path):
    grey16 = Image.fromarray(np.array([[0, 257 * 100, 65535]], dtype=np.uint16))
    palette = Image.new("P", (2, 2), 1)
    palette.putpalette([0, 0, 0, 10, 20, 30])
    palette.info["transparency"] = b"\x00\x80"
    cases = {
        "grey16.png": (grey16, [[0, 0, 0], [100, 100, 100], [255, 255, 255]]),
        "grey32.tif": (
            Image.fromarray(np.array([[0, 257 * 100, 65535]], dtype=np.int32)),
            [[0, 0, 0], [100, 100, 100], [255, 255, 255]],
        ),
        "palette.png": (palette, [[10, 20, 30]] * 4),
        "alpha.png": (Image.new("RGBA", (1, 1), (1, 2, 3, 0)), [[1, 2, 3]]),
        "grey.png": (Image.new("LA", (1, 1), (7, 9)), [[7, 7, 7]]),
        "bits.png": (Image.new("1", (1, 1), 1), [[255, 255, 255]]),
    }
    for name, (image, expected) in cases.items():
        image.save(tmp_path / name)
        read = folder.pil_loader(tmp_path / name)
        assert read.mode == "RGB"
        assert np.asarray(read).reshape(-1, 3).tolist() == expected, name


def spoil(path, how):
    data = path.read_bytes()
    path.write_bytes({"cut": data[: len(data) // 2], "text": b"no image", "empty": b""}[how])


@pytest.mark.parametrize("how", ["cut", "text", "empty"])
def test_an_image_that_cannot_be_read_is_named(tmp_path, how):
    path = draw(tmp_path / "broken.jpg", size=(64, 64))
    spoil(path, how)
    with pytest.raises(InputError, match=r"broken\.jpg") as caught:
        folder.pil_loader(path)
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match=r"gone\.png"):
        folder.pil_loader(tmp_path / "gone.png")


@FORKS
@pytest.mark.parametrize("workers", [0, 1])
def test_workers_name_it_in_one_line_too(tree, workers):
    spoil(tree / "val" / "bear" / "1.png", "cut")
    _, val = make(tree, workers=workers, only_val=True)
    with pytest.raises(InputError) as caught:
        list(val)
    message = str(caught.value)
    assert message.startswith(f"cannot read the image {tree / 'val' / 'bear' / '1.png'}")
    assert "\n" not in message


def test_a_tree_that_is_none_gets_one_line(tree, tmp_path_factory):
    empty = tmp_path_factory.mktemp("empty")
    cases = [(empty / "gone", "no folder"), (empty, "no val/")]
    with_val = tmp_path_factory.mktemp("half")
    draw(with_val / "val" / "a" / "x.png")
    cases.append((with_val, "no train/"))
    flat = tmp_path_factory.mktemp("flat")
    draw(flat / "train" / "x.png")
    draw(flat / "val" / "x.png")
    cases.append((flat, "no class folders"))
    without_images = tmp_path_factory.mktemp("bare")
    for split in ("train", "val"):
        (without_images / split / "a").mkdir(parents=True)
    cases.append((without_images, "no images"))
    (tree / "val" / "dog").mkdir()
    cases.append((tree, "1 class folders are in only one of train/ and val/ .dog"))
    for root, reason in cases:
        with pytest.raises(InputError, match=reason) as caught:
            make(root)
        assert str(root) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_test_stands_in_for_val(tree):
    (tree / "val").rename(tree / "test")
    _, val = make(tree)
    assert len(val.dataset) == 6


def test_validation_keeps_its_order_and_training_does_not(tree):
    train, val = make(tree)
    assert greys(val) == greys(val) == [10, 11, 120, 121, 240, 241]
    orders = {tuple(greys(train)) for _ in range(4)}
    assert len(orders) > 1
    assert {tuple(sorted(order)) for order in orders} == {tuple(greys(make_ordered(tree)))}


def make_ordered(tree):
    return make(tree, shuffle_train=False)[0]


def test_two_runs_differ_and_a_seeded_one_repeats(tree):
    torch.manual_seed(5)
    first = greys(make(tree, batch_size=1)[0])
    assert greys(make(tree, batch_size=1)[0]) != first
    torch.manual_seed(5)
    assert greys(make(tree, batch_size=1)[0]) == first


def jittered(image):
    """Augmentation that draws from each of the three random states there are."""
    noise = [random.random(), np.random.rand(), torch.rand(()).item()]  # noqa: NPY002
    return transforms.functional.to_tensor(image).mean() + torch.tensor(noise)


@FORKS
@pytest.mark.parametrize("workers", [0, 2])
def test_a_seeded_epoch_repeats_its_order_and_its_augmentation(tree, workers):
    train, _ = make(tree, workers=workers, pair=(jittered, jittered))

    def epoch(seed):
        train.generator.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        torch.manual_seed(seed)
        return torch.cat([images for images, _ in train])

    first, second, again = epoch(1), epoch(2), epoch(1)
    assert torch.equal(first, again)
    assert not (first == second).any()


def test_without_augmentation_training_images_get_the_validation_transform(tree):
    train, val = make(tree, pair=(jittered, transforms.ToTensor()), data_aug=False)
    assert next(iter(train))[0].shape == next(iter(val))[0].shape


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"subset_type": "first"}, [10, 11, 12, 13, 120]),
        ({"subset_type": "first", "subset_start": 2}, [12, 13, 120, 121, 122]),
        ({"subset_type": "last"}, [123, 240, 241, 242, 243]),
    ],
)
def test_subsets_by_place(tree, options, expected):
    train, _ = make(tree, subset=5, shuffle_train=False, **options)
    assert greys(train) == expected


def test_a_random_subset_is_upstreams_and_repeats(tree):
    everything = greys(make_ordered(tree))
    chosen = np.random.RandomState(1).choice(list(range(12)), size=5 + 2, replace=False)[2:]
    expected = [everything[i] for i in chosen]
    for seed in ({}, {"seed": 1}, {"seed": None}):
        train, _ = make(tree, subset=5, subset_start=2, shuffle_train=False, **seed)
        assert greys(train) == expected
    other, _ = make(tree, subset=5, subset_start=2, shuffle_train=False, seed=3)
    assert greys(other) != expected


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"subset": 13}, "13 images does not fit into 12"),
        ({"subset": 0}, "0 images does not fit"),
        ({"subset": 10, "subset_start": 3}, "10 images after the first 3"),
        ({"subset": 3, "subset_type": "middle"}, "middle"),
        ({"workers": -1}, "workers=-1"),
        ({"batch_size": 0}, "batch_size=0"),
    ],
)
def test_options_that_do_not_fit_are_named(tree, options, named):
    with pytest.raises(InputError, match=named):
        make(tree, **options)


class FromMemory(torch.utils.data.Dataset):
    def __init__(self, root, train, download, transform, length=3, label_mapping=None):
        self.length, self.train, self.label_mapping = length, train, label_mapping

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        return torch.tensor(float(index)), int(self.train)


def test_a_custom_class_needs_nothing_but_a_length():
    train, val = make(
        "/nowhere", custom_class=FromMemory, custom_class_args={"length": 5}, label_mapping=len
    )
    assert (len(train.dataset), len(val.dataset)) == (5, 5)
    assert train.dataset.label_mapping is len
    assert [int(labels.sum()) for _, labels in train] == [4, 1]
    assert make("/nowhere", custom_class=FromMemory, only_val=True)[0] is None


def doubled(images, labels):
    return images * 2, labels + 1


def in_order(n=6, batch_size=2):
    data = torch.utils.data.TensorDataset(torch.arange(float(n)), torch.zeros(n, dtype=torch.long))
    return DataLoader(data, batch_size=batch_size)


@pytest.mark.parametrize("wrapper", [loaders.LambdaLoader, loaders.PerEpochLoader])
def test_each_loop_over_a_wrapper_is_a_whole_epoch(wrapper):
    options = {"do_tqdm": False} if wrapper is loaders.PerEpochLoader else {}
    wrapped = wrapper(in_order(), doubled, **options)
    assert len(wrapped) == 3
    for _ in wrapped:
        break
    for _ in range(2):
        images, labels = (torch.cat(parts) for parts in zip(*wrapped, strict=True))
        assert images.sort().values.tolist() == [0, 2, 4, 6, 8, 10]
        assert labels.tolist() == [1] * 6
    assert wrapped.batch_size == 2
    for _ in range(3):
        next(wrapped)
    with pytest.raises(StopIteration):
        next(wrapped)
    assert len(next(wrapped)[0]) == 2


def test_lambda_loader_takes_batches_of_three():
    wrapped = loaders.LambdaLoader([(1, 2, 3)], lambda a, b, c: (a + b + c,))
    assert list(wrapped) == [(6,)]


@pytest.mark.parametrize(("fraction", "changed"), [(0, 0), (0.5, 2), (0.26, 2), (1, 4)])
@pytest.mark.parametrize("augment", [False, True])
def test_transformed_loader_changes_that_share_of_the_batches(fraction, changed, augment):
    made = loaders.TransformedLoader(
        in_order(8), doubled, None, fraction=fraction, augment=augment, shuffle=False
    )
    labels = torch.cat([labels for _, labels in made])
    assert int(labels.sum()) == 2 * changed
    assert len(labels) == (8 + 2 * changed if augment else 8)
    assert made.batch_size == 2


def test_data_sets_take_any_callable_as_transform():
    both = v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32, scale=True)])
    data_set = datasets.CIFAR(transform_train=both, transform_test=len, mean=[0.5, 0.5, 0.5])
    assert data_set.transform_train is both
    assert torch.equal(data_set.mean, torch.full((3,), 0.5))
    with pytest.raises(InputError, match="transform_train='blur'"):
        datasets.CIFAR(transform_train="blur")
    with pytest.raises(InputError, match="num_classes='9' has type str: give int"):
        datasets.CIFAR(num_classes="9")


def test_data_sets_pass_their_loaders_options_on(tree):
    data_set = datasets.CINIC(str(tree), num_classes=3)
    train, val = data_set.make_loaders(0, 4, subset=5, subset_seed=7, val_batch_size=6)
    assert len(train.dataset) == 5
    assert next(iter(val))[1].tolist() == [0, 0, 1, 1, 2, 2]
    _, shuffled = data_set.make_loaders(0, 1, shuffle_val=True, only_val=True)
    assert any([label.item() for _, label in shuffled] != [0, 0, 1, 1, 2, 2] for _ in range(9))


def test_class_counts_are_checked(tree, caplog):
    with pytest.raises(InputError, match="has 3 classes, but cinic has 2"):
        datasets.CINIC(str(tree), num_classes=2).make_loaders(0, 1)
    with caplog.at_level(logging.WARNING):
        datasets.CINIC(str(tree)).make_loaders(0, 1)
    assert "has 3 of the 10 classes of cinic" in caplog.text


def test_custom_imagenet_asks_for_its_grouping():
    with pytest.raises(InputError, match="custom_grouping"):
        datasets.DATASETS["custom_imagenet"]("/nowhere")
    assert datasets.CustomImageNet("/nowhere", [["n01440764"]]).num_classes == 1


def test_openimages_applies_its_grouping(tmp_path):
    lines = {
        "metadata/class-descriptions-boxable.csv": "/m/1,Apple\n/m/2,Bear\n/m/3,Cow\n",
        "boxes/test-annotations-bbox.csv": "header\nx,human,/m/3,1,0,1,0,1\n",
        "labels/test-annotations-human-imagelabels-boxable.csv": "header\nx,ver,/m/3,1\n",
    }
    for name, text in lines.items():
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(text)
    draw(tmp_path / "images" / "test" / "x.jpg")
    data_set = datasets.OpenImages(str(tmp_path), [["Apple"], ["Cow", "Bear"]])
    _, val = data_set.make_loaders(0, 1, only_val=True)
    ((images, groups, classes),) = val
    assert images.shape == (1, 3, 224, 224)
    assert groups.tolist() == [[0, 1]]
    assert classes.shape == (1, 601)
