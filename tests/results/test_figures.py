"""What must be true of figures: images exact to the pixel, in their place, equal in every run."""

import itertools
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from robust_reps_ext.results.figures import Row, image_grid, save_figure
from robust_reps_ext.results.plots import Line, curve_figure
from robust_reps_ext.runtime.errors import InputError


def images(n, size=16, channels=3, seed=0):
    return np.random.default_rng(seed).random((n, channels, size, size), dtype=np.float32)


def drawn(figure, axes, tmp_path):
    """The dots of the saved figure inside one of its axes."""
    page = np.asarray(Image.open(save_figure(figure, tmp_path / "f.png")).convert("RGB"))
    height, width = page.shape[:2]
    box = axes.get_position()
    left, right = round(box.x0 * width), round(box.x1 * width)
    top, bottom = round((1 - box.y1) * height), round((1 - box.y0) * height)
    return page[top:bottom, left:right]


@pytest.mark.parametrize(("size", "times"), [(16, 12), (64, 3), (100, 2), (224, 1), (299, 1)])
def test_every_pixel_is_a_square_of_its_own_colour(tmp_path, size, times):
    shown = images(2, size)
    figure = image_grid([Row(shown, "robust", captions=["a", "b"]), Row(shown, "standard")])
    for axes, image in zip(figure.axes, (shown[0], shown[0], shown[1], shown[1]), strict=True):
        dots = drawn(figure, axes, tmp_path)
        expected = np.round(image.transpose(1, 2, 0) * 255).repeat(times, 0).repeat(times, 1)
        assert dots.shape == expected.shape
        assert np.abs(dots - expected).max() <= 1


def test_large_images_are_made_smaller(tmp_path):
    figure = image_grid([Row(np.full((1, 3, 1000, 1000), 0.5, np.float32))])
    dots = drawn(figure, figure.axes[0], tmp_path)
    assert dots.shape == (330, 330, 3)
    assert set(dots.ravel().tolist()) <= {127, 128}


def test_tensors_of_any_type_and_grey_images(tmp_path):
    grey = torch.full((1, 1, 16, 16), 0.25, dtype=torch.bfloat16, requires_grad=True)
    figure = image_grid([Row(grey, "grey"), Row(images(1))])
    assert set(drawn(figure, figure.axes[0], tmp_path).ravel().tolist()) == {64}


def test_what_is_too_wide_goes_on_below():
    figure = image_grid([Row(images(20), "a"), Row(images(20), "b")])
    corners = [axes.get_position().p0 for axes in figure.axes]
    assert len(corners) == 40
    assert len({round(x, 6) for x, _ in corners}) == 10
    assert len({round(y, 6) for _, y in corners}) == 4
    assert len(image_grid([Row(images(5))], columns=2).axes) == 5


def test_nothing_overlaps_and_all_is_on_the_page():
    long = "a caption much longer than its image is wide, $5"
    rows = [Row(images(18, seed=i), f"a long label {i}\n($x)", [long] * 18) for i in range(3)]
    figure = image_grid(rows)
    figure.canvas.draw()
    boxes = [axes.get_window_extent() for axes in figure.axes]
    boxes += [text.get_window_extent() for text in figure.texts]
    for i, box in enumerate(boxes):
        assert box.x0 >= -1
        assert box.y0 >= -1
        assert box.x1 <= figure.bbox.x1 + 1
        assert box.y1 <= figure.bbox.y1 + 1
        for other in boxes[:i]:
            width = min(box.x1, other.x1) - max(box.x0, other.x0)
            height = min(box.y1, other.y1) - max(box.y0, other.y0)
            assert min(width, height) < 2


@pytest.mark.parametrize("kind", ["png", "pdf", "svg"])
def test_equal_figures_are_equal_bytes(tmp_path, kind):
    first, second = (
        save_figure(image_grid([Row(images(2), "a", ["1", "2"])]), tmp_path / f"{i}.{kind}")
        for i in range(2)
    )
    assert first.read_bytes() == second.read_bytes()
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(
    ("count", "given", "shown", "said"),
    [
        (1, None, [0], ""),
        (2, None, [0], "channel 0 of 2"),
        (3, None, [0, 1, 2], ""),
        (3, (2, 1, 0), [2, 1, 0], "channels 2, 1, 0 of 3"),
        (3, [1], [1], "channel 1 of 3"),
        (5, None, [0, 1, 2], "channels 0, 1, 2 of 5"),
        (5, (4, 0, 0), [4, 0, 0], "channels 4, 0, 0 of 5"),
    ],
)
def test_any_number_of_channels_is_shown_and_the_label_says_which(
    tmp_path, count, given, shown, said
):
    some = images(1, channels=count)
    figure = image_grid([Row(some, "result")], channels=given)
    dots = drawn(figure, figure.axes[0], tmp_path)[::12, ::12]
    expected = np.round(some[0, shown].transpose(1, 2, 0) * 255)
    # One channel is grey, the same three times; matplotlib has 256 greys, cut off.
    assert np.abs(dots - expected).max() <= 2
    assert [text.get_text() for text in figure.texts] == [f"result\n{said}".strip()]
    alone = image_grid([Row(some)], channels=given)
    assert [text.get_text() for text in alone.texts] == [said] * bool(said)


@pytest.mark.parametrize("given", [(), (0, 1), (0, 1, 5), (-1,), (0.5,), "abc", (0, 1, 2, 3)])
def test_channels_that_are_not_there_are_named(given):
    with pytest.raises(InputError, match=r"channels=.*: give three of 0 to 4 as red"):
        image_grid([Row(images(1, channels=5))], channels=given)


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([], "give rows of the same number"),
        ([Row(images(0))], "1 or more"),
        ([Row(images(1)), Row(images(2))], r"rows of \[1, 2\] images"),
        ([Row(images(1)[0], "x")], r"row 'x' has images of shape \(3, 16, 16\)"),
        ([Row(images(1)[:, :0])], r"shape \(1, 0, 16, 16\): give"),
        ([Row(images(1) * 255)], r"give images in \[0, 1\]"),
        ([Row(images(1) * np.nan)], r"give images in \[0, 1\]"),
        ([Row(images(2), captions=["a"])], "2 images and 1 captions"),
    ],
)
def test_what_cannot_be_shown_is_named(rows, reason):
    with pytest.raises(InputError, match=reason):
        image_grid(rows)


def test_a_figure_that_cannot_be_written_leaves_nothing(tmp_path):
    figure = image_grid([Row(images(1))])
    with pytest.raises(InputError, match=r"end it in \.png"):
        save_figure(figure, tmp_path / "f.bmp")
    (tmp_path / "f.png").mkdir()
    for path in (tmp_path / "f.png", tmp_path / "absent" / "f.png"):
        with pytest.raises(InputError, match="cannot write"):
            save_figure(figure, path)
    assert [path.name for path in tmp_path.iterdir()] == ["f.png"]


def test_pyplot_is_left_alone():
    code = (
        "import sys, numpy as np\n"
        "from robust_reps_ext import figures\n"
        "assert 'matplotlib' not in sys.modules\n"
        "figures.image_grid([figures.Row(np.zeros((1, 3, 8, 8)))])\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_radii_of_any_image_size_do_not_run_into_each_other():
    radii = [radius * 64 / 224 for radius in (0.5, 1, 2, 4, 8, 16, 32, 64, 128)]
    half = [0.5] * len(radii)
    figure = curve_figure(radii, [Line(half, half, half, "robust")])
    figure.canvas.draw()
    boxes = [text.get_window_extent() for text in figure.axes[0].get_xticklabels()]
    assert len(boxes) == len(radii)
    assert all(left.x1 < right.x0 for left, right in itertools.pairwise(boxes))


def test_captions_that_say_nothing_take_no_room():
    images = np.zeros((2, 3, 8, 8))
    empty, none = (image_grid([Row(images, "a", captions)] * 2) for captions in (["", ""], None))
    assert empty.get_size_inches().tolist() == none.get_size_inches().tolist()
