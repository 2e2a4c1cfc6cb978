"""The paper's claims as tests: a robust and a standard model, side by side, with intervals."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import asdict, replace
from importlib.util import find_spec
from itertools import takewhile
from typing import Any

import torch
from robustness.attacker import AttackerModel
from robustness.datasets import DataSet
from torch import Tensor
from tqdm import tqdm

from ...datasets.critters import coarse_labels
from ...datasets.samples import validation_samples, validation_set
from ...models.cards import card_of
from ...models.loading import Model, as_model, weights_digest
from ...results.records import plain
from ...runtime.errors import InputError
from ...runtime.numbers import check_progress, whole
from ...runtime.signatures import keywords
from ..resemblance import measure_names
from ..threat import attack_of
from .claims import CLAIMS, RESEMBLANCE, Measure
from .judge import Judge, chance, judge_right, known_factors, of_targets
from .result import PAIR, Scorecard
from .settings import Amounts
from .statistics import compare
from .trial import PARTS, Measured, measure
from .trials import Trials, begun_without_resemblance

__all__ = ["FEWEST_SEEDS", "scorecard"]

FEWEST_SEEDS = 3


@keywords(Amounts)
def scorecard(
    robust: Model,
    standard: Model,
    data_set: DataSet,
    *,
    judge: Model | None = None,
    group: Tensor | None = None,
    eps: float | None = None,
    seeds: int = FEWEST_SEEDS,
    seed: int = 0,
    amounts: Amounts | None = None,
    names: Mapping[str, str] | None = None,
    trials: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    progress: bool | Callable[[int, int], Any] | None = False,
    **changes: Any,
) -> Scorecard:
    """Test the paper's claims on a robust and a standard model.

    Parameters
    ----------
    robust, standard
        As `load_model` returns them, or networks, names or files, whose normaliser is that of
        their file or of `data_set`. They stay as they are.
    data_set
        As `open_data_set` returns it; its validation part is used.
    judge
        A third network of the same classes, which says what images show; without one, what needs
        it is left out.
    group
        Coarse label of each class, by which classes are compared; default the animals of
        critters' fine classes, else the classes themselves.
    eps
        L2 radius that the robust model was trained against; default what its card tells, else the
        paper's 3 at 224 pixels, brought to the size of the images.
    seeds
        How many times everything is made, with other images, noise and coordinates; 3 or more.
    seed
        The first of the seeds.
    amounts
        How many images and steps; default `Amounts()`, and `settings.QUICK` is for a look.
    names
        What the models are called, by role: robust, standard, judge.
    trials
        Folder that keeps what was measured on each model and seed: the same call, also one with
        more seeds, goes on from there, and several processes that are called alike share the
        work. Default: nothing is kept.
    overwrite
        Begin anew where `trials` holds those of other settings, instead of an error.
    progress
        True for a bar, or ``progress(parts_done, parts_in_all)``; where it returns True, the
        scorecard of the seeds that are finished is the result, if they are 3 or more.
    **changes
        Fields of `Amounts` to replace: ``images=36``.

    Returns
    -------
    Scorecard

    Raises
    ------
    InputError
        If seeds are fewer than 3, the judge is one of the models, an amount is too small, the
        data has too few images, or `trials` holds those of other settings.

    Examples
    --------
    >>> import robust_reps_ext as rr
    >>> from robust_reps_ext.datasets.samples import open_data_set
    >>> data_set = open_data_set("critters_fine")
    >>> pair = [rr.load_model(f"critters-{name}") for name in ("robust", "standard")]
    >>> card = rr.scorecard(*pair, data_set, judge=rr.load_model("critters-vgg"))  # doctest: +SKIP
    >>> card.verdicts()["class recovered"]  # doctest: +SKIP
    'separates'
    """
    seeds = whole("seeds", seeds)
    _check(seeds, names or {})
    check_progress(progress)
    amounts = replace(amounts or Amounts(), **changes)
    there = len(validation_set(data_set))
    amounts.check(there)
    images = validation_samples(data_set, 1).images
    models = {
        role: as_model(one, dataset=data_set)
        for role, one in (("robust", robust), ("standard", standard))
    }
    if eps is None:
        eps = attack_of({"robust": models["robust"]}, images, constraint="2").eps
    if eps <= 0:
        raise InputError(f"eps={eps}: give the radius that the robust model was trained against")
    third = None if judge is None else _third(as_model(judge, dataset=data_set), models)
    factors = known_factors(data_set)
    if group is None and factors is not None:
        group = coarse_labels()
    referee = None if third is None else Judge(third, group, factors)
    everyone = models if third is None else {**models, "judge": third}
    made_with: dict[str, Any] = plain(
        {
            "scale": {"name": "scorecard", **asdict(amounts)},
            "models": {role: _told(model) for role, model in everyone.items()},
            "data": {
                "name": data_set.ds_name,
                "folder": str(data_set.data_path),
                "side": images.shape[-1],
                "images": there,
            },
            "eps": eps,
            "grouped": None if group is None else group.tolist(),
        }
    )
    earlier = trials is not None and not overwrite and begun_without_resemblance(trials)
    if not earlier:
        made_with["resemblance"] = measure_names(images.expand(amounts.images, -1, -1, -1))
    kept = None if trials is None else Trials(trials, made_with, overwrite=overwrite)

    def one_trial(role: str, k: int, done: Callable[[], None]) -> Measured:
        taken: Measured = {}
        parts = measure(
            *(models[role], data_set, referee, amounts), eps=eps, seed=k, resemblance=not earlier
        )
        for part in parts:
            taken |= {name: each.detach().cpu().float() for name, each in part.items()}
            done()
        return taken

    values, every = _values(one_trial, range(seed, seed + seeds), kept, progress)
    lowest, ceiling = ({}, {}) if earlier else of_targets(data_set, amounts, every)
    by_chance = chance(data_set, referee, amounts, every) | lowest
    if "of the blend" in values["robust"]:
        by_chance["class of an end"] = float(values["robust"]["of the blend"].mean())
    for role, model in made_with["models"].items():
        model["name"] = (names or {}).get(role, role)
    right = None if referee is None else judge_right(data_set, referee, amounts, every)
    made_with |= {"seeds": len(every), "seed": seed, "judge_right": right}
    if len(every) < seeds:
        made_with["stopped"] = True
    left_out = _left_out(values["robust"], third, earlier)
    return Scorecard(_claims(values, by_chance, ceiling), left_out, made_with)


def _check(seeds: int, names: Mapping[str, str]) -> None:
    if seeds < FEWEST_SEEDS:
        raise InputError(
            f"seeds={seeds}: fewer than {FEWEST_SEEDS} do not show how much hangs on the seed"
        )
    for role in names.keys() - {*PAIR, "judge"}:
        raise InputError(f"names has {role!r}: give names for {', '.join(PAIR)} or judge")


def _third(judge: AttackerModel, models: Mapping[str, AttackerModel]) -> AttackerModel:
    if weights_digest(judge) in map(weights_digest, models.values()):
        raise InputError(
            "the judge has the weights of a model that it is to judge: give another, or none"
        )
    return judge


def _claims(
    values: Mapping[str, Any], by_chance: Mapping[str, float], ceiling: Mapping[str, float]
) -> list[dict[str, Any]]:
    """Each claim, with what was measured of it."""
    return [
        {
            **{key: getattr(claim, key) for key in ("name", "section", "statement")},
            "measures": [
                _row(one, values, by_chance.get(one.name), ceiling.get(one.name))
                for one in claim.measures
                if one.name in values["robust"]
            ],
        }
        for claim in CLAIMS
    ]


def _values(
    one_trial: Callable[[str, int, Callable[[], None]], Measured],
    seeds: range,
    kept: Trials | None,
    progress: bool | Callable[[int, int], Any] | None,
) -> tuple[dict[str, dict[str, Any]], range]:
    """Role -> measure -> (seeds, N), from the disk where it is there; and of which seeds.

    They are all, or the first that were finished when `progress` ended the run.
    """
    parts, stopped = 0, False
    in_all = PARTS * len(seeds) * len(PAIR)
    bar = tqdm(total=in_all, unit="part", disable=progress is not True)

    def done(n: int = 1) -> None:
        nonlocal parts, stopped
        parts += n
        bar.update(n)
        if callable(progress) and progress(parts, in_all) is True:
            stopped = True
        if stopped and parts % PARTS:
            raise _Stopped

    trials = [(role, k) for k in seeds for role in PAIR]
    found: dict[tuple[str, int], Measured] = {}

    def read() -> None:
        for trial in trials:
            there = None if kept is None or trial in found else kept.get(*trial)
            if there is not None:
                found[trial] = there
                done(PARTS)

    read()
    with bar, suppress(_Stopped), closing(_shared(trials, kept)) as free:
        for role, k in free:
            if stopped:
                break
            found[role, k] = one_trial(role, k, done)
            if kept is not None:
                kept.keep(role, k, found[role, k])
    if not stopped:
        read()  # what other processes have made
    else:
        finished = takewhile(lambda k: all((role, k) in found for role in PAIR), seeds)
        seeds = seeds[: len(list(finished))]
        if len(seeds) < FEWEST_SEEDS:
            raise InputError(
                f"progress ended the run after {len(seeds)} seeds, and {FEWEST_SEEDS} are needed: "
                "let it go on for longer (trials= keeps what was measured)"
            )
    taken = {role: [found[role, k] for k in seeds] for role in PAIR}
    return {
        role: {name: torch.stack([one[name] for one in rows]).numpy() for name in rows[0]}
        for role, rows in taken.items()
    }, seeds


class _Stopped(Exception):
    """`progress` has ended the run in the midst of a trial."""


def _shared(
    trials: Sequence[tuple[str, int]], kept: Trials | None
) -> Generator[tuple[str, int], None, None]:
    yield from trials if kept is None else kept.shared(trials)


def _row(
    one: Measure, values: Mapping[str, Any], chance: float | None, ceiling: float | None
) -> dict[str, Any]:
    ours, theirs = (values[role][one.name] for role in PAIR)
    found = asdict(compare(ours, theirs, larger=one.larger is not False, paired=one.paired))
    verdict = None if one.larger is None else found.pop("verdict")
    return {
        **{key: getattr(one, key) for key in ("name", "unit", "larger", "meaning")},
        **{role: found[role] for role in (*PAIR, "difference")},
        "chance": chance,
        "ceiling": ceiling,
        "n": list(ours.shape),
        "verdict": verdict,
    }


def _left_out(
    taken: Mapping[str, Any], judge: AttackerModel | None, earlier: bool
) -> dict[str, str]:
    if earlier:
        alike = "the trials are of an earlier version; --overwrite measures it"
    elif find_spec("torchmetrics") is None:
        alike = "pip install 'robust-reps-ext[metrics]'"
    else:
        alike = "there is one image, or they are too small"
    why = "there is no judge" if judge is None else "the factors are not known"
    names = [one.name for claim in CLAIMS for one in claim.measures]
    return {
        name: alike if name.startswith(RESEMBLANCE) else why for name in names if name not in taken
    }


def _told(model: AttackerModel) -> dict[str, Any]:
    arch = str(card_of(model).get("arch"))
    return {"arch": arch, "weights": weights_digest(model)}
