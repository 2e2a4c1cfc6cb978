"""From the names in a state dict to those of the bare classifier, format by format."""

from __future__ import annotations

import pickle
import re
from collections.abc import Mapping

import torch
from torch import Tensor

__all__ = ["Normalizer", "bare_name", "named_plainly"]

Normalizer = tuple[Tensor, Tensor]

_STATISTICS = (("new_mean", "new_std"), ("mean", "std"), ("mu", "sigma"))
# Where the formats keep mean and standard deviation.
_NORMALIZERS = tuple(
    (f"{place}{mean}", f"{place}{std}")
    for place in (
        "",
        "normalizer.",
        "normalize.",
        "preproc.normalize.",
        "preproc.normalizer.",
        "attacker.normalize.",
        "attacker.preproc.normalize.",
        "attacker.preproc.normalizer.",
    )
    for mean, std in _STATISTICS
)


def named_plainly(
    state: Mapping[str, Tensor],
) -> tuple[dict[str, Tensor], Normalizer | None, str]:
    """Strip wrappers off the names, and take the normaliser out.

    Parameters
    ----------
    state
        Weights as a file names them.

    Returns
    -------
    tuple
        Weights of the bare classifier, (mean, std) or None, and the format's name.

    Raises
    ------
    pickle.UnpicklingError
        If the file says two things about one weight or normaliser, or has entries that belong to
        no known wrapper; the message is one phrase.
    """
    state = _stripped(_without_compile(state))
    state = _renamed(_without_sequence(state))
    places = {name.partition(".")[0] for name in state}
    normalizer, state = _split_normalizer(state)
    groups = {name.partition(".")[0] for name in state}
    if "model" not in groups or not groups <= {"model", "attacker"}:
        return state, normalizer, "robustbench" if normalizer else "bare"
    classifier = _below("model.", state)
    _check_copy(classifier, _below("attacker.model.", state))
    if len(state) > len(classifier) + len(_below("attacker.model.", state)):
        unknown = next(n for n in state if not n.startswith(("model.", "attacker.model.")))
        raise pickle.UnpicklingError(f"{unknown[:100]!r} belongs to no known kind of model")
    kind = "robustness" if places & {"normalizer", "attacker"} else "robustbench"
    kind = "model_metamers" if "preproc" in places else kind
    classifier = _stripped(classifier)
    if all(name.startswith("model.") for name in classifier):
        classifier = _stripped(_below("model.", classifier))
        kind = "robust-models-transfer"
    return classifier, normalizer, kind


def bare_name(name: str) -> str:
    """The name of a weight in a live classifier without the wrappers it stands in.

    Examples
    --------
    >>> bare_name("module._orig_mod.conv1.weight")
    'conv1.weight'
    """
    parts = [part for part in name.split(".") if part != "_orig_mod"]
    while parts[0] == "module" and len(parts) > 1:
        parts.pop(0)
    return ".".join(parts)


def _without_compile(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Drop the name that torch.compile puts wherever it wraps."""
    plain = {
        ".".join(part for part in name.split(".") if part != "_orig_mod"): value
        for name, value in state.items()
    }
    if len(plain) < len(state):
        raise pickle.UnpicklingError("it holds weights both compiled and not")
    return plain


# What torchvision's layers were called when its weights were published, and are called now.
_OLD_NAMES = (
    (re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)"), r"\1\2"),
    (re.compile(r"(encoder_layer_\d+\.mlp)\.linear_1\."), r"\1.0."),
    (re.compile(r"(encoder_layer_\d+\.mlp)\.linear_2\."), r"\1.3."),
)


def _without_sequence(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """``nn.Sequential(Normalize(...), network)``: 0.mean, 0.std and 1.<name>."""
    first = {name[2:] for name in state if name.startswith("0.")}
    if first not in map(set, _STATISTICS) or not all(
        name.startswith(("0.", "1.")) for name in state
    ):
        return state
    return {
        name[2:] if name.startswith("1.") else f"normalize.{name[2:]}": value
        for name, value in state.items()
    }


def _renamed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    renamed = {}
    for name, value in state.items():
        for old, new in _OLD_NAMES:
            name = old.sub(new, name)
        renamed[name] = value
    if len(renamed) < len(state):
        raise pickle.UnpicklingError("it holds weights under both their older and newer names")
    return renamed


def _stripped(state: dict[str, Tensor], prefix: str = "module.") -> dict[str, Tensor]:
    """Drop the name of DataParallel, as often as everything bears it."""
    while state and all(name.startswith(prefix) for name in state):
        state = _below(prefix, state)
    return state


def _below(prefix: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name[len(prefix) :]: t for name, t in state.items() if name.startswith(prefix)}


def _split_normalizer(
    state: dict[str, Tensor],
) -> tuple[Normalizer | None, dict[str, Tensor]]:
    found: Normalizer | None = None
    for mean, std in _NORMALIZERS:
        if mean not in state or std not in state:
            continue
        pair = state[mean].flatten().float(), state[std].flatten().float()
        if len(pair[0]) != len(pair[1]) or not len(pair[0]) or not bool((pair[1] > 0).all()):
            raise pickle.UnpicklingError(
                f"{mean!r} and {std!r} are no mean and deviation of channels"
            )
        if found is not None and not all(map(torch.equal, pair, found)):
            raise pickle.UnpicklingError(f"it holds two normalisers, and {mean!r} differs")
        found = pair
        state = {name: value for name, value in state.items() if name not in (mean, std)}
    return found, state


def _check_copy(classifier: dict[str, Tensor], copy: dict[str, Tensor]) -> None:
    """The attacker's copy of the classifier, where there is one, must say the same."""
    if not copy:
        return
    for name in [*classifier, *copy]:
        ours, theirs = classifier.get(name), copy.get(name)
        if ours is None or theirs is None or not _same(ours, theirs):
            raise pickle.UnpicklingError(
                f"'model.{name[:100]}' and 'attacker.model.{name[:100]}' differ"
            )


def _same(left: Tensor, right: Tensor) -> bool:
    shared = left.data_ptr() == right.data_ptr() and left.stride() == right.stride()
    return left.shape == right.shape and (shared or torch.equal(left, right))
