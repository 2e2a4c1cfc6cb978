"""The extension's own facts: its version, and what the environment says about it."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["__version__", "cache_folder", "disabled", "is_on"]

__version__ = "1.0.0"


def is_on(variable: str) -> bool:
    """Whether an environment variable says yes."""
    return os.environ.get(variable, "").strip().lower() in ("1", "true", "yes", "on")


def disabled() -> bool:
    """Whether `ROBUST_REPS_EXT_DISABLE` switches the whole extension off."""
    return is_on("ROBUST_REPS_EXT_DISABLE")


def cache_folder() -> Path:
    """Where what is made or fetched once is kept: in the user's cache.

    The environment variable ``ROBUST_REPS_EXT_CACHE`` names another folder.
    """
    import platformdirs

    given = os.environ.get("ROBUST_REPS_EXT_CACHE")
    return Path(given or platformdirs.user_cache_path("robust-reps-ext")).expanduser()
