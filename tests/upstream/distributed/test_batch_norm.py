"""What ranks are made of, each alone: restarts that go on, and batch norm over all images."""

from __future__ import annotations

import os
from argparse import Namespace

import pytest
import torch
import torch.distributed as dist
from torch import nn

import robust_reps_ext  # noqa: F401
from robust_reps_ext.runtime.errors import InputError
from robust_reps_ext.upstream import distributed
from robust_reps_ext.upstream.distributed.batch_norm import with_synced_batch_norm
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
    """The arguments as they are at each start, after `restarts.go_on`."""
    args = Namespace(out_dir=str(folder), **{"exp_name": None, "resume": None, **given})
    restarts.go_on(args)
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
    restarts.remember(tmp_path / "a")
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


@pytest.fixture
def alone():
    """A process group of one."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.parametrize("momentum", [0.3, None])
def test_batch_norm_over_one_rank_is_batch_norm(momentum, alone):
    ours, theirs = (nn.BatchNorm2d(3, momentum=momentum).double() for _ in range(2))
    images = torch.randn(4, 3, 5, 5, dtype=torch.float64) * 3 + 1
    with_synced_batch_norm(ours)
    found = []
    for norm in (ours, theirs):
        inp = images.clone().requires_grad_()
        for _ in range(2):
            out = norm(inp)
        out.pow(3).sum().backward()
        frozen = norm.eval()(images)
        found.append([out, inp.grad, norm.weight.grad, norm.bias.grad, frozen, *norm.buffers()])
    for left, right in zip(*found, strict=True):
        torch.testing.assert_close(left, right)
    assert list(ours.state_dict()) == list(theirs.state_dict())


def test_other_batch_norms_are_named():
    with pytest.raises(InputError, match="--sync-bn 1 cannot do BatchNorm1d on the CPU"):
        with_synced_batch_norm(nn.Sequential(nn.BatchNorm1d(2)))
