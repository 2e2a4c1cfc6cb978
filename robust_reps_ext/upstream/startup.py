"""Wait, at next to no cost, for `robustness` or `cox` to be imported; then put the hook in place.

Runs at every start of Python: it imports nothing that the interpreter has not loaded already.
"""

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["arm", "armed", "redirect"]

AWAITED = ("robustness", "cox")


def arm() -> None:
    """Put the hook in place as soon as upstream is imported, or now if it has been already."""
    if any(name in sys.modules for name in AWAITED):
        _install_hook()
    elif not armed():
        sys.meta_path.insert(0, _Waiting())


def armed() -> bool:
    """Whether this process still waits for upstream to be imported."""
    # By name: after a reload of this file the class is another one.
    return any(
        type(finder).__name__ == "_Waiting" and type(finder).__module__ == __name__
        for finder in sys.meta_path
    )


class _Waiting:
    """A finder that finds nothing: it only notices that upstream is about to be imported."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name in AWAITED:
            _install_hook()


def redirect(moved: dict[str, str]) -> None:
    """Have paths within the package mean the modules that stand elsewhere now: old to new."""
    others = [one for one in sys.meta_path if type(one).__name__ != "_Moved"]
    sys.meta_path[:] = [*others, _Moved(__name__.partition(".")[0], moved)]


class _Moved:
    """The last finder, and the loader of what it finds: nothing is loaded twice."""

    def __init__(self, package: str, moved: dict[str, str]) -> None:
        self.package, self.moved = package, moved

    def find_spec(self, name: str, path: object = None, target: object = None) -> "Any":
        package, _, old = name.partition(".")
        if package != self.package or old not in self.moved:
            return None
        from importlib.machinery import ModuleSpec

        return ModuleSpec(name, self)  # type: ignore[arg-type]

    def create_module(self, spec: object) -> None:
        return None

    def exec_module(self, module: "Any") -> None:
        from importlib import import_module

        old = module.__name__.partition(".")[2]
        sys.modules[module.__name__] = import_module(f"{self.package}.{self.moved[old]}")


def _install_hook() -> None:
    from . import hook

    hook.install()
