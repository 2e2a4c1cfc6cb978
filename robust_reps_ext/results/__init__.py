"""Everything on disk: records, locks, snapshots, stores, figures, tables, the cox export.

The package itself can be called: ``rr.results("out")`` gives the tables of a folder of results, see
`robust_reps_ext.results.tables.tables`.
"""

import sys
from types import ModuleType

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os

    from .tables import Tables


class _Results(ModuleType):
    def __call__(self, out: "str | os.PathLike[str]") -> "Tables":
        """The tables of a folder of results, by experiment and model."""
        from .tables import tables

        return tables(out)


sys.modules[__name__].__class__ = _Results
