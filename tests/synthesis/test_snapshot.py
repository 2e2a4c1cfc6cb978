"""A run with a snapshot: interrupted or killed anywhere, it ends in the same bits."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from dataclasses import replace
from itertools import product

import pytest
import torch
from killed_runs import kill
from networks import Convolutional
from safetensors import safe_open
from safetensors.torch import save_file
from snapshot_runs import SETTINGS, STEPS, images, small_model, synthesize

import robust_reps_ext as rr
from robust_reps_ext.results.snapshot import described
from robust_reps_ext.runtime.signals import Interrupted, exit_status
from robust_reps_ext.synthesis.settings import Settings


def near(value, representation):
    return value < 0.3


def interrupted(run, at, error=KeyboardInterrupt):
    """`run`, left when it tells of its progress for the time `at`."""
    told = []

    def progress(*now):
        told.append(now)
        if len(told) == at:
            raise error

    with pytest.raises(error):
        run(progress)


def assert_equal(left, right):
    for name in ("images", "start", "objective", "trace", "trace_steps", "frames"):
        one, other = getattr(left, name), getattr(right, name)
        assert (one is None and other is None) or torch.equal(one, other), name
    assert left.settings == right.settings
    assert left.provenance == right.provenance


CASES = list(
    product(
        ("paper", "cosine-momentum", "lbfgs"),
        (False, True),
        (None, "stop_when", "patience"),
        ((4, "float32"), (None, "bfloat16")),
    )
)


@pytest.mark.parametrize(
    ("schedule", "use_best", "stop", "kept"),
    [pytest.param(*c, marks=() if i % 5 == 0 else pytest.mark.slow) for i, c in enumerate(CASES)],
)
def test_an_interrupted_run_ends_in_the_same_bits(schedule, use_best, stop, kept, tmp_path):
    frames, precision = kept
    settings = Settings(
        eps=5.0, step_size=0.3, iterations=STEPS, batch_size=2, schedule=schedule,
        use_best=use_best, frames=frames, precision=precision,
        patience=4 if stop == "patience" else None,
    )  # fmt: skip
    stop_when = near if stop == "stop_when" else None
    whole = synthesize(settings, stop_when=stop_when)
    assert not torch.equal(whole.images[1:], whole.start[1:])
    if stop == "stop_when":
        assert torch.equal(whole.images[0], whole.start[0])
    snapshot = tmp_path / "snapshot"
    kept = replace(settings, snapshot=snapshot, snapshot_interval=0)
    draw = random.Random(str((schedule, use_best, stop, frames)))
    # In the first batch, at most so many steps of which are told, and wherever that leads.
    for at in (draw.randint(2, 3), draw.randint(2, 3)):
        interrupted(lambda told: synthesize(kept, stop_when=stop_when, progress=told), at)
        assert snapshot.is_file()
    assert_equal(synthesize(kept, stop_when=stop_when), whole)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("at", [1, 2, 5, 9, 10, 11, 12, 16, 19, 20])
def test_every_step_is_a_snapshot_to_go_on_from(at, tmp_path):
    settings = Settings(eps=5.0, step_size=0.3, iterations=STEPS, batch_size=2, frames=4)
    told, resumed = [], []
    whole = synthesize(settings, progress=lambda *now: told.append(now))
    kept = replace(settings, snapshot=tmp_path / "snapshot", snapshot_interval=0)
    interrupted(lambda progress: synthesize(kept, progress=progress), at)
    assert_equal(synthesize(kept, progress=lambda *now: resumed.append(now)), whole)
    # What was told in the interrupted step is told again; of the steps before, none is.
    assert resumed == told[at - 1 :]


class Drawing(rr.RepresentationMatching):
    """Sees the image through noise from torch's global generator."""

    def __call__(self, model, inp, target):
        return super().__call__(model, inp + torch.randn(inp.shape[-2:]) / 10, target)


def test_what_a_run_draws_goes_on_too_and_nothing_outside_changes(tmp_path):
    settings = Settings(eps=5.0, step_size=0.3, iterations=STEPS, batch_size=2)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    whole = synthesize(settings, objective=Drawing())
    torch.manual_seed(6)
    again = synthesize(settings, objective=Drawing())
    assert_equal(whole, again)
    kept = replace(settings, snapshot=tmp_path / "snapshot", snapshot_interval=0)
    for at in (4, 9):
        interrupted(lambda told: synthesize(kept, objective=Drawing(), progress=told), at)
    torch.manual_seed(5)
    assert_equal(synthesize(kept, objective=Drawing()), whole)
    # The model of each run is drawn from seed 0, and nothing else is from this generator.
    torch.manual_seed(5)
    kept_generator = torch.get_rng_state()
    model, x = small_model(), images()
    torch.set_rng_state(kept_generator)
    rr.synthesize(model, Drawing(), rr.representation(model, x), x.flip(0), settings)
    assert torch.equal(torch.rand(3), expected)


def test_float32_once_fallen_back_to_stays(tmp_path, monkeypatch):
    """bfloat16 of a representation with a large constant is wrong, and the run knows it."""
    monkeypatch.setattr("robust_reps_ext.runtime.precision.is_fast", lambda device: True)

    class Shifted(Convolutional):
        def forward(self, x, with_latent=False, fake_relu=False, no_relu=False):
            logits, latent = super().forward(x, with_latent=True)
            return (logits, latent * 1e3 + 1e5) if with_latent else logits

    model = small_model(Shifted)
    x = images(4)

    def run(progress=False, **snapshot):
        options = {"schedule": "paper", "iterations": 6, "batch_size": 2, "precision": "auto"}
        options |= snapshot
        return rr.invert(model, x, start=x.flip(0), progress=progress, **options)

    with pytest.warns(UserWarning, match="computing in float32"):
        whole = run()
    snapshot = {"snapshot": tmp_path / "snapshot", "snapshot_interval": 0}
    with pytest.warns(UserWarning, match="computing in float32"):
        interrupted(lambda told: run(told, **snapshot), 16)  # in the second batch
    assert_equal(run(**snapshot), whole)  # without a second warning


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_waits_for_the_step_and_its_snapshot(number, tmp_path):
    settings = Settings(eps=5.0, step_size=0.3, iterations=STEPS, batch_size=2)
    whole = synthesize(settings)
    kept = replace(settings, snapshot=tmp_path / "snapshot")  # no write is due for 60 s
    steps = []

    def progress(done, in_all, mean):
        steps.append(done)
        if len(steps) in (5, 10):
            os.kill(os.getpid(), number)

    for last in (5, 10):
        with pytest.raises(Interrupted) as left:
            synthesize(kept, progress=progress)
        assert exit_status(left.value) == 128 + number
        assert len(steps) == last  # that step was finished, and no other begun
        assert (tmp_path / "snapshot").is_file()
    assert_equal(synthesize(kept, progress=progress), whole)
    assert len(steps) == 2 * STEPS + 2  # none was made twice; each batch also tells its end


@pytest.mark.usefixtures("python_handles_sigint")
def test_a_second_signal_leaves_at_once(tmp_path):
    place = {"snapshot": tmp_path / "snapshot", "snapshot_interval": 3600.0}
    kept = Settings(eps=5.0, step_size=0.3, iterations=STEPS, **place)

    def twice(done, in_all, mean):
        for _ in range(100):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.001)  # two that come at once may be one

    with pytest.raises(KeyboardInterrupt):
        synthesize(kept, progress=twice)
    assert not (tmp_path / "snapshot").exists()


def test_without_a_snapshot_an_interrupt_acts_where_it_comes():
    settings = Settings(eps=5.0, step_size=0.3, iterations=STEPS)
    interrupted(lambda told: synthesize(settings, progress=told), 3)


def test_places_are_written_now_and_then_and_not_recorded(tmp_path):
    settings = Settings(eps=5.0, step_size=0.3, iterations=STEPS)
    snapshot = tmp_path / "snapshot"
    seen = []
    result = synthesize(
        replace(settings, snapshot=snapshot, snapshot_interval=3600),
        progress=lambda *now: seen.append(snapshot.exists()),
    )
    assert not any(seen)
    assert not {"snapshot", "snapshot_interval"} & set(result.settings)
    assert_equal(result, synthesize(settings))


# -- files of other runs, and damaged ones ---------------------------------------------------------


@pytest.fixture
def left(tmp_path):
    """The settings of a run that was interrupted, and its snapshot."""
    settings = Settings(
        eps=5.0,
        step_size=0.3,
        iterations=STEPS,
        snapshot=tmp_path / "snapshot",
        snapshot_interval=0,
    )
    interrupted(lambda told: synthesize(settings, progress=told), 4)
    return settings


@pytest.mark.parametrize(
    ("changed", "names"),
    [
        ({"iterations": 7}, "iterations 9, here 7"),
        ({"eps": 6.0}, "eps 5.0, here 6.0"),
        ({"eps": torch.full((3,), 5.0)}, "eps"),
        ({"schedule": "lbfgs", "use_best": True}, "schedule paper, here lbfgs; use_best"),
        ({"batch_size": 1}, "batch_size 32, here 1"),
    ],
)
def test_the_snapshot_of_another_run_is_refused_and_kept(left, changed, names):
    before = left.snapshot.read_bytes()
    with pytest.raises(rr.InputError, match=rf"is the snapshot of another run \(another {names}"):
        synthesize(replace(left, **changed))
    assert left.snapshot.read_bytes() == before


def test_other_images_objectives_and_stops_are_other_runs(left):
    with pytest.raises(rr.InputError, match="another origin; start"):
        synthesize(left, start=images())
    with pytest.raises(rr.InputError, match="objective"):
        synthesize(left, objective=Drawing())
    with pytest.raises(rr.InputError, match="objective's parts"):
        synthesize(left, objective=rr.RepresentationMatching(fake_relu=False))
    with pytest.raises(rr.InputError, match="stop_when"):
        synthesize(left, stop_when=near)
    assert_equal(synthesize(left), synthesize(replace(left, snapshot=None)))


def test_how_often_it_is_written_is_no_other_run(left):
    changed = replace(left, snapshot_interval=60)
    assert_equal(synthesize(changed), synthesize(replace(left, snapshot=None)))


def test_a_damaged_snapshot_is_refused_and_never_begun_again(left):
    data = left.snapshot.read_bytes()
    draw = random.Random(0)
    for length in (0, 7, 100, *(draw.randrange(len(data)) for _ in range(10)), len(data) - 1):
        left.snapshot.write_bytes(data[:length])
        with pytest.raises(rr.InputError, match=r"is damaged: .*delete it to begin"):
            synthesize(left)
        assert left.snapshot.read_bytes() == data[:length]
    header = int.from_bytes(data[:8], "little")
    for _ in range(10):
        where = draw.randrange(8 + header, len(data))
        left.snapshot.write_bytes(data[:where] + bytes([data[where] ^ 1]) + data[where + 1 :])
        with pytest.raises(rr.InputError, match="is damaged: its checksum"):
            synthesize(left)


def test_other_files_are_refused(left, tmp_path):
    save_file({"x": torch.zeros(1)}, left.snapshot)
    with pytest.raises(rr.InputError, match="is not the snapshot of a run"):
        synthesize(left)
    with pytest.raises(rr.InputError, match="is a folder"):
        synthesize(replace(left, snapshot=tmp_path))
    with pytest.raises(rr.InputError, match="there is no folder"):
        synthesize(replace(left, snapshot=tmp_path / "absent" / "snapshot"))
    for interval in (-1, float("nan")):
        with pytest.raises(rr.InputError, match="snapshot_interval="):
            synthesize(replace(left, snapshot_interval=interval))


def test_a_snapshot_that_cannot_be_written_leaves_the_last_one(left, monkeypatch):
    kept = left.snapshot.read_bytes()

    def full(*args):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(rr.InputError, match=r"cannot write .*no space left.*goes on from it"):
            synthesize(left)
    assert left.snapshot.read_bytes() == kept
    assert_equal(synthesize(left), synthesize(replace(left, snapshot=None)))


def test_a_snapshot_holds_no_code_and_says_what_it_is(left):
    with safe_open(left.snapshot, framework="pt") as file:
        facts = file.metadata()
        assert facts["format"] == "robust_reps_ext.snapshot/1"
        assert json.loads(facts["run"])["iterations"] == str(STEPS)
        assert int(file.get_tensor("pgd.iteration")) == 3


def test_described_is_the_same_for_the_same_and_differs_for_others():
    def scaled(factor):
        return lambda x: x * factor

    same = [(scaled(2), scaled(2)), (torch.ones(2), torch.ones(2)), ({1: "a"}, {1: "a"}),
            (rr.RepresentationMatching(), rr.RepresentationMatching())]  # fmt: skip
    others = [(scaled(2), scaled(3)), (torch.ones(2), torch.ones(1, 2)),
              (small_model(), small_model().model),
              (rr.RepresentationMatching(), rr.InterpolationTarget()),
              (near, interrupted)]  # fmt: skip
    assert all(described(one) == described(other) for one, other in same)
    assert not any(described(one) == described(other) for one, other in others)
    circle: list = []
    circle.append(circle)
    assert described(circle)


# -- kills -----------------------------------------------------------------------------------------

RUN = """
from dataclasses import replace
import torch
torch.set_num_threads(1)
from snapshot_runs import SETTINGS, synthesize
synthesize(replace(SETTINGS, snapshot=sys.argv[1], snapshot_interval=0), progress=told)
"""


@pytest.mark.parametrize("steps", [(7,), pytest.param((3, 20, 11, 2), marks=pytest.mark.slow)])
def test_killed_runs_end_in_the_same_bits(steps, tmp_path, one_thread):
    """Killed in the step after so many, and gone on with each time."""
    kept = replace(SETTINGS, snapshot=tmp_path / "snapshot", snapshot_interval=0)
    kill(RUN, kept.snapshot, steps=steps)
    assert kept.snapshot.exists()
    told = []
    resumed = synthesize(kept, progress=lambda *now: told.append(now))
    assert not kept.snapshot.exists()
    assert_equal(resumed, synthesize(SETTINGS))
