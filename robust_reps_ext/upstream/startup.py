"""Wait, at next to no cost, for `robustness` or `cox` to be imported; then put the hook in place.

Runs at every start of Python: it imports nothing that the interpreter has not loaded already.
"""

import sys

__all__ = ["arm", "armed"]

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


def _install_hook() -> None:
    from . import hook

    hook.install()
