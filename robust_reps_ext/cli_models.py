"""The command `models`: what can be loaded by name, and plain copies of checkpoints."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from . import options

__all__ = ["register"]

models_app = typer.Typer(
    help="List the models that can be loaded by name, or convert a checkpoint.\n\n\b\n"
    "robust-reps models\n"
    "robust-reps models convert checkpoint.pt.best model.safetensors",
)


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.add_typer(models_app, name="models")


@models_app.callback(invoke_without_command=True)
def models(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """List the models that can be loaded by name, with what is known of each."""
    if context.invoked_subcommand is not None:
        return
    from . import console
    from .models.catalogue import bundled, card, percentages
    from .models.public_models import PUBLIC

    ours = {name: card(name) for name in bundled()}
    if as_json:
        published = {name: asdict(model) for name, model in PUBLIC.items()}
        print(json.dumps({"bundled": ours, "public": published}, indent=2))
        return
    rows = [
        (name, _line(known.get("arch"), known.get("dataset"), "", percentages(known)))
        for name, known in ours.items()
    ]
    rows += [
        (name, _line(one.arch, one.dataset, one.trained, one.accuracies))
        for name, one in PUBLIC.items()
    ]
    console.show_table(
        ("name", "architecture, data set, trained against: accuracy in percent"), rows
    )
    print("The first are in the package, the others are fetched when they are first loaded; --json")
    print("tells addresses, sizes, checksums, licences and what to cite.")


def _line(arch: object, dataset: object, trained: str, accuracies: dict[str, float]) -> str:
    what = ", ".join(str(part) for part in (arch, dataset, trained) if part)
    measured = ", ".join(f"{name} {value:.1f}" for name, value in accuracies.items())
    return f"{what}: {measured}" if measured else what


@models_app.command()
def convert(
    source: Annotated[
        str, typer.Argument(help="Checkpoint file, or a model's name.", metavar="IN")
    ],
    out: Annotated[Path, typer.Argument(help="The file to write.", metavar="OUT.safetensors")],
    arch: options.Arch = None,
    dataset: Annotated[
        str | None,
        typer.Option(help="Data set that the model was trained on, for its normaliser."),
    ] = None,
    trust_checkpoint: options.TrustCheckpoint = False,
) -> None:
    """Write a checkpoint as plain safetensors under torchvision's names, with a JSON card.

    \b
    robust-reps models convert checkpoint.pt.best model.safetensors
    """
    from .models.converting import convert as write

    write(source, out, arch=arch, dataset=dataset, trust=trust_checkpoint)
    print(out)
    print(out.with_suffix(".json"))
