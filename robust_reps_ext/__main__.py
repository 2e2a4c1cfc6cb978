"""``python -m robust_reps_ext`` is ``robust-reps``."""

from .cli import main

main()
