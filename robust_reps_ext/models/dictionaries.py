"""Dictionaries of directions that others have learnt, read from their weights."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from torch import Tensor

from ..runtime.errors import InputError, one_line
from .checkpoints import read_checkpoint

__all__ = ["read_dictionary"]


def read_dictionary(path: str | os.PathLike[str]) -> Tensor:
    """The atoms of a dictionary, (K, k), from a file; nothing in the file runs.

    Parameters
    ----------
    path
        The state dict of a model of the ``overcomplete`` library (Fel et al. 2025), written by
        ``torch.save(sae.state_dict(), path)`` or as safetensors: of its sparse autoencoders,
        archetypal ones too, and of its matrix factorisations. Or what `rr.directions` found and
        saved, or one matrix alone, by any name.

    Returns
    -------
    Tensor
        Float32, an atom a row, as long as they are in the file: ``overcomplete`` brings them to
        its norm, and a direction does not depend on that.

    Raises
    ------
    InputError
        If the file is missing or damaged, would have to run code, or holds no dictionary.

    Examples
    --------
    >>> import torch, tempfile, pathlib
    >>> from robust_reps_ext.models.dictionaries import read_dictionary
    >>> path = pathlib.Path(tempfile.mkdtemp(), "sae.pt")
    >>> torch.save({"dictionary._weights": torch.rand(100, 64)}, path)
    >>> read_dictionary(path).shape
    torch.Size([100, 64])
    """
    weights = read_checkpoint(path).state_dict
    for names, atoms in _KINDS.items():
        parts = [_named(weights, name) for name in names]
        if all(part is not None and part.dim() == 2 for part in parts):
            try:
                found = atoms(*(part.float() for part in parts if part is not None))
            except RuntimeError as error:
                raise InputError(
                    f"{one_line(os.fspath(path))} holds {', '.join(names)} that do not fit"
                ) from error
            return found.contiguous()
    matrices = [one for one in weights.values() if one.dim() == 2]
    if len(matrices) == 1:
        return matrices[0].float().contiguous()
    told = ", ".join(sorted(weights)[:5])
    raise InputError(
        f"{one_line(os.fspath(path))} holds no dictionary ({told}): give the state dict of a model "
        "of overcomplete, or one matrix (K, k)"
    )


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
