"""The player of frames in a browser: it plays, pauses and slides, several on a page."""

from __future__ import annotations

import pytest
from browsers import BROWSER, VIEWS
from grey_frames import made

import robust_reps_ext as rr

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome on this machine")


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return rr.Player(made(frames=6)).save(tmp_path_factory.mktemp("played") / "page.html")


@pytest.fixture
def view(browser, written):
    """Opens a page, and fails for what a script or a policy complains of."""
    opened, said = [], []

    def open_page(kind="desktop", text=None, **more):
        context = browser.new_context(**VIEWS[kind], **more)
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.clock.install(time=0)
        page.clock.pause_at(1)
        page.goto(written.as_uri()) if text is None else page.set_content(text)
        opened.append(context)
        return page

    yield open_page
    for context in opened:
        context.close()
    assert said == []


def sources(page):
    return page.locator(".rr-frame").evaluate_all("images => images.map(one => one.src)")


@pytest.mark.parametrize("kind", VIEWS)
def test_it_plays_pauses_and_slides(view, kind):
    page = view(kind)
    step, slider = page.locator("output"), page.locator("input")
    button, result = page.get_by_role("button"), sources(page)
    assert step.inner_text() == "step 50 of 50"
    button.click()
    assert (button.inner_text(), step.inner_text()) == ("Pause", "step 0 of 50")
    page.clock.run_for(650)
    assert step.inner_text() == "step 20 of 50"
    button.click()
    page.clock.run_for(2000)
    assert (button.inner_text(), step.inner_text()) == ("Play", "step 20 of 50")
    slider.press("Home")
    assert step.inner_text() == "step 0 of 50"
    assert page.locator("figcaption").all_inner_texts() == ["distance 1.0"] * 2
    assert all(one != other for one, other in zip(sources(page), result, strict=True))
    slider.press("ArrowRight")
    assert slider.get_attribute("aria-valuetext") == "step 10 of 50: distance 0.80, distance 0.80"
    slider.press("Space")
    page.clock.run_for(2000)
    assert (button.inner_text(), step.inner_text()) == ("Play", "step 50 of 50")
    assert sources(page) == result
    wide, screen = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert wide <= screen


def test_two_on_a_page_do_not_know_each_other(view):
    fragment = rr.Player(made(frames=3))._repr_html_()
    page = view(text=f"<!doctype html>{fragment}{rr.Player(made(n=1))._repr_html_()}")
    page.locator("input").nth(1).press("Home")
    assert page.locator("output").all_inner_texts() == ["step 20 of 20", "step 0 of 30"]
    page.locator("input").nth(0).press("ArrowLeft")
    assert page.locator("output").all_inner_texts() == ["step 10 of 20", "step 0 of 30"]


def test_who_wants_no_motion_has_the_slider_only(view):
    page = view()
    page.emulate_media(reduced_motion="reduce")
    assert not page.get_by_role("button").is_visible()
    assert page.locator("input").is_visible()


def test_without_scripts_the_result_is_there(view):
    page = view(java_script_enabled=False)
    assert page.locator("figure img").count() == 4
    assert page.locator("output").inner_text() == "step 50 of 50"
    assert not page.locator("input").is_visible()
    assert not page.get_by_role("button").is_visible()
