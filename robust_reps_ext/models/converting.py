"""A checkpoint of any format as a plain safetensors file with a card."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import safetensors.torch
from robustness.attacker import AttackerModel
from torch import nn

from ..runtime.errors import InputError
from ..runtime.files import writing
from .checkpoints.containers import CARD
from .inputs import size_of
from .layers import unwrapped
from .loading import load_model

__all__ = ["convert"]

_KEPT = ("arch", "classes", "normalizer", "epoch", "accuracies", "sha256")


def convert(
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    arch: str | nn.Module | None = None,
    dataset: Any = None,
    trust: bool = False,
) -> dict[str, Any]:
    """Write the weights of `source` under plain names, once, without anything that could run.

    The normaliser, epoch, accuracies, attack, and what is known of the images go into a card: JSON
    in the file's header, which `load_model` reads, and beside the file as ``.json``, for people.
    Networks that torchvision has too get torchvision's names:
    ``network.load_state_dict(load_file(out))`` takes the file.

    Parameters
    ----------
    source, arch, dataset, trust
        As for `load_model`.
    out
        The file to write, which ends in ``.safetensors``.

    Returns
    -------
    dict
        The card.

    Raises
    ------
    InputError
        As `load_model`; if `out` exists or is named otherwise, or cannot be written.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from robust_reps_ext.models.converting import convert
    >>> out = pathlib.Path(tempfile.mkdtemp(), "robust.safetensors")
    >>> card = convert("critters-robust", out)
    >>> card["arch"], card["classes"], out.with_suffix(".json").exists()
    ('photographs_resnet', 162, True)
    """
    out = Path(out)
    if out.suffix != ".safetensors":
        raise InputError(f"{out} does not end in .safetensors: name the file so")
    beside = out.with_suffix(".json")
    for path in (out, beside):
        if path.exists():
            raise InputError(f"{path} exists already: name another file, or delete it")
    if not out.parent.is_dir():
        raise InputError(f"there is no folder {out.parent}: make it, or name another file")
    model = load_model(source, arch=arch, dataset=dataset, trust=trust)
    card = {name: model.card[name] for name in _KEPT}
    card |= {name: model.card[name] for name in ("attack", "data_set") if name in model.card}
    if size := size_of(model):
        card["size"] = size
    card["normalizer"] = {name: card["normalizer"][name] for name in ("mean", "std")}
    card["source"] = {"name": Path(source).name, "sha256": card.pop("sha256")}
    weights = {
        name: value.detach().cpu().contiguous().clone() for name, value in _named(model).items()
    }
    advice = "make room, or name another file"
    with writing(out, advice) as file:
        file.write(safetensors.torch.save(weights, {CARD: json.dumps(card), "format": "pt"}))
    with writing(beside, advice) as file:
        file.write((json.dumps(card, indent=2) + "\n").encode())
    return card


def _named(model: AttackerModel) -> dict[str, Any]:
    """The weights of the bare network, under torchvision's names where upstream's differ."""
    state: dict[str, Any] = unwrapped(model.model).state_dict()
    if model.card["arch"] != "alexnet":
        return state
    return {name.replace("last_layer.", "classifier.6."): value for name, value in state.items()}
