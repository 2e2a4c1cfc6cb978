"""A job that torchrun restarts goes on with its own run."""

from __future__ import annotations

import os
from argparse import Namespace

import pytest
import torch.distributed as dist

import robust_reps_ext  # noqa: F401
from robust_reps_ext.upstream import distributed
from robust_reps_ext.upstream.training import resume as restarts

LATEST = "checkpoint.pt.latest"


@pytest.fixture
def job(monkeypatch):
    """What torchrun's agent would keep over restarts."""
    store = dist.HashStore()
    monkeypatch.setattr(distributed, "active", lambda: True)
    monkeypatch.setattr(distributed, "from_main", lambda value: value)
    monkeypatch.setattr(distributed, "job", lambda: store)
    return store


def begun(folder, **given):
    """The arguments as they are at each start, after `restarts.resume_after_restart`."""
    args = Namespace(out_dir=str(folder), **{"exp_name": None, "resume": None, **given})
    restarts.resume_after_restart(args)
    return args


def written(folder, name, stamp):
    (folder / name).mkdir(exist_ok=True)
    (folder / name / LATEST).touch()
    os.utime(folder / name / LATEST, ns=(stamp, stamp))
    return str(folder / name / LATEST)


@pytest.mark.parametrize("exp_name", [None, "a"])
def test_a_restart_goes_on_from_what_its_own_job_wrote(exp_name, job, tmp_path, capsys):
    written(tmp_path, "a", 10)  # by an earlier run
    args = begun(tmp_path, exp_name=exp_name)
    assert (args.exp_name, args.resume) == (exp_name, None)
    args = begun(tmp_path, exp_name=exp_name)  # killed before it had a directory
    assert (args.exp_name, args.resume) == (exp_name, None)
    restarts.note_experiment(tmp_path / "a")
    args = begun(tmp_path, exp_name=exp_name)
    assert (args.exp_name, args.resume) == ("a", None)
    assert "had written no checkpoint yet" in capsys.readouterr().out
    latest = written(tmp_path, "a", 20)
    written(tmp_path, "b", 30)  # by another run
    args = begun(tmp_path, exp_name=exp_name, resume="from here at first")
    assert (args.exp_name, args.resume, args.resume_optimizer) == ("a", latest, 1)
    assert f"going on from {latest}" in capsys.readouterr().out


def test_a_restart_on_other_machines_goes_on_by_name(job, tmp_path, monkeypatch):
    latest = written(tmp_path, "a", 10)
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    assert begun(tmp_path, exp_name="a").resume == latest
