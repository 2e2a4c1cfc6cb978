"""Apply the mends to each module of `robustness` and `cox` just after it has been imported."""

from __future__ import annotations

import importlib
import os
import sys
import threading
from importlib.abc import Loader
from importlib.machinery import ModuleSpec
from types import CodeType, ModuleType
from typing import Any

__all__ = ["MENDED", "disabled", "install", "installed", "is_on"]

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

# What `python -m <module>` calls. runpy compiles a module's file instead of importing it, so
# without this the mends of the module itself would be passed by.
COMMANDS = {
    "robustness.main": "from robust_reps_ext.upstream.mends.main import run",
    "cox.tensorboard_view": "from cox.tensorboard_view import main as run",
}


_installing = threading.Lock()


def is_on(variable: str) -> bool:
    """Whether an environment variable says yes."""
    return os.environ.get(variable, "").strip().lower() in ("1", "true", "yes", "on")


def disabled() -> bool:
    """Whether `ROBUST_REPS_EXT_DISABLE` switches the whole extension off."""
    return is_on("ROBUST_REPS_EXT_DISABLE")


def installed() -> bool:
    """Whether the hook is in place in this process."""
    # By name: after a reload of this file the class is another one.
    return any(
        type(finder).__name__ == "_Finder" and type(finder).__module__ == __name__
        for finder in sys.meta_path
    )


def install() -> None:
    """Install the finders once; mend what of upstream is already imported."""
    with _installing:
        if disabled() or installed():
            return
        sys.meta_path.insert(0, _Finder())
        sys.meta_path.append(_StandIns())
    late = [sys.modules[name] for name in MENDED if name in sys.modules]
    if late:
        from . import environment, mend

        for module in late:
            environment.prepare(module.__name__)
        mend.apply_late(late)


class _Finder:
    """Answers for `MENDED` only: asks the other finders, and has what they found mended."""

    def __init__(self) -> None:
        self._asking: set[tuple[int, str]] = set()

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        # Another finder that delegates like this one may ask back: it gets no answer.
        question = (threading.get_ident(), name)
        if name not in MENDED or question in self._asking:
            return None
        self._asking.add(question)
        try:
            spec = self._ask_others(name, path, target)
        finally:
            self._asking.discard(question)
        if spec is not None and hasattr(spec.loader, "exec_module"):
            spec.loader = _MendingLoader(spec.loader)
        return spec

    def _ask_others(self, name: str, path: Any, target: Any) -> Any:
        for finder in tuple(sys.meta_path):
            if finder is not self and hasattr(finder, "find_spec"):
                spec = finder.find_spec(name, path, target)
                if spec is not None:
                    return spec
        return None


class _MendingLoader:
    """Stands before a module's own loader until the module has been executed and mended.

    The loader itself stays as it is, because one zip archive shares one loader among its modules.
    """

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def __getattr__(self, name: str) -> Any:
        if name == "_loader":  # a copy that is still empty
            raise AttributeError(name)
        return getattr(self._loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        from . import environment, mend

        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        module.__loader__ = self._loader
        environment.prepare(module.__name__)
        self._loader.exec_module(module)
        mend.apply(module)

    def get_code(self, name: str) -> CodeType | None:
        if name not in COMMANDS:
            return self._loader.get_code(name)
        # Under another name than __main__ (a spawned process, runpy without run_name) nothing
        # may run: the names are all that is wanted.
        return compile(
            f"if __name__ == '__main__':\n"
            f"    {COMMANDS[name]}\n"
            f"    run()\n"
            f"else:\n"
            f"    import {name} as _upstream\n"
            f"    globals().update((k, v) for k, v in vars(_upstream).items() if k[:2] != '__')\n",
            f"<{name}, mended>",
            "exec",
        )


class _StandIns:
    """The last finder: answers for modules that only old versions of torchvision have."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if name not in STAND_INS or "robustness" not in sys.modules:
            return None
        return ModuleSpec(name, _StandInLoader(), origin=f"robust_reps_ext: {STAND_INS[name]}")


class _StandInLoader(Loader):
    """Fills a module with the public names of our file."""

    def create_module(self, spec: ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        name = STAND_INS[module.__name__]
        ours = importlib.import_module(f"robust_reps_ext.upstream.mends.{name}")
        for name in ours.__all__:
            setattr(module, name, getattr(ours, name))
