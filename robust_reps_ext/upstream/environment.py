"""What upstream looks at while it is imported, put right just before."""

from __future__ import annotations

import importlib.util
import os
import warnings

from . import cuda_noop

__all__ = ["prepare"]

_READ_NOTEBOOK_MODE = ("robustness.attacker", "robustness.loaders", "robustness.train")


def prepare(name: str) -> None:
    """Make the environment ready for the upstream module `name`, which is about to be executed."""
    if not name.startswith("robustness."):
        return
    if name == "robustness.main":
        # main.py:8 imports git, which without this refuses to load on a machine without git.
        os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    if name == "robustness.train":
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
