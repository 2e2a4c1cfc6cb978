"""Tables 4 and 5 are counted part by part: what is counted is not counted again."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from networks import PLAIN, Convolutional, wrapped
from torch import nn

import robust_reps_ext as rr
from robust_reps_ext.datasets.critters import CrittersDataSet
from robust_reps_ext.experiments import sweeps
from robust_reps_ext.experiments.paper import study as studies
from robust_reps_ext.experiments.paper import tables
from robust_reps_ext.experiments.paper.study import SCALES, Study
from robust_reps_ext.runtime.errors import InputError

N, STEPS, PART = 11, (1, 2), 4


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch):
    for module in (tables, studies):
        monkeypatch.setattr(module, "BATCH", PART)


def network(seed):
    torch.manual_seed(seed)
    return wrapped(Convolutional(nn.Conv2d(3, 8, 5), nn.ReLU(), width=8, classes=9), PLAIN)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    numbers = {"n_train": 9, "n_val": N}
    data = CrittersDataSet(tmp_path_factory.mktemp("critters"), size=24, custom_class_args=numbers)
    models = {"robust": network(0), "standard": network(1), "vgg": network(2)}
    scale = replace(SCALES["full"], attack_steps=STEPS)
    return Study(models, data, data.classes, scale, eps=0.5, group=None, seed=0)


@pytest.fixture
def counted(monkeypatch):
    """How many images each call of `evaluate` is given."""
    calls, evaluate = [], sweeps.evaluate

    def counting(model, loader, **how):
        calls.append(len(loader.dataset))
        return evaluate(model, loader, **how)

    monkeypatch.setattr(sweeps, "evaluate", counting)
    return calls


def interrupt(study, after):
    """Make the tables until so many steps are done."""

    def progress(done, *_):
        if done >= after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tables.accuracies(study, progress)


def test_an_interruption_loses_one_part_and_no_number(study, counted, tmp_path):
    kept = replace(study, snapshots=tmp_path / "tables-snapshots")
    whole = tables.accuracies(study, False)
    parts = [PART] * (N // PART) + [N % PART]
    assert counted == parts * 3
    counted.clear()
    # In the second part of the second model, and once more in its third.
    for done in (N + PART + 1, N + 2 * PART + 1):
        interrupt(kept, done * sum(STEPS))
    assert counted == [*parts, PART, PART, PART, N % PART]
    counted.clear()
    told = []
    found = tables.accuracies(kept, lambda *now: told.append(now))
    assert counted == [*parts[2:], *parts]
    assert found.metadata == whole.metadata
    assert [done for done, *_ in told] == sorted(done for done, *_ in told)
    assert told[0][0] > (N + 2 * PART) * sum(STEPS)
    assert told[-1][:2] == (3 * N * sum(STEPS),) * 2
    assert all(0 <= accuracy <= 1 for *_, accuracy in told)
    counted.clear()
    assert tables.accuracies(kept, False).metadata == whole.metadata
    assert counted == []


def test_the_numbers_are_those_of_one_pass(study):
    found = tables.accuracies(study, False).metadata
    images = study.tested_images()
    assert found["images"] == len(images) == N
    assert found["columns"] == ["clean", "PGD-1", "PGD-2"]
    for name, model in study.models.items():
        once = rr.evaluate(model, images, eps=0.5, attack_steps=STEPS, batch_size=PART)
        assert [row["share"] for row in found["rows"][name]] == [one.share for one in once]
        assert [row["interval"] for row in found["rows"][name]] == [one.interval() for one in once]


def test_some_images_are_those_that_the_seed_chooses(study):
    some = replace(study, scale=replace(study.scale, tested=6))
    chosen, labels = zip(*some.tested_images(), strict=True)
    found = some.samples(6)
    assert torch.equal(torch.stack(chosen), found.images)
    assert [int(label) for label in labels] == found.labels.tolist()
    batches = list(some.tested())
    assert [len(images) for images, _ in batches] == [PART, 2]
    assert torch.equal(torch.cat([images for images, _ in batches]), found.images)


def test_counts_of_other_settings_are_not_taken_up(study, tmp_path):
    kept = replace(study, snapshots=tmp_path)
    tables.accuracies(kept, False)
    with pytest.raises(InputError, match=r"eps=0\.5 \(now 1\.0\)"):
        tables.accuracies(replace(kept, eps=1.0), False)
