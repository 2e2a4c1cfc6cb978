"""The one error that is the user's to mend: a value that cannot be used."""

from __future__ import annotations

__all__ = ["InputError"]


class InputError(ValueError):
    """A value given by the user cannot be used.

    The message is one line that names the value, the reason and the way out. The command line
    prints that line alone and exits with status 2; from Python it is an ordinary `ValueError`.
    """
