"""What goes through a whole data set, part by part: what is finished is kept in a store."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Literal, TypeAlias

from robustness.attacker import AttackerModel
from torch import Tensor
from torch.utils.data import DataLoader, Subset, default_collate

from ..results.accuracies import Accuracy, added_up
from ..results.activations import Activations, from_rows, to_rows
from ..results.store import ExperimentStore
from ..runtime.errors import InputError
from ..runtime.memory import fastest_batch
from ..runtime.modules import device_of
from .accuracy import evaluate
from .activations import ALL, extremes, merged
from .attacks import check_attack

__all__ = ["ACTIVATIONS_PART", "COUNTS_PART", "Watch", "accuracies", "all_activations", "watched"]

Watch: TypeAlias = Callable[[str], AbstractContextManager[Any]]
"""``with watch(what) as progress`` is put around each part: ``progress(images, images_in_all)``,
with clean accuracy as the third where accuracies are counted."""

COUNTS_PART = 1024
ACTIVATIONS_PART = 4096


def accuracies(
    store: ExperimentStore,
    models: Mapping[str, AttackerModel],
    images: Any,
    *,
    eps: float | None,
    attack_steps: Sequence[int] | None,
    watch: Watch,
    step_size: float | None = None,
    radii: Sequence[float] | None = None,
    attack: str = "pgd",
    constraint: str | None = None,
    seed: int = 0,
    groups: Mapping[str, Tensor | None],
    precision: str = "float32",
    batch_size: int | Literal["auto"] = 32,
    part: int = COUNTS_PART,
) -> list[dict[str, Any]]:
    """Clean accuracies, and those under attack, of several models (Tables 4, 5).

    Parameters
    ----------
    store
        Gets the counts of each part, and at the end the accuracies as its results.
    models
        Name -> as `load_model` returns it.
    images
        A data set of N pairs ``(image, label)``, read by their numbers.
    eps, attack_steps, step_size, radii, attack, constraint, seed, precision
        See `evaluate`.
    watch
        Told the name of the model, and of what its labels are.
    groups
        What the labels are -> the `group` of `evaluate`, None for the classes themselves.
    batch_size
        Images at once; ``"auto"`` for as many as are fastest and fit into memory.
    part
        Images that are counted before their counts are kept: what an interruption loses. A store
        must be gone on with in parts of the same size.

    Returns
    -------
    list of dict
        For each model, kind of label and attack: accuracy, its interval, the mean over classes
        (``balanced``, None where a part was counted by an earlier version), the counts, and the
        pairs ``[correct, n]`` of each class as JSON (``by_class``).

    Raises
    ------
    InputError
        As `evaluate`.

    Examples
    --------
    >>> found = accuracies(store, {"robust": model}, images, eps=3.0)  # doctest: +SKIP
    """
    chosen: dict[str, Any] = {"attack": attack, "radii": radii, "constraint": constraint}
    check_attack(eps, attack_steps, step_size=step_size, **chosen)
    how: dict[str, Any] = {"step_size": step_size, "precision": precision, "seed": seed, **chosen}
    how |= {} if radii is not None else {"eps": eps}
    rows: list[dict[str, Any]] = []
    for k, (name, model) in enumerate(models.items()):
        size = batch_size
        for labels, group in groups.items():
            said = {"model": name, "labels": labels}
            whole = f"{k}-{labels.replace(' ', '-')}"
            with store.parts(whole, len(images), part) as parts:
                for one in parts:
                    if size == "auto":
                        size = _fastest(model, images, how)
                    some = Subset(images, range(one.first, one.stop))
                    with watch(f"{name}, {labels}") as progress:
                        counts = evaluate(
                            model,
                            DataLoader(some, size),
                            progress=progress,
                            attack_steps=attack_steps,
                            group=group,
                            first=one.first,
                            **how,
                        )
                    counted = [
                        {**said, "attack": found.name, "correct": found.correct, "n": found.n}
                        | {"by_class": json.dumps(found.by_class)}
                        | ({} if radii is None else {"eps": found.eps})
                        for found in counts
                    ]
                    store.add_rows(one, counted, table="counts")
            rows += [{**said, **_row(one)} for one in added_up(store.rows(whole))]
    with store.parts("accuracy", len(rows), len(rows)) as parts:
        for one in parts:
            store.add_rows(one, [{**row, "name": "accuracy"} for row in rows])
    return rows


def all_activations(
    store: ExperimentStore,
    model: AttackerModel,
    images: Any,
    *,
    k: int,
    watch: Watch,
    layer: Any = None,
    batch_size: int = 32,
) -> Activations:
    """The images that activate each coordinate of R(x) most and least (Fig. 8).

    Parameters
    ----------
    store
        Gets what is found in each part, table ``extremes``.
    model
        As `load_model` returns it.
    images
        A data set of N pairs ``(image, label)``, read by their numbers.
    k
        Images at each end.
    watch
        Told that images are looked at.
    layer
        The representation layer; default the penultimate one.
    batch_size
        Images at once.

    Returns
    -------
    Activations
        Without images; an index is a number in `images`.

    Raises
    ------
    InputError
        If there are fewer than k images, or none can be read.

    Examples
    --------
    >>> found = all_activations(store, model, images, k=3)  # doctest: +SKIP
    """
    if not 1 <= k <= len(images):
        raise InputError(f"k={k}: the data has {len(images)} images; keep 1 to that many")
    with store.parts("activations", len(images), ACTIVATIONS_PART) as parts:
        for part in parts:
            some = Subset(images, range(part.first, part.stop))
            with watch("Looking") as progress:
                found = extremes(
                    model,
                    watched(some, batch_size, progress),
                    coordinates=ALL,
                    k=k,
                    layer=layer,
                    first=part.first,
                    keep_images=False,
                )
            if found is None:
                raise InputError("none of these images can be read")
            store.add_rows(part, to_rows(found), table="extremes")
    rows = store.rows("activations")
    size = 1 + max(int(row["coordinate"]) for row in rows)
    return merged(*(from_rows(rows[i : i + size], k) for i in range(0, len(rows), size)))


def watched(images: Any, size: int, progress: Callable[[int, int], None]) -> Iterator[Any]:
    """Batches of a data set, while the bar moves."""
    done = 0
    for batch in DataLoader(images, size):
        yield batch
        done += len(batch[0])
        progress(done, len(images))


def _fastest(model: AttackerModel, images: Any, how: Mapping[str, Any]) -> int:
    """As many images at once as a step of the attack is fastest with."""

    def attack(n: int) -> None:
        some = [default_collate([images[i] for i in range(n)])]
        evaluate(model, some, attack_steps=[1], **{**how, "radii": None, "attack": "pgd"})

    return fastest_batch(attack, len(images), device_of(model))


def _row(one: Accuracy) -> dict[str, Any]:
    low, high = one.interval()
    return {
        "attack": one.name,
        "accuracy": one.share,
        "low": low,
        "high": high,
        "balanced": one.balanced if one.by_class else None,
        "correct": one.correct,
        "n": one.n,
        "by_class": json.dumps(one.by_class),
        **({} if one.eps is None else {"eps": one.eps}),
    }
