"""Mends `cox.utils`: Parameters, and objects kept as text."""

from __future__ import annotations

import binascii
import codecs
import functools
import json
import os
import pickle
import warnings
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ...results import safe_pickle
from ...runtime.errors import InputError
from ..arguments import read_json
from ..mend import Mend, bind, derive, mentions

if TYPE_CHECKING:
    from cox.utils import Parameters as UpstreamParameters
else:
    UpstreamParameters = object

__all__ = ["MENDS", "string_to_obj"]


class Parameters(UpstreamParameters):
    """`cox.utils.Parameters` in which a name means the same everywhere, whatever its case.

    A missing name is still None, because `robustness` asks for optional settings that way; use
    ``in`` to tell a missing name from one that is None. Names that begin with two underscores
    belong to Python and raise AttributeError, as `copy` and `pickle` expect.
    """

    def __init__(self, params: dict[str, Any]) -> None:
        by_name: dict[str, Any] = {}
        for key, value in params.items():
            if key.lower() in by_name:
                raise InputError.also(AssertionError)(
                    f"parameter {key!r} is given twice, in different case: keep one of the two"
                )
            by_name[key.lower()] = value
        # The caller's own dict where it can serve: upstream's users change it behind our back.
        own = params if list(by_name) == list(params) else by_name
        object.__setattr__(self, "params", own)

    def __getattr__(self, x: str) -> Any:
        if x == "params" or x.startswith("__"):
            raise AttributeError(x)
        return self.params.get(x.lower())

    def __setattr__(self, x: str, v: Any) -> None:
        if x == "params":
            self.__init__(v)  # type: ignore[misc]
        else:
            self.params[x.lower()] = v

    def __delattr__(self, key: str) -> None:
        if key not in self:
            raise AttributeError(key)
        del self.params[key.lower()]

    def __contains__(self, x: object) -> bool:
        return isinstance(x, str) and x.lower() in self.params

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.params,)

    def __setstate__(self, x: dict[str, Any]) -> None:
        self.__init__(x)  # type: ignore[misc]

    def __str__(self) -> str:
        return json.dumps(self.params, indent=2, default=repr)


def string_to_obj(s: Any) -> Any:
    """Turn the text of an object column back into its value, without running code.

    Text that is no pickle comes back as it is. So does, with a warning, a pickle of anything but
    plain values, unless stores are trusted (see `safe_pickle.trusting`).
    """
    if s is None or not isinstance(s, str):
        return s
    if s == "":
        return None
    try:
        data = codecs.decode(s.encode(), "base64")
    except (binascii.Error, UnicodeEncodeError):
        return s
    try:
        return safe_pickle.loads(data)
    except safe_pickle.NeedsCodeError as refusal:
        warnings.warn(
            f"a stored object is kept as text: {refusal}; if you trust whoever wrote the store, "
            "read it inside robust_reps_ext.results.store.trusting() or with "
            "ROBUST_REPS_EXT_TRUST_STORES=1",
            stacklevel=2,
        )
        return s
    except pickle.UnpicklingError:
        return s


def _mend_string_to_obj(module: ModuleType) -> None:
    upstream = module.string_to_obj

    @functools.wraps(string_to_obj)
    def chosen(s: Any) -> Any:
        return upstream(s) if safe_pickle.trusted() else string_to_obj(s)

    bind(string_to_obj=chosen)(module)


def _mend_override_json(module: ModuleType) -> None:
    def override_json(args: Any, json_path: str, check_consistency: bool = False) -> Any:
        """Fill what is None in `args` from a JSON file; as upstream's, with one-line errors."""
        preset = {key.lower(): value for key, value in read_json(json_path).items()}
        given = args.as_dict()
        if check_consistency:
            unknown = sorted(preset.keys() - given.keys())
            missing = sorted(given.keys() - preset.keys() - {"config_path"})
            if unknown or missing:
                raise InputError.also(AssertionError)(
                    f"configuration {json_path!r} does not match the arguments: "
                    f"unknown {unknown}, missing {missing}"
                )
        there = {key: value for key, value in given.items() if value is not None}
        return module.Parameters({**given, **preset, **there})

    bind(override_json=override_json)(module)


def mkdirp(x: str, should_msg: bool = False) -> None:
    """Make the directory `x` if it can be made; say why not if `should_msg`."""
    try:
        os.makedirs(x, exist_ok=True)
    except OSError as error:
        if should_msg:
            print(f"Failed to make directory: {error}")


MENDS: tuple[Mend, ...] = (
    Mend(
        "Parameters",
        "utils.py:73",
        "Names are lower-cased when looked up but not when given or tested, and names that copy "
        "and pickle ask for seem to exist.",
        lambda module: not mentions("Parameters.__contains__", "lower")(module),
        derive("Parameters", Parameters),
    ),
    Mend(
        "string_to_obj",
        "utils.py:167",
        "Reading an object column of a foreign store runs whatever code the store holds.",
        mentions("string_to_obj", "pickle"),
        _mend_string_to_obj,
    ),
    Mend(
        "override_json",
        "utils.py:45",
        "The file is left open, and a missing or broken one ends in a traceback.",
        mentions("override_json", "json_params"),
        _mend_override_json,
    ),
    Mend.replacing(
        mkdirp,
        "utils.py:150",
        "Saying why a directory cannot be made fails itself: exceptions have no `message`.",
        mentions("mkdirp", "message"),
    ),
)
