"""Signatures that name every keyword, for those who look a function up while they type."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeVar, get_type_hints

__all__ = ["keywords"]

F = TypeVar("F", bound=Callable[..., Any])


def keywords(of: type) -> Callable[[F], F]:
    """Show, in the signature of a function that takes ``**``, which keywords those are.

    The function stays what it is: only `inspect.signature`, and so editors, notebooks and `help`,
    see its keywords one by one.

    Parameters
    ----------
    of
        A typed dictionary, whose keys may be left out, or a dataclass, whose defaults are shown.

    Examples
    --------
    >>> import inspect
    >>> from typing import TypedDict
    >>> from robust_reps_ext.runtime.signatures import keywords
    >>> class Options(TypedDict, total=False):
    ...     eps: float
    >>> @keywords(Options)
    ... def invert(images, **options): ...
    >>> str(inspect.signature(invert))
    '(images, *, eps: float = None)'
    """

    def named(function: F) -> F:
        signature = inspect.signature(function)
        own = [one for one in signature.parameters.values() if one.kind is not one.VAR_KEYWORD]
        added = [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                default=getattr(of, name, None),
                annotation=hint,
            )
            for name, hint in get_type_hints(of).items()
            if name not in signature.parameters
        ]
        vars(function)["__signature__"] = signature.replace(parameters=[*own, *added])
        return function

    return named
