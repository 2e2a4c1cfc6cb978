"""What a mend is, what mends are made of, and the record of those that were applied."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter
from types import ModuleType
from typing import Any

from ..runtime.errors import InputError
from . import known
from .known import MENDED

__all__ = [
    "MENDED",
    "Mend",
    "Outcome",
    "apply",
    "apply_late",
    "bind",
    "derive",
    "fails",
    "mentions",
    "outcomes",
]

APPLIED = "applied"
NOT_NEEDED = "not needed"


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

    @classmethod
    def replacing(
        cls, ours: Any, where: str, why: str, present: Callable[[ModuleType], bool], name: str = ""
    ) -> Mend:
        """A mend that puts a function or class of ours in the place of upstream's `name`."""
        name = name or ours.__name__
        return cls(name, where, why, present, bind(**{name: ours}))


def bind(owner: str = "", /, **ours: Any) -> Callable[[ModuleType], None]:
    """An `apply` that gives these names to the module, or to its class `owner`."""

    def apply(module: ModuleType) -> None:
        for name, one in ours.items():
            setattr(getattr(module, owner) if owner else module, name, one)

    return apply


def derive(name: str, *ours: type) -> Callable[[ModuleType], None]:
    """An `apply` that puts classes of ours in front of upstream's class `name`."""

    def apply(module: ModuleType) -> None:
        upstream = getattr(module, name)
        body = {"__module__": module.__name__, "__doc__": upstream.__doc__}
        setattr(module, name, type(name, (*ours, upstream), body))

    return apply


def mentions(function: str, *words: str) -> Callable[[ModuleType], bool]:
    """A `present` that holds while the code of a function, or of a method, has one of the names.

    Examples
    --------
    >>> import textwrap
    >>> mentions("TextWrapper.fill", "wrap")(textwrap), mentions("fill", "eval")(textwrap)
    (True, False)
    """

    def present(module: ModuleType) -> bool:
        code = attrgetter(function)(module).__code__
        return not {*code.co_names, *code.co_varnames, *code.co_cellvars}.isdisjoint(words)

    return present


def fails(call: Callable[[], object], *errors: type[Exception]) -> bool:
    """Whether the call ends in one of these errors, and not as a mended one refuses."""
    try:
        call()
    except InputError:
        return False
    except errors:
        return True
    return False


@dataclass(frozen=True)
class Outcome:
    """What became of one mend: ``"applied"``, ``"not needed"`` or ``"failed: ..."``."""

    module: str
    mend: Mend
    status: str


_outcomes: dict[tuple[str, str], Outcome] = {}


def apply(module: ModuleType) -> None:
    """Apply every mend of `module`, which has just been executed, whose defect is present.

    A module that is not the known one (see `known`) stays as it is.

    A mend that fails is recorded and warned of; it raises nothing, so that a broken mend never
    takes upstream away from its user.
    """
    name = module.__name__
    if known.reason(name) is not None:
        known.tell(name.partition(".")[0])
        return
    try:
        mends = importlib.import_module(f"robust_reps_ext.upstream.mends.{MENDED[name]}").MENDS
    except Exception as error:
        warnings.warn(f"robust_reps_ext cannot mend {name}: {error!r}", stacklevel=2)
        return
    for mend in mends:
        try:
            needed = mend.present(module)
            if needed:
                mend.apply(module)
            status = APPLIED if needed else NOT_NEEDED
        except Exception as error:
            status = f"failed: {error!r}"
            warnings.warn(f"robust_reps_ext: mend {name}.{mend.name} {status}", stacklevel=2)
        _outcomes[name, mend.name] = Outcome(name, mend, status)


def apply_late(modules: Sequence[ModuleType]) -> None:
    """Apply the mends to modules that were imported before the hook was there, and say so."""
    for module in modules:
        known.note_replaced(module)
    for module in modules:
        apply(module)
    names = ", ".join(module.__name__ for module in modules)
    warnings.warn(
        f"robust_reps_ext was imported after {names}: what other modules took from there by "
        "'from ... import' stays as it was; import robust_reps_ext first",
        RuntimeWarning,
        stacklevel=2,
    )


def outcomes() -> Iterator[Outcome]:
    """Every mend tried so far in this process, in the order of loading."""
    yield from _outcomes.values()
