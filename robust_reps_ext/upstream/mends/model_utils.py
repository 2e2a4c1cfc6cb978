"""Mends `robustness.model_utils`: models made, restored from files, and found in stores."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import torch
from torch import nn

from ...runtime.errors import InputError
from ..mend import Mend, mentions
from ..training.restoring import make_and_restore_model
from ..training.stored_models import model_dataset_from_store

__all__ = ["MENDS", "FeatureExtractor"]


class FeatureExtractor(nn.Module):
    """A model that also returns what some of its layers put out.

    Parameters
    ----------
    submod
        The model.
    layers
        Functions from the model to one of its submodules, ``lambda model: model.layer1``.

    Examples
    --------
    >>> import torch
    >>> from robustness.model_utils import FeatureExtractor
    >>> network = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU())
    >>> out, hidden = FeatureExtractor(network, [lambda model: model[0]])(torch.ones(2, 4))
    >>> hidden.shape
    torch.Size([2, 3])
    """

    def __init__(self, submod: nn.Module, layers: list[Callable[[nn.Module], nn.Module]]) -> None:
        nn.Module.__init__(self)
        self.submod = submod
        self.layers = layers

    def forward(self, *args: Any, **kwargs: Any) -> list[Any]:
        """The model's output, then each layer's, in the order of `layers`.

        Raises
        ------
        InputError
            If a layer did not run.
        """
        seen: dict[int, Any] = {}
        handles = []
        try:
            for index, layer in enumerate(self.layers):
                handles.append(layer(self.submod).register_forward_hook(_keep(seen, index)))
            out = self.submod(*args, **kwargs)
        finally:
            for handle in handles:
                handle.remove()
        idle = [index for index in range(len(self.layers)) if index not in seen]
        if idle:
            raise InputError.also(AttributeError)(
                f"layer {idle[0]} of the FeatureExtractor did not run: name a layer that the "
                "forward pass uses"
            )
        return [out] + [seen[index] for index in range(len(self.layers))]


def _keep(seen: dict[int, Any], index: int) -> Callable[..., None]:
    def hook(_module: nn.Module, _args: Any, output: Any) -> None:
        seen[index] = output

    return hook


def _keeps_activations(module: ModuleType) -> bool:
    network = nn.Sequential(nn.Identity())
    module.FeatureExtractor(network, [lambda model: model[0]])(torch.zeros(1))
    return bool(network.state_dict())


MENDS: tuple[Mend, ...] = (
    Mend.replacing(
        make_and_restore_model,
        "model_utils.py:93",
        "Loading a checkpoint ran its code and needed CUDA and its exact prefix; positional "
        "arguments were lost, and a wrong name or size ended in a traceback.",
        mentions("make_and_restore_model", "dill"),
    ),
    Mend.replacing(
        FeatureExtractor,
        "model_utils.py:33",
        "Activations became buffers of the model, so that its state dict grew, it could not be "
        "copied, and hooks stayed.",
        _keeps_activations,
    ),
    Mend.replacing(
        model_dataset_from_store,
        "model_utils.py:114",
        "It used four names that are not defined, and looked for a file that is never written.",
        mentions("model_dataset_from_store", "CKPT_NAME", "DATASETS"),
    ),
)
