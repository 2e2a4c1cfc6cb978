"""The command `models`: what can be loaded by name, and plain copies of checkpoints."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..runtime.errors import InputError
from . import console
from .help import Command, Group
from .options import LoadOptions, composed, like

if TYPE_CHECKING:
    from ..models.zoo.public import PublicModel

__all__ = ["models_app"]


class _NamesOrCommands(Group):
    """What is no command is the name of a model."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            args = ["show", *args]
        return super().resolve_command(ctx, args)


models_app = typer.Typer(
    cls=_NamesOrCommands,
    rich_markup_mode=None,
    help="List the models that can be loaded by name, or convert a checkpoint.\n\n\b\n"
    "robust-reps models\n"
    "robust-reps models resnet50_l2_eps3\n"
    "robust-reps models convert checkpoint.pt.best model.safetensors",
)

AsJson = Annotated[bool, typer.Option("--json", help="For programs.")]


@models_app.callback(invoke_without_command=True)
def models(context: typer.Context, as_json: AsJson = False) -> None:
    """List the models that can be loaded by name, with what is known of each."""
    if context.invoked_subcommand is not None:
        return
    from ..models.zoo.bundled import bundled, card, percentages
    from ..models.zoo.public import PUBLIC

    ours = {name: card(name) for name in bundled()}
    if as_json:
        published = {name: asdict(model) for name, model in PUBLIC.items()}
        print(json.dumps({"bundled": ours, "public": published}, indent=2))
        return
    rows = [
        (
            name,
            known["arch"],
            *_measured(percentages(known), "critters"),
            *_measured(percentages(known), "critters_fine"),
        )
        for name, known in ours.items()
    ]
    titles = ("name", "architecture", "9: clean", "PGD-20", "162: clean", "PGD-20")
    console.show_table(titles, rows, "critters in 9 and in 162 classes, in the package")
    for (dataset, citation), group in groupby(
        PUBLIC.items(), lambda entry: (entry[1].dataset, entry[1].citation)
    ):
        listed = [(name, one.arch, one.trained, *_measured(one.accuracies)) for name, one in group]
        # A name must stand on one line, to be copied.
        width = 5 if any(row[-1] for row in listed) else 4
        header = ("name", "architecture", "trained against", "clean", "PGD-20")[:width]
        print()
        console.show_table(
            header,
            [row[:width] for row in listed],
            f"{dataset}, {citation.partition(',')[0]}",
        )
    print("\nAccuracies in percent. What is not in the package is fetched when loaded.")
    print("More of one: robust-reps models NAME; of all: --json")


def _measured(accuracies: Mapping[str, float], dataset: str = "") -> tuple[str, str]:
    """Clean and adversarial accuracy on `dataset`, each empty where nobody published it."""
    found = {"clean": "", "PGD-20": ""}
    for name, value in accuracies.items():
        kind = name.removeprefix(f"{dataset} ").partition(" ")[0]
        if kind in found:
            found[kind] = f"{value:.1f}"
    return found["clean"], found["PGD-20"]


@models_app.command(cls=Command, hidden=True)
def show(
    name: Annotated[str, typer.Argument(help="A name that is listed.")],
    as_json: AsJson = False,
) -> None:
    """Tell what is known of one model.

    \b
    robust-reps models resnet50_l2_eps3
    """
    from ..models.zoo.bundled import bundled, card, percentages
    from ..models.zoo.public import PUBLIC

    known: dict[str, Any]
    if name in bundled():
        known = {"place": "in the package", **card(name)}
        if not as_json:
            known["accuracies"] = percentages(known)
            known.pop("data_set", None)  # a name for each class
    elif name in PUBLIC:
        known = asdict(PUBLIC[name])
    else:
        close = difflib.get_close_matches(name, [*bundled(), *PUBLIC, "convert"], n=3)
        advice = f"did you mean {', '.join(close)}?" if close else "robust-reps models lists them"
        raise InputError(f"no model is called {name!r}: {advice}")
    if as_json:
        print(json.dumps(known, indent=2))
        return
    known["accuracies"] = _in_words(known["accuracies"])
    if name in PUBLIC:
        known |= _of_file(PUBLIC[name])
    address = known.pop("url", None)
    console.show_table(("", ""), [(key.replace("_", " "), value) for key, value in known.items()])
    if address:
        print(address)


def _in_words(accuracies: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.2f}%" for name, value in accuracies.items()) or "not stated"


def _of_file(model: PublicModel) -> dict[str, str]:
    size = "not stated" if model.size is None else f"{model.size:,} bytes"
    return {"size": size, "sha256": model.sha256 or "not stated"}


@models_app.command(cls=Command)
@composed(without=("device",))
def convert(
    loading: LoadOptions,
    *,
    source: Annotated[
        str, typer.Argument(help="Checkpoint file, or a model's name.", metavar="IN")
    ],
    out: Annotated[Path, typer.Argument(help="The file to write.", metavar="OUT.safetensors")],
    dataset: Annotated[
        str | None,
        like("dataset", "Data set that the model was trained on, for its normaliser."),
    ] = None,
) -> None:
    """Write a checkpoint as plain safetensors under torchvision's names, with a JSON card.

    \b
    robust-reps models convert checkpoint.pt.best model.safetensors
    """
    from ..models.converting import convert as write

    write(source, out, arch=loading.arch, dataset=dataset, trust=loading.trust_checkpoint)
    print(out)
    print(out.with_suffix(".json"))
