"""What people have answered to a study: files of the page, read, counted, with intervals."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..runtime.errors import InputError
from ..runtime.files import writing
from .plots import Line, shares_figure
from .result import shown_in_html

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure

__all__ = ["COLUMNS", "Answers", "read_study"]

COLUMNS = (
    "study", "seed", "person", "order", "condition", "image", "truth", "answer", "correct",
    "milliseconds",
)  # fmt: skip
DRAWS = 2000


@dataclass(frozen=True, repr=False)
class Answers:
    """The answers of all people.

    Attributes
    ----------
    rows
        One for each answer, with the columns `COLUMNS`.
    """

    rows: pandas.DataFrame

    def to_frame(self, *, confidence: float = 0.95, seed: int = 0) -> pandas.DataFrame:
        """A row for each condition: the share that is right, and its interval.

        The interval is that of a bootstrap over people and over images: both are drawn anew,
        because other people would have answered otherwise, and other images would have been
        harder or easier. With one person, it is over images alone.

        Parameters
        ----------
        confidence
            Of the interval.
        seed
            Of the draws.
        """
        import pandas

        rows = []
        for condition, some in self._asked().groupby("condition", sort=True):
            people = some["person"].astype("category").cat.codes.to_numpy()
            images = some["image"].astype("category").cat.codes.to_numpy()
            right = some["correct"].to_numpy(dtype=float)
            low, high = _interval(right, people, images, confidence, seed)
            told = {"correct": right.mean(), "low": low, "high": high, "answers": len(some)}
            told |= {"people": people.max() + 1, "images": images.max() + 1}
            told["milliseconds"] = float(some["milliseconds"].median())
            rows.append({"condition": condition, **told})
        return pandas.DataFrame(rows)

    def figure(self) -> Figure:
        """The share that is right under each condition, with its interval."""
        found = self.to_frame()
        line = Line(found["correct"].tolist(), found["low"].tolist(), found["high"].tolist())
        return shares_figure(found["condition"].tolist(), [line])

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write all answers into one CSV file, which `read_study` and `load` read.

        Raises
        ------
        InputError
            If the file cannot be written.
        """
        path = Path(path)
        correct = self.rows["correct"].map({True: "1", False: "0"}).fillna("")
        text = self.rows.assign(correct=correct).to_csv(
            index=False, quoting=csv.QUOTE_ALL, lineterminator="\r\n"
        )
        with writing(path, "choose another place") as file:
            file.write(text.encode())
        return path

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Answers:
        """What `save` wrote, or a study saved; see `read_study`."""
        return read_study(path)

    def _repr_html_(self) -> str:
        return shown_in_html(self)

    def _some(self) -> Answers:
        return self

    def __repr__(self) -> str:
        people = self.rows["person"].nunique()
        told = ", ".join(
            f"{one.condition} {100 * one.correct:.0f}%" for one in self.to_frame().itertuples()
        )
        return (
            f"{len(self.rows)} answers of {people} people\nright: {told or 'nothing to be right'}"
        )

    def _asked(self) -> pandas.DataFrame:
        """Those to which there is a right answer."""
        return self.rows[self.rows["correct"].notna()]


def read_study(paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> Answers:
    """Read the answers that a study's page has saved.

    Parameters
    ----------
    paths
        The CSV files, or a folder of them.

    Raises
    ------
    InputError
        If there are none, one is none of these files, they are of several studies, or a person is
        in two of them.

    Examples
    --------
    >>> import robust_reps_ext as rr
    >>> rr.read_study("answers")  # doctest: +SKIP
    480 answers of 6 people
    right: invert critters-robust 92%, invert critters-standard 31%
    """
    import pandas

    files = _files(paths)
    rows: list[dict[str, Any]] = []
    whose: dict[str, Path] = {}
    for path in files:
        found = _read(path)
        rows += found
        for person in {row["person"] for row in found}:
            if whose.setdefault(person, path) is not path:
                raise InputError(
                    f"{person!r} answers in {whose[person]} and in {path}: keep one of them, or "
                    "give the other another name"
                )
    studies = {row["study"] for row in rows}
    if len(studies) > 1:
        raise InputError(f"these are answers to {len(studies)} studies: read one at a time")
    return Answers(pandas.DataFrame(rows, columns=list(COLUMNS)))


def _files(paths: Any) -> list[Path]:
    given = [paths] if isinstance(paths, (str, os.PathLike)) else list(paths)
    files = [
        file
        for one in map(Path, given)
        for file in (sorted(one.glob("*.csv")) if one.is_dir() else [one])
    ]
    if not files:
        raise InputError(f"{', '.join(map(str, given)) or 'nothing'} holds no CSV files of answers")
    return files


def _read(path: Path) -> list[dict[str, Any]]:
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            rows: list[dict[str, Any]] = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(
            f"{path} cannot be read: {error}; give a file that a study has saved"
        ) from error
    if tuple(reader.fieldnames or ()) != COLUMNS:
        raise InputError(f"{path} is no file that a study has saved: its first line is another")
    for number, row in enumerate(rows, 2):
        try:
            row["correct"] = {"": None, "0": False, "1": True}[row["correct"]]
            row["milliseconds"] = int(row["milliseconds"])
            row["order"] = int(row["order"])
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{path}, line {number}, is damaged: {row}") from error
    return rows


def _interval(
    right: np.ndarray, people: np.ndarray, images: np.ndarray, confidence: float, seed: int
) -> tuple[float, float]:
    """Ends of the interval of the mean; each answer counts as often as its person times image."""
    rng = np.random.default_rng(seed)
    shares = []
    for _ in range(DRAWS):
        weights = np.ones(len(right))
        for who in (people, images):
            count = who.max() + 1
            if count > 1:
                weights = weights * rng.multinomial(count, np.full(count, 1 / count))[who]
        if weights.sum():
            shares.append(np.average(right, weights=weights))
    tail = (1 - confidence) / 2
    low, high = np.quantile(shares, (tail, 1 - tail))
    return float(low), float(high)
