"""Which network a state dict belongs to: the names of architectures, and recognition by shapes."""

from __future__ import annotations

import difflib
import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torchvision
from robustness import cifar_models, imagenet_models
from torch import Tensor, nn

from ..errors import InputError
from .small import ARCHITECTURES

__all__ = [
    "PROBE",
    "Architecture",
    "load_weights",
    "misfit",
    "named",
    "number_of_classes",
    "recognized",
    "restored",
]

_RESNETS = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")
_VGGS = ("vgg11", "vgg13", "vgg16", "vgg19")
_DENSENETS = ("densenet121", "densenet161", "densenet169", "densenet201")

# Family, weights that all its members have, members. Leaky ResNets have the weights of ResNets:
# they are known by name only.
_FAMILIES: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...] = (
    (
        "imagenet",
        ("fc.weight", "layer1.0.conv1.weight"),
        (
            *_RESNETS,
            "wide_resnet50_2",
            "wide_resnet50_3",
            "wide_resnet50_4",
            "wide_resnet101_2",
            "resnext50_32x4d",
            "resnext101_32x8d",
        ),
    ),
    (
        "imagenet",
        ("features.0.weight", "classifier.6.weight"),
        (*_VGGS, *(f"{name}_bn" for name in _VGGS)),
    ),
    ("imagenet", ("features.0.weight", "last_layer.weight"), ("alexnet",)),
    ("torchvision", ("features.10.weight", "classifier.6.weight"), ("alexnet",)),
    ("imagenet", ("features.denseblock1.denselayer1.norm1.weight",), _DENSENETS),
    ("imagenet", ("features.3.squeeze.weight",), ("squeezenet1_0", "squeezenet1_1")),
    ("cifar", ("linear.weight", "layer1.0.conv1.weight"), (*_RESNETS, "resnet18wide")),
    ("cifar", ("features.0.weight", "classifier.weight"), _VGGS),
    ("cifar", ("linear.weight", "dense1.0.bn1.weight"), _DENSENETS),
    ("torchvision", ("features.18.0.weight", "classifier.1.weight"), ("mobilenet_v2",)),
    ("torchvision", ("layers.0.weight", "layers.14.weight"), ("mnasnet0_5", "mnasnet1_0")),
    (
        "torchvision",
        ("conv5.0.weight", "stage2.0.branch2.0.weight"),
        ("shufflenet_v2_x0_5", "shufflenet_v2_x1_0", "shufflenet_v2_x1_5", "shufflenet_v2_x2_0"),
    ),
    (
        "torchvision",
        ("class_token", "conv_proj.weight"),
        ("vit_b_16", "vit_b_32", "vit_l_16", "vit_l_32"),
    ),
    (
        "torchvision",
        ("features.1.0.layer_scale",),
        ("convnext_tiny", "convnext_small", "convnext_base", "convnext_large"),
    ),
)

PROBE = 9973
"""A number of classes that is no other size of any network: it shows where classes are counted."""

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Architecture:
    """A network by name.

    Parameters
    ----------
    name
        As for ``--arch``.
    family
        ``"imagenet"`` or ``"cifar"`` (upstream's two sets), ``"critters"`` or ``"torchvision"``;
        ``"data set"`` for what a data set's own ``get_model`` gives.
    build
        Takes the number of classes, gives the network with fresh weights.
    """

    name: str
    family: str
    build: Callable[[int], nn.Module]

    def shapes(self, classes: int) -> Shapes:
        """The shape of each entry of the state dict."""
        return {name: tuple(t.shape) for name, t in _on_meta(self.build, classes).items()}


def named(name: str) -> list[Architecture]:
    """Every architecture that bears `name`: upstream has a ``resnet50`` for each image size.

    Raises
    ------
    InputError
        If there is none.
    """
    found = [
        Architecture(name, family, build)
        for family, builders in _builders().items()
        if (build := builders.get(name)) is not None
    ]
    if not found:
        known = sorted({known for builders in _builders().values() for known in builders})
        close = difflib.get_close_matches(name, known, n=3, cutoff=0.5) or list(_RESNETS)
        raise InputError(f"unknown architecture {name!r}: try {', '.join(close)}")
    return found


def recognized(state: Mapping[str, Tensor]) -> tuple[Architecture, int]:
    """The architecture and number of classes whose names and shapes `state` has.

    Raises
    ------
    InputError
        If no architecture fits, or several do.
    """
    members = [
        (family, name)
        for family, marks, names in _FAMILIES
        if all(mark in state for mark in marks)
        for name in names
    ]
    members += [("critters", name) for name in ARCHITECTURES]
    builders = _builders()
    found: dict[Any, tuple[Architecture, int]] = {}
    for family, name in members:
        build = builders[family].get(name)
        if build is None:
            continue
        architecture = Architecture(name, family, build)
        classes = number_of_classes(_probed(build), state, PROBE)
        if classes is not None:
            found.setdefault(getattr(build, "__wrapped__", build), (architecture, classes))
    if not found:
        first = ", ".join(list(state)[:3])
        raise InputError(
            f"no known architecture has these {len(state)} weights ({first[:200]}, ...): name it "
            "with arch=, or pass a network of your own as arch="
        )
    if len(found) > 1:
        names = ", ".join(architecture.name for architecture, _ in found.values())
        raise InputError(f"these weights fit {names}: choose one with arch=")
    return next(iter(found.values()))


def number_of_classes(shapes: Shapes, state: Mapping[str, Tensor], assumed: int) -> int | None:
    """How many classes `state` has, if it fits `shapes`, made for `assumed` classes.

    None where names differ, or a shape differs in anything but the number of classes. Files from
    before PyTorch 0.4.1 lack the counters of batch normalisation, which is no difference.
    """
    if _optional(set(shapes) - set(state)) or set(state) - set(shapes):
        return None
    classes = set()
    for name, value in state.items():
        if len(value.shape) != len(shapes[name]):
            return None
        for size, expected in zip(value.shape, shapes[name], strict=True):
            if expected == assumed:
                classes.add(size)
            elif size != expected:
                return None
    return classes.pop() if len(classes) == 1 else None


def misfit(shapes: Shapes, state: Mapping[str, Tensor]) -> str:
    """In one phrase, what of `state` does not fit `shapes`; empty where everything does."""
    missing = sorted(_optional(set(shapes) - set(state)))
    unexpected = sorted(set(state) - set(shapes))
    differing = [
        f"{name} is {_by(state[name].shape)}, not {_by(shape)}"
        for name, shape in shapes.items()
        if name in state and tuple(state[name].shape) != shape
    ]
    parts = []
    if missing:
        parts.append(f"it lacks {_some(missing)}")
    if unexpected:
        parts.append(f"it has {_some(unexpected)}, unknown to the network")
    if differing and not (missing and unexpected):
        parts.append(_some(differing, most=1))
    return "; ".join(parts)


def restored(build: Callable[[], nn.Module], state: Mapping[str, Tensor]) -> nn.Module:
    """Build a network and load `state`, strictly, without touching the random state.

    Fresh weights are not drawn where that can be avoided: they would be overwritten.
    """
    with torch.random.fork_rng(devices=[]):
        network = _unfilled(build) or build()
    return load_weights(network, state)


def load_weights(network: nn.Module, state: Mapping[str, Tensor]) -> nn.Module:
    """Load `state`, which fits, strictly; counters of batch normalisation it lacks become 0.

    Raises
    ------
    InputError
        If whole numbers stand where the network has fractions, or the other way round.
    """
    complete = network.state_dict()
    for name, value in complete.items():
        stored = state.get(name, torch.zeros_like(value))
        if value.is_floating_point() != stored.is_floating_point():
            raise InputError(
                f"{name} holds {stored.dtype}, the network needs {value.dtype}: the file is not a "
                "checkpoint of this network"
            )
        complete[name] = stored
    network.load_state_dict(complete)
    return network


def _unfilled(build: Callable[[], nn.Module]) -> nn.Module | None:
    """The network with memory for weights and nothing in it; None if it needs more than weights."""
    try:
        with torch.device("meta"):
            network = build()
    except (NotImplementedError, RuntimeError):
        return None
    stored = set(network.state_dict())
    tensors = {name for name, _ in [*network.named_parameters(), *network.named_buffers()]}
    own = (value for module in network.modules() for value in vars(module).values())
    if not tensors <= stored or any(isinstance(value, Tensor) for value in own):
        return None
    return network.to_empty(device="cpu")


def _on_meta(build: Callable[[int], nn.Module], classes: int) -> dict[str, Tensor]:
    with torch.random.fork_rng(devices=[]):
        try:
            with torch.device("meta"):
                return build(classes).state_dict()
        except (NotImplementedError, RuntimeError):
            return build(classes).state_dict()


@functools.cache
def _probed(build: Callable[[int], nn.Module]) -> Shapes:
    return Architecture("", "", build).shapes(PROBE)


def _builders() -> dict[str, dict[str, Callable[[int], nn.Module]]]:
    """Family -> name -> what builds it; made anew, for names may be registered at any time."""
    return {
        "imagenet": _functions(imagenet_models),
        "cifar": _functions(cifar_models),
        "critters": {name: _with_classes(function) for name, function in ARCHITECTURES.items()},
        "torchvision": _of_torchvision(),
    }


@functools.cache
def _with_classes(function: Callable[..., nn.Module]) -> Callable[[int], nn.Module]:
    @functools.wraps(function)
    def build(classes: int) -> nn.Module:
        return function(num_classes=classes)

    return build


def _functions(module: Any) -> dict[str, Callable[[int], nn.Module]]:
    return {
        name: _with_classes(function)
        for name, function in vars(module).items()
        if inspect.isfunction(function)
        and not name.startswith("_")
        and {"num_classes", "kwargs"} & set(inspect.signature(function).parameters)
    }


@functools.cache
def _of_torchvision() -> dict[str, Callable[[int], nn.Module]]:
    names = torchvision.models.list_models(module=torchvision.models)
    return {name: functools.partial(_from_torchvision, name) for name in names}


def _from_torchvision(name: str, classes: int) -> nn.Module:
    network: nn.Module = torchvision.models.get_model(name, weights=None, num_classes=classes)
    return network


def _optional(names: set[str]) -> set[str]:
    return {name for name in names if not name.endswith("num_batches_tracked")}


def _some(names: list[str], most: int = 2) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(name[:120] for name in names[:most]) + more


def _by(shape: Any) -> str:
    return "x".join(map(str, shape)) or "a single number"
