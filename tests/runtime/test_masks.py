"""Masks: what is taken as one, and what a box or a picture says."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from robust_reps_ext.runtime.errors import InputError
from robust_reps_ext.runtime.masks import as_mask, check_mask, read_mask

HALF = torch.tensor([[0, 1], [0, 1]])


@pytest.mark.parametrize(
    "given",
    [HALF, HALF.bool(), HALF.float(), HALF.numpy(), HALF.tolist(), HALF[None, None].half()],
    ids=lambda given: type(given).__name__,
)
def test_a_mask_in_any_form_is_the_same(given):
    found = as_mask(given)
    assert found.dtype == torch.bool
    torch.testing.assert_close(found, HALF.bool()[None, None])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (HALF / 2, "other values than 0 and 1"),
        (torch.zeros(4, 4), "0 everywhere"),
        (torch.stack([HALF, HALF * 0])[:, None], "mask 1 of 2 is 0 everywhere"),
        (torch.ones(4, 3, 2, 2), "give 1"),
        (torch.ones(2, 2, 2), "give 1"),
        ("left", "mask is a str"),
        (float("nan") * torch.ones(2, 2), "other values"),
    ],
)
def test_what_is_no_mask_is_refused(given, message):
    with pytest.raises(InputError, match=message):
        as_mask(given)


def test_a_mask_fits_the_images_or_is_refused():
    images = torch.empty(3, 3, 2, 2)
    check_mask(as_mask(HALF), images)
    check_mask(as_mask(HALF.expand(3, 1, 2, 2)), images)
    for wrong in (HALF.expand(2, 1, 2, 2), torch.ones(2, 3)):
        with pytest.raises(InputError, match="for 3 images of 2 x 2"):
            check_mask(as_mask(wrong), images)


def test_a_box_is_columns_and_rows_from_the_upper_left():
    found = read_mask("1,2,3,4", 8, 6)[0, 0].nonzero()
    assert found.min(0).values.tolist() == [2, 1]
    assert found.max(0).values.tolist() == [5, 3]
    for outside in ("4,0,3,1", "0,7,1,2", "1,1,0,3"):
        with pytest.raises(InputError, match="do not lie within"):
            read_mask(outside, 8, 6)


def test_a_picture_lets_change_what_is_white_or_opaque(tmp_path):
    grey = np.zeros((4, 6), dtype=np.uint8)
    grey[1:3, 2:] = 255
    path = tmp_path / "mask.png"
    for picture in (
        Image.fromarray(grey),
        Image.fromarray(grey).convert("RGB"),
        Image.fromarray(grey).convert("1"),
        Image.merge("RGBA", [Image.new("L", (6, 4), 90)] * 3 + [Image.fromarray(grey)]),
    ):
        picture.save(path)
        np.testing.assert_array_equal(read_mask(str(path), 4, 6)[0, 0], grey > 0)
    with pytest.raises(InputError, match="has 6 x 4 pixels, images have 4 x 4"):
        read_mask(str(path), 4, 4)
    path.write_text("no picture")
    with pytest.raises(InputError, match="cannot read the image"):
        read_mask(str(path), 4, 6)
    with pytest.raises(InputError, match="give a picture file, or a box"):
        read_mask("1,2,3", 4, 6)
