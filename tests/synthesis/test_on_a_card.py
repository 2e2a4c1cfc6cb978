"""Runs on a pretended card: what is recorded of their precision, killed ones, and memory."""

from __future__ import annotations

import pytest
import torch
from pretend_cuda import PretendCuda
from test_every_call import made

import robust_reps_ext as rr
from robust_reps_ext.synthesis.settings import Settings

pytestmark = pytest.mark.filterwarnings("ignore:the objective has no gradient")

IMAGES = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(3))


def computed_in():
    """The type that convolutions compute in here; the pretended card's autocast is the CPU's."""
    reduced = torch.is_autocast_enabled("cpu")
    return torch.get_autocast_dtype("cpu") if reduced else torch.float32


class Killed(Exception):
    pass


def killed_at(step):
    def progress(done, _total, _mean):
        if done >= step:
            raise Killed

    return progress


KINDS = {
    "lbfgs": {"schedule": "lbfgs"},
    "images left": {"patience": 4, "use_best": True},
    "small batches": {"batch_size": 3},
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_killed_run_goes_on_and_ends_in_the_same_bits(kind, tmp_path):
    def run(path, progress=False):
        more = {"snapshot": path, "snapshot_interval": 0.0}
        settings = Settings(20.0, 0.3, 12, **KINDS[kind], **more)
        target = rr.representation(model, IMAGES.flip(0))
        objective = rr.RepresentationMatching()
        return rr.synthesize(model, objective, target, IMAGES, settings, progress=progress)

    model = made(False)[0]
    with PretendCuda() as card:
        model = model.to("cuda")
        whole = run(tmp_path / "whole")
        with pytest.raises(Killed):
            run(tmp_path / "killed", killed_at(7 if kind != "small batches" else 17))
        assert (tmp_path / "killed").exists()
        assert torch.equal(run(tmp_path / "killed").images, whole.images)
    assert not card.mixed


def test_a_run_with_a_snapshot_computes_by_deterministic_kernels(tmp_path):
    seen = []

    def objective(network, x, target):
        switches = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.deterministic
        seen.append(switches)
        return network(x).float()[:, 0]

    model = made(False)[0]
    with PretendCuda():
        model = model.to("cuda")
        for snapshot, expected in ((None, False), (tmp_path / "one", True)):
            settings = Settings(1.0, 0.1, 2, snapshot=snapshot)
            rr.synthesize(model, objective, torch.zeros(4), IMAGES, settings)
            assert set(seen) == {(expected, expected)}
            seen.clear()
    assert not torch.are_deterministic_algorithms_enabled()


@pytest.mark.parametrize(
    ("capability", "precision", "expected"),
    [
        ((9, 0), "float32", "tf32"),
        ((9, 0), "bfloat16", "bfloat16"),
        ((9, 0), "auto", "bfloat16"),
        ((7, 5), "float32", "float32"),
        ((7, 5), "bfloat16", "float16"),
    ],
)
def test_what_computed_is_what_is_recorded(capability, precision, expected):
    types = set()

    def objective(network, x, target):
        types.add(computed_in())
        return network(x).float()[:, 0] + 10

    model = made(False)[0]
    settings = Settings(1.0, 0.1, 2, precision=precision)
    with PretendCuda(capability=capability):
        model = model.to("cuda")
        found = rr.synthesize(model, objective, torch.zeros(4), IMAGES, settings)
    assert found.settings["precision"] == precision
    assert found.settings["computed_in"] == expected
    ran = {"tf32": torch.float32}.get(expected) or getattr(torch, expected)
    assert types == {torch.float32, ran}


def test_float32_without_tf32_is_recorded_so():
    model = made(False)[0]
    with PretendCuda(), torch.backends.cudnn.flags(allow_tf32=False):
        found = rr.invert(model.to("cuda"), IMAGES, iterations=2)
    assert found.settings["computed_in"] == "float32"
    assert rr.invert(made(False)[0], IMAGES, iterations=2).settings["computed_in"] == "float32"


@pytest.mark.filterwarnings("ignore:in reduced precision the objective is not finite")
def test_where_the_precision_changed_within_a_run_each_image_has_its_own(tmp_path):
    """Also after a kill: the first batch was finished in bfloat16."""

    def objective(network, x, target):
        lost = (x.flatten(1).mean(1) > 0) & (computed_in() == torch.bfloat16)
        return torch.where(lost, torch.nan, network(x).float()[:, 0] + 10)

    dark_and_bright = torch.cat([IMAGES[:2] / 4, 1 - IMAGES[2:] / 4])
    settings = Settings(
        *(0.1, 0.01, 12), precision="auto", batch_size=2, snapshot=tmp_path / "kept"
    )
    model = made(False)[0]
    with PretendCuda():
        model = model.to("cuda")
        given = (model, objective, torch.zeros(4), dark_and_bright, settings)
        with pytest.raises(Killed):
            rr.synthesize(*given, progress=killed_at(23))
        found = rr.synthesize(*given)
    assert found.settings["computed_in"] == ["bfloat16"] * 2 + ["tf32"] * 2


def test_targets_and_the_final_objective_are_in_full_float32():
    expected = rr.representation(made(False)[0], IMAGES)
    model = made(False)[0]
    with PretendCuda():
        model = model.to("cuda")
        assert torch.backends.cudnn.allow_tf32
        found = rr.representation(model, IMAGES)
        run = rr.invert(model, IMAGES, iterations=3)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-7)
    again = rr.representation(made(False)[0], run.images)
    distance = (again - expected).norm(dim=1) / expected.norm(dim=1)
    torch.testing.assert_close(run.objective, distance, rtol=1e-5, atol=1e-6)


@pytest.mark.filterwarnings("ignore:out of memory with 4 images")
def test_a_card_without_room_gets_half_of_the_images():
    def objective(network, x, target):
        if len(x) > 2 and torch.is_grad_enabled() and len(calls) > 1:
            raise RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED")
        calls.append(len(x))
        return network(x).float()[:, 0]

    calls, model = [], made(False)[0]
    with PretendCuda() as card:
        model = model.to("cuda")
        found = rr.synthesize(model, objective, torch.zeros(4), IMAGES, Settings(1.0, 0.1, 2))
    assert found.settings["batch_size"] == 2
    assert card.emptied == 1
