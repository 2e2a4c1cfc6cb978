"""Apply the mends to each module of `robustness` and `cox` just after it has been imported.

Runs at every start of Python, so this file imports nothing but what the interpreter has loaded.
"""

from __future__ import annotations

import os
import sys
from types import ModuleType
from typing import Any

__all__ = ["MENDED", "disabled", "install"]

# Upstream module -> our file that mends it. The order is the one in which upstream loads them.
MENDED = {
    "cox.utils": "cox_utils",
    "cox.store": "cox_store",
    "cox.readers": "cox_readers",
    "cox.tensorboard_view": "cox_tensorboard_view",
    "robustness.tools.custom_modules": "custom_modules",
    "robustness.imagenet_models": "imagenet_models",
    "robustness.cifar_models": "cifar_models",
    "robustness.tools.helpers": "helpers",
    "robustness.tools.folder": "folder",
    "robustness.tools.vis_tools": "vis_tools",
    "robustness.attack_steps": "attack_steps",
    "robustness.attacker": "attacker",
    "robustness.loaders": "loaders",
    "robustness.datasets": "datasets",
    "robustness.defaults": "defaults",
    "robustness.train": "train",
    "robustness.model_utils": "model_utils",
    "robustness.main": "main",
}

# Modules that upstream imports and that no longer exist, and our file that stands in for each.
STAND_INS = {"torchvision.models.utils": "torchvision_models_utils"}

_TRUE = ("1", "true", "yes", "on")


def disabled() -> bool:
    """Whether `ROBUST_REPS_EXT_DISABLE` switches the whole extension off."""
    return os.environ.get("ROBUST_REPS_EXT_DISABLE", "").strip().lower() in _TRUE


class _Finder:
    """A meta-path finder that answers for `MENDED` only, and delegates the finding itself."""

    def __init__(self) -> None:
        self._finding: set[str] = set()

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name not in MENDED or name in self._finding:
            return None
        from importlib.util import find_spec

        self._finding.add(name)
        try:
            spec = find_spec(name)
        finally:
            self._finding.discard(name)
        if spec is not None and spec.loader is not None:
            _mend_after_loading(spec.loader, name)
        return spec


class _StandIns:
    """The last finder: answers for modules that only old versions of torchvision have."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name not in STAND_INS:
            return None
        from importlib.util import find_spec, spec_from_file_location

        ours = find_spec(f"robust_reps_ext.upstream.{STAND_INS[name]}")
        return spec_from_file_location(name, ours.origin) if ours and ours.origin else None


def _mend_after_loading(loader: Any, name: str) -> None:
    upstream_exec = loader.exec_module

    def exec_module(module: ModuleType) -> None:
        loader.__dict__.pop("get_code", None)
        upstream_exec(module)
        from . import mends

        mends.apply(module)

    loader.exec_module = exec_module
    if name == "robustness.main":
        # runpy (`python -m`) asks for the code instead of importing: it gets ours, which imports
        # the mended module and runs it.
        loader.get_code = lambda _name: compile(
            "from robust_reps_ext.upstream.main import run\nrun()", "<robustness.main>", "exec"
        )


def install() -> None:
    """Install the finders once; mend what of upstream is already imported."""
    if disabled() or any(
        type(finder).__name__ == "_Finder" and type(finder).__module__ == __name__
        for finder in sys.meta_path
    ):
        return
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    sys.meta_path.insert(0, _Finder())  # type: ignore[arg-type]
    sys.meta_path.append(_StandIns())  # type: ignore[arg-type]
    late = [sys.modules[name] for name in MENDED if name in sys.modules]
    if late:
        from . import mends

        for module in late:
            mends.apply(module)
