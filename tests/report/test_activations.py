"""The page of what activates every coordinate: each image once, and it can be browsed."""

from __future__ import annotations

import json
import re

import pytest
import torch
from browsers import BROWSER, VIEWS
from playwright.sync_api import expect

import robust_reps_ext as rr
from robust_reps_ext.datasets.critters.networks import CrittersResNet
from robust_reps_ext.report.activations import LARGEST, ModelActivations, write_activations

SIZE = 256


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return rr.load_model(CrittersResNet(width=8), dataset="critters")


@pytest.fixture(scope="module")
def images():
    return torch.rand(40, 3, 32, 32, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def written(model, images, tmp_path_factory):
    found = rr.most_activating(
        model, zip(images.split(8), (torch.arange(40) % 3).split(8), strict=True),
        coordinates="all", k=3,
    )  # fmt: skip
    path = tmp_path_factory.mktemp("wall") / "activations.html"
    names = ("<b>dog</b>", "cat's", "</script><script>alert(1)</script>")
    shown = ModelActivations(found, "a <model>", model.card)
    write_activations(path, [shown], images.__getitem__, names=names, data="critters")
    return path, found, names


def test_the_page_holds_each_image_once(written, images):
    path, found, _ = written
    text = path.read_text()
    shown = {*found.most.index.flatten().tolist(), *found.least.index.flatten().tolist()}
    facts = json.loads(re.search(r'id="facts">(.*?)</script>', text, re.S)[1])
    assert len(facts["thumbnails"]) == len(set(facts["thumbnails"])) == len(shown)
    assert len(text) < LARGEST
    assert "alert(1)</script>" not in text
    for c in (0, SIZE - 1):
        places = [facts["index"][k] for k in facts["models"][0]["most"]["image"][c]]
        assert places == found.most.index[c].tolist()


@pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome on this machine")
@pytest.mark.parametrize("view", VIEWS)
def test_the_page_can_be_browsed(browser, written, view):
    path, found, names = written
    context = browser.new_context(**VIEWS[view])
    page, said = context.new_page(), []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda asked: said.append(asked.url) if "http" in asked.url[:4] else None)
    page.goto(path.as_uri())
    items = page.locator(".wall li")
    expect(items).to_have_count(48)
    expect(page.locator("#where")).to_have_text(f"1 to 48 of {SIZE}")
    titles = page.locator(".wall .most figure").evaluate_all("all => all.map(one => one.title)")
    first = found.most
    assert titles[0].startswith(f"{names[int(first.label[0, 0])]}, image {int(first.index[0, 0])},")
    loaded = page.locator(".wall img").evaluate_all("all => all.every(one => one.naturalWidth > 0)")
    assert loaded
    page.click("#on")
    expect(page.locator(".wall h2 a").first).to_have_text("48")
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#back")).to_be_disabled()
    page.fill("#coordinate", "200")
    expect(page.locator(".wall .chosen h2 a")).to_have_text("200")
    expect(page.locator(".wall .chosen")).to_be_in_viewport()
    page.select_option("#order", "value")
    best = page.locator(".wall li").first.locator(".most figcaption").first
    expect(best).to_have_text(f"{float(first.value.max()):#.3g}")
    page.select_option("#order", "alike")
    alike = [int(text[:1] or 1) for text in page.locator("h2 small").all_text_contents()]
    assert alike == sorted(alike, reverse=True)
    width = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    assert width <= 0
    context.close()
    assert said == []


@pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome on this machine")
def test_two_models_stand_side_by_side_and_every_unit_has_its_link(
    browser, model, images, written, tmp_path
):
    _, found, names = written
    grey = torch.full((SIZE, 3, 32, 32), 0.5)
    models = [
        ModelActivations(found, "one", model.card, grey),
        ModelActivations(found, "two", model.card),
    ]
    path = tmp_path / "two.html"
    write_activations(path, models, images.__getitem__, names=names, data="critters")
    context = browser.new_context(**VIEWS["desktop"])
    page, said = context.new_page(), []
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(f"{path.as_uri()}#2-200")
    left, right = page.locator(".model").all()
    expect(right.locator(".chosen h2 a")).to_have_text("200")
    expect(right.locator(".chosen")).to_be_in_viewport()
    expect(left.locator(".raised img").first).to_be_visible()
    expect(right.locator(".raised")).to_have_count(0)
    # At one time: the page may still be on its way to the unit.
    tops = page.locator(".model").evaluate_all(
        "all => all.map(one => one.getBoundingClientRect().top)"
    )
    assert tops[0] == tops[1]
    left.locator("h2 a").nth(2).click()
    expect(left.locator(".chosen")).to_have_count(1)
    page.select_option("#class", names[0])
    labels = found.most.label == 0
    expect(page.locator("#where")).to_contain_text(f"of {int(labels.any(dim=1).sum())}")
    titles = (
        left.locator("li")
        .first.locator(".most figure")
        .evaluate_all("all => all.map(one => one.title)")
    )
    assert any(title.startswith(names[0]) for title in titles)
    page.select_option("#model", "1")
    expect(left).to_be_hidden()
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0
    context.close()
    assert said == []


def test_a_model_with_other_images_than_coordinates_is_refused(model, images, written, tmp_path):
    shown = ModelActivations(written[1], "one", model.card, images)
    with pytest.raises(rr.InputError, match="40 raised images for 256 coordinates"):
        write_activations(tmp_path / "x", [shown], images.__getitem__, names=(), data="critters")
    with pytest.raises(rr.InputError, match="nothing to show"):
        write_activations(tmp_path / "x", [], images.__getitem__, names=(), data="critters")
