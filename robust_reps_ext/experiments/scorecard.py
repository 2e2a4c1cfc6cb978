"""The paper's claims as tests: a robust and a standard model, side by side, with intervals."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from robustness.attacker import AttackerModel
from robustness.datasets import DataSet
from torch import Tensor

from ..atomic import writing
from ..datasets.samples import validation_samples
from ..errors import InputError
from ..models.loading import weights_digest
from .paper import FinishedUnit, keep
from .paper_study import Found
from .paper_units import SCORECARD
from .scorecard_claims import CLAIMS, Measure
from .scorecard_measures import angle_between
from .scorecard_statistics import compare
from .scorecard_trial import COATS, PARTS, Amounts, Judge, known_factors, measure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["FEWEST_SEEDS", "QUICK", "Scorecard", "scorecard"]

FEWEST_SEEDS = 3
QUICK = Amounts(
    images=8, gallery=32, pairs=3, steps=4, additions=6, starts=3,
    iterations=60, curve_iterations=100, addition_iterations=200,
)  # fmt: skip


@dataclass(frozen=True)
class Scorecard:
    """What became of each claim.

    Attributes
    ----------
    claims
        One mapping each, as JSON holds it: name, section, statement, and measures with the
        numbers of both models, their difference, what chance gives, and the verdict.
    left_out
        The measures that were not taken, and why.
    made_with
        Models, data, seeds and amounts.
    """

    claims: Sequence[Mapping[str, Any]]
    left_out: Mapping[str, str]
    made_with: Mapping[str, Any]

    def verdicts(self) -> dict[str, str]:
        """Measure -> verdict, see `scorecard_statistics.VERDICTS`."""
        return {
            one["name"]: one["verdict"]
            for claim in self.claims
            for one in claim["measures"]
            if one["verdict"] is not None
        }

    def save(self, out: str | os.PathLike[str]) -> FinishedUnit:
        """Write ``OUT/scorecard.json``, and what `report.page.write_report` makes a page of.

        Raises
        ------
        InputError
            If it cannot be written.
        """
        facts = {"claims": self.claims, "left_out": self.left_out}
        study = dict(self.made_with)
        told = {key: study[key] for key in ("seeds", "judge_right")}
        digest = hashlib.sha256(json.dumps(study, sort_keys=True).encode()).hexdigest()
        found = Found(facts={**facts, **told}, plot=self.figure)
        unit = keep(Path(out), SCORECARD, found, {"digest": digest, "study": study})
        with writing(Path(out, "scorecard.json"), "free some space") as file:
            file.write(json.dumps({**facts, "made_with": study}, indent=1).encode())
        return unit

    def figure(self) -> Figure:
        """The shares of both models with their intervals."""
        from matplotlib.figure import Figure

        rows = [one for claim in self.claims for one in claim["measures"]]
        shares = [one for one in rows if one["unit"] == "share"]
        size = (6.4, 0.9 + 0.38 * len(shares))
        figure = Figure(figsize=size, dpi=160, facecolor="white", layout="constrained")
        axes = figure.add_subplot()
        for role, color, lift in (("robust", "#0072B2", -0.14), ("standard", "#D55E00", 0.14)):
            value, low, high = (
                np.array([one[role][key] for one in shares]) for key in ("value", "low", "high")
            )
            spread = np.clip([value - low, high - value], 0, None)
            places = np.arange(len(shares)) + lift
            axes.errorbar(value, places, xerr=spread, fmt="o", color=color, label=role)
        axes.set_yticks(range(len(shares)), [one["name"] for one in shares])
        axes.invert_yaxis()
        axes.set_xlim(-0.02, 1.02)
        axes.set_xlabel("share, with 95% intervals")
        axes.grid(axis="x", alpha=0.25, linewidth=0.6)
        axes.legend(frameon=False, ncols=2, loc="lower left", bbox_to_anchor=(0, 1))
        return figure


def scorecard(
    robust: AttackerModel,
    standard: AttackerModel,
    data_set: DataSet,
    *,
    judge: AttackerModel | None = None,
    group: Tensor | None = None,
    seeds: int = FEWEST_SEEDS,
    seed: int = 0,
    amounts: Amounts | None = None,
    names: Mapping[str, str] | None = None,
    progress: Callable[[int, int], None] | None = None,
    **changes: Any,
) -> Scorecard:
    """Test the paper's claims on a robust and a standard model.

    Parameters
    ----------
    robust, standard
        As `load_model` returns them.
    data_set
        As `open_data_set` returns it; its validation part is used.
    judge
        A third network of the same classes, which says what images show; without one, what needs
        it is left out.
    group
        Coarse label of each class, by which classes are compared; default the animals of
        critters' fine classes, else the classes themselves.
    seeds
        How many times everything is made, with other images, noise and coordinates; 3 or more.
    seed
        The first of the seeds.
    amounts
        How many images and steps; default `Amounts()`, and `QUICK` is for a look.
    names
        What the models are called, by role: robust, standard, judge.
    progress
        ``progress(parts_done, parts_in_all)``.
    **changes
        Fields of `Amounts` to replace: ``images=36``.

    Returns
    -------
    Scorecard

    Raises
    ------
    InputError
        If seeds are fewer than 3, the judge is one of the models, an amount is too small, or the
        data has too few images.

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
    models = {"robust": robust, "standard": standard}
    amounts = replace(amounts or Amounts(), **changes)
    _check(amounts, seeds)
    if judge is not None and weights_digest(judge) in map(weights_digest, models.values()):
        raise InputError(
            "the judge has the weights of a model that it is to judge: give another, or none"
        )
    factors = known_factors(data_set)
    if group is None and factors is not None:
        group = torch.arange(data_set.num_classes) // COATS
    referee = None if judge is None else Judge(judge, group, factors)
    taken: dict[str, dict[str, list[Tensor]]] = {role: {} for role in models}
    done = 0
    for k in range(seed, seed + seeds):
        for role, model in models.items():
            for part in measure(model, data_set, referee, amounts, seed=k):
                for name, each in part.items():
                    taken[role].setdefault(name, []).append(each.detach().cpu().float())
                done += 1
                if progress is not None:
                    progress(done, seeds * PARTS * len(models))
    values = {
        role: {name: torch.stack(rows).numpy() for name, rows in found.items()}
        for role, found in taken.items()
    }
    chance, right = _chance(data_set, referee, group, amounts, range(seed, seed + seeds))
    claims = [
        {
            **{key: getattr(claim, key) for key in ("name", "section", "statement")},
            "measures": [
                _row(one, values, chance.get(one.name))
                for one in claim.measures
                if one.name in values["robust"]
            ],
        }
        for claim in CLAIMS
    ]
    made_with = _made_with(models, judge, data_set, amounts, names or {}, right)
    made_with |= {
        "seeds": seeds,
        "seed": seed,
        "grouped": None if group is None else group.tolist(),
    }
    return Scorecard(claims, _left_out(values["robust"], judge), made_with)


def _check(amounts: Amounts, seeds: int) -> None:
    if seeds < FEWEST_SEEDS:
        raise InputError(
            f"seeds={seeds}: fewer than {FEWEST_SEEDS} do not show how much hangs on the seed"
        )
    least = {"images": 1, "pairs": 1, "steps": 2, "coordinates": 2, "starts": 2, "additions": 1}
    for name, value in least.items():
        if getattr(amounts, name) < value:
            raise InputError(f"{name}={getattr(amounts, name)}: give {value} or more")
    if amounts.gallery < max(2, amounts.images):
        raise InputError(
            f"gallery={amounts.gallery}: it holds the {amounts.images} targets and others, "
            "give more"
        )
    if len(amounts.radii) < 2 or amounts.radii[0] <= 0:
        raise InputError(f"radii={amounts.radii}: give two or more, above 0 and ascending")


def _row(one: Measure, values: Mapping[str, Any], chance: float | None) -> dict[str, Any]:
    ours, theirs = (values[role][one.name] for role in ("robust", "standard"))
    found = asdict(compare(ours, theirs, larger=one.larger is not False, paired=one.paired))
    verdict = None if one.larger is None else found.pop("verdict")
    return {
        **{key: getattr(one, key) for key in ("name", "unit", "larger")},
        **{role: found[role] for role in ("robust", "standard", "difference")},
        "chance": chance,
        "n": list(ours.shape),
        "verdict": verdict,
    }


def _chance(
    data_set: DataSet, judge: Judge | None, group: Tensor | None, a: Amounts, seeds: Sequence[int]
) -> tuple[dict[str, float], float | None]:
    """What a random other image in place of the result would give; and how often the judge is
    right on the images themselves."""
    chance = {f"recovered, by {who}": 1 / a.gallery for who in ("the judge", "pixels")}
    chance |= {
        f"same from every start, by {who}": 1 / a.coordinates for who in ("the judge", "pixels")
    }
    if judge is None:
        return chance, None
    same: dict[str, list[float]] = {}
    right: list[float] = []
    for seed in seeds:
        samples = validation_samples(data_set, a.gallery, seed=seed)
        coarse = judge.coarse(samples.labels)
        seen = {"class recovered": (coarse[:, None] == coarse).float()}
        if judge.factors is not None:
            known = [judge.factors[i] for i in samples.indices.tolist()]
            texture = torch.tensor([one.texture for one in known])
            hue = torch.tensor([one.body_hue for one in known])
            seen["texture recovered"] = (texture[:, None] == texture).float()
            seen["hue error"] = angle_between(hue[:, None], hue)
        others = ~torch.eye(a.gallery, dtype=torch.bool)
        for name, table in seen.items():
            same.setdefault(name, []).append(float(table[others].mean()))
        hits = judge.coarse(judge.labels(samples.images)) == coarse
        right.append(float(hits.float().mean()))
    chance |= {name: sum(rows) / len(rows) for name, rows in same.items()}
    return chance, sum(right) / len(right)


def _left_out(taken: Mapping[str, Any], judge: AttackerModel | None) -> dict[str, str]:
    names = [one.name for claim in CLAIMS for one in claim.measures if one.name not in taken]
    if judge is None:
        return dict.fromkeys(names, "there is no judge")
    instead = {"evenness of steps, by pixels": "the judge tells it"}
    return {name: instead.get(name, "the factors are not known") for name in names}


def _made_with(
    models: Mapping[str, AttackerModel],
    judge: AttackerModel | None,
    data_set: DataSet,
    amounts: Amounts,
    names: Mapping[str, str],
    right: float | None,
) -> dict[str, Any]:
    everyone = {**models, **({} if judge is None else {"judge": judge})}
    made_with = {
        "scale": {"name": "scorecard", **asdict(amounts)},
        "models": {
            role: {
                "name": names.get(role, role),
                "arch": str(getattr(model, "card", {}).get("arch")),
                "weights": weights_digest(model),
            }
            for role, model in everyone.items()
        },
        "judge_right": right,
        "data": {
            "name": data_set.ds_name,
            "folder": str(data_set.data_path),
            "side": validation_samples(data_set, 1).images.shape[-1],
        },
    }
    plain: dict[str, Any] = json.loads(json.dumps(made_with))
    return plain
