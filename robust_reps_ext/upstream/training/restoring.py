"""Models made by name, and restored from checkpoints."""

from __future__ import annotations

import os
from typing import Any

import torch
from robustness import cifar_models, datasets, imagenet_models
from robustness import model_utils as upstream
from robustness.attacker import AttackerModel
from torch import Tensor, nn

from ...runtime.errors import InputError
from .. import registry

__all__ = ["make_and_restore_model"]


def make_and_restore_model(
    arch: str | nn.Module,
    dataset: Any,
    resume_path: str | os.PathLike[str] | None = None,
    parallel: bool = False,
    pytorch_pretrained: bool = False,
    add_custom_forward: bool = False,
    *,
    trust: bool = False,
) -> tuple[nn.Module, dict[str, Any] | None]:
    """Make a model, and restore it from a checkpoint if one is given.

    Parameters
    ----------
    arch
        Name of an architecture of the data set, or a classifier.
    dataset
        A `robustness.datasets.DataSet`: number of classes, mean and standard deviation.
    resume_path
        A checkpoint in any format that `robust_reps_ext.models.checkpoints` reads. Its normaliser
        wins over the data set's.
    parallel
        Wrap the model in `DataParallel`.
    pytorch_pretrained
        Start from torchvision's weights, where the data set has them.
    add_custom_forward
        For a classifier whose ``forward`` takes images only: it then ignores ``with_latent``,
        ``fake_relu`` and ``no_relu``.
    trust
        Run whatever code the file holds. Default False: nothing in a file runs.

    Returns
    -------
    tuple
        The model, on CUDA if there is any, and what the checkpoint held (None without).

    Raises
    ------
    InputError
        If there is no such architecture or file, or the weights do not fit the model.
    """
    if isinstance(arch, str):
        classifier = _classifier(arch, dataset, pytorch_pretrained)
    else:
        classifier = upstream.DummyModel(arch) if add_custom_forward else arch
    model = AttackerModel(classifier, dataset)
    checkpoint = None
    if resume_path and not isinstance(resume_path, (str, os.PathLike)):
        raise InputError(f"resume_path={resume_path!r} is no path: give that of a checkpoint")
    if resume_path:
        print(f"=> loading checkpoint '{resume_path}'")
        read = registry.load(registry.READ_CHECKPOINT)
        found = read(resume_path, trust=trust)
        _restore(model, found, arch if isinstance(arch, str) else type(arch).__name__)
        weights = {f"module.{name}": value for name, value in model.state_dict().items()}
        checkpoint = {**found.raw, "model": weights}
        print(f"=> loaded checkpoint '{resume_path}' (epoch {checkpoint.get('epoch', 'unknown')})")
    if torch.cuda.is_available():
        model = model.cuda()
    return (nn.DataParallel(model) if parallel else model), checkpoint


def _classifier(arch: str, dataset: Any, pretrained: bool) -> nn.Module:
    try:
        network: nn.Module = dataset.get_model(arch, pretrained)
    except InputError:
        raise
    except (KeyError, TypeError) as error:
        # Upstream's data sets look the name up among everything that their module holds.
        small = isinstance(dataset, (datasets.CIFAR, datasets.CINIC))
        known = registry.networks(cifar_models if small else imagenet_models)
        if arch in known:
            raise
        raise registry.no_network(dataset, arch, known, type(error)) from error
    return network


def _restore(model: AttackerModel, found: Any, arch: str) -> None:
    """Load weights and normaliser of a checkpoint into `model`."""
    own = model.model.state_dict()
    state: dict[str, Tensor] = found.state_dict
    if isinstance(model.model, upstream.DummyModel):
        state = {f"model.{name}": value for name, value in state.items()}
    misfit = registry.load(registry.MISFIT)
    reason = misfit({name: tuple(value.shape) for name, value in own.items()}, state)
    if reason:
        raise InputError.also(RuntimeError)(
            f"checkpoint {found.path} does not fit {arch} with the data set's classes: {reason}; "
            "choose another --arch or --dataset"
        )
    # Counters of batch normalisation may be absent from old files.
    model.model.load_state_dict({**own, **state})
    if found.normalizer is not None:
        _take_normalizer(model, found)


def _take_normalizer(model: AttackerModel, found: Any) -> None:
    mean, std = (values.view(-1, 1, 1) for values in found.normalizer)
    for place in (model.normalizer, model.attacker.normalize):
        differs = not all(
            old.shape == new.shape and torch.allclose(old, new, atol=1e-4)
            for old, new in ((place.new_mean, mean), (place.new_std, std))
        )
        if differs and place is model.normalizer:
            print(
                f"=> the checkpoint's normaliser, mean {_listed(mean)} std {_listed(std)}, is used "
                f"instead of the data set's, mean {_listed(place.new_mean)} "
                f"std {_listed(place.new_std)}"
            )
        place.new_mean = mean.to(place.new_mean)
        place.new_std = std.to(place.new_std)


def _listed(values: Tensor) -> list[float]:
    return [round(value, 4) for value in values.flatten().tolist()]
