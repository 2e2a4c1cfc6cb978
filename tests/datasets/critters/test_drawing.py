"""Critters: what is drawn is what is recorded, and no image depends on how it was asked for."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from robust_reps_ext.datasets.critters import (
    CLASSES,
    DATA_VERSION,
    FINE_CLASSES,
    HUES,
    TEXTURES,
    draw,
)
from robust_reps_ext.datasets.critters import series as critters_series
from robust_reps_ext.datasets.critters.drawing import draw_one
from robust_reps_ext.datasets.critters.series import Series
from robust_reps_ext.runtime.errors import InputError

NAMES = ("dog", "cat", "frog", "turtle", "bird", "primate", "fish", "crab", "insect")


def scene(fine_label, size=64, seed=0):
    return draw_one(np.random.default_rng(seed), fine_label, size)


def test_labels_names_and_factors_say_the_same():
    critters = draw(40, size=24)
    assert critters.images.shape == (40, 3, 24, 24)
    assert critters.images.dtype == torch.uint8
    assert critters.labels.dtype == critters.fine_labels.dtype == torch.int64
    assert len(critters) == len(critters.factors) == 40
    assert CLASSES == NAMES
    assert len(set(FINE_CLASSES)) == 162
    for i, record in enumerate(critters.factors):
        fine = (record.label * 3 + record.texture) * 6 + record.hue
        assert (critters.labels[i], critters.fine_labels[i]) == (record.label, fine)
        assert record.fine_label == fine
        named = (CLASSES[record.label], TEXTURES[record.texture], HUES[record.hue])
        assert FINE_CLASSES[fine] == ", ".join(named)


def test_an_image_depends_on_its_seed_and_place_alone(monkeypatch):
    monkeypatch.setattr(critters_series, "_CHUNK", 16)
    long = draw(100, seed=5, size=24)  # more than six chunks: on every core
    short = draw(60, seed=5, size=24)
    assert torch.equal(long.images[:60], short.images)
    assert long.factors[:60] == short.factors
    assert not torch.equal(draw(60, seed=6, size=24).images, short.images)


@settings(max_examples=30, deadline=None)
@given(
    n=st.integers(1, 400),
    seed=st.integers(0, 2**64),
    classes=st.sets(st.integers(0, 8), min_size=1),
    textures=st.sets(st.integers(0, 2), min_size=1),
    hues=st.sets(st.integers(0, 5), min_size=1),
)
def test_every_class_and_coat_takes_its_turn(n, seed, classes, textures, hues):
    series = Series(n, seed, classes=[*classes], textures=[*textures], hues=[*hues])
    fine = np.array(series.fine_labels())
    assert len(fine) == n
    label, texture, hue = fine // 18, fine // 6 % 3, fine % 6
    assert set(label) <= classes
    assert set(texture) <= textures
    assert set(hue) <= hues
    turns = np.bincount(label, minlength=9)[sorted(classes)]
    assert turns.max() - turns.min() <= 1
    coats = np.bincount(fine, minlength=162).reshape(9, 3, 6)[sorted(classes)]
    coats = coats[:, sorted(textures)][:, :, sorted(hues)].reshape(len(classes), -1)
    assert (coats.max(axis=1) - coats.min(axis=1)).max() <= 1


def test_one_can_ask_for_striped_green_frogs():
    frogs = draw(20, size=24, classes=[2], textures=[1], hues=[2])
    assert {FINE_CLASSES[fine] for fine in frogs.fine_labels} == {"frog, stripes, green"}
    assert len({image.numpy().tobytes() for image in frogs.images}) == 20


@pytest.mark.parametrize("label", range(9), ids=NAMES)
def test_texture_and_hue_stay_on_the_coat_and_change_nothing_else(label):
    plain, of_plain = scene(label * 18)
    striped, of_striped = scene(label * 18 + 6)
    spotted, of_spotted = scene(label * 18 + 12)
    blue, of_blue = scene(label * 18 + 4)
    animal = (plain != blue).any(axis=2)
    for textured in (striped, spotted):
        changed = (plain != textured).any(axis=2)
        assert changed.sum() > 0.03 * animal.sum()
        assert not (changed & ~animal).any()
    for record in (of_striped, of_spotted, of_blue):
        assert record.pose == of_plain.pose
        assert (record.x, record.y, record.side) == (of_plain.x, of_plain.y, of_plain.side)
        assert record.background_hue == of_plain.background_hue
    rows, columns = np.nonzero(animal)
    for low, high, middle in (
        (columns.min(), columns.max() + 1, of_plain.x * 64),
        (rows.min(), rows.max() + 1, of_plain.y * 64),
    ):
        assert abs((low + high) / 2 - middle) <= 2.5  # white eyes and black noses do not change
    assert max(np.ptp(rows), np.ptp(columns)) + 1 == pytest.approx(of_plain.size * 64, abs=3)


def test_the_recorded_hues_can_be_read_off_the_picture():
    plain, groups = draw(108, seed=2, textures=[0]), []
    for record, image in zip(plain.factors, plain.images, strict=True):
        pixels = Image.fromarray(image.permute(1, 2, 0).numpy()).convert("HSV")
        hue, saturation, value = np.asarray(pixels).reshape(-1, 3).T / 255
        coat = (saturation > 0.65) & (value > 0.75)
        turned = np.exp(2j * np.pi * hue[coat]).mean()
        off = abs((np.degrees(np.angle(turned)) - record.body_hue + 180) % 360 - 180)
        assert off < 12, record
        groups.append((record.hue, record.body_hue))
    spread = [np.exp(1j * np.radians([h for g, h in groups if g == i])) for i in range(6)]
    middles = sorted(np.degrees(np.angle(s.mean())) % 360 for s in spread)
    gaps = np.diff([*middles, middles[0] + 360])
    assert gaps.min() > 35


def test_another_size_shows_the_same_scene():
    for fine_label in range(0, 162, 13):
        small, of_small = scene(fine_label, 64)
        large, of_large = scene(fine_label, 256)
        reduced = np.asarray(Image.fromarray(large).reduce(4)).astype(float)
        assert np.abs(reduced - small).mean() < 6
        assert of_large.x == pytest.approx(of_small.x)
        assert of_large.pose == of_small.pose


# The mean colour of each quarter of the first nine images, as hexadecimal RGB.
GOLDEN = {
    "1": (
        "7b588c906d8d775c7b8e5f8a",
        "bfaae5b3a6d96069b6aba1db",
        "899c84a6a26ba6bbc5a7cab6",
        "3d596f4c63743c4b3d545f47",
        "8f75726e4f5b8f7782865762",
        "893e4e772c3cb06877ac6765",
        "cfe7efc3eceb92bfd87ab6b8",
        "bbe0acc0dbaa5fb09660c1b3",
        "9c7c5076534dac967c927077",
    )
}


def test_pixels_change_only_with_the_version():
    images = draw(9, size=64).images.float()
    quarters = torch.nn.functional.avg_pool2d(images, 32).permute(0, 2, 3, 1).reshape(9, -1)
    wanted = torch.tensor([list(bytes.fromhex(row)) for row in GOLDEN[DATA_VERSION]])
    assert (quarters - wanted).abs().max() < 2


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"n": 0}, "n=0"),
        ({"n": -3}, "n=-3"),
        ({"n": 1, "seed": -1}, "seed=-1"),
        ({"n": 1, "size": 23}, "size=23"),
        ({"n": 1, "size": 513}, "size=513"),
        ({"n": 1, "classes": [9]}, r"classes=\[9\].*8 insect"),
        ({"n": 1, "textures": [-1]}, r"textures=\[-1\].*0 plain"),
        ({"n": 1, "hues": []}, r"hues=\[\]"),
    ],
)
def test_what_cannot_be_drawn_is_named_in_one_line(arguments, named):
    with pytest.raises(InputError, match=named) as caught:
        draw(**arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("size", [24, 25, 97, 512])
def test_every_animal_fits_every_size(size):
    for label in range(9):
        pixels, record = scene(label * 18 + 7, size, seed=label)
        assert pixels.shape == (size, size, 3)
        assert pixels.std() > 10
        assert 0.7 <= record.size <= 0.95
        turned, _ = scene(label * 18 + 9, size, seed=label)
        animal = np.argwhere((pixels != turned).any(axis=2)) / size
        reach = np.abs(animal - (record.y, record.x)).max()
        assert record.size / 2 - 0.1 < reach < record.size / 2 + 1 / size
