"""Options from a JSON file (``--config-path``), held to the same rules as the command line."""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..runtime.errors import InputError
from .arguments import given, option

__all__ = ["fill_from_file"]


def fill_from_file(args: Any, path: str | os.PathLike[str], arg_lists: Iterable[Any]) -> None:
    """Set what is None or absent in `args` from a JSON object of option names and values.

    Parameters
    ----------
    args
        Any object with attributes; what the command line gave stays.
    path
        The file. Names may be written ``batch-size`` or ``batch_size``; null means not given.
    arg_lists
        Lists of entries [name, type or choices, help, default], like
        `robustness.defaults.TRAINING_ARGS`.

    Raises
    ------
    InputError
        If the file cannot be read, or has an unknown name or a value of the wrong type.
    """
    kinds = {entry[0].replace("-", "_"): entry[1] for entries in arg_lists for entry in entries}
    del kinds["config_path"]
    for key, value in _read(path).items():
        name = key.lower().replace("-", "_")
        if name not in kinds:
            near = difflib.get_close_matches(name, kinds, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(sorted(kinds))}"
            raise InputError(f"{path} has an unknown option {key!r}: {hint}")
        if value is None:
            continue
        try:
            converted = _converted(value, kinds[name])
        except (TypeError, ValueError) as error:
            raise InputError(f"{path}: {key}={value!r} is wrong: give {error}") from None
        if given(args, name) is None:
            setattr(args, name, converted)


def _read(path: str | os.PathLike[str]) -> Mapping[str, Any]:
    try:
        text = Path(path).expanduser().read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(
            f"{option('config_path')} {path}: {error.strerror}; `robust-reps preset NAME` prints "
            "the path of a ready one"
        ) from error
    except UnicodeDecodeError as error:
        raise InputError(f"{option('config_path')} {path} is not text: give JSON") from error
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{option('config_path')} {path} is not JSON: {error}") from error
    if not isinstance(values, dict):
        raise InputError(
            f'{option("config_path")} {path} is no JSON object: write {{"option": value, ...}}'
        )
    return values


def _converted(value: Any, kind: Any) -> Any:
    """`value` as the command line would have made it from the same text.

    A ValueError or TypeError ends with what to give instead.
    """
    if isinstance(kind, list):
        if isinstance(value, bool) and kind == [0, 1]:
            value = int(value)
        for choice in kind:
            if type(value) in (int, float, str) and str(value) == str(choice):
                return choice
        raise ValueError("one of " + ", ".join(map(str, kind)))
    if isinstance(value, (bool, dict)):
        raise TypeError(_wanted(kind))
    if kind is str:
        return value if isinstance(value, str) else json.dumps(value)
    if isinstance(value, list):
        raise TypeError(_wanted(kind))
    try:
        if kind is int and isinstance(value, float) and not value.is_integer():
            raise ValueError
        return kind(value)
    except (ValueError, OverflowError):
        raise ValueError(_wanted(kind)) from None


def _wanted(kind: Any) -> str:
    return {int: "a whole number", float: "a number", str: "text or a number"}[kind]
