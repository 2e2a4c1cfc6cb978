"""Stores of cox as strangers leave them, and what of them is plain."""

from __future__ import annotations

import robust_reps_ext  # noqa: F401

from cox.readers import CollectionReader  # isort: skip
from cox.store import Store  # isort: skip


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
