"""What a folder of results says, as tidy tables by experiment, with a column of models."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..runtime.errors import InputError, near, one_line
from .reader import StoredExperiment, read_results
from .units import finished_units

if TYPE_CHECKING:
    import pandas

__all__ = ["Tables", "tables"]

# What is of the files, and not of what was found.
_INNER = ("tensors",)


class Tables(Mapping[str, Any]):
    """Experiment -> its table, a `pandas.DataFrame` with a row for each image or number.

    The columns ``model`` and ``folder`` come first; several folders of one experiment stand one
    below the other.
    """

    def __init__(self, out: Path, frames: Mapping[str, pandas.DataFrame]) -> None:
        self.out, self._frames = out, dict(frames)

    def __getitem__(self, experiment: str) -> pandas.DataFrame:
        if experiment not in self._frames:
            known = near(experiment, self._frames, [*self._frames])
            raise InputError.also(KeyError)(
                f"{self.out} holds no experiment {experiment!r}: it holds {known}"
            )
        return self._frames[experiment]

    def __iter__(self) -> Iterator[str]:
        return iter(self._frames)

    def __len__(self) -> int:
        return len(self._frames)

    def to_frame(self) -> pandas.DataFrame:
        """A row for each experiment and model: rows, and the mean of the objective if there is one.

        Of an inversion the objective is the relative distance to the target, of a visualisation
        the value of the coordinate.
        """
        import pandas

        rows = [
            {
                "experiment": name,
                "model": model,
                "rows": len(some),
                "objective": some["objective"].mean() if "objective" in some else None,
            }
            for name, frame in self._frames.items()
            for model, some in frame.groupby("model", sort=False)
        ]
        return pandas.DataFrame(rows, columns=["experiment", "model", "rows", "objective"])

    def __repr__(self) -> str:
        models = {model for frame in self._frames.values() for model in frame["model"]}
        told = ", ".join(f"{name} {len(frame)} rows" for name, frame in self._frames.items())
        head = f"Results of {len(self)} experiments with {len(models)} models in {self.out}"
        return f"{one_line(head)}\n{one_line(told)}"

    def _repr_html_(self) -> str:
        shown: str = self.to_frame().to_html(index=False, float_format="{:.2g}".format)
        return shown


def tables(out: str | os.PathLike[str]) -> Tables:
    """What a folder holds that commands have written to, by experiment and model.

    Parameters
    ----------
    out
        As given to ``robust-reps ... --out``, also of `paper`, `demo` and `scorecard`.

    Returns
    -------
    Tables

    Raises
    ------
    InputError
        If there is no such folder, it holds no results, or they are damaged.

    Examples
    --------
    >>> import robust_reps_ext as rr
    >>> found = rr.results("out")  # doctest: +SKIP
    >>> found["invert"].groupby("model")["objective"].mean()  # doctest: +SKIP
    """
    import pandas

    folder = Path(out)
    if not folder.is_dir():
        raise InputError(f"no folder {one_line(out)}: give one that a command has written to")
    kept = {unit.path.name: unit.manifest for unit in finished_units(folder)}
    found: dict[str, list[pandas.DataFrame]] = {}
    for one in read_results(folder):
        name = str(one.metadata.get("experiment", ""))
        frame = _frame(one, kept.get(one.path.name))
        if name and len(frame):
            frame.insert(1, "folder", one.path.name)
            found.setdefault(name, []).append(frame)
    if not found:
        raise InputError(f"{one_line(out)} holds no results: give a folder that a command wrote to")
    return Tables(
        folder, {name: pandas.concat(some, ignore_index=True) for name, some in found.items()}
    )


def _frame(one: StoredExperiment, unit: Mapping[str, Any] | None) -> pandas.DataFrame:
    """The rows of an experiment, the column of models first."""
    import pandas

    frame = one.results.drop(columns=[name for name in _INNER if name in one.results])
    if unit is None:
        models = frame.pop("model") if "model" in frame else one.metadata.get("model", "")
        if len(frame):
            frame.insert(0, "model", models)
        return frame
    names = {role: model["name"] for role, model in unit["study"].get("models", {}).items()}
    if unit["kind"] == "table":
        metadata = unit["metadata"]
        return pandas.DataFrame(
            {
                "model": names.get(role, role),
                "attack": attack,
                "eps": metadata["eps"],
                "accuracy": share["share"],
                "low": share["interval"][0],
                "high": share["interval"][1],
                "n": metadata["images"],
            }
            for role, shares in metadata["rows"].items()
            for attack, share in zip(metadata["columns"], shares, strict=True)
        )
    if unit["kind"] == "scorecard":
        return pandas.DataFrame(
            {
                "model": names.get(role, role),
                "claim": claim["name"],
                "measure": measure["name"],
                "unit": measure["unit"],
                **measure[role],
                "verdict": measure["verdict"],
            }
            for claim in unit["metadata"]["claims"]
            for measure in claim["measures"]
            for role in ("robust", "standard")
        )
    if len(frame):
        # A role with what it is of, robust-noise; or a network's own name, which may have a dash.
        roles = (name if name in names else name.partition("-")[0] for name in frame["name"])
        frame.insert(0, "model", [names.get(role, role) for role in roles])
    return frame
