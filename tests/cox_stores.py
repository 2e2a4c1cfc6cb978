"""Stores of cox as strangers leave them, and what of them is plain."""

from __future__ import annotations

import os

import robust_reps_ext  # noqa: F401

from cox.readers import CollectionReader  # isort: skip
from cox.store import Store  # isort: skip


class Bomb:
    """Runs a command when it is unpickled."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.system, (f"touch {self.mark}",)


def fill(folder, name="run", table="t", rows=(), schema=None):
    with Store(folder, name) as store:
        store.add_table(table, schema)
        for row in rows:
            store[table].append_row(row)


def read(folder, table="t", **options):
    reader = CollectionReader(folder)
    try:
        return reader.df(table, **options)
    finally:
        reader.close()
