"""Apply the mends to each module of `robustness` and `cox` just after it has been imported."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import threading
import warnings
from importlib.abc import Loader
from importlib.machinery import ModuleSpec
from types import CodeType, ModuleType
from typing import Any

from ..runtime.environment import disabled
from . import cuda_noop, known, mend

__all__ = ["install", "installed"]

# Modules that upstream imports and that no longer exist, and our file that stands in for each.
STAND_INS = {"torchvision.models.utils": "torchvision_models_utils"}

# What `python -m <module>` calls. runpy compiles a module's file instead of importing it, so
# without this the mends of the module itself would be passed by.
COMMANDS = {
    "robustness.main": "from robust_reps_ext.upstream.training.command import run",
    "cox.tensorboard_view": "from cox.tensorboard_view import main as run",
}


_READ_NOTEBOOK_MODE = ("robustness.attacker", "robustness.loaders", "robustness.train")

_installing = threading.Lock()


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
    late = [sys.modules[name] for name in mend.MENDED if name in sys.modules]
    if late:
        for module in late:
            _prepare(module.__name__)
        mend.apply_late(late)


class _Finder:
    """Answers for `mend.MENDED` only: asks the other finders, and has what they found mended."""

    def __init__(self) -> None:
        self._asking: set[tuple[int, str]] = set()

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        # Another finder that delegates like this one may ask back: it gets no answer.
        question = (threading.get_ident(), name)
        if name not in mend.MENDED or question in self._asking:
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
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        module.__loader__ = self._loader
        _prepare(module.__name__)
        self._loader.exec_module(module)
        mend.apply(module)

    def get_code(self, name: str) -> CodeType | None:
        if name not in COMMANDS:
            return self._loader.get_code(name)
        if known.reason(name) is not None:
            _prepare(name)
            known.tell(name.partition(".")[0])
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


def _prepare(name: str) -> None:
    """Make the environment ready for the upstream module `name`, which is about to be executed."""
    if not name.startswith("robustness."):
        return
    if name == "robustness.main":
        # main.py:8 imports git, which without this refuses to load on a machine without git.
        os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    if name == "robustness.train" and known.reason(name) is None:
        # train.py:24 warns that apex is missing; the mended training does without.
        warnings.filterwarnings("ignore", "Could not import amp", module=r"robustness\.train")
    if name in _READ_NOTEBOOK_MODE:
        _normalise_notebook_mode()
    cuda_noop.arm()


def _normalise_notebook_mode() -> None:
    """Leave 1 only where notebook bars work, and nothing that upstream's `int()` cannot read."""
    asked = os.environ.get("NOTEBOOK_MODE")
    if asked is None:
        return
    yes = asked.strip().lower() in ("1", "true", "yes", "on")
    works = yes and importlib.util.find_spec("ipywidgets") is not None
    os.environ["NOTEBOOK_MODE"] = "1" if works else "0"
