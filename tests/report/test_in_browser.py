"""The report in a browser: sliders, features, keyboard, and nothing loaded or complained about."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from browsers import BROWSER, VIEWS
from playwright.sync_api import expect
from robustness.datasets import DATASETS

import robust_reps_ext as rr
from robust_reps_ext.datasets.critters import CLASSES
from robust_reps_ext.experiments.paper import run_paper
from robust_reps_ext.experiments.paper.units import ORDER
from robust_reps_ext.report.page import write_report

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome on this machine"),
    pytest.mark.filterwarnings("ignore:the objective has no gradient"),
]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    data = DATASETS["critters"]()
    torch.manual_seed(0)
    pair = [rr.load_model(data.get_model("critters_resnet"), dataset=data) for _ in range(2)]
    out = tmp_path_factory.mktemp("browser")
    run_paper(
        *pair, data, out, images=8, pairs=2, steps=2, iterations=4, feature_iterations=2,
        addition_iterations=2, seeds=2, coordinates=2, radii=(2.0, 8.0), tested=8,
        attack_steps=(1,),
    )  # fmt: skip
    return write_report(out, ORDER)


@pytest.fixture(params=VIEWS)
def page(request, browser, written):
    """The page, and at the end of the test nothing said and nothing asked of the network."""
    context = browser.new_context(**VIEWS[request.param])
    said: list[str] = []
    opened = context.new_page()
    opened.on("console", lambda message: said.append(message.text))
    opened.on("pageerror", lambda error: said.append(str(error)))
    opened.on(
        "request",
        lambda asked: None if asked.url.startswith(("file:", "data:")) else said.append(asked.url),
    )
    opened.goto(written.as_uri())
    yield opened
    context.close()
    assert said == []


def test_the_axes_of_the_chart_can_be_read(page):
    """The chart shrinks with the window, and its words do not."""
    heights = page.locator(".chart .axis").evaluate_all(
        "texts => texts.map(text => text.getBoundingClientRect().height)"
    )
    assert len(heights) > 4
    assert min(heights) >= 10


def sources(page, selector):
    return page.locator(selector).evaluate_all("images => images.map(image => image.src)")


def move(page, slider, value):
    page.locator(slider).first.evaluate(
        "(slider, value) => {"
        " slider.value = value; slider.dispatchEvent(new Event('input', { bubbles: true })); }",
        value,
    )


def test_nothing_is_wider_than_the_screen(page):
    wide, screen = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert wide <= screen
    if screen >= 1280:
        assert page.evaluate(
            "[...document.querySelectorAll('.grid')].every(g => g.scrollWidth <= g.clientWidth)"
        )


def test_lambda_moves_the_images(page):
    slider, images = ".paths input", ".paths .card .trio img"
    seen = []
    for value in (0, 1, 2):
        move(page, slider, value)
        seen.append(sources(page, images))
    assert len(seen[0]) == 6
    assert all(a != b for a, b in zip(seen[0], seen[2], strict=True))
    assert page.locator(".paths output").inner_text() == "0.00"
    page.locator(slider).press("ArrowLeft")
    assert page.locator(".paths output").inner_text() == "0.50"
    assert sources(page, images) == seen[1]


def test_frames_play_from_noise_to_the_result(page):
    slider, images = "#fig6 .player input", '#fig6 .cell[data-run="fig6-robust"] img'
    result = sources(page, images)
    move(page, slider, 0)
    noise = sources(page, images)
    assert all(a != b for a, b in zip(noise, result, strict=True))
    assert page.locator("#fig6 .player output").inner_text() == "step 0 of 4"
    page.locator(slider).press("ArrowRight")
    assert page.locator("#fig6 .player output").inner_text() == "step 1 of 4"
    page.locator("#fig6 .play").click()
    expect(page.locator("#fig6 .player output")).to_have_text("step 4 of 4", timeout=30_000)
    assert sources(page, images) == result


def test_who_wants_no_motion_has_the_slider_only(page):
    page.emulate_media(reduced_motion="reduce")
    assert not page.locator("#fig6 .play").is_visible()
    assert page.locator("#fig6 .player input").is_visible()


def test_the_panels_of_a_figure_have_titles(page):
    assert page.locator("#fig7 h3").all_inner_texts() == [
        "robust: random coordinates", "standard: random coordinates",
    ]  # fmt: skip
    assert page.locator("#fig7 .grid").first.locator(".row").count() == 2


def test_a_cell_is_pinned_by_keyboard_and_let_go(page):
    inspector = page.locator("#inspector")
    page.locator("#fig6 .cell").first.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    assert inspector.is_visible()
    assert page.locator('.cell[aria-pressed="true"]').get_attribute("data-run") == "fig6-robust"
    assert "4 steps of 0.286, eps 285.714, schedule paper" in inspector.inner_text()
    assert inspector.locator("path").get_attribute("d").count("L") == 4
    page.keyboard.press("Escape")
    assert not inspector.is_visible()
    assert page.locator('.cell[aria-pressed="true"]').count() == 0


HOSTILE = (
    """"'><img src=x onerror="hacked=1"></script><script>hacked=1</script>{{7*7}}${hacked=1}"""
)


def with_hostile_names(value):
    """Every name in a unit: of classes, models, their files and the folder of the data."""
    if isinstance(value, dict):
        return {
            key: HOSTILE if key in ("arch", "folder", "name") else with_hostile_names(one)
            for key, one in value.items()
        }
    if isinstance(value, list):
        return [with_hostile_names(one) for one in value]
    return HOSTILE if isinstance(value, str) and value in CLASSES else value


def test_names_run_nothing(browser, written, tmp_path):
    shutil.copytree(written.parent.parent, tmp_path / "out")
    for path in (tmp_path / "out").glob("*/unit.json"):
        unit = json.loads(path.read_text())
        lines = unit["metadata"].pop("lines", None)  # their names are those of roles
        unit |= {key: with_hostile_names(unit[key]) for key in ("metadata", "study")}
        if lines:
            unit["metadata"]["lines"] = lines
        path.write_text(json.dumps(unit))
    context = browser.new_context()
    opened = context.new_page()
    said: list[str] = []
    opened.on("pageerror", lambda error: said.append(str(error)))
    opened.on("console", lambda message: said.append(message.text))
    opened.goto(write_report(tmp_path / "out", ORDER).as_uri())
    for cell in opened.locator(".cell:visible").all()[:40]:
        cell.focus()
    opened.locator(".cell:visible").first.click()
    text = opened.locator("body").inner_text()
    hacked = opened.evaluate("typeof hacked")
    # Were a name to get through, the page would still run its own script only.
    opened.evaluate("document.body.insertAdjacentHTML('beforeend',"
                    " '<img src=x onerror=\"hacked=1\">')")  # fmt: skip
    opened.wait_for_timeout(200)
    then = opened.evaluate("typeof hacked")
    context.close()
    assert (hacked, then) == ("undefined", "undefined")
    assert text.count(HOSTILE) > 10
    assert not [one for one in said if "Content Security Policy" not in one]
