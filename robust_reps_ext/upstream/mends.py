"""What a mend is, and the record of those that were applied."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType

from .hook import MENDED

__all__ = ["Mend", "Outcome", "apply", "outcomes"]


@dataclass(frozen=True)
class Mend:
    """One defect of an upstream module and its remedy.

    Parameters
    ----------
    name
        What is mended, as upstream calls it, for example ``"Attacker.forward"``.
    where
        The upstream file and line, for example ``"attacker.py:156"``.
    why
        One sentence: what goes wrong without the mend.
    present
        Tells whether the loaded module has the defect.
    apply
        Rebinds names on the module; never edits a file, never touches `torch`.
    """

    name: str
    where: str
    why: str
    present: Callable[[ModuleType], bool]
    apply: Callable[[ModuleType], None]


@dataclass(frozen=True)
class Outcome:
    """What became of one mend: ``"applied"``, ``"not needed"`` or ``"failed: ..."``."""

    module: str
    mend: Mend
    status: str


_outcomes: dict[tuple[str, str], Outcome] = {}


def apply(module: ModuleType) -> None:
    """Apply every mend of `module` whose defect is present. Never raises; idempotent."""
    name = module.__name__
    try:
        mends = importlib.import_module(f"robust_reps_ext.upstream.{MENDED[name]}").MENDS
    except Exception as error:
        warnings.warn(f"robust_reps_ext cannot mend {name}: {error!r}", stacklevel=2)
        return
    for mend in mends:
        if (name, mend.name) in _outcomes and _applied_to(module, mend):
            continue
        try:
            if mend.present(module):
                mend.apply(module)
                status = "applied"
            else:
                status = "not needed"
        except Exception as error:
            status = f"failed: {error!r}"
            warnings.warn(f"robust_reps_ext: mend {name}.{mend.name} {status}", stacklevel=2)
        _outcomes[name, mend.name] = Outcome(name, mend, status)
        _mark(module, mend)


def outcomes() -> Iterator[Outcome]:
    """Every mend tried so far in this process, in the order of loading."""
    yield from _outcomes.values()


def _mark(module: ModuleType, mend: Mend) -> None:
    module.__dict__.setdefault("__robust_reps_ext_mends__", set()).add(mend.name)


def _applied_to(module: ModuleType, mend: Mend) -> bool:
    return mend.name in module.__dict__.get("__robust_reps_ext_mends__", ())
