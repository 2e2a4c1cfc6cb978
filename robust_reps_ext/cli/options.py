"""The options that commands share: each is declared once, in a group that commands compose."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import MISSING, dataclass, fields, is_dataclass
from enum import Enum
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, get_type_hints

import typer
from typer.models import OptionInfo

from ..runtime.errors import InputError
from ..upstream.registry import is_folder
from .data_options import DataOptions, ImagesOptions
from .flags import folder, option
from .print_options import PrintOptions
from .region import RegionOptions

if TYPE_CHECKING:
    from robustness.attacker import AttackerModel

    from ..results.store import ExperimentStore
    from ..synthesis.settings import Options

__all__ = [
    "DataOptions",
    "FigureOptions",
    "ImagesOptions",
    "LoadOptions",
    "ModelOptions",
    "PgdOptions",
    "RegionOptions",
    "RunOptions",
    "composed",
    "like",
    "option",
]

BATCH = 32
UNTIL = "else 100; auto: until the objective stops changing."
STEP = (
    "Of the first step; default: 1 at 224 pixels by schedule paper, scaled to the images; by the "
    "others 7% of the width of the box of images."
)
ANEW = "Remove what --out holds of other settings, and begin anew."
"""Of commands that go on with what is there of the same settings, whatever else is allowed."""

MODEL, DATA, PGD, RUN, OWN = "Model", "Data", "Optimisation", "Run", "Experiment"


class Number(str, Enum):
    """The numbers that the network computes with."""

    auto = "auto"
    float32 = "float32"
    bfloat16 = "bfloat16"


class Steps(str, Enum):
    """How the length of the steps goes."""

    paper = "paper"
    cosine_momentum = "cosine-momentum"
    feather = "feather"
    lbfgs = "lbfgs"


def _whole_or_auto(text: str) -> int | str:
    if text == "auto":
        return text
    try:
        return int(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is neither a whole number nor auto.") from None


def _channels(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise typer.BadParameter(f"{text!r} are no numbers such as 0,1,2.") from None


def _setting(given: typer.CallbackParam, value: Any) -> Any:
    if value not in (None, "auto"):
        from ..synthesis.settings import Settings

        name = "snapshot_interval" if given.name == "save_interval" else str(given.name)
        Settings(**{"eps": 0.0, "step_size": 0.0, "iterations": 1, name: value})
    return value


@dataclass(frozen=True, kw_only=True)
class LoadOptions:
    """How networks are loaded, whichever they are."""

    arch: Annotated[str | None, option("Architecture; default: what the weights fit.", "NAME")] = (
        None
    )
    trust_checkpoint: Annotated[bool, option("Run whatever code the checkpoint holds.")] = False
    device: Annotated[
        str | None, option("cpu, cuda, cuda:1; default: CUDA if there.", "NAME", RUN)
    ] = None

    def load(self, name: str, data: DataOptions) -> AttackerModel:
        """The network of this name; where there is a folder of data, it is tried on some."""
        from ..models.loading import load_model
        from ..models.self_check import check_accuracy
        from ..runtime.modules import own_device

        if is_folder(data.dataset) and "data_set" not in vars(data):
            vars(data)["data_set"] = data.open(name)
        loaded = load_model(
            name,
            arch=self.arch,
            dataset=data.data_set if data.dataset else None,
            normalize=data.normalize,
            trust=self.trust_checkpoint,
            device=self.device or own_device(),
        )
        if data.data is not None:
            check_accuracy(loaded, data.data_set)
        return loaded


@dataclass(frozen=True, kw_only=True)
class ModelOptions(LoadOptions):
    """Which network, and where its representation is read."""

    model: Annotated[
        list[str],
        option(
            "Checkpoint file, or name of a bundled model; may be given several times.",
            "FILE|NAME",
        ),
    ]
    name: Annotated[
        list[str] | None,
        option("What it is called in folders and pictures; as often as --model.", "NAME"),
    ] = None
    layer: Annotated[
        str | None, option("Where to read the representation; default: penultimate.", "NAME")
    ] = None


@dataclass(frozen=True, kw_only=True)
class PgdOptions:
    """How PGD runs; what is None is the schedule's own."""

    usual: ClassVar[Steps] = Steps.lbfgs

    eps: Annotated[
        float | None,
        option(
            "L2 radius; default: 1000 at 224 pixels, scaled to the images.", "R", callback=_setting
        ),
    ] = None
    step_size: Annotated[float | None, option(STEP, "R", callback=_setting)] = None
    iterations: Annotated[
        Any,
        option(
            "Default: 10,000 by schedule paper, 24,000 by feather, " + UNTIL,
            "N|auto",
            parser=_whole_or_auto,
            callback=_setting,
        ),
    ] = None
    schedule: Annotated[
        Steps | None,
        option(
            "Steps of constant length, or faster ones; default: lbfgs, of coordinates "
            "cosine-momentum."
        ),
    ] = None
    paper: Annotated[
        bool, option("Appendix A.6 to the letter: --schedule paper, and its number of steps.")
    ] = False
    batch_size: Annotated[
        Any,
        option(
            "Images at once, by default 32; auto: as many as are fastest.",
            "N|auto",
            parser=_whole_or_auto,
            callback=_setting,
        ),
    ] = None
    precision: Annotated[Number, option("What the network computes with.")] = Number.float32

    @property
    def given(self) -> Options:
        """The keywords that every experiment takes."""
        told: Any = {one.name: getattr(self, one.name) for one in fields(PgdOptions)}
        if told.pop("paper"):
            if self.schedule not in (None, Steps.paper):
                raise InputError(
                    f"--paper and --schedule {self.schedule.value} exclude each other: give one"
                )
            told["schedule"] = Steps.paper
        told["schedule"] = told["schedule"] or self.usual
        return told | {name: one.value for name, one in told.items() if isinstance(one, Enum)}

    @property
    def images_at_once(self) -> int:
        """The size of a batch, where no run finds out by itself."""
        return BATCH if self.batch_size in (None, "auto") else int(self.batch_size)


@dataclass(frozen=True, kw_only=True)
class FigureOptions:
    """How images are shown."""

    channels: Annotated[
        Any,
        option(
            "Channels shown in pictures; default: the first three, or the first of fewer.",
            "I,I,I|I",
            parser=_channels,
        ),
    ] = None


@dataclass(frozen=True, kw_only=True)
class RunOptions(PrintOptions):
    """Where results go, and what is drawn at random."""

    out: Annotated[Path, option("Folder of the results.", "DIR", callback=folder)]
    seed: Annotated[int, option("Chooses images and noise.", "N", min=0, max=2**63 - 1)] = 0
    save_interval: Annotated[
        float,
        option("Seconds between two snapshots of an unfinished part.", "S", callback=_setting),
    ] = 60.0
    overwrite: Annotated[bool, option("Remove what --out holds of this command; begin anew.")] = (
        False
    )

    def resume(
        self,
        experiment: str,
        settings: Mapping[str, Any],
        provenance: Mapping[str, Any],
        name: str | None = None,
    ) -> ExperimentStore:
        """Go on with an experiment on the disk, or begin it; of one network, in that folder."""
        from ..results.store import ExperimentStore

        store = ExperimentStore.resume(
            self.out,
            experiment=experiment,
            settings=settings,
            provenance=provenance,
            overwrite=self.overwrite,
            name=name,
        )
        store.printing = self.printing
        return store


def _hints(group: type, panel: str) -> dict[str, Any]:
    """The types of a group's options, each with what Typer is to know."""
    hints = get_type_hints(group, include_extras=True)
    return {field.name: _called(field.name, hints[field.name], panel) for field in fields(group)}


def _called(name: str, hint: Any, panel: str) -> Any:
    """The type of an option, which now has a flag and a panel in the help."""
    info = copy(hint.__metadata__[0])
    if isinstance(info, OptionInfo):
        info.param_decls = info.param_decls or (f"--{name.replace('_', '-')}",)
        info.rich_help_panel = info.rich_help_panel or panel
    return Annotated[hint.__origin__, info]


_DECLARED: dict[str, Any] = {
    **_hints(ModelOptions, MODEL),
    **_hints(DataOptions, DATA),
    **_hints(ImagesOptions, DATA),
    **_hints(PgdOptions, PGD),
    **_hints(RegionOptions, PGD),
    **_hints(FigureOptions, RUN),
    **_hints(RunOptions, RUN),
}


def like(name: str, help: str, **more: Any) -> Any:
    """An option as a group declares it, but for its text, its name and `more` of Typer's."""
    other = copy(_DECLARED[name].__metadata__[0])
    vars(other).update(more, help=help, param_decls=())
    return other


def composed(
    *,
    defaults: Mapping[str, Any] | None = None,
    helps: Mapping[str, str] | None = None,
    without: Sequence[str] = (),
    required: Sequence[str] = (),
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Make of a command that takes groups what Typer needs: a function of all their options.

    Parameters
    ----------
    defaults, helps
        Where an option has another default or text in this command.
    without
        Options that the command does not take. Those which it declares itself are its own, and
        reach a group that has one of the name, too.
    required
        Those that have a default elsewhere, and none here.

    Examples
    --------
    >>> from inspect import signature
    >>> from robust_reps_ext.cli.options import RunOptions, composed
    >>> @composed(defaults={"seed": 3}, without=["save_interval", "overwrite"])
    ... def draw(run: RunOptions) -> None:
    ...     print(run.out, run.seed)
    >>> list(signature(draw).parameters), signature(draw).parameters["seed"].default
    (['out', 'seed'], 3)
    >>> draw(out="drawn", seed=5)
    drawn 5
    """
    others = defaults or {}

    def shared(group: type, name: str, default: Any) -> inspect.Parameter:
        hint = _DECLARED.get(name)
        if hint is None:  # the group is that of one command
            hint = _called(name, get_type_hints(group, include_extras=True)[name], OWN)
        if helps and name in helps:
            hint = _called(name, Annotated[hint.__origin__, like(name, helps[name])], "")
        empty = name in required or default is MISSING
        given = others.get(name, inspect.Parameter.empty if empty else default)
        return inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, default=given, annotation=hint
        )

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        groups: dict[str, Any] = {}
        own: dict[str, inspect.Parameter] = {}
        for name, one in inspect.signature(command, eval_str=True).parameters.items():
            if is_dataclass(one.annotation):
                groups[name] = one.annotation
            else:
                own[name] = one.replace(annotation=_called(name, one.annotation, OWN))
        taken = {
            name: [field for field in fields(group) if field.name not in without]
            for name, group in groups.items()
        }

        @wraps(command)
        def run(**given: Any) -> None:
            made = {
                name: groups[name](**{field.name: given[field.name] for field in some})
                for name, some in taken.items()
            }
            command(**made, **{name: given[name] for name in own})

        together = [*own.values()]
        together += [
            shared(groups[name], one.name, one.default)
            for name, some in taken.items()
            for one in some
            if one.name not in own
        ]
        # In the help, what must be given comes first, and what no other command takes last.
        last = {one.name for one in together} - {*_DECLARED} | {*own}
        together.sort(key=lambda one: (one.default is not one.empty) * (1 + (one.name in last)))
        vars(run)["__signature__"] = inspect.Signature(together)
        run.__annotations__ = {one.name: one.annotation for one in together}
        return run

    return decorate
