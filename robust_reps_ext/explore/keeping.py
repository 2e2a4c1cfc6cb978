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
from .pictures import png
from .remaking import MASK, SCRIPT, command, file_of, has_command, pictures, script
from .tabs import Run
from .wanted import Network, Wanted

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
        Which make it again: one, or one for each network where they differ in the size of their
        images, or were stopped at different steps, or a script of each does it.
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
    constant = wanted.told["schedule"] == CONSTANT
    iterations = {i: steps[i] if constant and i in stopped else wanted.iterations for i in results}
    # One command makes what networks of one size were made to do with as many steps.
    kinds: dict[Any, list[int]] = {}
    for i in results:
        kinds.setdefault((networks[i].shape, iterations[i]), []).append(i)
    folders: list[str] = []
    commands: dict[Any, str] = {}
    for i in results:
        network = networks[i]
        kind = (network.shape, iterations[i])
        alike = kind if has_command(wanted) else i
        with _store(wanted, network, out) as store:
            where = out / store.id
            for name, data in _files(wanted, network, iterations[i]).items():
                with writing(store.path / name, "choose another folder") as file:
                    file.write(data)
            if alike not in commands:
                models = [networks[k] for k in kinds[kind]]
                commands[alike] = (
                    command(wanted, models, where, iterations[i], words)
                    if has_command(wanted)
                    else shlex.join(["python", str(where / SCRIPT)])
                )
            row = {**_row(wanted), "steps": steps[i], "command": commands[alike]}
            store.add("explored", results[i], rows=[row])
            store.add_figure("explored", results[i].figure())
        folders.append(str(where))
    rest = [] if constant else stopped
    told = [f"{networks[i].name} was stopped after {steps[i]} steps" for i in rest]
    note = f"{', '.join(told)}; the command makes all of them" if told else ""
    return Kept(folders, [*commands.values()], note)


def _store(wanted: Wanted, network: Network, out: Path) -> ExperimentStore:
    """A new one."""
    return ExperimentStore.create(
        out,
        experiment="explore",
        settings={
            **wanted.told,
            "objective": wanted.kind,
            "start": wanted.start,
            "seed": wanted.seed,
            "n": 1,
        },
        provenance={
            "model": network.source,
            "weights": weights_digest(network.model),
            **network.model.card,
        },
    )


def _files(wanted: Wanted, network: Network, iterations: int | None) -> dict[str, bytes]:
    """What it is made again of, by name."""
    found = {file_of(one, wanted): png(one.at(network.shape)) for one in pictures(wanted)}
    if wanted.mask is not None:
        found[MASK] = png(wanted.mask_for(network).float())
    if not has_command(wanted):
        found[SCRIPT] = script(wanted, network, iterations).encode()
    return found


def _row(wanted: Wanted) -> dict[str, Any]:
    """What there is to say of the image."""
    name, other = wanted.image.name, "" if wanted.other is None else wanted.other.name
    begun = {"noise": "noise", "grey": "grey", "image": name, "other": other}
    rows: dict[str, dict[str, Any]] = {
        "match": {"label": name, **({"source": other} if wanted.start == "other" else {})},
        "coordinate": {"coordinate": wanted.coordinate},
        "class": {"class": wanted.number},
        "direction": {"towards": name, "away_from": other},
        "between": {"left": name, "right": other, "weight": wanted.weight},
    }
    seed = {} if wanted.kind in ("match", "between") else {"seed_image": begun[wanted.start]}
    return {**rows[wanted.kind], **seed}
