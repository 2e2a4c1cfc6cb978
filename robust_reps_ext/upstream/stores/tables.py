"""Tables that open safely and keep rows as they are given, on the disk at once.

Each class stands in front of `cox.store.Table`.
"""

from __future__ import annotations

import os
import pickle
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ...results import cox_columns, hdf5, safe_pickle
from ...runtime.errors import InputError, first_line

if TYPE_CHECKING:
    from cox.store import Table as UpstreamTable
else:
    UpstreamTable = object

__all__ = ["DurableRows", "FaithfulRows", "GuardedTable"]

_TRUST = (
    "if you trust whoever wrote it, open it inside robust_reps_ext.results.store.trusting() or "
    "with ROBUST_REPS_EXT_TRUST_STORES=1"
)


class GuardedTable(UpstreamTable):
    """Opens tables and the objects that they keep in files without running code."""

    @staticmethod
    def _tables_from_store(store: Any, table_obj_dir: str) -> dict[str, Any]:
        from cox.store import Table

        tables = {}
        with hdf5.guarded():
            for key in store:
                try:
                    attributes = store.get_storer(key).attrs
                except Exception as error:  # a damaged or hostile table can raise anything
                    raise InputError(
                        f"table {key.strip('/')} of {store.filename} cannot be opened, because it "
                        f"is damaged or not made of plain values ({hdf5.summary(error)}): {_TRUST}"
                    ) from error
                if hdf5.COX_DATA_KEY not in attributes:
                    warnings.warn(
                        f"table {key.strip('/')} of {store.filename} is passed over: it has no "
                        "schema, because its run was stopped or because cox did not write it",
                        stacklevel=2,
                    )
                    continue
                data = attributes[hdf5.COX_DATA_KEY]
                if not _is_schema(data):
                    raise InputError(
                        f"the schema of table {key.strip('/')} of {store.filename} is not made of "
                        f"plain values: {_TRUST}"
                    )
                tables[data["name"]] = Table(
                    data["name"], data["schema"], table_obj_dir, store, has_initialized=True
                )
        return tables

    def get_pickle(self, uid: str) -> Any:
        """Read an object that the table keeps in a file, without running code."""
        path = self._file_of(uid)
        if safe_pickle.trusted():
            return super().get_pickle(uid)
        with open(path, "rb") as file:
            try:
                return safe_pickle.loads(file.read())
            except safe_pickle.NeedsCodeError as refusal:
                raise InputError(f"object {path} is left unread: {refusal}; {_TRUST}") from None
            except pickle.UnpicklingError as error:
                raise InputError(f"object {path} is unreadable: {error}") from error

    def get_state_dict(self, uid: str, **kwargs: Any) -> Any:
        """Read a PyTorch state that the table keeps in a file, without running code."""
        import torch

        path = self._file_of(uid)
        if safe_pickle.trusted():
            return super().get_state_dict(uid, **kwargs)
        kwargs.pop("pickle_module", None)
        try:
            return torch.load(path, **{**kwargs, "weights_only": True})
        except pickle.UnpicklingError as error:
            said = first_line(error)
            raise InputError(f"state {path} is left unread: {said} {_TRUST}") from error

    def _file_of(self, uid: str) -> str:
        if os.path.basename(uid) != uid:
            raise InputError(f"{uid!r} does not name an object of table {self._name}")
        return os.path.join(self._table_obj_dir, uid)


def _is_schema(data: Any) -> bool:
    return (
        isinstance(data, dict)
        and isinstance(data.get("name"), str)
        and isinstance(data.get("schema"), dict)
        and all(isinstance(kind, (type, str)) for kind in data["schema"].values())
    )


class FaithfulRows(UpstreamTable):
    """Refuses values that a column would change, see `cox_columns.faithful`."""

    def update_row(self, data: Mapping[str, Any]) -> None:
        """Set columns of the row at hand; `flush_row` writes it. As upstream's otherwise."""
        unknown = sorted(str(name) for name in data if name not in self._schema)
        if unknown:
            raise InputError(
                f"table {self._name} has no column {', '.join(unknown)}: its columns are "
                f"{', '.join(self._schema)}"
            )
        kept = {}
        for name, value in data.items():
            if isinstance(self._schema[name], type):
                where = f"column {name} of table {self._name}"
                kept[name] = cox_columns.faithful(value, self._schema[name], where)
        super().update_row({name: value for name, value in data.items() if name not in kept})
        self._curr_row_data.update(kept)


class DurableRows(UpstreamTable):
    """Writes rows that stay, whatever their length and whoever laid the table out."""

    _schema: Any
    _curr_row_data: Any
    # The schema that this run asked for, and the one on the disk, where they differ.
    _given_schema: Mapping[str, Any] | None = None
    _stored_schema: Mapping[str, Any] | None = None

    def continue_with(self, schema: Mapping[str, Any]) -> None:
        """Let the rows to come have `schema`, which may differ from that of the rows before."""
        stored = self._stored_schema or self._schema
        where = f"table {self._name} of {self._HDFStore.filename}"
        self._schema = cox_columns.merged(stored, schema, where)
        self._given_schema, self._stored_schema = dict(schema), stored
        self._curr_row_data = None
        self._create_row()

    def flush_row(self) -> None:
        """Write the row at hand, and have it on the disk when this returns."""
        given = self._given_schema or self._schema
        self.update_row({name: None for name in self._schema if name not in given})
        row = self._curr_row_data
        unset = [name for name in self._schema if row[name] is None]
        if unset:
            raise InputError.also(AssertionError)(
                f"column {', '.join(unset)} of table {self._name} has no value: give one before "
                "the row is written"
            )
        attributes = {hdf5.COX_DATA_KEY: {"schema": dict(self._schema), "name": self._name}}
        if self._stored_schema is not None and self._stored_schema != self._schema:
            self._change_schema(attributes)
        row_frame = cox_columns.frame([row], self._schema)
        hdf5.append_row(self._HDFStore, self._name, row_frame, attributes)
        self._has_initialized = True
        self._curr_row_data = None
        self._create_row()

    def _change_schema(self, attributes: dict[str, Any]) -> None:
        from cox.store import obj_to_string

        old = self._HDFStore.get(self._name)
        new = cox_columns.converted(old, self._stored_schema or {}, self._schema, obj_to_string)
        hdf5.rewrite(self._HDFStore, self._name, new, attributes)
        self._stored_schema = None
