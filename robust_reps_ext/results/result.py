"""What every result can do: show itself, say what it is in two lines, go into a file and back."""

from __future__ import annotations

import base64
import json
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_origin, get_type_hints

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from ..runtime.errors import InputError, first_line, one_line
from ..runtime.files import writing

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure

__all__ = ["Result", "shown_in_html", "spread"]

WIDTH = 160

R = TypeVar("R", bound="Result")


class Result(ABC):
    """What an experiment gives: a dataclass of tensors, of what JSON holds, and of such again."""

    def __init_subclass__(cls) -> None:
        # Here and not in `load`: annotations are texts that are evaluated, and a load runs no code.
        for hint in _hints(cls).values():
            if isinstance(hint, type) and is_dataclass(hint):
                _hints(hint)

    @abstractmethod
    def figure(self) -> Figure:
        """What there is to see of it."""

    @abstractmethod
    def to_frame(self) -> pandas.DataFrame:
        """What there is to count of it: a row for each image or unit."""

    @abstractmethod
    def _told(self) -> tuple[str, str]:
        """What it is, and how it was made."""

    def __repr__(self) -> str:
        lines = (one_line(line) for line in self._told())
        return "\n".join(f"{line[:WIDTH]}..." if len(line) > WIDTH else line for line in lines)

    def _repr_html_(self) -> str:
        return shown_in_html(self)

    def _some(self: R) -> R:
        """As much of it as a notebook shows."""
        return self

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write everything into one safetensors file, whole or not at all.

        Raises
        ------
        InputError
            If the file cannot be written.
        """
        path = Path(path)
        parts = self._parts()
        # Cloned, because one file cannot hold two tensors that share their memory.
        tensors = {
            name: one.detach().cpu().contiguous().clone()
            for name, one in parts.items()
            if isinstance(one, Tensor)
        }
        facts = {name: json.dumps(one) for name, one in parts.items() if name not in tensors}
        with writing(path, "choose another place") as file:
            file.write(save(tensors, {"format": self._format(), **facts}))
        return path

    @classmethod
    def load(cls: type[R], path: str | os.PathLike[str]) -> R:
        """Read a file that `save` wrote. Runs no code from it.

        Raises
        ------
        InputError
            If the file is missing, damaged or of another kind.
        """
        shown = one_line(os.fspath(path))
        if not Path(path).is_file():
            raise InputError(f"there is no file {shown}: give one that {cls.__name__}.save wrote")
        try:
            with safe_open(path, framework="pt") as file:
                facts = dict(file.metadata() or {})
                if facts.pop("format", None) != cls._format():
                    raise InputError(
                        f"{shown} is not a saved {cls.__name__}: its format is not {cls._format()}"
                    )
                parts: dict[str, Any] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            parts |= {name: json.loads(one) for name, one in facts.items()}
            found = cls._of(parts)
            if parts:
                raise ValueError(f"it holds {min(parts)[:40]!r}")
            found._check()
        except InputError:
            raise
        except (
            *(SafetensorError, OSError, LookupError, TypeError, AttributeError),
            *(ValueError, ArithmeticError, RuntimeError),
        ) as error:
            reason = first_line(error)
            raise InputError(f"{shown} is damaged ({reason}): make it again") from error
        return found

    @classmethod
    def _format(cls) -> str:
        return f"robust_reps_ext.{cls.__name__}/1"

    def _parts(self) -> dict[str, Any]:
        """What goes into the file, by name: tensors, and what JSON holds."""
        return _taken_apart(self)

    @classmethod
    def _of(cls: type[R], parts: dict[str, Any]) -> R:
        """The result of `_parts`, which it takes out of there; `ValueError` for another kind."""
        found: R = _built(cls, parts)
        return found

    @abstractmethod
    def _check(self) -> None:
        """Raise `ValueError` where what was read from a file does not fit together."""


def shown_in_html(result: Any) -> str:
    """The picture of a result and its two lines, as notebooks show it; the lines alone where there
    is no picture."""
    told = f"<pre>{escape(repr(result))}</pre>"
    try:
        figure = result._some().figure()
    except InputError:  # images that were not kept
        return told
    from .figures import png

    source = base64.b64encode(png(figure)).decode()
    return f'<img alt="" style="max-width: 100%" src="data:image/png;base64,{source}">{told}'


def spread(values: Tensor) -> str:
    """Where numbers lie, as one reads it."""
    if not values.numel():
        return "nothing"
    values = values.detach().double()
    low, high = float(values.min()), float(values.max())
    if low == high:
        return f"{low:.3g}"
    return f"{low:.3g} to {high:.3g}, mean {float(values.mean()):.3g}"


def _taken_apart(value: Any, prefix: str = "") -> dict[str, Any]:
    parts: dict[str, Any] = {}
    for field in fields(value):
        name, one = f"{prefix}{field.name}", getattr(value, field.name)
        if is_dataclass(one):
            parts |= _taken_apart(one, f"{name}.")
        elif one is not None:
            parts[name] = one
    return parts


@cache
def _hints(kind: Any) -> Mapping[str, Any]:
    return get_type_hints(kind)


def _built(kind: Any, parts: dict[str, Any], prefix: str = "") -> Any:
    """The dataclass whose fields are in `parts`, which it takes out of there."""
    given: dict[str, Any] = {}
    for field in fields(kind):
        name, hint = f"{prefix}{field.name}", _hints(kind)[field.name]
        if is_dataclass(hint):
            given[field.name] = _built(hint, parts, f"{name}.")
        elif name in parts:
            # Of `Tensor | None` the tensor, of `dict[str, Any]` the dict.
            wanted = Tensor if Tensor in get_args(hint) else get_origin(hint) or hint
            given[field.name] = one = parts.pop(name)
            if not isinstance(one, wanted):
                raise ValueError(f"{name} is a {type(one).__name__}")
    return kind(**given)
