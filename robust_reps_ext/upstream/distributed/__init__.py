"""The processes that torchrun starts, called ranks: how they meet, and what they agree on.

Without torchrun every function here does what is right for a single process, and nothing else.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import secrets
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.rendezvous import rendezvous

from ...runtime.errors import InputError

__all__ = [
    "TIMEOUT",
    "active",
    "agreed",
    "agreed_seed",
    "from_main",
    "gathered",
    "is_main",
    "job",
    "launched",
    "lost_one",
    "main_first",
    "main_speaks",
    "one_speaks",
    "process_group",
    "rank",
    "size",
    "summed",
    "wait_for_all",
]

TIMEOUT = timedelta(minutes=10)
"""How long a rank waits for another one that does not answer."""

# How long an interrupted rank stays for rank 0 to close its files: when one has gone, torchrun
# sends SIGTERM to the rest.
_PATIENCE = timedelta(seconds=15)


@dataclass(frozen=True)
class _Ranks:
    rank: int
    size: int
    local_rank: int
    control: Any  # a group on the CPU, so that what is agreed on never waits for an accelerator
    store: Any  # of this start
    job: Any  # outlives restarts; None if no agent of torchrun keeps it


_ranks: _Ranks | None = None


def launched() -> bool:
    """Whether this process was started by torchrun, or by something that sets what it sets."""
    return all(name in os.environ for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"))


def active() -> bool:
    """Whether this process has joined the others, see `process_group`."""
    return _ranks is not None


def rank() -> int:
    """The number of this process, from 0."""
    return _ranks.rank if _ranks else 0


def size() -> int:
    """How many processes there are."""
    return _ranks.size if _ranks else 1


def is_main() -> bool:
    """Whether this is rank 0, the one that writes and prints."""
    return rank() == 0


def job() -> Any:
    """Names and values that outlive a restart by torchrun, or None where nobody keeps them."""
    return _ranks.job if _ranks else None


@contextmanager
def process_group(timeout: timedelta = TIMEOUT) -> Iterator[None]:
    """Join the other ranks for the time of the block, if torchrun has started this process.

    The group communicates by nccl on CUDA, where the rank's device is the card ``LOCAL_RANK``,
    else by gloo. Inside the block, only rank 0 prints.

    Parameters
    ----------
    timeout
        How long to wait for a rank that does not answer.

    Raises
    ------
    InputError
        If the environment is incomplete, or there are more ranks than cards.
    """
    global _ranks
    if not launched():
        yield
        return
    _ranks = _join(timeout)
    try:
        with contextlib.nullcontext() if is_main() else _quiet():
            yield
    except KeyboardInterrupt:
        _leave_after_main()
        raise
    else:
        dist.destroy_process_group()
    finally:
        _ranks = None


def summed(values: Sequence[float]) -> list[float]:
    """The sum of each value over the ranks, in double precision."""
    if not _ranks:
        return list(values)
    total = torch.tensor(values, dtype=torch.float64)
    dist.all_reduce(total, group=_ranks.control)
    return [float(value) for value in total]


def agreed(*values: int) -> tuple[int, ...]:
    """The highest of each value over the ranks: one small message, for the host only."""
    if not _ranks:
        return values
    highest = torch.tensor(values, dtype=torch.int64)
    dist.all_reduce(highest, op=dist.ReduceOp.MAX, group=_ranks.control)
    return tuple(int(value) for value in highest)


def from_main(value: Any) -> Any:
    """What rank 0 gave, on every rank."""
    if not _ranks:
        return value
    box = [value]
    dist.broadcast_object_list(box, src=0, group=_ranks.control)
    return box[0]


def gathered(value: Any) -> list[Any] | None:
    """What each rank gave, in their order, on rank 0; None elsewhere."""
    if not _ranks:
        return [value]
    found: list[Any] | None = [None] * _ranks.size if is_main() else None
    dist.gather_object(value, found, dst=0, group=_ranks.control)
    return found


def wait_for_all() -> None:
    """Return when every rank has come here."""
    if _ranks:
        dist.barrier(group=_ranks.control)


def agreed_seed(seed: int | None) -> int | None:
    """`seed`, or if there is none and there are ranks, one that rank 0 draws."""
    if seed is not None or not _ranks:
        return seed
    return int(from_main(secrets.randbelow(2**31)))


@contextmanager
def main_first() -> Iterator[None]:
    """Run the block on one rank of a machine, then on its others, so that files are made once."""
    if _ranks and _ranks.local_rank:
        wait_for_all()
    yield
    if _ranks and not _ranks.local_rank:
        wait_for_all()


@contextmanager
def main_speaks() -> Iterator[None]:
    """What is written to stderr in the block, alike on every rank, is written by rank 0 alone."""
    if is_main():
        yield
        return
    with open(os.devnull, "w", encoding="utf-8") as nowhere, contextlib.redirect_stderr(nowhere):
        yield


def one_speaks(message: str) -> bool:
    """Whether this rank is to print an error: the first that asks about it is."""
    if not _ranks or not message:
        return not _ranks
    key = "said/" + hashlib.sha256(message.encode()).hexdigest()
    try:
        _ranks.store.add("said", 1)
        return bool(_ranks.store.add(key, 1) == 1)
    except RuntimeError:  # the store went with the rank that kept it
        return True


def lost_one(error: BaseException) -> str | None:
    """What to print of an error that comes of another rank's end, None if it is another error.

    Empty if the other rank has said itself what was wrong.
    """
    known = (dist.DistBackendError, dist.DistNetworkError, dist.DistStoreError)
    gone = isinstance(error, known) or (
        isinstance(error, RuntimeError) and "gloo" in str(error).lower()
    )
    if not _ranks or not gone:
        return None
    try:
        said = _ranks.store.add("said", 0)
    except RuntimeError:
        said = 0
    if said:
        return ""
    return (
        "another process of this run has ended, or does not answer: look for its error above, and "
        "go on from the last checkpoint with --resume (torchrun --max-restarts 3 does so by itself)"
    )


def _join(timeout: timedelta) -> _Ranks:
    own, every, local = (_whole(name) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"))
    options: dict[str, Any] = {"backend": "gloo"}
    if torch.cuda.is_available():
        cards = torch.cuda.device_count()
        if local >= cards:
            raise InputError(
                f"process {local} of this machine has no card, for there are {cards}: "
                f"give torchrun --nproc-per-node {cards} or fewer"
            )
        torch.cuda.set_device(local)
        options = {"backend": "nccl", "device_id": torch.device("cuda", local)}
    try:
        base, _, _ = next(rendezvous("env://", timeout=timeout))
    except (ValueError, RuntimeError) as error:
        raise InputError(
            f"RANK, WORLD_SIZE and LOCAL_RANK are set, but the processes do not meet ({error}): "
            "start them by torchrun, or unset these variables"
        ) from error
    # torchrun's agent keeps one store for all restarts: each must find it empty.
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    store = dist.PrefixStore(f"robust_reps_ext/{attempt}", base)
    dist.init_process_group(store=store, rank=own, world_size=every, timeout=timeout, **options)
    control = dist.new_group(backend="gloo", timeout=timeout)
    return _Ranks(own, every, local, control, store, _job_store(base))


def _whole(name: str) -> int:
    text = os.environ[name]
    if not text.isdecimal():
        raise InputError(f"{name}={text!r} is not a whole number: start the processes by torchrun")
    return int(text)


def _job_store(base: Any) -> Any:
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
        return None
    while isinstance(base, dist.PrefixStore):  # by attempt
        base = base.underlying_store
    return dist.PrefixStore(f"robust_reps_ext/{os.environ.get('TORCHELASTIC_RUN_ID')}", base)


@contextmanager
def _quiet() -> Iterator[None]:
    """Nothing but errors is printed inside the block."""
    log = logging.getLogger("robust_reps_ext")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with (
            open(os.devnull, "w", encoding="utf-8") as nowhere,
            contextlib.redirect_stdout(nowhere),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)


def _leave_after_main() -> None:
    assert _ranks is not None
    with contextlib.suppress(RuntimeError):
        if is_main():
            _ranks.store.set("main has left", "")
        else:
            _ranks.store.wait(["main has left"], _PATIENCE)
