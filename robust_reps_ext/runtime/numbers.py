"""Numbers as every call takes them, of any library; what is none is told in one line."""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .errors import InputError, one_line, plain_number

__all__ = ["ascending", "check_progress", "flag", "number_for_each", "real", "shown", "whole"]

LONGEST = 60


def whole(
    name: str, value: Any, least: int = 0, *, most: int = 2**63 - 1, wanted: str | None = None
) -> int:
    """A whole number as an int.

    Parameters
    ----------
    name
        What the caller calls it, for the error.
    value
        An int, or a float or a number of another library that is whole.
    least, most
        What it may be.
    wanted
        What to give instead, for the error; default: by `least` and `most`.

    Raises
    ------
    InputError
        If it is anything else.

    Examples
    --------
    >>> import torch
    >>> whole("iterations", torch.tensor(3.0))
    3
    """
    found = plain_number(name, value)
    if not _is_number(found) or found != found // 1 or not least <= found <= most:
        up_to = f"{least} or more" if most >= 2**63 - 1 else f"{least} to {most}"
        raise InputError(f"{name}={shown(value)}: give {wanted or f'a whole number, {up_to}'}")
    return int(found)


def real(
    name: str,
    value: Any,
    wanted: str,
    *,
    least: float = 0.0,
    finite: bool = True,
    option: str = "",
) -> float:
    """A number of Python, `least` or more; `option` is what the command line calls it.

    Raises
    ------
    InputError
        If it is anything else; `wanted` says what to give.
    """
    found = plain_number(name, value)
    if not _is_number(found) or not found >= least or (finite and math.isinf(found)):
        also = f" ({option})" if option else ""
        raise InputError(f"{name}={shown(value)}{also}: give {wanted}")
    number: float = found
    return number


def ascending(name: str, values: Any, *, finite: bool = True) -> tuple[float, ...]:
    """Numbers from 0 on, each larger than the one before, one at least.

    Raises
    ------
    InputError
        If they are anything else.
    """
    wanted = "at least one, none negative, in a list"
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise InputError(f"{name}={shown(values)}: give {wanted}")
    found = tuple(float(real(name, one, wanted, finite=finite)) for one in values)
    if not found:
        raise InputError(f"{name}={shown(values)}: give {wanted}")
    if any(one >= other for one, other in pairwise(found)):
        raise InputError(f"{name}={found} are not ascending: sort them, each once")
    return found


def number_for_each(name: str, value: Any, *, finite: bool = False) -> Any:
    """A length: a number of Python, or one for each image, (N,), as a tensor.

    Raises
    ------
    InputError
        If it is anything else, negative or NaN.
    """
    found = plain_number(name, value)
    if isinstance(found, (list, tuple, np.ndarray, Tensor)):
        try:
            found = torch.as_tensor(found)
        except (TypeError, ValueError, RuntimeError):
            found = torch.empty(())
        good = found.dim() == 1 and len(found) > 0 and not found.is_complex()
        if not good or found.dtype == torch.bool:
            raise InputError(f"{name}={shown(value)}: give a number, or one for each image, (N,)")
        found = found if found.is_floating_point() else found.float()
        if not bool((found >= 0).all()) or (finite and not bool(found.isfinite().all())):
            raise InputError(f"{name}={shown(value)} holds others: give 0 or more, finite ones")
        return found
    if not _is_number(found):
        raise InputError(f"{name}={shown(value)}: give a number, or one for each image, (N,)")
    if not found >= 0:
        raise InputError(f"{name}={found} is negative or not a number: give 0 or more")
    if finite and math.isinf(found):
        raise InputError(f"{name}={found}: give a finite length")
    return found


def flag(name: str, value: Any) -> bool:
    """True or False, also as 1 or 0.

    Raises
    ------
    InputError
        If it is anything else.
    """
    found = plain_number(name, value)
    if not isinstance(found, (bool, int)) or found not in (0, 1):
        raise InputError(f"{name}={shown(value)}: give True or False")
    return bool(found)


def check_progress(progress: Any, name: str = "progress") -> None:
    """Raise `InputError` unless it is True, False, None or a function."""
    if not (progress is None or isinstance(progress, bool) or callable(progress)):
        raise InputError(f"{name}={shown(progress)}: give True for a bar, or a function")


def shown(value: Any) -> str:
    """A value as an error names it: in one line, and arrays by their shape."""
    shape = getattr(value, "shape", None)
    if shape is not None and len(shape):
        return f"{type(value).__name__} of shape {tuple(shape)}"
    text = one_line(repr(value))
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)
