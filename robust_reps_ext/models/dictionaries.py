"""Directions from a file: a matrix of them, or a dictionary that others have learnt."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from ..runtime.errors import InputError, first_line, one_line
from .checkpoints import read_checkpoint

__all__ = ["read_dictionary"]


def read_dictionary(path: str | os.PathLike[str]) -> Tensor:
    """Directions, or the atoms of a dictionary, (K, k), from a file; nothing in the file runs.

    Parameters
    ----------
    path
        The state dict of a model of the ``overcomplete`` library (Fel et al. 2025), written by
        ``torch.save(sae.state_dict(), path)`` or as safetensors: of its sparse autoencoders,
        archetypal ones too, and of its matrix factorisations. Or what `rr.directions` found and
        saved; or one matrix alone, or one vector, by any name or as ``.npy``.

    Returns
    -------
    Tensor
        Float32, an atom a row, as long as they are in the file: ``overcomplete`` brings them to
        its norm, and a direction does not depend on that.

    Raises
    ------
    InputError
        If the file is missing or damaged, would have to run code, or holds no directions.

    Examples
    --------
    >>> import torch, tempfile, pathlib
    >>> from robust_reps_ext.models.dictionaries import read_dictionary
    >>> path = pathlib.Path(tempfile.mkdtemp(), "sae.pt")
    >>> torch.save({"dictionary._weights": torch.rand(100, 64)}, path)
    >>> read_dictionary(path).shape
    torch.Size([100, 64])
    """
    shown = one_line(os.fspath(path))
    if os.fspath(path).endswith(".npy"):
        return _rows(_array(path, shown), shown)
    weights = read_checkpoint(path).state_dict
    for names, atoms in _KINDS.items():
        parts = [one for name in names if (one := _named(weights, name)) is not None]
        if len(parts) == len(names):
            try:
                return _rows(atoms(*(part.float() for part in parts)), shown)
            except (RuntimeError, IndexError) as error:
                raise InputError(f"{shown} holds {', '.join(names)} that do not fit") from error
    alone = [one for one in weights.values() if one.dim() == 2] or [*weights.values()]
    if len(alone) == 1:
        return _rows(alone[0], shown)
    told = ", ".join(sorted(weights)[:5])
    raise InputError(
        f"{shown} holds no directions ({told}): give the state dict of a model of overcomplete, or "
        "one matrix (K, k)"
    )


def _rows(found: Tensor, shown: str) -> Tensor:
    if found.dim() not in (1, 2):
        raise InputError(
            f"{shown} holds no directions: its numbers are {tuple(found.shape)}, give (K, k)"
        )
    return torch.atleast_2d(found).float().contiguous()


def _array(path: str | os.PathLike[str], shown: str) -> Tensor:
    try:
        return torch.from_numpy(np.load(path, allow_pickle=False))
    except (OSError, ValueError, EOFError, TypeError) as error:
        reason = getattr(error, "strerror", None) or first_line(error)
        raise InputError(f"{shown} holds no directions: {reason}") from error


def _archetypal(candidates: Tensor, mixture: Tensor, relax: Tensor) -> Tensor:
    """Equation 4 of Fel et al. 2025: convex combinations of points, and a little beside them."""
    mixture = mixture.relu()
    return mixture / (mixture.sum(dim=1, keepdim=True) + 1e-8) @ candidates + relax


# By the names of the weights that each needs: those of overcomplete 0.3, and of `rr.directions`.
_KINDS: Mapping[tuple[str, ...], Callable[..., Tensor]] = {
    ("_weights",): lambda weights: weights,
    ("C", "W", "Relax"): _archetypal,
    ("D",): lambda atoms: atoms,
    ("vectors",): lambda vectors: vectors,
}


def _named(weights: Mapping[str, Tensor], name: str) -> Tensor | None:
    """The weight of this name, of the model itself or of its dictionary."""
    return next((weights[one] for one in (f"dictionary.{name}", name) if one in weights), None)
