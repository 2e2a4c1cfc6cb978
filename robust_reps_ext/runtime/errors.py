"""The one error that is the user's to mend: a value that cannot be used."""

from __future__ import annotations

import unicodedata

__all__ = ["InputError", "one_line"]

_UNSEEN = ("Cc", "Cs", "Zl", "Zp")
_TURNING = ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")


class InputError(ValueError):
    """A value given by the user cannot be used.

    The message is one line that names the value, the reason and the way out. The command line
    prints that line alone and exits with status 2; from Python it is an ordinary `ValueError`.
    """


def one_line(text: object) -> str:
    r"""Write out what would break a line, move the cursor or turn the writing around.

    Names of files are anyone's, and terminals obey the control characters in them.

    Examples
    --------
    >>> one_line("a\nb")
    'a\\nb'
    """
    return "".join(
        c.encode("unicode_escape").decode() if not c.isprintable() and _unseen(c) else c
        for c in str(text)
    )


def _unseen(character: str) -> bool:
    return (
        unicodedata.category(character) in _UNSEEN
        or unicodedata.bidirectional(character) in _TURNING
    )
