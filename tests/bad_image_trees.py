"""Folders in which some images cannot be read."""

from __future__ import annotations

import io

import pytest
from PIL import Image

# Python 3.12 warns whenever a process with threads forks, as every DataLoader with workers does.
FORKS = pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")


CLASSES = ("ant", "bee", "cat")


EACH = 4


BAD = (2, 5)


SIZE = (32, 32)


def saved(kind, mode="RGB", color=100, size=(8, 8), **options):
    stream = io.BytesIO()
    Image.new(mode, size, color).save(stream, kind, **options)
    return stream.getvalue()


GOOD = [i for i in range(len(CLASSES) * EACH) if i not in BAD]
