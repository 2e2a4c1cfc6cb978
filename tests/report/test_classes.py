"""The page of a probe's classes: each feature with its weight, and nothing that runs."""

from __future__ import annotations

import pytest
import torch
from browsers import BROWSER, VIEWS
from networks import PLAIN, Linear, wrapped

import robust_reps_ext as rr
from robust_reps_ext.report.classes import FEATURES, Heads, shown_features, write_classes
from robust_reps_ext.runtime.errors import InputError

PIXELS = 3 * 4 * 4


@pytest.fixture(scope="module")
def heads():
    torch.manual_seed(0)
    model = wrapped(Linear(PIXELS), PLAIN)
    rows = torch.rand(60, PIXELS, generator=torch.Generator().manual_seed(1)) * 0.4
    labels = torch.arange(60) % 3
    for label in range(3):
        rows[:, 5 * label] += 0.5 * (labels == label)
    data = [(rows.view(-1, 3, 4, 4), labels)]
    names = ["cat", "<script>alert(1)</script>", "dog"]
    found = rr.directions(model, data, method="probe", names=names, k=2)
    places = shown_features(found)
    seen = rr.most_activating(model, data, coordinates=places, k=2)
    return Heads("linear", found, torch.rand(3, 3, 4, 4), seen, torch.rand(len(places), 3, 4, 4))


def test_each_feature_stands_there_with_its_weight_and_no_name_is_markup(heads, tmp_path):
    page = write_classes(tmp_path / "classes.html", [heads], data="drawn").read_text()
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)" in page
    images = 0
    for i in range(3):
        own = heads.found.features(i, FEATURES)
        assert own[0][0] == 5 * i
        images += 1 + 2 + len(own) * (1 + 2)
        for place, weight in own:
            assert (
                f"coordinate {place}, weight {weight:+.2f}".replace("-", "\N{MINUS SIGN}") in page
            )
    assert page.count("<img") == images
    assert page.count("data:image/webp") == images
    assert page.count('class="chosen"') == 1


def test_there_must_be_something_to_show(tmp_path):
    with pytest.raises(InputError, match="nothing to show"):
        write_classes(tmp_path / "classes.html", [], data="drawn")


@pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome on this machine")
def test_a_phone_shows_whole_images(heads, tmp_path, browser):
    path = write_classes(tmp_path / "classes.html", [heads], data="drawn")
    context = browser.new_context(**VIEWS["phone"])
    page = context.new_page()
    page.goto(path.as_uri())
    sizes = page.locator(".strip img").evaluate_all("all => all.map(i => [i.width, i.height])")
    wide, screen = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    context.close()
    assert sizes
    assert all(width == height > 40 for width, height in sizes)
    assert wide <= screen
