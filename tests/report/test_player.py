"""The player of frames: what it holds, how large it is, what it writes, and what it refuses."""

from __future__ import annotations

import html.parser
import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from grey_frames import made
from networks import wrapped
from PIL import Image

import robust_reps_ext as rr
from robust_reps_ext.datasets.critters.networks import critters_resnet
from robust_reps_ext.report import player as module
from robust_reps_ext.results.synthesis import Synthesis

HOSTILE = '</script><img src=x onerror="hacked=1"><script>hacked=1</script>'


def facts(text):
    return json.loads(re.search(r'type="application/json">(.*?)</script>', text, re.DOTALL)[1])


class Tags(html.parser.HTMLParser):
    """Every tag is closed, in its order."""

    EMPTY = ("img", "input", "meta", "link")

    def __init__(self, text):
        super().__init__()
        self.open, self.seen = [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.mark.parametrize("targets", [True, False])
def test_it_holds_every_frame_with_its_step_and_objective(targets):
    text = rr.Player(made(targets=targets))._repr_html_()
    tags = Tags(text)
    assert tags.open == []
    found = facts(text)
    assert [len(row) for row in found["frames"]] == [2, 2, 2]  # the last is what is shown
    assert found["told"] == [f"step {step} of 30" for step in (0, 10, 20, 30)]
    assert [row[0] for row in found["captions"]] == [
        "distance 1.0", "distance 0.67", "distance 0.33", "distance 0.010",
    ]  # fmt: skip
    images = [attrs for tag, attrs in tags.seen if tag == "img"]
    assert len(images) == (4 if targets else 2)
    assert all(one["alt"] and one["src"].startswith("data:image/webp;base64,") for one in images)
    assert "http" not in text.replace("http-equiv", "")


def test_without_a_script_it_is_the_result():
    text = rr.Player(made())._repr_html_()
    still = re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)
    assert "distance 0.010" in still
    assert "step 30 of 30" in still
    controls = [attrs for tag, attrs in Tags(still).seen if tag in ("button", "input")]
    assert len(controls) == 2
    assert all("hidden" in one for one in controls)


def test_it_plays_what_a_run_has_kept_and_leaves_it_alone():
    images = torch.rand(2, 3, 32, 32)
    run = rr.invert(wrapped(critters_resnet()), images, iterations=6, frames=4)
    before = run.frames.clone()
    player = rr.Player(run)
    assert repr(player) == "Player of 2 images, 4 frames of 6 steps"
    assert len(facts(player._repr_html_())["captions"]) == 4
    assert torch.equal(run.frames, before)


def test_no_more_is_shown_than_fits():
    many = rr.Player(made(n=40, frames=100, every=1))
    found = facts(many._repr_html_())
    assert len(found["told"]) == module.MOST_FRAMES
    assert (found["told"][0], found["told"][-1]) == ("step 0 of 99", "step 99 of 99")
    assert len(found["frames"][0]) == 32


def test_images_become_smaller_before_a_page_becomes_large(monkeypatch):
    run = made(n=4, frames=6, side=96, targets=False)
    run = replace(run, frames=torch.randint(256, run.frames.shape, dtype=torch.uint8))
    whole = len(rr.Player(run)._repr_html_())
    monkeypatch.setattr(module, "LARGEST", whole // 3)
    assert 0 < len(rr.Player(run)._repr_html_()) < whole // 3


def test_names_from_a_file_run_nothing(tmp_path):
    run = Synthesis.load(made(objective=HOSTILE).save(tmp_path / "run.safetensors"))
    page = rr.Player(run).save(tmp_path / "page.html").read_text()
    assert HOSTILE not in page
    assert [tag for tag, _ in Tags(page).seen].count("script") == 2
    assert facts(page)["captions"][0][0].startswith(HOSTILE.replace("_", " "))


def test_a_page_may_run_its_own_script_alone(tmp_path):
    page = rr.Player(made()).save(tmp_path / "page.html").read_text()
    script = re.search(r"<script>(.*?)</script>", page, re.DOTALL)[1]
    assert f"script-src '{module.script_digest(script)}'" in page
    assert Tags(page).open == []


def test_a_gif_has_every_frame_and_waits_at_the_result(tmp_path):
    with Image.open(rr.Player(made(n=10)).save(tmp_path / "run.gif")) as picture:
        assert picture.n_frames == 4
        assert picture.size == (8 * 160, 2 * 160)
        greys, pauses = [], []
        for i in range(4):
            picture.seek(i)
            pauses.append(picture.info["duration"])
            greys.append(np.asarray(picture.convert("L"))[160:].mean())
    assert greys == pytest.approx([0, 85, 170, 255], abs=4)
    assert pauses == [300, 300, 300, 1500]


def test_what_cannot_be_played_is_told(tmp_path):
    run = made()
    with pytest.raises(rr.InputError, match=r"no frames to play: make it with frames=12"):
        rr.Player(replace(run, frames=None, frame_steps=None))
    with pytest.raises(rr.InputError, match=r"^synthesis='run' .* give a Synthesis$"):
        rr.Player("run")
    network = wrapped(critters_resnet())
    features = rr.visualize(network, coordinates=[0], seeds=torch.rand(1, 3, 32, 32), iterations=1)
    with pytest.raises(rr.InputError, match=r"give its \.synthesis"):
        rr.Player(features)
    with pytest.raises(rr.InputError, match="channels"):
        rr.Player(run, channels=[7])
    with pytest.raises(rr.InputError, match=r"'run\.mp4': end it in \.html or \.gif"):
        rr.Player(run).save(tmp_path / "run.mp4")
    with pytest.raises(rr.InputError, match="cannot write"):
        rr.Player(run).save(tmp_path / "nowhere" / "run.html")


@pytest.mark.parametrize("steps", [torch.tensor(3), torch.zeros(0), torch.zeros(4, 1)])
def test_a_file_whose_frames_have_no_steps_is_damaged(steps, tmp_path):
    run = made()
    frames = run.frames[: len(steps)] if steps.dim() else run.frames[0]
    path = replace(run, frames=frames, frame_steps=steps).save(tmp_path / "run.safetensors")
    with pytest.raises(rr.InputError, match="damaged"):
        Synthesis.load(path)
