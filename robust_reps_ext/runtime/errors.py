"""The one error that is the user's to mend: a value that cannot be used."""

from __future__ import annotations

import copyreg
import difflib
import functools
import sys
import unicodedata
import warnings
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Any

__all__ = [
    "InputError",
    "OptionError",
    "first_line",
    "listed",
    "near",
    "one_line",
    "plain_number",
    "unboxed",
    "warn",
]

_PACKAGE = str(Path(__file__).parents[1])

_UNSEEN = ("Cc", "Cs", "Zl", "Zp")
_TURNING = ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")


class InputError(ValueError):
    """A value given by the user cannot be used.

    The message is one line that names the value, the reason and the way out. The command line
    prints that line alone and exits with status 2; from Python it is an ordinary `ValueError`.
    """

    def __init__(self, *args: Any) -> None:
        Exception.__init__(self, *args)  # some kinds, see `also`, ask for more than a message

    def __str__(self) -> str:
        return Exception.__str__(self)  # a KeyError would show the message's repr

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self.args  # others ask for what a line does not have

    @classmethod
    def also(cls, *kinds: type[Exception]) -> type[InputError]:
        """This error as one of other kinds, too: what upstream raises there, and scripts catch.

        Examples
        --------
        >>> try:
        ...     raise InputError.also(KeyError)("no architecture 'x': try resnet50")
        ... except KeyError as error:
        ...     print(error, isinstance(error, InputError))
        no architecture 'x': try resnet50 True
        """
        return _also(cls, kinds)  # type: ignore[arg-type]


class _Kinds(type):
    """The type of what `_also` makes, by which workers can send it."""

    made_of: tuple[Any, ...]


@functools.cache
def _also(base: Any, kinds: Any) -> Any:
    others = tuple(dict.fromkeys(kind for kind in kinds if not issubclass(base, kind)))
    if not others:
        return base
    body = {"__module__": base.__module__, "made_of": (base, others)}
    return _Kinds(base.__name__, (base, *others), body)


copyreg.pickle(_Kinds, lambda kind: (_also, kind.made_of))


# What other libraries call options.
_ELSEWHERE = {
    **dict.fromkeys(("steps", "n_steps", "num_steps", "n_iter", "max_iter"), "iterations"),
    **dict.fromkeys(("lr", "alpha", "learning_rate", "attack_lr"), "step_size"),
    **dict.fromkeys(("epsilon", "radius"), "eps"),
}


class OptionError(InputError, TypeError):
    """A keyword that a call does not take."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        known = sorted(known)
        meant = _ELSEWHERE.get(name)
        close = [meant] if meant in known else get_close_matches(name, known, n=2, cutoff=0.6)
        advice = (
            f"did you mean {' or '.join(close)}?"
            if close
            else "load_model(..., device=) takes it"
            if name == "device"
            else f"there are {', '.join(known)}"
        )
        super().__init__(f"{name}= is not an option here: {advice}")


def plain_number(name: str, value: Any) -> Any:
    """A number of Python for one of any library; what is no number, or many, stays as it is.

    Raises
    ------
    InputError
        If it is a text that says a number.

    Examples
    --------
    >>> import numpy as np
    >>> plain_number("eps", np.float32(3))
    3.0
    """
    if isinstance(value, str):
        try:
            float(value)
        except ValueError:
            return value
        raise InputError(f"{name}={value!r} is a text: give the number, {name}={value}")
    return unboxed(value)


def unboxed(value: Any) -> Any:
    """What is in an array or tensor without dimensions; anything else as it is."""
    return value.item() if getattr(value, "ndim", None) == 0 and hasattr(value, "item") else value


def one_line(text: object) -> str:
    r"""Write out what would break a line, move the cursor or turn the writing around.

    Names of files are anyone's, and terminals obey the control characters in them.

    Examples
    --------
    >>> one_line("a\nb")
    'a\\nb'
    """
    return "".join(
        c.encode("unicode_escape").decode() if not c.isprintable() and _unseen(c) else c
        for c in str(text)
    )


def near(name: object, known: Iterable[str], otherwise: Iterable[str] = ()) -> str:
    """The known names that `name` may be a slip of; where none is like it, others, or all.

    Examples
    --------
    >>> near("resnet5", ["resnet50", "vgg16"]), near("x", ["b", "a"])
    ('resnet50', 'a, b')
    """
    names = list(known)
    close = difflib.get_close_matches(str(name), names, n=3)
    return ", ".join(close or otherwise or sorted(names))


def listed(names: Iterable[object], most: int = 5) -> str:
    """The first names, with commas between, and how many more there are."""
    shown = [one_line(name)[:120] for name in names]
    more = f" and {len(shown) - most} more" if len(shown) > most else ""
    return ", ".join(shown[:most]) + more


def first_line(error: BaseException) -> str:
    """The first line of what an error says, as far as it fits into ours, or else its kind."""
    lines = str(error).strip().splitlines()
    return one_line(lines[0][:160]) if lines else type(error).__name__


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn of `message` at the line that called the package, however deep within it we are."""
    level = depth = 1
    frame = sys._getframe()
    while frame.f_back is not None:
        depth, frame = depth + 1, frame.f_back
        if frame.f_code.co_filename.startswith(_PACKAGE):
            level = depth
    warnings.warn(message, category, stacklevel=level + 1)


def _unseen(character: str) -> bool:
    return (
        unicodedata.category(character) in _UNSEEN
        or unicodedata.bidirectional(character) in _TURNING
    )
