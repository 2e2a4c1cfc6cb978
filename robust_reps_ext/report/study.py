"""A page on which people are shown results, and asked what they see."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from markupsafe import Markup
from torch import Tensor

from ..results.reader import StoredExperiment, read_results
from ..results.synthesis import Synthesis
from ..results.units import MANIFEST
from ..runtime.errors import InputError
from ..runtime.files import writing
from ..runtime.numbers import whole
from ..runtime.randomness import check_seed, shuffled
from .page import encoder, environment, script_digest

__all__ = ["Trial", "trials_of", "write_study"]

# What fits on a screen, and what people can hold in mind: Feather et al. 2023 have 16 ways.
WAYS = 16
SIDE, QUALITY = 384, 92


@dataclass(frozen=True)
class Trial:
    """One image, and what can be said of it.

    Attributes
    ----------
    image
        (C, H, W) in [0, 1].
    choices
        Names, or images like `image`; two or more, and all of one kind.
    truth
        The place of the right one in `choices`; None where none is right.
    condition
        What the answers are counted by, such as network and layer.
    name
        Of the image: the same image under two conditions bears the same name.
    """

    image: Tensor = field(repr=False)
    choices: Sequence[str] | Sequence[Tensor] = field(repr=False)
    truth: int | None
    condition: str
    name: str


def write_study(
    path: str | Path,
    trials: Sequence[Trial],
    *,
    question: str = "What is this?",
    title: str = "What do you see?",
    milliseconds: int | None = None,
    seed: int = 0,
) -> Path:
    """Write a self-contained HTML page that asks about each trial and gives the answers as CSV.

    It needs no network and no other file. The order follows from the seed and the name that a
    person gives, so that each has an own one that can be made again. Answers are kept in the
    browser until the file is saved: a page that was closed goes on where it was.

    Parameters
    ----------
    path
        The page.
    trials
        What is shown.
    question, title
        Above each image, and on the first screen.
    milliseconds
        How long an image is shown; default: until the answer.
    seed
        Of the order, and of that of pictures to choose from.

    Raises
    ------
    InputError
        If there are no trials, one has no choice, or the page cannot be written.

    Examples
    --------
    >>> import torch, tempfile
    >>> from robust_reps_ext.report.study import Trial, write_study
    >>> trials = [Trial(torch.rand(3, 8, 8), ["cat", "dog"], 0, "robust", "image 4")]
    >>> write_study(f"{tempfile.mkdtemp()}/study.html", trials).name
    'study.html'
    """
    seed = check_seed(seed)
    if not trials:
        raise InputError("the study has no trials: give at least one")
    if milliseconds is not None:
        milliseconds = whole("milliseconds", milliseconds, 1)
    encode = encoder(QUALITY, SIDE)
    shown = [_shown(trial, encode) for trial in trials]
    facts = {
        "trials": shown,
        "question": question,
        "milliseconds": milliseconds,
        "seed": seed,
        "study": hashlib.sha256(json.dumps([shown, seed]).encode()).hexdigest()[:12],
    }
    made = environment()
    script = made.get_template("study.js").render()
    text = made.get_template("study.html.j2").render(
        script=Markup(script),
        script_digest=script_digest(script),
        facts=facts,
        title=title,
        question=question,
        count=len(trials),
    )
    path = Path(path)
    with writing(path, "choose another place") as file:
        file.write(text.encode())
    return path


def _shown(trial: Trial, encode: Any) -> dict[str, Any]:
    if isinstance(trial.choices, str) or len(trial.choices) < 2:
        raise InputError(
            f"the trial of {trial.name!r} has nothing to choose from: give two or more"
        )
    if trial.truth is not None and not 0 <= trial.truth < len(trial.choices):
        raise InputError(f"truth={trial.truth} is none of {len(trial.choices)} choices")
    return {
        "image": encode(trial.image[None])[0],
        "choices": [
            encode(one[None])[0] if isinstance(one, Tensor) else one for one in trial.choices
        ],
        "pictures": isinstance(trial.choices[0], Tensor),
        "truth": trial.truth,
        "condition": trial.condition,
        "name": trial.name,
    }


def trials_of(
    out: str | Path,
    *,
    kind: str = "classes",
    choices: Sequence[str] | None = None,
    seed: int = 0,
) -> list[Trial]:
    """Make trials of all results in a folder: inversions, metamers, interpolations.

    Parameters
    ----------
    out
        As given to ``--out``.
    kind
        ``"classes"``: which class is it? ``"pairs"``: which of two photographs was the target,
        the other being another target of the same run? Of interpolations, both ends are shown, and
        the condition is the place between them.
    choices
        Of ``"classes"``: the names to choose from; default: the labels there are, at most 16.
    seed
        Draws the other target.

    Raises
    ------
    InputError
        If there are no results to ask about, or too many classes.
    """
    if kind not in ("classes", "pairs"):
        raise InputError(f"kind={kind!r} is not known: choose classes or pairs")
    found = [one for one in read_results(out) if "tensors" in one.results]
    # Of a command that makes a section of the page, too, the section has the same images again.
    found = [one for one in found if not (one.path / MANIFEST).exists()] or found
    names = list(choices or ())
    if kind == "classes":
        found = [one for one in found if _asked(one) is not None]
        labels = sorted({str(label) for one in found for label in one.results[_asked(one)]})
        names = names or labels
        if choices is None and len(labels) > WAYS:
            raise InputError(
                f"{out} has {len(labels)} classes: name up to {WAYS} to choose from, or ask for "
                "pairs"
            )
    made = [trial for one in found for trial in _of_experiment(one, kind, names, seed)]
    if not made:
        raise InputError(f"{out} holds no results that can be asked about as {kind}")
    return made


def _asked(one: StoredExperiment) -> str | None:
    """The column of the class that an image shows: what it was moved towards, or its label."""
    return next((name for name in ("class", "label") if name in one.results), None)


def _of_experiment(
    one: StoredExperiment, kind: str, names: Sequence[str], seed: int
) -> list[Trial]:
    experiment, model = (one.metadata.get(name, "") for name in ("experiment", "model"))
    runs = {file: Synthesis.load(one.path / file) for file in one.results["tensors"].unique()}
    seen: Counter[str] = Counter()
    trials = []
    for row in one.results.to_dict("records"):
        run, i = runs[row["tensors"]], seen[row["tensors"]]
        seen[row["tensors"]] += 1
        where = [row["layer"]] if "layer" in row else []
        where += [f"radius {row['radius']:.4g}"] if "radius" in row else []
        name = " ".join(str(row[key]) for key in ("label", "left", "right", "index") if key in row)
        choices: Sequence[Any] = ()
        truth: int | None = None
        if kind == "classes":
            if (right := str(row[_asked(one)])) in names:
                choices, truth = names, names.index(right)
        elif "lambda" in row:
            steps = int(one.metadata["steps"])
            begin = i - round(row["lambda"] * steps)
            choices = run.images[begin], run.images[begin + steps]
            where.append(f"lambda {row['lambda']:.3g}")
        elif run.target_images is not None and len(run) > 1:
            target, order = run.target_images[i], shuffled(len(run), seed=seed + i)
            others = (run.target_images[k] for k in order)
            # The same target stands there again, at another layer or radius.
            other = next((one for one in others if not torch.equal(one, target)), None)
            if other is not None:
                truth = shuffled(2, seed=seed + i)[0]
                choices = [other, target] if truth else [target, other]
        if len(choices):
            condition = ", ".join([f"{experiment} {model}".strip(), *map(str, where)])
            trials.append(
                Trial(run.images[i], choices, truth, condition, name or str(row["image"]))
            )
    return trials
