"""What the commands of the experiments share: their options, the model, the data, the store."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from functools import cached_property, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from ..results.locks import rank_and_world
from ..runtime.errors import InputError
from . import options

if TYPE_CHECKING:
    import torch
    from robustness.attacker import AttackerModel
    from robustness.datasets import DataSet

    from ..datasets.samples import Samples
    from ..results.store import ExperimentStore, Part
    from ..results.synthesis import Synthesis
    from ..synthesis.settings import Options
    from ..synthesis.trace import Progress

__all__ = [
    "SHOWN",
    "AllOrN",
    "Common",
    "check_folders",
    "class_name",
    "counted",
    "load",
    "made_with",
    "numbers",
    "tell",
    "with_common_options",
]

AllOrN = Annotated[
    int | None,
    typer.Option("--n", help="Number of validation images; default: all.", rich_help_panel="Data"),
]

BATCH = 32


@dataclass(frozen=True)
class Common:
    """What every experiment is told: model, data, how PGD runs, and where results go."""

    model: options.Model
    dataset: options.DataSetName
    out: options.Out
    data: options.Data = None
    on_bad_image: options.OnBad = options.OnBadImage.stop
    n: options.N = 8
    arch: options.Arch = None
    layer: options.Layer = None
    trust_checkpoint: options.TrustCheckpoint = False
    eps: options.Eps = None
    step_size: options.StepSize = None
    iterations: options.Iterations = None
    schedule: options.Schedule = options.Steps.paper
    batch_size: options.FastestBatchSize = None
    precision: options.Precision = options.Number.float32
    device: options.Device = None
    seed: options.Seed = 0
    save_interval: options.SaveInterval = 60.0
    overwrite: options.Overwrite = False

    def __post_init__(self) -> None:
        check_folders(out=self.out, data=self.data)

    @cached_property
    def given(self) -> Options:
        """The keywords that every experiment takes."""
        return {
            "layer": self.layer,
            "eps": self.eps,
            "step_size": self.step_size,
            "iterations": self.iterations,
            "schedule": self.schedule.value,
            "batch_size": self.batch_size,
            "precision": self.precision.value,
        }

    @property
    def images_at_once(self) -> int:
        """The size of a batch, where no run finds out by itself."""
        return BATCH if self.batch_size in (None, "auto") else int(self.batch_size)

    @cached_property
    def data_set(self) -> DataSet:
        """The data set, once the settings are known to be usable."""
        import torch

        from ..datasets.samples import open_data_set
        from ..synthesis.settings import Settings

        interval: Options = {"snapshot_interval": self.save_interval}
        Settings.paper(torch.empty(1, 3, 1, 1), {**self.given, **interval})
        return open_data_set(self.dataset, self.data, on_bad_image=self.on_bad_image.value)

    @cached_property
    def validation_set(self) -> Any:
        """The images of the validation part, with their labels."""
        from ..datasets.samples import validation_set

        return validation_set(self.data_set)

    @cached_property
    def class_names(self) -> list[str]:
        """Names of the labels, empty where the data set has none."""
        for owner in (self.data_set, self.validation_set):
            names = getattr(owner, "classes", None)
            if names:
                return [str(name) for name in names]
        return []

    @cached_property
    def network(self) -> AttackerModel:
        """The model, on its device, which has the layer that is asked for."""
        from ..models.layers import at_layer

        found = load(self.model, self.data_set, self)
        at_layer(found, self.layer)
        return found

    def samples(self, n: int, part: slice = slice(None)) -> Samples:
        """Of the first n validation images, in the order that the seed fixes, some or all."""
        from ..datasets.samples import validation_samples

        return validation_samples(self.data_set, n, seed=self.seed, part=part)

    def pairs(self, part: slice = slice(None)) -> tuple[Samples, Samples]:
        """Of the first n validation images, and of n others, some or all."""
        from ..datasets.samples import validation_samples

        most = len(self.validation_set)
        if 2 * self.n > most:
            raise InputError(
                f"n={self.n} pairs are {2 * self.n} images: the validation set of "
                f"{self.dataset!r} has {most}; ask for fewer"
            )
        others = validation_samples(self.data_set, self.n, skip=self.n, seed=self.seed, part=part)
        return self.samples(self.n, part), others

    def validation(self, n: int | None) -> tuple[Iterable[Any], list[int]]:
        """Batches of the validation set, or of n of its images; and their places in it."""
        from ..datasets.samples import validation_places

        found = self.validation_set
        most = len(found)
        if not most or (n is not None and not 1 <= n <= most):
            asked = "" if n is None else f"n={n}: "
            raise InputError(
                f"{asked}the validation set of {self.dataset!r} has {most} images; "
                "give a folder with some, or ask for 1 to that many"
            )
        positions = sorted(validation_places(self.data_set, n, seed=self.seed))
        return self.batches(positions), positions

    def batches(self, positions: Sequence[int]) -> Iterable[Any]:
        """Batches of the validation images at `positions`."""
        from torch.utils.data import DataLoader, Subset

        return DataLoader(Subset(self.validation_set, positions), self.images_at_once)

    def coordinates(self, text: str, images: torch.Tensor) -> list[int]:
        """The coordinates that a text names: 3,50 or random:8."""
        import torch

        from ..models.representation import representation

        head, drawn, count = text.partition(":")
        if not drawn:
            return numbers("coordinates", text, int)
        if head != "random" or not count.isdecimal() or int(count) < 1:
            raise InputError(f"--coordinates {text!r}: give numbers such as 3,50, or random:8")
        size = representation(self.network, images[:1], layer=self.layer).shape[1]
        if int(count) > size:
            raise InputError(f"--coordinates {text!r}: R(x) has {size} coordinates; ask for fewer")
        order = torch.randperm(size, generator=torch.Generator().manual_seed(self.seed))
        return sorted(order[: int(count)].tolist())

    def store(self, experiment: str, **settings: Any) -> ExperimentStore:
        """Go on with an experiment on the disk, or begin it; a setting of None is the paper's."""
        from ..models.loading import weights_digest
        from ..results.store import ExperimentStore

        return ExperimentStore.resume(
            self.out,
            experiment=experiment,
            settings={**self.given, "n": self.n, "seed": self.seed, **settings},
            provenance={
                "model": self.model,
                "dataset": self.dataset,
                "data": str(self.data or ""),
                "weights": weights_digest(self.network),
                **self.network.card,
            },
            overwrite=self.overwrite,
        )

    def in_parts(
        self,
        store: ExperimentStore,
        name: str,
        make: Callable[[Part, Options, Progress], tuple[Synthesis, list[dict[str, Any]]]],
        *,
        said: tuple[str, str],
        n: int | None = None,
        each: int = 1,
        size: int | None = None,
    ) -> tuple[Synthesis, list[dict[str, Any]]]:
        """Make what is not finished of a whole, part by part; then all of it, and its rows.

        `make` gets a part, the keywords of the experiment, and the function that moves the bar,
        which is called `said`: what goes on, and which number stands beside it. Of the `n` things
        (default: as many as images) each takes `each` places in a batch, and `size` (default: as
        many as fit) make a part.
        """
        from . import console
        from .common import made_with

        n = self.n if n is None else n
        what, value = said
        size = size or max(1, self.images_at_once // each)
        with store.parts(name, n, size) as parts:
            for part in parts:
                label = what if len(part) == n else f"{what} {part.first + 1}-{part.stop} of {n}"
                given: Options = {
                    **self.given,
                    "first": part.first,
                    "snapshot": part.snapshot,
                    "snapshot_interval": self.save_interval,
                }
                with console.progress(label, "steps", value) as progress:
                    found, rows = make(part, given, progress)
                store.add(part, found, made_with(found, rows))
        if rank_and_world()[0] > 0:
            raise typer.Exit  # the first of the processes shows the whole
        return store.whole(name)


def with_common_options(command: Callable[..., None], n: int) -> Callable[..., None]:
    """`command(common, *, own...)` as Typer needs it: one function of all options."""
    own = dict(list(inspect.signature(command, eval_str=True).parameters.items())[1:])
    hints = get_type_hints(Common, include_extras=True)
    shared = {
        field.name: inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            annotation=hints[field.name],
            default=inspect.Parameter.empty if field.default is MISSING else field.default,
        )
        for field in fields(Common)
        if field.name not in own
    }
    if "n" in shared:
        shared["n"] = shared["n"].replace(default=n)

    @wraps(command)
    def run(**given: Any) -> None:
        common = Common(**{name: given.pop(name) for name in shared})
        command(common, **given)

    parameters = {**shared, **own}
    vars(run).pop("__wrapped__")
    vars(run)["__signature__"] = inspect.Signature(list(parameters.values()))
    run.__annotations__ = {name: one.annotation for name, one in parameters.items()}
    return run


def load(model: str, data_set: DataSet, common: Common) -> AttackerModel:
    """Load a model as the options say."""
    from ..models.loading import load_model
    from ..models.self_check import check_accuracy
    from ..runtime.modules import own_device

    loaded = load_model(
        model,
        arch=common.arch,
        dataset=data_set,
        trust=common.trust_checkpoint,
        device=common.device or own_device(),
    )
    if common.data is not None:
        check_accuracy(loaded, data_set)
    return loaded


def check_folders(**given: Path | None) -> None:
    """Refuse files where folders are asked for."""
    for name, path in given.items():
        if path is not None and path.is_file():
            raise InputError(f"--{name} {path} is a file: give a folder")


def numbers(name: str, text: str, kind: Callable[[str], Any]) -> list[Any]:
    """The numbers in a text such as 2,8,32."""
    try:
        return [kind(part) for part in text.split(",")]
    except ValueError:
        example = "20,100" if kind is int else "2,8,32"
        raise InputError(
            f"--{name} {text!r}: give numbers with commas between, such as {example}"
        ) from None


def counted(loader: Iterable[Any], in_all: int, progress: Callable[..., None]) -> Iterable[Any]:
    """The batches, while the bar moves."""
    done = 0
    for batch in loader:
        yield batch
        done += len(batch[0])
        progress(done, in_all)


def tell(header: Sequence[str], rows: Iterable[Iterable[object]], paths: Sequence[Path]) -> None:
    """Show a table, and say what was written; of many, the first."""
    from . import console
    from .common import SHOWN

    body = [list(row) for row in rows]
    console.show_table(header, body[:SHOWN])
    if len(body) > SHOWN:
        print(f"and {len(body) - SHOWN} more, in the store")
    for path in paths:
        print(path)


SHOWN = 32
"""Images in a picture, and rows on the terminal; the rest is in the store."""


def class_name(classes: Sequence[str], label: int) -> str:
    """The name of a label, or its number where the data set has no names."""
    return classes[label] if label < len(classes) else str(label)


def made_with(result: Synthesis, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The rows, each with the settings its image was made with."""
    each = {}
    for setting in ("eps", "step_size", "iterations"):
        value = result.settings[setting]
        each[setting] = value if isinstance(value, list) else [value] * len(result)
    own = [dict(zip(each, values, strict=True)) for values in zip(*each.values(), strict=True)]
    return [{**row, **settings} for row, settings in zip(rows, own, strict=True)]
