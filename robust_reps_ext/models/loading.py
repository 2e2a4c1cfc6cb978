"""From a checkpoint file or any network to an `AttackerModel` ready for experiments."""

from __future__ import annotations

import inspect
import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeAlias

import torch
from robustness.attacker import AttackerModel
from robustness.datasets import DATASETS
from torch import Tensor, nn

from ..runtime.errors import InputError
from ..runtime.modules import device_named, digest, modes_of, own_device, restore_modes
from ..runtime.numbers import shown
from ..upstream import known, registry
from . import normalizers
from .architectures import TIMM
from .architectures.fitting import check_classes, classes_of, fitted, kind
from .cards import card_of
from .checkpoints import read_checkpoint
from .checkpoints.data_facts import attack_facts, data_facts, size_fact
from .checkpoints.state_names import Normalizer, bare_name
from .inputs import OF_IMAGENET, size_of
from .layers import Layer, RepresentationModel, at_layer, unwrapped
from .normalizers import Statistics
from .self_check import check_output, check_weights
from .zoo.sources import find_source, timm_network

__all__ = ["Model", "Normalize", "as_model", "load_model", "weights_digest"]

Output: TypeAlias = Callable[[Any], Tensor] | None
Model: TypeAlias = AttackerModel | nn.Module | str | os.PathLike[str]
"""What every call takes: see the ``source`` of `load_model`."""
Normalize: TypeAlias = tuple[Statistics, Statistics] | None
"""Mean and standard deviation of each channel, for images in [0, 1]."""

logger = logging.getLogger("robust_reps_ext")


def load_model(
    source: str | os.PathLike[str] | nn.Module,
    *,
    arch: str | nn.Module | None = None,
    dataset: Any = None,
    layer: Layer | None = None,
    normalize: Normalize = None,
    trust: bool = False,
    device: str | torch.device | None = None,
    check: bool = True,
    output: Callable[[Any], Tensor] | None = None,
) -> AttackerModel:
    """Make the model that every experiment takes: normaliser, network and attacker, in eval mode.

    Parameters
    ----------
    source
        A checkpoint file (see `read_checkpoint` for the formats); the name of a bundled
        (``"critters-robust"``) or public model (``"resnet50_l2_eps3"``, see ``robust-reps
        models``), of torchvision's weights (``"resnet50"``,
        ``"torchvision:resnet50.IMAGENET1K_V1"``) or timm's (``"timm:resnet50.a1_in1k"``), which
        are fetched once; any network whose input is images (N, C, H, W) already normalised; or an
        `AttackerModel`, which is returned itself.
    arch
        Name of the architecture of a checkpoint (upstream's, torchvision's, ours,
        ``"timm:NAME"``), or a network to load it into. By default it is recognised by the names
        and shapes of the weights.
    dataset
        An upstream `DataSet`, or the name of one (``"restricted_imagenet"``, ``"imagenet"``,
        ``"cifar"``, ``"critters"``): number of classes, and the normaliser where the checkpoint
        has none.
    layer
        Where to read the representation, by name (``"layer3"``, or ``"layer3:mean"`` for averages
        over positions) or as a function of the network; default the penultimate layer, the
        paper's R (section 2).
    normalize
        (mean, std) of each channel for images in [0, 1]; wins over every other normaliser. By
        default the checkpoint's or that published with it (timm's with its weights), else the data
        set's, else timm's for its networks, else ImageNet's where there are 1000 classes.
    trust
        Run whatever code the file holds. Default False: nothing in a file runs.
    device
        Default: files and names load onto the card of this process where there is CUDA, else onto
        the CPU, as in the commands and in upstream's `make_and_restore_model`; networks stay where
        they are.
    check
        Run one grey image through the model, and see that its logits are finite and as many as
        the data set has classes.
    output
        From what the network gives to logits (N, classes), where it gives something else; default:
        what it gives, or its attribute ``logits``.

    Returns
    -------
    AttackerModel
        With the attribute ``card``: a dict of arch, classes, format, normalizer (mean, std,
        from), origin, sha256 (of the file), epoch, accuracies (in percent), if checked
        representation, left_out, what the file wanted to import, data_set, what a checkpoint
        of training on a folder tells of it, and attack, what the network was trained against
        (constraint, eps, ...), where that is known. One line of it goes to the log
        ``robust_reps_ext``.

    Raises
    ------
    InputError
        If the file cannot be read or fetched, the weights fit no architecture, several (or not the
        one named, or not the data set), no normaliser is known, or the check fails.

    Examples
    --------
    >>> import torchvision, robust_reps_ext as rr
    >>> network = torchvision.models.resnet18(num_classes=9)
    >>> model = rr.load_model(network, dataset="restricted_imagenet")
    >>> model.card["classes"], model.card["normalizer"]["from"]
    (9, 'data set restricted_imagenet')
    """
    known.require("robustness.attacker")
    if output is not None and not callable(output):
        raise InputError(f"output={shown(output)}: give a function of what the network gives")
    if device is None and not isinstance(source, nn.Module):
        device = own_device()
    target = device_named(device)
    data = _data_set(dataset)
    given = normalizers.from_argument(normalize)
    if isinstance(source, nn.DataParallel):
        source = source.module
    if isinstance(source, nn.Module) and arch is not None:
        raise InputError("arch= names the network of a checkpoint file; the source is a network")
    if isinstance(source, AttackerModel):
        if given is not None:
            raise InputError("normalize= is for networks; the source has a normaliser already")
        if output is not None:
            raise InputError("output= is for networks; the source has logits already")
        check_classes(classes_of(source.model), data, source.model.state_dict())
        model = at_layer(source, layer)
        model.card = card_of(source) or _card(source, "the model")
        model.image_size = getattr(source, "image_size", None)
    elif isinstance(source, nn.Module):
        model = _from_network(source, data, layer, given, output=output)
    elif isinstance(source, str) and source.startswith(TIMM) and not os.path.exists(source):
        network, facts = timm_network(source)
        model = _from_network(network, data, layer, given, facts, output=output)
    elif isinstance(source, (str, os.PathLike)):
        model = _from_file(source, arch, data, layer, given, trust, output)
    else:
        raise InputError.also(TypeError)(
            f"source is a {type(source).__name__}: give a network, a file or a name{_of(source)}"
        )
    if target is not None:
        model = model.to(target)
    model.eval()
    if data is not None:
        model.image_size = _size_of(data)
    if check:
        told = check_output(
            model,
            None if data is None else data.num_classes,
            # 224 is tried anyway, and costs more than the sizes before it.
            size=None if (size := size_of(model)) == OF_IMAGENET else size,
            logits_needed=layer is None,
        )
        if not told and given is not None:
            normalizers.check_channels(normalize, model)
        model.card = model.card | told
    if model is not source:
        _report(model.card)
    return model


def as_model(model: Model, normalize: Normalize = None, dataset: Any = None) -> AttackerModel:
    """`model` itself, or what `load_model` makes of it; a network keeps its mode.

    Parameters
    ----------
    model
        A network, a file or a name; what `load_model` made is returned itself.
    normalize, dataset
        As for `load_model`; only where `model` is made here.

    Raises
    ------
    InputError
        As `load_model`; also where `load_model` made the model, which has a normaliser, and
        `normalize` is another.
    """
    known.require("robustness.attacker")
    if isinstance(model, AttackerModel):
        given, own = normalizers.from_argument(normalize), model.normalizer
        stored = own.new_mean.flatten().cpu(), own.new_std.flatten().cpu()
        if given is not None and not normalizers.same(given, stored):
            raise InputError(
                "normalize= is for networks, and the model has another normaliser already, "
                f"{normalizers.rounded(stored[0])}, {normalizers.rounded(stored[1])}: leave it out"
            )
        return model
    if not isinstance(model, (nn.Module, str, os.PathLike)):
        raise InputError(
            f"model is a {type(model).__name__}: give what load_model returns, a network, a file "
            f"or a name{_of(model)}"
        )
    modes = modes_of(model) if isinstance(model, nn.Module) else {}
    try:
        return load_model(model, normalize=normalize, dataset=dataset)
    finally:
        restore_modes(modes)


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
    return digest({bare_name(name): value for name, value in model.state_dict().items()})


# Side of the images of upstream's data sets that are not of 224 pixels.
_SIZES = {"cifar": 32, "cinic": 32}


def _size_of(data: Any) -> int | None:
    """Side of the images of a data set; upstream's own do not say it, and not all are squares."""
    name = getattr(data, "ds_name", "")
    of_upstream = _SIZES.get(name, OF_IMAGENET if name in DATASETS else None)
    size = getattr(data, "size", of_upstream)
    return size if isinstance(size, int) else None


# -- from a file -----------------------------------------------------------------------------------


def _from_file(
    name: str | os.PathLike[str],
    arch: str | nn.Module | None,
    data: Any,
    layer: Layer | None,
    given: Normalizer | None,
    trust: bool,
    output: Output,
) -> AttackerModel:
    source = find_source(name)
    checkpoint = read_checkpoint(source.path, trust=trust)
    try:
        if source.network is not None and arch is None:
            found, classes, network = fitted(checkpoint.state_dict, source.network(), data)
        else:
            hint = checkpoint.raw.get("arch")
            found, classes, network = fitted(checkpoint.state_dict, arch, data, hint=hint)
    except InputError as error:
        raise InputError(f"{os.fspath(name)}: {error}") from error
    normalizer, origin = normalizers.chosen(
        str(checkpoint.path),
        given=given,
        stored=checkpoint.normalizer,
        data=data,
        classes=classes,
        published=source.normalizer,
        network=network,
    )
    model = _attackable(network, layer, normalizer, output)
    facts = source.facts
    model.card = {
        "arch": source.arch or found,
        "classes": classes,
        "format": checkpoint.format,
        "normalizer": normalizers.described(normalizer, origin),
        "origin": str(checkpoint.path),
        "sha256": checkpoint.sha256,
        "epoch": facts.get("epoch") if checkpoint.epoch is None else checkpoint.epoch,
        "accuracies": checkpoint.accuracies or facts.get("accuracies", {}),
    }
    model.image_size = facts.get("size") or size_fact(checkpoint.raw)
    known_data = data_facts(checkpoint.raw) or facts.get("data_set")
    if known_data:
        model.card["data_set"] = known_data
    against = attack_facts(checkpoint.raw) or facts.get("attack")
    if against:
        model.card["attack"] = against
    if "measured" in facts:
        model.card["measured"] = facts["measured"]
    if checkpoint.unsafe_imports:
        model.card["left_out"] = list(checkpoint.unsafe_imports[:10])
    return model


# -- from a network --------------------------------------------------------------------------------


def _from_network(
    network: nn.Module,
    data: Any,
    layer: Layer | None,
    given: Normalizer | None,
    facts: Mapping[str, Any] | None = None,
    *,
    output: Output = None,
) -> AttackerModel:
    check_weights(network)
    classes = classes_of(network)
    check_classes(classes, data, network.state_dict())
    normalizer, origin = normalizers.chosen(
        kind(network),
        given=given,
        stored=None,
        data=data,
        classes=classes,
        published=None if facts is None else normalizers.of_timm(network),
        network=network,
    )
    model = _attackable(network, layer, normalizer, output)
    model.card = _card(model, origin) | dict(facts or {})
    return model


def _card(model: AttackerModel, origin: str) -> dict[str, Any]:
    inner = unwrapped(model.model)
    statistics = model.normalizer.new_mean, model.normalizer.new_std
    return {
        "arch": kind(inner),
        "classes": classes_of(inner),
        "format": "module",
        "normalizer": normalizers.described(statistics, origin),
        "origin": "a network in memory",
        "sha256": None,
        "epoch": None,
        "accuracies": {},
    }


def _report(card: Mapping[str, Any]) -> None:
    """One short line on what has been loaded."""
    path = Path(card["origin"])
    name = path.stem if path.suffix == ".safetensors" else "/".join(path.parts[-2:])
    told = [f"{name}: {card['arch']}, {card['classes']} classes"]
    told += [f"{what} {value:.2f}" for what, value in [*card["accuracies"].items()][:1]]
    if card["normalizer"]["from"] != "the checkpoint":
        told.append(f"normaliser from {card['normalizer']['from']}")
    if "left_out" in card:
        told.append(f"left out, for it would run code: {', '.join(card['left_out'])}")
    logger.info("%s", ", ".join(told))


# -- the parts -------------------------------------------------------------------------------------


def _attackable(
    network: nn.Module, layer: Layer | None, normalizer: Normalizer, output: Output = None
) -> AttackerModel:
    if isinstance(network, torch.jit.ScriptModule):
        raise InputError(
            f"{kind(network)} is a traced or scripted network, whose layers cannot be read: give "
            "the network that it was made of"
        )
    types = {one.dtype for one in network.parameters() if one.is_floating_point()}
    own = "with_latent" in inspect.signature(network.forward).parameters
    if layer is not None or output is not None or not own or types - {torch.float32}:
        network = RepresentationModel(network, layer=layer, output=output)
    mean, std = normalizer
    model = AttackerModel(network, SimpleNamespace(mean=mean, std=std))
    parameter = next(network.parameters(), None)
    return model if parameter is None else model.to(parameter.device)


def _data_set(dataset: Any) -> Any:
    if dataset is None or not isinstance(dataset, str):
        if dataset is not None and not hasattr(dataset, "num_classes"):
            raise InputError.also(TypeError)(
                f"dataset is a {type(dataset).__name__}: give a data set or its name"
            )
        return dataset
    return registry.data_set(dataset)


def _of(given: Any) -> str:
    """What is to be done with weights that come without a network."""
    return "; network.load_state_dict takes weights" if isinstance(given, Mapping) else ""
