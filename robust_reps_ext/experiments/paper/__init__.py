"""Every figure and table of the paper on one pair of models; what is finished is not done again."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, closing, nullcontext, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from robustness.attacker import AttackerModel
from robustness.datasets import DataSet
from torch import Tensor

from ...datasets.samples import class_names, validation_set
from ...models.cards import card_of
from ...models.loading import weights_digest
from ...models.representation import representation
from ...results.folder import WorkFolder, digest_of, read_json, remove, write_json
from ...results.printing import Printing
from ...results.records import plain
from ...results.units import FinishedUnit, finished_units, keep
from ...runtime.errors import InputError
from ...synthesis import Progress
from ...synthesis.objectives import check_coordinates
from ...upstream.data.bad_images import readable
from ..attacks import check_attack
from ..threat import attack_of
from .study import SCALES, Study
from .units import ORDER, UNITS, Unit

__all__ = ["run_paper"]

# What is being worked on, and how far it is.
UNFINISHED = ".unfinished"


def run_paper(
    robust: AttackerModel,
    standard: AttackerModel,
    data_set: DataSet,
    out: str | Path,
    *,
    vgg: AttackerModel | None = None,
    googlenet: AttackerModel | None = None,
    selected: Sequence[int] = (),
    scale: str = "default",
    eps: float | None = None,
    group: Tensor | None = None,
    seed: int = 0,
    names: Mapping[str, str] | None = None,
    overwrite: bool = False,
    printing: Printing | None = None,
    watch: Callable[[Unit], AbstractContextManager[Progress | bool]] | None = None,
    units: Sequence[Unit] | None = None,
    classes: Sequence[str] | None = None,
    **changes: Any,
) -> list[FinishedUnit]:
    """Make what `UNITS` lists, each in a directory of `out`, and skip what is there already.

    Parameters
    ----------
    robust, standard, vgg
        As `load_model` returns them; `vgg` joins the tables and the feature visualisations, and
        Fig. 10 is of it.
    googlenet
        The network of Fig. 9, ``torchvision:googlenet.IMAGENET1K_V1`` say; default `standard`.
    selected
        Coordinates of the robust model: a panel of them beside the random ones (Fig. 20),
        and the first is added to images (Fig. 11); default none, and the one that leads in most
        validation images.
    data_set
        As `open_data_set` returns it; its validation part is used. Of a few images without labels,
        `robust_reps_ext.datasets.given_images.GivenImages`, for `PHOTOGRAPHS`.
    out
        Directory of results. The same call goes on where one was interrupted, and several
        processes that are called alike share the work.
    scale
        ``"quick"``, ``"default"`` or ``"full"``, the paper's; see `SCALES`.
    eps
        L2 radius of the attack of the tables; default what `robust` was trained against, where
        its card tells, else the paper's 3 at 224 pixels, brought to the size of the images.
    group
        Coarse label of each class for the tables, see `evaluate`.
    seed
        Chooses images, noise and coordinates.
    names
        What the models are called in the report, by role; default the roles.
    overwrite
        Remove what `out` holds of figures and tables that were made with other settings; without
        it, they are an error.
    printing
        How figures are written that are made now, beside PNG and PDF.
    watch
        ``with watch(unit) as progress`` is put around each unit.
    units
        Which figures and tables: `UNITS` (default), or `PHOTOGRAPHS`, which stand beside them.
    classes
        Names of the classes that the networks know; default: those of the data.
    **changes
        Fields of `Scale` to replace: ``images=4``.

    Returns
    -------
    list of FinishedUnit
        In the order of `UNITS`.

    Raises
    ------
    InputError
        If the scale is not known, a coordinate is out of range, the data has too few images, or
        `out` was made with other settings, which are named.

    Examples
    --------
    >>> import robust_reps_ext as rr
    >>> from robust_reps_ext.datasets.samples import open_data_set
    >>> from robust_reps_ext.experiments.paper import run_paper
    >>> pair = [rr.load_model(f"critters-{name}") for name in ("robust", "standard")]
    >>> data_set = open_data_set("critters_fine")
    >>> units = run_paper(*pair, data_set, "out", scale="quick")  # doctest: +SKIP
    """
    if scale not in SCALES:
        raise InputError(f"scale={scale!r} is not known: choose {', '.join(SCALES)}")
    models = {"robust": robust, "standard": standard}
    models |= {
        name: one for name, one in (("vgg", vgg), ("googlenet", googlenet)) if one is not None
    }
    images = validation_set(data_set)
    _, (first, _) = next(readable(images, range(len(images))))
    settings = replace(SCALES[scale], **changes)
    check_attack(eps, settings.attack_steps)
    attack = attack_of({"the robust network": robust}, first, eps=eps)
    study = Study(
        models=models,
        data_set=data_set,
        classes=class_names(data_set, images) if classes is None else classes,
        scale=settings,
        eps=attack.eps,
        constraint=attack.constraint,
        why=attack.why,
        group=group,
        seed=seed,
        selected=tuple(selected),
    )
    if study.selected:
        size = representation(robust, first[None]).shape[1]
        check_coordinates(study.selected, size)
    if study.scale.needed > len(images) and not study.own_images:
        raise InputError(
            f"scale={scale!r} takes {study.scale.needed} validation images, "
            f"{data_set.ds_name!r} has {len(images)}: add some, or choose a smaller scale"
        )
    made_with = _made_with(study, scale, first.shape[-1], names or {})
    digest = digest_of(made_with)
    unfinished = Path(out, UNFINISHED)
    if units is None:
        units = UNITS
        with suppress(OSError):  # there is none of version 0.1, or another process has renamed it
            Path(out, ".claims").rename(unfinished)
    else:
        unfinished = Path(out, f"{UNFINISHED}-{units[0].id}")
    folder = _begun(Path(out), unfinished, units, made_with, overwrite)
    unfinished.mkdir(exist_ok=True)
    made_at = {unfinished / unit.id: unit.of(data_set.ds_name) for unit in units}

    def done() -> dict[str, FinishedUnit]:
        return {unit.manifest["id"]: unit for unit in finished_units(out, ORDER, digest=digest)}

    def complete(path: Path) -> bool:
        return made_at[path].id in done()

    with closing(folder.shared(list(made_at), finished=complete)) as free:
        for path in free:
            unit = made_at[path]
            snapshots = unfinished / f"{unit.id}-snapshots"
            with suppress(OSError):  # as version 0.1 called it
                (unfinished / f"{unit.id}-places").rename(snapshots)
            with nullcontext(False) if watch is None else watch(unit) as progress:
                found = unit.compute(replace(study, snapshots=snapshots), progress)
                keep(out, unit, found, {"digest": digest, "study": made_with}, printing)
            shutil.rmtree(snapshots, ignore_errors=True)
    made = done()
    return [made[unit.id] for unit in units]


def _begun(
    out: Path, unfinished: Path, units: Sequence[Unit], made_with: Any, overwrite: bool
) -> WorkFolder:
    """The folder, once it is known that these figures in it have these settings."""
    settings = unfinished / "settings.json"

    def begun() -> dict[Path, Any]:
        finished = finished_units(out, [unit.id for unit in units])
        found = {unit.path: unit.manifest["study"] for unit in finished}
        return {out: read_json(settings), **found}

    def begin() -> None:
        others = [path for path, there in begun().items() if there is not None]
        if others or overwrite:
            remove(settings.parent, [*(path for path in others if path != out), settings.parent])
        settings.parent.mkdir(exist_ok=True)
        write_json(settings, made_with)

    return WorkFolder(out, made_with, begun=begun, begin=begin, overwrite=overwrite)


def _made_with(study: Study, scale: str, side: int, names: Mapping[str, str]) -> Any:
    """What decides the results, as JSON holds it."""
    return plain(
        {
            "scale": {"name": scale, **asdict(study.scale)},
            "models": {
                role: {
                    "name": names.get(role, role),
                    "arch": str(card_of(model).get("arch")),
                    "weights": weights_digest(model),
                }
                for role, model in study.models.items()
            },
            "data": {
                "name": study.data_set.ds_name,
                "folder": str(study.data_set.data_path),
                "side": side,
            },
            "eps": study.eps,
            **({} if study.constraint == "2" else {"constraint": study.constraint}),
            "grouped": None if study.group is None else study.group.tolist(),
            "seed": study.seed,
            # Folders without any are those of earlier versions.
            **({"selected": list(study.selected)} if study.selected else {}),
        }
    )
