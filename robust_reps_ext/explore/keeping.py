"""A run that is kept: a store of each network, and the command that makes it again."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..models.loading import weights_digest
from ..results.store import ExperimentStore
from ..runtime.files import writing
from .pictures import Picture, png, stem
from .tabs import Run
from .wanted import STEPS, Network, Wanted

__all__ = ["Kept", "keep"]

# With it, the first steps are the same however many are to follow; the others' lengths fall.
CONSTANT = "paper"


@dataclass(frozen=True)
class Kept:
    """What was kept.

    Attributes
    ----------
    folders
        Of each network, as `robust_reps_ext.results` reads them.
    commands
        Which make it again: one, or one for each network where their images differ in size.
    note
        Where they make more than what was kept, what.
    """

    folders: list[str]
    commands: list[str]
    note: str


def keep(run: Run, networks: Sequence[Network], out: Path, words: Sequence[str]) -> Kept:
    """Write the results of a run into `out`, each network's into a folder of its own.

    Parameters
    ----------
    run
        Has ended, with a result.
    networks
        All those of the page.
    out
        Made where there is none.
    words
        What commands are told of the networks beside their names: ``--dataset`` and the like.

    Raises
    ------
    InputError
        If `out` cannot be written.
    """
    wanted, results = run.wanted, run.results()
    steps = {i: job.step for i, job in zip(run.networks, run.jobs, strict=True)}
    stopped = [i for i in results if results[i].settings.get("stopped")]
    groups: dict[tuple[Any, ...], list[int]] = {}
    for i in results:
        # Of networks that were stopped at different steps, each has its own number of these.
        alike = networks[i].shape, _iterations(wanted, steps[i], i in stopped)
        groups.setdefault(alike, []).append(i)
    folders, commands = [], []
    for (_, iterations), some in groups.items():
        command = ""
        for i in some:
            with ExperimentStore.create(
                out,
                experiment="explore",
                settings={
                    **wanted.options,
                    "objective": wanted.kind,
                    "start": wanted.start,
                    "seed": wanted.seed,
                    "n": 1,
                },
                provenance={
                    "model": networks[i].source,
                    "weights": weights_digest(networks[i].model),
                    **networks[i].model.card,
                },
            ) as store:
                if not command:
                    where = out / store.id
                    command = _command(
                        wanted, [networks[k] for k in some], where, out, iterations, words
                    )
                    commands.append(command)
                for picture in _pictures(wanted):
                    path = store.path / _file(picture, wanted)
                    with writing(path, "choose another folder") as file:
                        file.write(png(picture.at(networks[i].shape)))
                row = {**_row(wanted), "steps": steps[i], "command": command}
                store.add("explored", results[i], rows=[row])
                store.add_figure("explored", results[i].figure())
                folders.append(str(out / store.id))
    rest = [] if wanted.options["schedule"] == CONSTANT else stopped
    told = [f"{networks[i].name} was stopped after {steps[i]} steps" for i in rest]
    note = f"{', '.join(told)}; the command makes all of them" if told else ""
    return Kept(folders, commands, note)


def _iterations(wanted: Wanted, step: int, stopped: bool) -> int | None:
    """How many steps the command is to make."""
    if stopped and wanted.options["schedule"] == CONSTANT:
        return step
    return wanted.iterations


def _pictures(wanted: Wanted) -> list[Picture]:
    other = wanted.other if wanted.kind == "between" or wanted.start == "other" else None
    return [wanted.image, *([other] if other is not None else [])]


def _file(picture: Picture, wanted: Wanted) -> str:
    second = picture is wanted.other and picture is not wanted.image
    return f"{'second' if second else 'first'}-{stem(picture.name)}.png"


def _row(wanted: Wanted) -> dict[str, Any]:
    name = wanted.image.name
    if wanted.kind == "between":
        assert wanted.other is not None
        return {"left": name, "right": wanted.other.name, "weight": wanted.weight}
    if wanted.kind == "coordinate":
        seed = name if wanted.start == "image" else wanted.start
        return {"seed_image": seed, "coordinate": wanted.coordinate}
    source = (
        {} if wanted.start != "other" or wanted.other is None else {"source": wanted.other.name}
    )
    return {"label": name, **source}


def _command(
    wanted: Wanted,
    networks: Sequence[Network],
    where: Path,
    out: Path,
    iterations: int | None,
    words: Sequence[str],
) -> str:
    pictures = [str(where / _file(one, wanted)) for one in _pictures(wanted)]
    more: list[str] = []
    if wanted.kind == "match":
        name = "pairs" if wanted.start == "other" else "invert"
        more = [] if wanted.start == "other" else ["--start", wanted.start]
    elif wanted.kind == "coordinate":
        name, more = "visualize", ["--coordinates", str(wanted.coordinate)]
    else:
        name, more = "interpolate", ["--steps", str(STEPS)]
    models = [word for one in networks for word in ("--model", one.source)]
    options = {
        "--layer": wanted.layer,
        "--eps": wanted.eps,
        "--schedule": wanted.schedule,
        "--iterations": iterations,
        "--seed": wanted.seed or None,
    }
    told = [word for flag, value in options.items() if value is not None for word in (flag, value)]
    line = [name, *models, *words, "--images", *pictures, *more, *map(str, told)]
    return shlex.join(["robust-reps", *line, "--out", str(out)])
