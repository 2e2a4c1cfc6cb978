"""What follows a ReLU, a second time: with the gradient of one that passes it straight through."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from .hooks import RELUS, WEIGHTED, ReplacedReLU, straight_through

__all__ = ["Twins"]


class Twins(ReplacedReLU):
    """Inside the block, what follows some ReLUs is computed a second time, for other gradients.

    The network's own values and gradients stay as they are. A twin is the same value with the
    gradient of `straight_through`; it goes through what is done to the value until weights, another
    ReLU or a change in place come.

    Parameters
    ----------
    relus
        The numbers of the calls of a ReLU in one forward pass.
    """

    def __init__(self, relus: set[int]) -> None:
        super().__init__(min(relus, default=None), straight_through)
        self.relus = relus
        # The values are kept, so that no other one gets the id of one that is gone.
        self._twins: dict[int, dict[int, tuple[Tensor, Tensor]]] = {relu: {} for relu in relus}

    def of(self, value: Tensor, relu: int) -> Tensor | None:
        """The twin of a value that follows that ReLU; None where it has none."""
        found = self._twins.get(relu, {}).get(id(value))
        return None if found is None else found[1]

    def passes(self, relus: int) -> bool:
        ours = any(self.calls <= relu < self.calls + relus for relu in self.relus)
        if not ours:
            self.calls += relus
        return not ours

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func in RELUS:
            self.calls += 1
            relu = self.calls - 1
            if relu not in self.relus:
                return func(*args, **kwargs)
            rest = dict(kwargs)
            x = args[0] if args else rest.pop("input")
            twin = straight_through(x, lambda z: func(z, *args[1:], **rest))
            value = func(*args, **kwargs)
            self._twins[relu] = {id(value): (value, twin)}
            return value
        if not any(self._twins.values()) or func in WEIGHTED:
            return func(*args, **kwargs)
        name = getattr(func, "__name__", "")
        if name.endswith("_") and (not name.startswith("__") or name.startswith("__i")):
            for known in self._twins.values():
                known.pop(id(args[0]) if args else 0, None)
            return func(*args, **kwargs)
        value = func(*args, **kwargs)
        if isinstance(value, Tensor):
            for known in self._twins.values():
                if known and _holds(known, (args, kwargs)):
                    twin_args, twin_kwargs = _swapped(known, (args, kwargs))
                    known[id(value)] = (value, func(*twin_args, **twin_kwargs))
        return value


def _holds(known: dict[int, Any], given: Any) -> bool:
    if isinstance(given, dict):
        given = tuple(given.values())
    if isinstance(given, (list, tuple)):
        return any(_holds(known, one) for one in given)
    return isinstance(given, Tensor) and id(given) in known


def _swapped(known: dict[int, tuple[Tensor, Tensor]], given: Any) -> Any:
    """The same arguments with twins in the place of the values that have one."""
    if isinstance(given, dict):
        return {name: _swapped(known, one) for name, one in given.items()}
    if type(given) in (list, tuple):
        return type(given)(_swapped(known, one) for one in given)
    return known[id(given)][1] if isinstance(given, Tensor) and id(given) in known else given
