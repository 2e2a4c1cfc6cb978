"""From a checkpoint file or any network to an `AttackerModel` ready for experiments."""

from __future__ import annotations

import difflib
import hashlib
import inspect
import logging
import os
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import torch
from robustness.attacker import AttackerModel
from robustness.datasets import DATASETS
from torch import Tensor, nn

from ..errors import InputError
from . import normalizers
from .architectures import (
    PROBE,
    Architecture,
    load_weights,
    misfit,
    named,
    number_of_classes,
    recognized,
    restored,
)
from .catalogue import bundled
from .checkpoints import read_checkpoint
from .normalizers import Statistics
from .representation import Layer, RepresentationModel, at_layer
from .state_names import Normalizer, bare_name

__all__ = ["load_model", "weights_digest"]

logger = logging.getLogger("robust_reps_ext")


def load_model(
    source: str | os.PathLike[str] | nn.Module,
    *,
    arch: str | nn.Module | None = None,
    dataset: Any = None,
    layer: Layer | None = None,
    normalize: tuple[Statistics, Statistics] | None = None,
    trust: bool = False,
    device: str | torch.device | None = None,
) -> AttackerModel:
    """Make the model that every experiment takes: normaliser, network and attacker, in eval mode.

    Parameters
    ----------
    source
        The name of a bundled model (``"critters-robust"``); a checkpoint file (see
        `read_checkpoint` for the formats); any network whose input is
        images (N, 3, H, W) already normalised; or an `AttackerModel`, which is returned itself.
    arch
        Name of the architecture of a checkpoint (upstream's, torchvision's, ours), or a network to
        load it into. By default it is recognised by the names and shapes of the weights.
    dataset
        An upstream `DataSet`, or the name of one (``"restricted_imagenet"``, ``"imagenet"``,
        ``"cifar"``, ``"critters"``): number of classes, and the normaliser where the checkpoint
        has none.
    layer
        Where to read the representation, by name or as a function of the network; default the
        penultimate layer, the paper's R (section 2).
    normalize
        (mean, std) of three channels for images in [0, 1]; wins over every other normaliser. By
        default the checkpoint's, else the data set's, else ImageNet's where there are 1000
        classes.
    trust
        Run whatever code the file holds. Default False: nothing in a file runs.
    device
        Default: files load onto the CPU, networks stay where they are.

    Returns
    -------
    AttackerModel
        With the attribute ``card``: a dict of arch, classes, format, normalizer (mean, std,
        from), origin, sha256 (of the file), epoch and accuracies.

    Raises
    ------
    InputError
        If the file cannot be read, the weights fit no architecture (or not the one named, or not
        the data set), or no normaliser is known.

    Examples
    --------
    >>> import torchvision, robust_reps_ext as rr
    >>> network = torchvision.models.resnet18(num_classes=9)
    >>> model = rr.load_model(network, dataset="restricted_imagenet")
    >>> model.card["classes"], model.card["normalizer"]["from"]
    (9, 'data set restricted_imagenet')
    """
    target = _device(device)
    data = _data_set(dataset)
    given = normalizers.from_argument(normalize)
    if isinstance(source, nn.DataParallel):
        source = source.module
    if isinstance(source, nn.Module) and arch is not None:
        raise InputError("arch= names the network of a checkpoint file; the source is a network")
    if isinstance(source, AttackerModel):
        if given is not None:
            raise InputError("normalize= is for networks; the source has a normaliser already")
        _check_classes(_classes(source.model), data, source.model.state_dict())
        model = at_layer(source, layer)
        model.card = getattr(source, "card", None) or _card(source, "the model")
    elif isinstance(source, nn.Module):
        model = _from_network(source, data, layer, given)
    elif isinstance(source, (str, os.PathLike)):
        model = _from_file(source, arch, data, layer, given, trust)
    else:
        raise TypeError(f"source is a {type(source).__name__}, not a path or a network")
    if target is not None:
        model = model.to(target)
    return model.eval()


def weights_digest(model: nn.Module) -> str:
    """SHA-256 over the weights of the bare classifier, whatever wraps it and in any order.

    Names, types, shapes and bytes count; the normaliser does not.

    Parameters
    ----------
    model
        An `AttackerModel`, or a network.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    while isinstance(model, (nn.DataParallel, AttackerModel)):
        model = model.module if isinstance(model, nn.DataParallel) else model.model
    state = {bare_name(name): value for name, value in model.state_dict().items()}
    digest = hashlib.sha256()
    for name in sorted(state):
        value = state[name].detach().cpu().contiguous()
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(value.flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


# -- from a file -----------------------------------------------------------------------------------


def _from_file(
    path: str | os.PathLike[str],
    arch: str | nn.Module | None,
    data: Any,
    layer: Layer | None,
    given: Normalizer | None,
    trust: bool,
) -> AttackerModel:
    if not os.path.exists(path):
        path = bundled().get(os.fspath(path), path)
    if not os.path.exists(path) and not {*os.fspath(path)} & {*"/\\."}:
        raise InputError(
            f"{os.fspath(path)!r} is no file and no bundled model ({', '.join(bundled())}): give "
            "a checkpoint file (with arch= its architecture), or a network built by you"
        )
    checkpoint = read_checkpoint(path, trust=trust)
    try:
        name, classes, network = _network(checkpoint.state_dict, arch, data)
    except InputError as error:
        raise InputError(f"{checkpoint.path}: {error}") from error
    normalizer, origin = normalizers.chosen(
        str(checkpoint.path), given=given, stored=checkpoint.normalizer, data=data, classes=classes
    )
    model = _attackable(network, layer, normalizer)
    model.card = {
        "arch": name,
        "classes": classes,
        "format": checkpoint.format,
        "normalizer": normalizers.described(normalizer, origin),
        "origin": str(checkpoint.path),
        "sha256": checkpoint.sha256,
        "epoch": checkpoint.epoch,
        "accuracies": checkpoint.accuracies,
    }
    accuracies = ", ".join(f"{k} {v:.2f}" for k, v in checkpoint.accuracies.items())
    logger.info(
        "%s: %s checkpoint of %s, %s classes, normaliser from %s, epoch %s, %s",
        checkpoint.path,
        checkpoint.format,
        name,
        classes,
        origin,
        "unknown" if checkpoint.epoch is None else checkpoint.epoch,
        accuracies or "no stored accuracy",
    )
    return model


def _network(
    state: Mapping[str, Tensor], arch: str | nn.Module | None, data: Any
) -> tuple[str, int | None, nn.Module]:
    """The classifier with its weights, its name and number of classes."""
    if isinstance(arch, nn.Module):
        _check_fit({n: tuple(t.shape) for n, t in arch.state_dict().items()}, state, _kind(arch))
        _check_classes(_classes(arch), data, state)
        return _kind(arch), _classes(arch), load_weights(arch, state)
    if arch is None:
        found, classes = recognized(state)
    else:
        found, classes = _chosen(arch, state, data)
    _check_classes(classes, data, state)
    return found.name, classes, restored(lambda: found.build(classes), state)


def _chosen(arch: str, state: Mapping[str, Tensor], data: Any) -> tuple[Architecture, int]:
    """The architecture of that name that the weights fit, the data set's own first."""
    candidates = []
    if data is not None:
        own = _of_data_set(arch, data)
        candidates = [own] if own is not None else []
    candidates = candidates or named(arch)
    probe = PROBE if data is None else data.num_classes
    shapes = [candidate.shapes(probe) for candidate in candidates]
    for candidate, sizes in zip(candidates, shapes, strict=True):
        classes = number_of_classes(sizes, state, probe)
        if classes is not None:
            return candidate, classes
    closest = max(shapes, key=lambda sizes: len(set(sizes) & set(state)))
    _check_fit(closest, state, arch, ignoring=probe)
    raise InputError(f"its weights count classes in more than one way, unlike {arch}")


def _of_data_set(arch: str, data: Any) -> Architecture | None:
    """What the data set itself calls `arch`, None where it does not know that name."""

    def build(classes: int) -> nn.Module:
        network: nn.Module = data.get_model(arch, False)
        return network

    try:
        with torch.device("meta"), torch.random.fork_rng(devices=[]):
            build(data.num_classes)
    except (KeyError, TypeError, NotImplementedError, InputError):
        return None
    return Architecture(arch, "data set", build)


def _check_fit(
    shapes: Mapping[str, tuple[int, ...]],
    state: Mapping[str, Tensor],
    arch: str,
    ignoring: int | None = None,
) -> None:
    relevant = {
        name: tuple(state[name].shape)
        if name in state and ignoring in shape and len(shape) == state[name].dim()
        else shape
        for name, shape in shapes.items()
    }
    reason = misfit(relevant, state)
    if reason:
        raise InputError(f"it does not fit {arch}: {reason}; choose another arch= or dataset=")


def _check_classes(classes: int | None, data: Any, state: Mapping[str, Tensor]) -> None:
    if data is None or classes is None or data.num_classes == classes:
        return
    heads = [n for n, t in state.items() if t.dim() and t.shape[0] == classes]
    heads = [n for n in heads if n.endswith("weight")] or heads or ["the network"]
    raise InputError(
        f"{heads[-1]} has {classes} classes, dataset {data.ds_name!r} has {data.num_classes}: "
        "pass the data set that the network was trained on"
    )


# -- from a network --------------------------------------------------------------------------------


def _from_network(
    network: nn.Module, data: Any, layer: Layer | None, given: Normalizer | None
) -> AttackerModel:
    classes = _classes(network)
    _check_classes(classes, data, network.state_dict())
    normalizer, origin = normalizers.chosen(
        _kind(network), given=given, stored=None, data=data, classes=classes
    )
    model = _attackable(network, layer, normalizer)
    model.card = _card(model, origin)
    return model


def _card(model: AttackerModel, origin: str) -> dict[str, Any]:
    inner = model.model.module if isinstance(model.model, RepresentationModel) else model.model
    statistics = model.normalizer.new_mean, model.normalizer.new_std
    return {
        "arch": _kind(inner),
        "classes": _classes(inner),
        "format": "module",
        "normalizer": normalizers.described(statistics, origin),
        "origin": "a network in memory",
        "sha256": None,
        "epoch": None,
        "accuracies": {},
    }


def _kind(network: nn.Module) -> str:
    return type(network).__name__


def _classes(network: nn.Module) -> int | None:
    """The width of the layer with weights that is declared last."""
    widths = [
        getattr(module, "out_features", None) or getattr(module, "out_channels", None)
        for module in network.modules()
        if isinstance(module, (nn.Linear, nn.modules.conv._ConvNd))
    ]
    return int(widths[-1]) if widths and widths[-1] else None


# -- the parts -------------------------------------------------------------------------------------


def _attackable(network: nn.Module, layer: Layer | None, normalizer: Normalizer) -> AttackerModel:
    if layer is not None or "with_latent" not in inspect.signature(network.forward).parameters:
        network = RepresentationModel(network, layer=layer)
    mean, std = normalizer
    model = AttackerModel(network, SimpleNamespace(mean=mean, std=std))
    parameter = next(network.parameters(), None)
    return model if parameter is None else model.to(parameter.device)


def _data_set(dataset: Any) -> Any:
    if dataset is None or not isinstance(dataset, str):
        if dataset is not None and not hasattr(dataset, "num_classes"):
            raise TypeError(f"dataset is a {type(dataset).__name__}, not a data set or its name")
        return dataset
    if dataset not in DATASETS:
        close = difflib.get_close_matches(dataset, list(DATASETS), n=3) or sorted(DATASETS)
        raise InputError(f"unknown data set {dataset!r}: try {', '.join(close)}")
    try:
        return DATASETS[dataset]("")
    except TypeError as error:
        raise InputError(
            f"data set {dataset!r} needs more than a name: build it and pass the object"
        ) from error


def _device(device: str | torch.device | None) -> torch.device | None:
    if device is None:
        return None
    try:
        target = torch.device(device)
    except RuntimeError as error:
        raise InputError(f"unknown device {device!r}: use cpu, cuda or cuda:<number>") from error
    if target.type == "cuda" and not torch.cuda.is_available():
        raise InputError(f"device {device!r} needs CUDA, which this machine lacks: use cpu")
    return target
