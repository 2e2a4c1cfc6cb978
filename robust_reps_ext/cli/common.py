"""What the commands of the experiments share: model, data, store, and the lines at the end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import typer
from typing_extensions import Self

from ..models.zoo.bundled import bundled, card
from ..results.locks import rank_and_world
from ..results.names import short_names
from ..runtime.errors import InputError
from ..upstream.registry import is_folder
from . import console
from .options import (
    DataOptions,
    FigureOptions,
    ImagesOptions,
    ModelOptions,
    PgdOptions,
    RegionOptions,
    RunOptions,
    like,
)
from .own_images import own_samples, readable, size_for

if TYPE_CHECKING:
    import torch
    from robustness.attacker import AttackerModel
    from robustness.datasets import DataSet

    from ..datasets.samples import Samples
    from ..results.store import ExperimentStore, Part
    from ..results.synthesis import Synthesis
    from ..synthesis.settings import Options

__all__ = [
    "SHOWN",
    "AllOrN",
    "Experiment",
    "leave_to_first",
    "numbers",
    "tell",
    "tell_page",
    "validation_images",
]

SHOWN = 32
"""Images in a picture, and rows on the terminal; the rest is in the store."""

AllOrN = Annotated[int | None, like("n", "Number of validation images; default: all.")]


# The bases stand in reverse: so their options come in the order model, data, optimisation, run.
@dataclass(frozen=True, kw_only=True)
class Experiment(
    RunOptions,
    FigureOptions,
    RegionOptions,
    PgdOptions,
    ImagesOptions,
    DataOptions,
    ModelOptions,
):
    """What every experiment is told: model, data, how PGD runs, and where results go.

    With `images`, `n` is how many of them are taken, and the data set is needed only where nothing
    else tells the normaliser.
    """

    dataset: str = ""
    of_each: ClassVar[int] = 1

    def __post_init__(self) -> None:
        """Count the images, and find out which data a bundled model was trained on."""
        if self.name and len(self.name) != len(self.model):
            raise InputError(
                f"--name is given {len(self.name)} times and --model {len(self.model)}: give a "
                "name for each network"
            )
        from ..datasets.samples import DRAWN

        known = [card(one).get("dataset") if one in bundled() else None for one in self.model]
        drawn = next((one for one in known if one in DRAWN), None)
        # Of images that are no data set's, each network is asked alone.
        of_all = len(set(known)) == 1 or (self.needs_data and not self.images)
        if not self.dataset and drawn is not None and of_all:
            object.__setattr__(self, "dataset", drawn)
        if not self.images:
            if not self.dataset and self.needs_data:
                raise InputError("give --dataset NAME, or --images FILE|DIR|GLOB")
            return
        there, over = divmod(len(self.files), self.of_each)
        wanted: Any = self.n
        if wanted is None:
            if over:
                raise InputError(f"--images: {len(self.files)} are no pairs: give an even number")
            object.__setattr__(self, "n", there)
        elif not 1 <= wanted <= there:
            what = "images" if self.of_each == 1 else "pairs"
            raise InputError(f"--n {wanted}: give 1 to {there}, as many {what} as --images has")

    @property
    def needs_data(self) -> bool:
        """Whether there is nothing to do without images of a data set, or one's own."""
        return True

    def each(self) -> Iterator[Self]:
        """The same with each network alone, by the shortest name that tells it from the others."""
        last: Self | None = None
        for model, name in zip(self.model, short_names(self.model, self.name), strict=True):
            one = replace(self, model=[model], name=[name])
            if last is not None and not is_folder(self.dataset):  # which a checkpoint knows more of
                known = ("data_set", "validation_set")
                vars(one).update({what: vars(last)[what] for what in known if what in vars(last)})
            yield one
            last = one

    def alone(self, command: str) -> str:
        """The one network of a command that takes no more.

        Raises
        ------
        InputError
            If there are several.
        """
        if len(self.model) > 1:
            raise InputError(
                f"--model is given {len(self.model)} times: {command} takes one network"
            )
        return self.model[0]

    @property
    def short_name(self) -> str:
        """What the network is called, where it is one."""
        return short_names(self.model, self.name)[0]

    @cached_property
    def files(self) -> list[str]:
        """All files of one's own."""
        from ..runtime.image_files import image_paths

        paths = image_paths(self.images or [])
        return [*readable(tuple(paths))] if self.on_bad_image.value == "skip" else paths

    @property
    def paths(self) -> list[str]:
        """Those that are taken."""
        return self.files[: self.n * self.of_each]

    @cached_property
    def data_set(self) -> DataSet:
        """The data set that is named, as the network's checkpoint knows it."""
        return self.open(self.model[0])

    @cached_property
    def side(self) -> int:
        """Height and width of the images that the model takes."""
        known = self.data_set if self.dataset else None
        return size_for(self.size, self.network.card, known)

    @cached_property
    def own(self) -> Samples:
        """Images of one's own, as the model takes them."""
        from ..models.inputs import channels_of, reading_of

        fit = self.fit.value if self.fit else reading_of(self.network).fit
        return own_samples(self.paths, self.side, fit, channels_of(self.network))

    @cached_property
    def class_names(self) -> list[str]:
        """Names of the labels, empty where neither data set nor checkpoint has some."""
        if not self.dataset:
            return list(self.network.card.get("data_set", {}).get("classes", []))
        return super().class_names

    @cached_property
    def label_names(self) -> list[str]:
        """What labels of `samples` are called: of one's own images, the files."""
        return list(self.own.names) if self.images else self.class_names

    @property
    def given(self) -> Options:
        """The keywords that every experiment takes."""
        region: Options = {}
        if self.constraint is not None:
            region["constraint"] = self.constraint.value
        if self.mask is not None:
            region["mask"] = self.pixels
        return {"layer": self.layer, **super().given, **region}

    @cached_property
    def pixels(self) -> torch.Tensor:
        """Where pixels may change, as --mask says, (1, 1, H, W)."""
        from ..runtime.masks import read_mask

        return read_mask(str(self.mask), self.side, self.side)

    @cached_property
    def network(self) -> AttackerModel:
        """The model, on its device, which has the layer that is asked for."""
        from ..models.layers import at_layer

        found = self.load(self.model[0], self)
        at_layer(found, self.layer)
        return found

    def samples(self, part: slice = slice(None), skip: int = 0) -> Samples:
        """Of n validation images, in the order that the seed fixes, some or all."""
        from ..datasets.samples import validation_samples

        if self.images:
            if skip:
                raise InputError("--images are the targets: give --start noise or grey")
            return _some(self.own, part)
        return validation_samples(self.data_set, self.n, skip=skip, seed=self.seed, part=part)

    def pairs(self, part: slice = slice(None)) -> tuple[Samples, Samples]:
        """Of the first n validation images, and of n others, some or all."""
        if self.images:
            left, right = (_some(self.own, slice(side, None, 2)) for side in (0, 1))
            return _some(left, part), _some(right, part)
        most = len(self.validation_set)
        if 2 * self.n > most:
            raise InputError(
                f"n={self.n} pairs are {2 * self.n} images: the validation set of "
                f"{self.dataset!r} has {most}; ask for fewer"
            )
        return self.samples(part), self.samples(part, skip=self.n)

    def coordinates(self, text: str, images: torch.Tensor) -> list[int]:
        """The coordinates that a text names: 3,50 or random:8."""
        from ..models.representation import shuffled_coordinates

        head, drawn, count = text.partition(":")
        if not drawn:
            return numbers("coordinates", text, int)
        if head != "random" or not count.isdecimal() or int(count) < 1:
            raise InputError(f"--coordinates {text!r}: give numbers such as 3,50, or random:8")
        order = shuffled_coordinates(self.network, images, seed=self.seed, layer=self.layer)
        if int(count) > len(order):
            raise InputError(
                f"--coordinates {text!r}: R(x) has {len(order)} coordinates; ask for fewer"
            )
        return sorted(order[: int(count)])

    def store(
        self, experiment: str, *, name: str | None = None, **settings: Any
    ) -> ExperimentStore:
        """Go on with an experiment on the disk, or begin it; a setting of None is its default."""
        import torch

        from ..models.inputs import channels_of
        from ..models.loading import weights_digest
        from ..results.figures import as_colors
        from ..results.snapshot import described
        from ..runtime.modules import digest

        as_colors(torch.zeros(1, channels_of(self.network), 1, 1), self.channels)
        region = {} if self.mask is None else {"mask": described(self.pixels)[:16]}
        own = {"images": digest({"images": self.own.images})[:16]} if self.images else {}
        return self.resume(
            experiment,
            {**self.given, **region, "n": self.n, "seed": self.seed, **own, **settings},
            {
                "model": self.model[0],
                "dataset": self.dataset,
                "data": str(self.data or ""),
                **({"files": self.paths} if self.images else {}),
                "weights": weights_digest(self.network),
                **self.network.card,
            },
            name,
        )

    def in_parts(
        self,
        store: ExperimentStore,
        name: str,
        make: Callable[[Part, dict[str, Any]], tuple[Synthesis, list[dict[str, Any]]]],
        *,
        said: tuple[str, str],
        n: int | None = None,
        each: int = 1,
        size: int | None = None,
    ) -> tuple[Synthesis, list[dict[str, Any]]]:
        """Make what is not finished of a whole, part by part; then all of it, and its rows.

        `make` gets a part and the keywords of the experiment; the bar is called `said`: what goes
        on, and which number stands beside it. Of the `n` things (default: as many as images) each
        takes the room of `each` images in a batch, and `size` (default: as many as fit) make a
        part.
        """
        n = self.n if n is None else n
        what, value = said
        size = size or max(1, self.images_at_once // each)
        with store.parts(name, n, size) as parts:
            for number, part in enumerate(parts):
                runs = 0 if number else (n - part.first) / len(part)
                label = what if len(part) == n else f"{what} {part.first + 1}-{part.stop} of {n}"
                with console.progress(label, "steps", value, runs) as progress:
                    given = {
                        **self.given,
                        "seed": self.seed,
                        "first": part.first,
                        "snapshot": part.snapshot,
                        "snapshot_interval": self.save_interval,
                        "progress": progress,
                    }
                    found, rows = make(part, given)
                store.add(part, found, _made_with(found, rows))
        return store.whole(name)


def leave_to_first() -> None:
    """End the command here but in the first of several processes, which shows the whole."""
    if rank_and_world()[0] > 0:
        raise typer.Exit


def _some(samples: Samples, part: slice) -> Samples:
    return samples.rows(range(len(samples.names))[part])


def validation_images(data: DataOptions, n: int | None, seed: int) -> tuple[Any, list[int]]:
    """The validation images, or n that the seed chooses; and their positions in the set.

    Of an experiment with images of one's own, these, whose labels are their positions.
    """
    if isinstance(data, Experiment) and data.images:
        own = data.own
        return [*zip(own.images, own.labels.tolist(), strict=True)], own.labels.tolist()
    from torch.utils.data import Subset

    from ..datasets.samples import validation_places

    positions = sorted(validation_places(data.data_set, n, seed=seed))
    return Subset(data.validation_set, positions), positions


def numbers(name: str, text: str, kind: Callable[[str], Any]) -> list[Any]:
    """The numbers in a text such as 2,8,32."""
    try:
        return [kind(part) for part in text.split(",")]
    except ValueError:
        example = "20,100" if kind is int else "2,8,32"
        raise InputError(
            f"--{name} {text!r}: give numbers with commas between, such as {example}"
        ) from None


def tell(header: Sequence[str], rows: Iterable[Iterable[object]], paths: Sequence[Path]) -> None:
    """Show a table, and say what was written; of many, the first."""
    body = [list(row) for row in rows]
    console.show_table(header, body[:SHOWN])
    if len(body) > SHOWN:
        print(f"and {len(body) - SHOWN} more, in the store")
    here = Path.cwd()
    for path in paths:
        print(path.relative_to(here) if path.is_relative_to(here) else path)


def tell_page(page: Path, began: float) -> None:
    """Say where the page is, and how long it took since `began`."""
    seconds = round(time.monotonic() - began)
    print(f"{page} ({seconds // 60} min {seconds % 60} s)")


def _made_with(result: Synthesis, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The rows, each with the settings its image was made with."""
    each = {}
    for setting in ("eps", "step_size", "iterations"):
        value = result.settings[setting]
        each[setting] = value if isinstance(value, list) else [value] * len(result)
    own = [dict(zip(each, values, strict=True)) for values in zip(*each.values(), strict=True)]
    return [{**row, **settings} for row, settings in zip(rows, own, strict=True)]
