"""What `test_on_a_pretended_card` tests, on a card: ``python -m pytest -m cuda`` where one is."""

from __future__ import annotations

import warnings

import pytest
import torch
from test_every_call import made, syntheses
from test_on_a_pretended_card import IMAGES, MORE_CALLS, RUNS, WAITS, tensors

import robust_reps_ext as rr
from robust_reps_ext.synthesis.settings import Settings

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no card"),
    pytest.mark.filterwarnings("ignore:the objective has no gradient"),
]


@pytest.mark.parametrize("name", MORE_CALLS)
@pytest.mark.parametrize("images_at", ["cpu", "cuda:0"])
def test_every_call(name, images_at):
    expected = tensors(MORE_CALLS[name](made(False)[0], IMAGES))
    model = made(False)[0].to("cuda:0")
    with torch.backends.cudnn.flags(allow_tf32=False):
        result = MORE_CALLS[name](model, IMAGES.to(images_at))
    for one in syntheses(result):
        assert str(getattr(one, "images", IMAGES.to(images_at)).device) == images_at
    found = tensors(result)
    for key, value in expected.items():
        torch.testing.assert_close(found[key].cpu(), value, rtol=1e-2, atol=1e-3, msg=key)


def waits(run, model, iterations):
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            run(model, IMAGES, iterations)
        finally:
            torch.cuda.set_sync_debug_mode("default")
    return sum("synchroniz" in str(one.message) for one in said)


@pytest.mark.parametrize("name", RUNS)
def test_a_step_waits_for_nothing(name):
    model = made(False)[0].to("cuda")
    RUNS[name](model, IMAGES, 2)
    per_step = (waits(RUNS[name], model, 51) - waits(RUNS[name], model, 11)) / 40
    assert per_step <= WAITS.get(name, 0) + 0.05


def test_the_same_run_ends_in_the_same_bits(tmp_path):
    model = made(False)[0].to("cuda")
    target = rr.representation(model, IMAGES.flip(0))

    def run():
        settings = Settings(20.0, 0.3, 30, snapshot=tmp_path / "kept")
        return rr.synthesize(model, rr.RepresentationMatching(), target, IMAGES, settings).images

    assert torch.equal(run(), run())


def test_no_gradient_is_lost_in_mixed_precision():
    model = made(False)[0].to("cuda")
    labels = torch.tensor([0, 1, 2, 1])
    how = {"constraint": "2", "eps": 5.0, "step_size": 0.5, "iterations": 1, "use_best": False}
    _, x = model(IMAGES, labels, make_adv=True, mixed_precision=True, **how)
    _, exact = model(IMAGES, labels, make_adv=True, **how)
    steps = [(one.cpu() - IMAGES).flatten(1) for one in (x, exact)]
    assert torch.nn.functional.cosine_similarity(*steps).min() > 0.95
