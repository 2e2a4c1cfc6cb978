"""The model of an experiment, from its store: for `robustness.model_utils`."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from robustness.tools import constants, helpers
from torch import nn

from ...runtime.errors import InputError
from .. import registry
from ..stores.reader import decoded

__all__ = ["model_dataset_from_store"]


def model_dataset_from_store(
    s: Any, overwrite_params: Mapping[str, Any] | None = None, which: str | int = "last"
) -> tuple[nn.Module, Any, Any]:
    """The model, data set and arguments of a finished or running experiment.

    Parameters
    ----------
    s
        A cox store, or (directory, experiment).
    overwrite_params
        Arguments that replace those in the store, for example ``{"data": "/other/place"}``.
    which
        ``"last"``, ``"best"``, or the number of an epoch (from 0) whose checkpoint was kept.

    Returns
    -------
    tuple
        (model, data set, arguments as `cox.utils.Parameters`).

    Raises
    ------
    InputError
        If the store has no metadata or no such checkpoint, or `which` is something else.
    """
    from cox.store import Store
    from cox.utils import Parameters
    from robustness.model_utils import make_and_restore_model

    names = {"last": constants.CKPT_NAME_LATEST, "best": constants.CKPT_NAME_BEST}
    if isinstance(which, int) and not isinstance(which, bool):
        name = helpers.ckpt_at_epoch(which)
    elif which in names:
        name = names[which]
    else:
        raise InputError.also(AssertionError)(
            f"which={which!r}: give 'last', 'best' or the number of an epoch"
        )
    store = Store(*s, mode="r") if isinstance(s, tuple) else s
    try:
        params = {**_metadata(store), **(overwrite_params or {})}
        path = os.path.join(store.path, name)
    finally:
        if store is not s:
            store.close()
    for needed in ("arch", "dataset"):
        if params.get(needed) is None:
            raise InputError.also(KeyError)(
                f"the metadata of {store.path} has no {needed}: give it in overwrite_params"
            )
    folder = os.path.expandvars(params.get("data") or "/tmp/")
    # Of other data sets, options of these names are a script's own.
    folder_set = registry.is_folder(params["dataset"])
    told = registry.data_set_arguments(params["dataset"], params, path) if folder_set else {}
    dataset = registry.data_set(params["dataset"], folder, **told)
    model, _ = make_and_restore_model(arch=params["arch"], dataset=dataset, resume_path=path)
    return model, dataset, Parameters(params)


def _metadata(store: Any) -> dict[str, Any]:
    """The arguments of the latest run that wrote into the store."""
    if "metadata" not in store.tables:
        raise InputError.also(KeyError)(
            f"store {store.path} has no metadata: it was not made by training"
        )
    table = store["metadata"]
    row = decoded(table, table.df.tail(1).copy()).iloc[-1].to_dict()
    values = {name: _plain(value) for name, value in row.items()}
    # Upstream wrote all arguments as one object.
    nested = values.pop("params", {})
    return {**values, **nested} if isinstance(nested, Mapping) else values


def _plain(value: Any) -> Any:
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and math.isnan(value) else value
