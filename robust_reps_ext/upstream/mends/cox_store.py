"""Mends `cox.store`: stores that open safely, keep what they are given and survive a kill."""

from __future__ import annotations

from ..mend import Mend, derive, mentions
from ..stores.store import ClosableStore, ContinuedStore, OpenedStore, SnapshotStore
from ..stores.tables import DurableRows, FaithfulRows, GuardedTable

__all__ = ["MENDS"]

MENDS: tuple[Mend, ...] = (
    Mend(
        "Table._tables_from_store",
        "store.py:264",
        "Opening a foreign store, or reading an object that it keeps in a file, runs whatever "
        "code its pickles hold.",
        lambda module: not mentions("Table._tables_from_store", "guarded")(module),
        derive("Table", GuardedTable),
    ),
    Mend(
        "Table.update_row",
        "store.py:357",
        "'False' becomes True in a bool column, 1.9 becomes 1 in an int column, None becomes "
        "'None' in a text column and an error in a float column.",
        mentions("Table.update_row", "to_store"),
        derive("Table", FaithfulRows),
    ),
    Mend(
        "Table.flush_row",
        "store.py:439",
        "A text longer than the first of its column is refused, pandas 2 and 3 cannot append to "
        "each other's tables, and a kill after the first row loses the schema.",
        mentions("Table.flush_row", "append", "nrows"),
        derive("Table", DurableRows),
    ),
    Mend(
        "Store.__init__",
        "store.py:63",
        "Reading an experiment that does not exist makes it, and a store that is held by another "
        "process, damaged or unwritable ends in an HDF5 back trace.",
        mentions("Store.__init__", "HDFStore"),
        derive("Store", OpenedStore),
    ),
    Mend(
        "Store.add_table",
        "store.py:150",
        "An experiment that is resumed under its name cannot write its tables with other "
        "settings than before.",
        lambda module: not mentions("Store.add_table", "continue_with")(module),
        derive("Store", ContinuedStore),
    ),
    Mend(
        "Store.close",
        "store.py:111",
        "The tensorboard writer and its thread stay open, and a store cannot be used in a `with` "
        "block.",
        lambda module: not hasattr(module.Store, "__exit__"),
        derive("Store", ClosableStore),
    ),
    Mend(
        "Store.snapshot_copy",
        "store.py:206",
        "Tables without rows are forgotten, tables at hand point to a closed file, and a store "
        "opened with mode 'w' is wiped.",
        mentions("Store.snapshot_copy", "snapshot_folder"),
        derive("Store", SnapshotStore),
    ),
)
