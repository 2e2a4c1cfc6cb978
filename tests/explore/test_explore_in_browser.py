"""The page in a browser: by mouse and keys, on a desk and a phone."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from browsers import BROWSER, VIEWS
from explorers import bundled, serving, until
from PIL import Image

import robust_reps_ext as rr
from robust_reps_ext.datasets.photographs import photographs
from robust_reps_ext.results.reader import read_results
from robust_reps_ext.results.synthesis import Synthesis

pytestmark = [
    pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome on this machine"),
    pytest.mark.usefixtures("undrawn"),
]

PAIR = ("photographs-robust", "photographs-standard")
PIXELS = "one => [...one.getContext('2d').getImageData(0, 0, one.width, one.height).data]"


@pytest.fixture(scope="module")
def explorer(tmp_path_factory):
    images = (photographs(3, size=64) * 255).round() / 255
    out = tmp_path_factory.mktemp("explored") / "out"
    with serving([bundled(name) for name in PAIR], images, out) as found:
        yield found


@pytest.fixture
def view(browser, explorer):
    """Opens the page, and fails for what a script or a policy complains of."""
    opened, said = [], []

    def open_page(kind="desktop", **more):
        context = browser.new_context(**VIEWS[kind], **more)
        page = context.new_page()
        page.on("console", lambda one: said.append(one.text) if one.type == "error" else None)
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(explorer.address)
        page.wait_for_selector("body[data-connected]")
        opened.append(context)
        return page

    yield open_page
    for context in opened:
        context.close()
    until(lambda: explorer.busy == 0 and len(explorer.tabs) == 0)
    # Chrome itself tells of answers such as 413.
    assert [one for one in said if "Failed to load resource" not in one] == []


def steps(page, count):
    page.click(".more summary")
    page.fill("#iterations", str(count))


def canvas(page, which):
    found = page.eval_on_selector(f"#descend .{which} canvas", PIXELS)
    return torch.tensor(found, dtype=torch.uint8).view(64, 64, 4)[..., :3].permute(2, 0, 1)


def wait(page, expression):
    """The page's policy lets nothing be evaluated inside it, `wait_for_function` neither."""
    until(lambda: page.evaluate(expression))


def ended(page, where="#descend"):
    page.wait_for_selector(f"{where} .keep:enabled", timeout=60_000)


def test_an_inversion_descends_to_its_end_and_is_kept(view, explorer):
    page = view()
    page.click('.thumb[data-image="1"]')
    steps(page, 12)
    page.click("#go")
    ended(page)
    assert page.inner_text("#descend .first .state").startswith("12 steps, 0.")
    assert int(page.evaluate("[...runs.values()][0].cells.get(0).frames")) >= 3
    target = explorer.gallery[1].at((3, 64))
    for which, name in zip(("first", "second"), PAIR, strict=True):
        made = rr.invert(name, target, iterations=12)
        assert torch.equal(canvas(page, which), (made.images[0] * 255).round().byte())
    page.keyboard.press("k")
    page.wait_for_selector("#kept:not([hidden])")
    command = page.inner_text("#commands code")
    assert command.startswith("robust-reps invert --model photographs-robust --model")
    kept = [one for one in read_results(explorer.out) if one.results["command"][0] == command]
    assert {one.metadata["model"] for one in kept} == {*PAIR}
    for one in kept:
        [file] = one.tensors.values()
        which = "first" if one.metadata["model"] == PAIR[0] else "second"
        images = Synthesis.load(file).images
        assert torch.equal(canvas(page, which), (images[0] * 255).round().byte())
    assert len(rr.results(explorer.out)["explore"]) >= 2


@pytest.mark.slow
def test_it_is_held_goes_on_and_is_stopped_by_keys(view, explorer):
    page = view()
    page.keyboard.press("Enter")
    wait(page, "at('speed').dataset.rate > 0")
    page.keyboard.press(" ")
    for which in ("first", "second"):
        page.wait_for_selector(f"#descend .{which}[data-state=held]")
    before = canvas(page, "first")
    page.wait_for_timeout(150)
    assert torch.equal(canvas(page, "first"), before)
    assert page.inner_text("#hold span") == "Go on"
    page.keyboard.press(" ")
    page.wait_for_selector("#descend .first[data-state=running]")
    page.keyboard.press("Escape")
    ended(page)
    assert page.inner_text("#descend .first .state").startswith("stopped at step")
    until(lambda: explorer.busy == 0)


@pytest.mark.slow
def test_another_start_gives_up_the_run_before(view, explorer):
    page = view()
    page.select_option("#second", "")
    for _ in range(4):
        page.click("#go")
        page.wait_for_selector("#descend .first[data-state=running]")
    until(lambda: explorer.workers[0].busy == 1)


def test_a_tab_that_closes_in_the_middle_leaves_nothing_running(view, explorer):
    page = view()
    page.click("#go")
    wait(page, "at('speed').dataset.rate > 0")
    page.context.close()
    until(lambda: explorer.busy == 0 and len(explorer.tabs) == 0)


@pytest.mark.slow
def test_two_tabs_at_once(view):
    one, other = view(), view()
    for page in (one, other):
        steps(page, 4)
        page.click("#go")
    for page in (one, other):
        ended(page)
        assert page.inner_text("#descend .second .state").startswith("4 steps")


DROP = """async ([name, size, bytes]) => {
  const data = new DataTransfer();
  const parts = bytes ? [new Uint8Array(bytes)] : [new Uint8Array(size)];
  data.items.add(new File(parts, name));
  const event = { dataTransfer: data, bubbles: true, cancelable: true };
  document.dispatchEvent(new DragEvent("drop", event));
}"""


def test_what_is_dropped(view):
    page = view()
    page.evaluate(DROP, ["large.png", 40 * 2**20, None])
    page.wait_for_selector("#error:not([hidden])")
    assert page.inner_text("#error").startswith("large.png has more than 20 MB")
    page.evaluate(DROP, ["text.png", 0, [*b"no image"]])
    wait(page, "at('error').textContent.startsWith('cannot read the image text.png')")
    buffer = io.BytesIO()
    values = np.random.default_rng(0).integers(0, 255, (30, 50, 3), dtype=np.uint8)
    Image.fromarray(values).save(buffer, format="PNG")
    page.evaluate(DROP, ["noise.png", 0, [*buffer.getvalue()]])
    page.wait_for_selector("#error", state="hidden")
    wait(page, "document.querySelector('.slot .name').textContent === 'noise.png'")
    wait(page, "document.querySelector('#descend img').naturalWidth === 64")
    steps(page, 1)
    page.click("#go")
    ended(page)


@pytest.mark.slow
def test_only_what_is_painted_changes(view, explorer):
    page = view()
    page.select_option("#kind", "class")
    page.select_option("#start", "image")
    page.select_option("#class", "3")
    assert "monarch" in page.inner_text("#class option:checked")
    steps(page, 3)
    page.click("#paint")
    box = page.locator("#descend .paint").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 4, box["y"] + box["height"] / 4)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 3, box["y"] + box["height"] / 3)
    page.mouse.up()
    page.focus("#descend .paint")
    for key in ("ArrowRight", " "):
        page.keyboard.press(key)
    painted = page.evaluate("painted.size")
    assert 20 < painted < 200
    page.click("#go")
    ended(page)
    begun = (explorer.gallery[0].at((3, 64))[0] * 255).round().byte()
    for which in ("first", "second"):
        changed = (canvas(page, which) != begun).any(dim=0)
        assert 0 < int(changed.sum()) <= 4 * painted
    page.click("#clear")
    assert page.evaluate("painted.size") == 0


@pytest.mark.slow
def test_units_are_walked_and_linked(view, explorer):
    page = view()
    page.click("a[data-view=units]")
    page.wait_for_selector(".unit")
    assert page.inner_text("#count") == "0 to 11 of 4608"
    page.keyboard.press("n")
    page.wait_for_selector("#unit-12")
    page.fill("#unit", "4607")
    page.keyboard.press("Tab")
    page.wait_for_selector("#unit-4607")
    steps(page, 2)
    page.keyboard.press("Tab")
    page.wait_for_timeout(100)
    link = page.get_attribute("#unit-4607 a", "href")
    assert link == "#units/photographs-robust//4607"
    other = view()
    other.goto(explorer.address + link)
    other.reload()
    other.wait_for_selector("#unit-4607.chosen", timeout=20_000)
    wait(other, "document.querySelector('#unit-4607 .made span').textContent.startsWith('step')")


@pytest.mark.slow
def test_the_slider_computes_what_is_not_there_yet(view, explorer):
    page = view()
    steps(page, 3)
    page.click("a[data-view=between]")
    ended(page, "#between")
    assert page.inner_text("#lambda") == "λ 0.5"
    page.focus("#place")
    page.keyboard.press("ArrowRight")
    wait(page, "at('lambda').textContent === 'λ 0.6'")
    wait(page, "between.size === 2")
    began = page.evaluate("runs.size")
    page.keyboard.press("ArrowLeft")
    wait(page, "at('lambda').textContent === 'λ 0.5'")
    assert page.evaluate("runs.size") == began
    assert page.inner_text("#between .first .state").startswith("3 steps")


@pytest.mark.parametrize(
    "kind", ["phone", *(pytest.param(one, marks=pytest.mark.slow) for one in ("desktop", "dark"))]
)
def test_nothing_is_wider_than_the_page(view, kind):
    page = view(kind)
    page.click(".more summary")
    for name in ("descend", "between", "units"):
        page.click(f"a[data-view={name}]")
        page.wait_for_selector(f"#{name}:not([hidden])")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.wait_for_selector(".unit")
    colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, colour[4:-1].split(","))) < 200) == (kind == "dark")


@pytest.mark.slow
def test_every_control_has_a_name_and_is_reached_by_the_keyboard(view):
    page = view()
    nameless = """[...document.querySelectorAll("button, input, select, a")].filter(one =>
      one.offsetParent && !(one.innerText || one.labels?.length || one.getAttribute("aria-label")
      || one.querySelector("img[alt]"))).map(one => one.outerHTML)"""
    assert page.evaluate(nameless) == []
    reached = set()
    for _ in range(30):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id"))
    assert {"first", "second", "kind", "start", "go", "file"} <= reached


@pytest.mark.slow
def test_a_server_that_is_gone_is_said(view, explorer):
    page = view()
    page.route("**/runs", lambda route: route.abort())
    page.click("#go")
    page.wait_for_selector("#error:not([hidden])")
    assert "is robust-reps explore still running?" in page.inner_text("#error")
