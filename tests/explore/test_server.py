"""What a page asks, and what it hears."""

from __future__ import annotations

import base64
import io
import tempfile

import numpy as np
import pytest
import torch
from explorers import Page, Slow, asked, bundled, serving, tiny, until
from PIL import Image

import robust_reps_ext as rr
from robust_reps_ext.datasets.photographs import photographs
from robust_reps_ext.explore.pictures import MOST_BYTES

LONG = {"iterations": 10**9, "schedule": "paper"}


@pytest.fixture(scope="module")
def images():
    generator = torch.Generator().manual_seed(1)
    return (torch.rand(3, 3, 8, 8, generator=generator) * 255).round() / 255


@pytest.fixture
def explorer(tmp_path, images):
    with serving([tiny("one"), tiny("two", seed=1)], images, tmp_path / "out") as found:
        yield found
        until(lambda: found.busy == 0)


@pytest.fixture
def page(explorer):
    with Page(explorer) as found:
        yield found


def png(size=(20, 12), mode="RGB"):
    buffer = io.BytesIO()
    values = np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(values).convert(mode).save(buffer, format="PNG")
    return buffer.getvalue()


def image_of(event):
    shape = event["height"], event["width"], 3
    pixels = np.frombuffer(base64.b64decode(event["pixels"]), np.uint8).reshape(shape)
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)


@pytest.mark.filterwarnings("ignore:loss or gradient")
def test_an_inversion_is_streamed_to_its_end(page, images):
    run = page.begin((0, 1), image=1, iterations=30)
    heard = page.end(run, (0, 1))
    for network in (0, 1):
        mine = [one for one in heard if one["network"] == network]
        frames = [one for one in mine if one["type"] == "frame"]
        states = [one["state"] for one in mine if one["type"] == "state"]
        assert states == ["running", "done"]
        steps = [one["step"] for one in frames]
        assert steps == sorted(steps)
        model = tiny(seed=network).model  # the explorer's own has a thread
        made = rr.invert(model, images[1:2], iterations=30, schedule="lbfgs")
        assert torch.equal(image_of(mine[-1]), (made.images[0] * 255).round().byte())
        assert mine[-1]["value"] == pytest.approx(float(made.objective))
        assert mine[-1]["step"] == 30


def test_the_first_frame_is_where_it_begins(tmp_path, images):
    with serving([tiny(kind=Slow)], images, tmp_path) as explorer, Page(explorer) as page:
        run = page.begin(image=0, start="other", other=2, **LONG)
        first = page.hear_until(lambda one: "pixels" in one)[-1]
        page.ask(f"/runs/{run}/cancel")
        until(lambda: explorer.busy == 0)
    assert first["step"] == 0
    assert torch.equal(image_of(first), (images[2] * 255).round().byte())


def test_one_that_is_given_up_ends_at_once(page, explorer):
    run = page.begin((0, 1), **LONG)
    page.hear_until(lambda one: one["type"] == "frame" and one["step"] > 2)
    assert page.ask(f"/runs/{run}/cancel") == (200, {"run": run})
    states = {one["state"] for one in page.end(run, (0, 1)) if one["type"] == "state"}
    assert "done" not in states
    until(lambda: explorer.busy == 0)
    status, said = page.ask(f"/runs/{run}/keep")
    assert status == 400
    assert said["error"] == "nothing to keep yet: let the run end, or stop it"


def test_one_that_is_held_goes_on_to_the_same_end(page):
    whole = page.end(page.begin(iterations=60))[-1]
    run = page.begin(iterations=60)
    page.ask(f"/runs/{run}/hold")
    heard = page.hear_until(lambda one: one.get("state") in ("held", "done"))
    if heard[-1]["state"] == "held":
        page.ask(f"/runs/{run}/go_on")
        heard = page.end(run)
    assert heard[-1]["pixels"] == whole["pixels"]


def test_two_pages_take_turns(page, explorer):
    run = page.begin(**LONG)
    page.hear_until(lambda one: one["type"] == "frame")
    with Page(explorer) as other:
        status, said = other.ask(
            "/runs", run="0" * 16, kind="match", image=0, networks=[0], iterations=3
        )
        assert (status, said["before"]) == (200, [1])
        free = other.begin((1,), iterations=3)
        assert other.end(free, (1,))[-1]["state"] == "done"
        page.ask(f"/runs/{run}/stop")
        assert page.end(run)[-1]["state"] == "stopped"
        assert other.end("0" * 16)[-1]["state"] == "done"


def test_a_page_that_closes_leaves_nothing_running(explorer):
    page = Page(explorer)
    page.begin((0, 1), **LONG)
    page.hear_until(lambda one: one["type"] == "frame")
    page.begin((0, 1), **LONG)  # which waits
    page.drop("a.png", png())
    page.close()
    until(lambda: explorer.busy == 0)
    assert len(explorer.tabs) == 0


def test_a_page_knows_nothing_of_another(page, explorer):
    run = page.begin(iterations=2)
    page.end(run)
    _, said = page.drop("a.png", png())
    with Page(explorer) as other:
        assert other.ask(f"/runs/{run}/keep")[0] == 400
        status, said = other.ask(
            "/runs", run="1" * 16, kind="match", networks=[0], image=said["image"]
        )
        assert status == 400
        assert "not there any more" in said["error"]


def test_a_dropped_image_is_inverted_and_its_file_is_gone(page, explorer, monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    status, said = page.drop("holiday <b>.png", png())
    assert (status, said["name"]) == (200, "holiday <b>.png")
    assert not list(tmp_path.glob("explore-*"))
    run = page.begin(image=said["image"], iterations=2)
    assert page.end(run)[-1]["state"] == "done"
    shown = f"/images/{said['image']}?tab={page.tab}"
    status, headers, body = asked(explorer, "GET", shown)
    assert (status, headers["content-type"]) == (200, "image/png")
    assert Image.open(io.BytesIO(body)).size == (8, 8)


@pytest.mark.parametrize(
    ("name", "data", "status", "line"),
    [
        ("large.png", b"x" * (40 * 2**20), 413, "large.png has more than 20 MB: make it smaller"),
        ("text.png", b"this is a text", 400, "cannot read the image text.png (it is no JPEG"),
        ("cut.png", png()[:90], 400, "cannot read the image cut.png ("),
        ("empty.png", b"", 400, "cannot read the image empty.png (it is no JPEG"),
        ("a\nb.png", b"x", 400, "cannot read the image a\\nb.png (it is no JPEG"),
        ("thin.png", png((600, 1)), 400, "cannot read the image thin.png (it has 600 x 1 pixels"),
    ],
    ids=["large", "text", "cut", "empty", "name", "thin"],
)
def test_what_is_no_image_is_one_line(page, name, data, status, line):
    code, said = page.drop(name, data)
    assert code == status
    assert said["error"].startswith(line)
    assert "\n" not in said["error"]
    assert "choose another file" in said["error"]
    assert "/tmp" not in said["error"]
    assert page.drop("good.png", png())[0] == 200


def test_a_file_that_says_nothing_of_its_length_is_counted(page, explorer):
    from urllib.parse import quote

    def pieces():
        for _ in range(MOST_BYTES // 2**20 + 2):
            yield b"x" * 2**20

    path = f"/images?tab={quote(page.tab)}&name=endless"
    status, _, said = asked(explorer, "POST", path, pieces())
    assert status == 413
    assert b"more than 20 MB" in said


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"kind": "nosuch"}, "objective='nosuch' is not known: choose match, coordinate, class"),
        ({"kind": ["match"]}, "objective=['match'] is not known: choose match"),
        ({"start": "image"}, "start='image' is not known: choose noise, grey, other"),
        ({"start": "other"}, "there is one image only: choose a second one"),
        ({"image": 7}, "image=7 is not there any more: choose one"),
        ({"image": True}, "image=True is not there any more: choose one"),
        ({"eps": -1}, "eps=-1"),
        ({"eps": "wide"}, "eps='wide'"),
        ({"iterations": 0}, "iterations=0: give a whole number, 1 or more"),
        ({"iterations": 1.5}, "iterations=1.5"),
        ({"seed": -1}, "seed=-1"),
        ({"schedule": "apgd"}, "schedule='apgd' is not known: choose"),
        ({"layer": 3}, "layer=3: give a name"),
        ({"kind": "class", "class": -1}, "class=-1"),
        ({"kind": "direction"}, "there is one image only: choose a second one"),
        ({"mask": "all"}, "mask is no square of 0 and 1: paint it again"),
        ({"mask": ["01", "0"]}, "mask is no square of 0 and 1: paint it again"),
        ({"mask": ["02", "00"]}, "mask is no square of 0 and 1: paint it again"),
        ({"mask": ["0" * 300] * 300}, "mask is no square of 0 and 1: paint it again"),
        ({"mask": ["00", "00"]}, "the mask is 0 everywhere"),
        ({"networks": []}, "networks=[]: choose one or two"),
        ({"networks": [0, 1, 0]}, "networks=[0, 1, 0]: choose one or two"),
        ({"networks": [5]}, "network=5"),
        ({"run": "../x"}, "run='../x': give 16 hexadecimal digits"),
        ({"tab": "nosuch"}, "this page is not connected any more: load it again"),
        ({"tab": None}, "this page is not connected any more: load it again"),
    ],
)
def test_what_no_run_can_use_is_one_line(page, explorer, given, line):
    asks = {"run": "2" * 16, "kind": "match", "image": 0, "networks": [0]}
    status, said = page.ask("/runs", **{**asks, **given})
    assert status == 400
    assert said["error"].startswith(line)
    assert not explorer.tabs[page.tab].runs


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"layer": "nosuch"}, "nosuch"),
        ({"kind": "coordinate", "coordinate": 6}, "coordinate 6 is out of range"),
        ({"kind": "class", "class": 3}, "class 3 is out of range"),
        ({"kind": "direction", "other": 0}, "both images have the same representation"),
    ],
)
def test_what_a_network_lacks_fails_in_its_own_frame(page, given, line):
    [last] = page.end(page.begin(**given))[-1:]
    assert last["state"] == "failed"
    assert line in last["error"]


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"[" * 10**5, b"1", b'{"tab": 1}'])
def test_what_is_no_json_is_one_line(explorer, body):
    status, _, said = asked(explorer, "POST", "/runs", body)
    assert status == 400
    assert said.startswith(b'{"error":')


def test_a_page_that_asks_for_too_much_is_refused(explorer):
    assert asked(explorer, "POST", "/runs", b"x" * 2**20)[0] == 413


def test_there_is_a_last_page(explorer):
    pages = [Page(explorer) for _ in range(16)]
    assert asked(explorer, "GET", "/events")[0] == 400
    for one in pages:
        one.close()
    until(lambda: len(explorer.tabs) == 0)


def test_units_are_those_of_most_activating(page, explorer, images):
    status, said = page.ask("/units", network=1, first=2, layer="body.0")
    assert status == 200
    model = tiny(seed=1).model
    found = rr.most_activating(model, [images], coordinates="all", k=3, layer="body.0")
    assert said["size"] == len(found.coordinates)
    assert [one["unit"] for one in said["units"]] == list(range(2, 14))
    for one in said["units"]:
        assert one["images"] == found.most.index[one["unit"]].tolist()
        assert one["values"] == pytest.approx(found.most.value[one["unit"]].tolist(), abs=1e-4)
    assert page.ask("/units", network=1, layer="nosuch")[0] == 400
    assert page.ask("/units", network=1, first=10**6)[1]["first"] == 5


def test_between_two_images_is_one_place_of_interpolate(tmp_path):
    images = photographs(2, size=64)
    with serving([bundled("photographs-robust")], images, tmp_path) as explorer:
        with Page(explorer) as page:
            # Not with the explorer's own network, which has a thread.
            found = rr.interpolate(
                "photographs-robust", images[:1], images[1:], steps=10, iterations=3
            )
            for place in (0, 3, 10):
                run = page.begin(kind="between", other=1, place=place, iterations=3)
                last = page.end(run)[-1]
                whole = (found.images[0, place] * 255).round().byte()
                assert torch.equal(image_of(last), whole), place
