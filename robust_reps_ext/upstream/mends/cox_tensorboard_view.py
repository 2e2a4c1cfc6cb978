"""Mends `cox.tensorboard_view`, the command cox-tensorboard."""

from __future__ import annotations

from ..mend import Mend, bind, mentions
from ..stores.tensorboard import main

__all__ = ["MENDS"]

MENDS: tuple[Mend, ...] = (
    Mend(
        "main",
        "tensorboard_view.py:52",
        "Metadata of the stores goes into a shell command, which runs what they hold.",
        mentions("main", "system"),
        bind(main=main),
    ),
)
