"""Which network a state dict belongs to: the names of architectures, and recognition by shapes."""

from __future__ import annotations

import functools
import importlib.util
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torchvision
from robustness import cifar_models, imagenet_models
from torch import Tensor, nn

from ...runtime.errors import InputError, listed, near
from ...upstream import registry
from .families import candidates, timm_candidates

__all__ = [
    "PROBE",
    "TIMM",
    "Architecture",
    "import_timm",
    "load_weights",
    "misfit",
    "named",
    "number_of_classes",
    "recognized",
    "restored",
]

TIMM = "timm:"
"""What the names of timm's networks begin with."""

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
        ``"imagenet"`` or ``"cifar"`` (upstream's two sets), ``"critters"``, ``"torchvision"`` or
        ``"timm"``; ``"data set"`` for what a data set's own ``get_model`` gives.
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

    Names that begin with ``timm:`` are timm's.

    Raises
    ------
    InputError
        If there is none.
    """
    if name.startswith(TIMM):
        return [_of_timm(name)]
    found = [
        Architecture(name, family, build)
        for family, builders in _builders().items()
        if (build := builders.get(name)) is not None
    ]
    if not found:
        known = {known for builders in _builders().values() for known in builders}
        raise InputError(f"unknown architecture {name!r}: try {near(name, known, ['resnet50'])}")
    return found


def recognized(state: Mapping[str, Tensor], hint: Any = None) -> tuple[Architecture, int]:
    """The architecture and number of classes whose names and shapes `state` has.

    `hint` is a name that decides where several fit.

    Raises
    ------
    InputError
        If no architecture fits, or several do.
    """
    builders = _builders()
    found: dict[Any, tuple[Architecture, int]] = {}
    for family, name in candidates(state):
        build = builders[family].get(name)
        if build is not None:
            if name.startswith("vit_"):
                build = _vit_of_size(name, _tokens(state))
            _try(Architecture(name, family, build), state, found)
    if not found:
        for name in timm_candidates(state):
            _try(_of_timm(f"{TIMM}{name}"), state, found)
    if not found:
        first = ", ".join(list(state)[:3])
        more = "" if importlib.util.find_spec("timm") else ", install timm if it is one of timm's"
        raise InputError(
            f"no known architecture has these {len(state)} weights ({first[:200]}, ...): name it "
            f"with arch={more}, or pass a network of your own as arch="
        )
    hinted = [one for one in found.values() if one[0].name == hint]
    if len(found) > 1 and len(hinted) != 1:
        names = ", ".join(architecture.name for architecture, _ in found.values())
        raise InputError(f"these weights fit {names}: choose one with arch=")
    return hinted[0] if hinted else next(iter(found.values()))


def _try(architecture: Architecture, state: Mapping[str, Tensor], found: dict[Any, Any]) -> None:
    """Keep `architecture` if `state` fits it; once, where it has several names."""
    build = architecture.build
    classes = number_of_classes(_probed(build), state, PROBE)
    if classes is not None:
        found.setdefault(getattr(build, "__wrapped__", build), (architecture, classes))


def import_timm(wanted: str) -> Any:
    """The module `timm`; `InputError` where it is not installed."""
    try:
        import timm
    except ImportError as error:
        raise InputError(f"{wanted!r} needs timm: pip install 'timm>=1.0.11'") from error
    return timm


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
        parts.append(f"it lacks {listed(missing, most=2)}")
    if unexpected:
        parts.append(f"it has {listed(unexpected, most=2)}, unknown to the network")
    if differing and not (missing and unexpected):
        parts.append(listed(differing, most=1))
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

    def counting(known: Mapping[str, Callable[..., Any]]) -> dict[str, Callable[[int], nn.Module]]:
        return {name: _with_classes(function) for name, function in known.items()}

    return {
        "imagenet": counting(registry.networks(imagenet_models)),
        "cifar": counting(registry.networks(cifar_models)),
        "torchvision": _of_torchvision(),
        **{
            family: counting(registry.load(address))
            for family, address in registry.NETWORKS.items()
        },
    }


@functools.cache
def _with_classes(function: Callable[..., nn.Module]) -> Callable[[int], nn.Module]:
    @functools.wraps(function)
    def build(classes: int) -> nn.Module:
        return function(num_classes=classes)

    return build


@functools.cache
def _of_torchvision() -> dict[str, Callable[[int], nn.Module]]:
    names = torchvision.models.list_models(module=torchvision.models)
    return {name: functools.partial(_from_torchvision, name) for name in names}


def _from_torchvision(name: str, classes: int, **keywords: Any) -> nn.Module:
    network: nn.Module = torchvision.models.get_model(
        name, weights=None, num_classes=classes, **keywords
    )
    return network


def _tokens(state: Mapping[str, Tensor]) -> int:
    """How many positions a ViT of torchvision has learned."""
    positions = state.get("encoder.pos_embedding")
    return 0 if positions is None or positions.dim() != 3 else positions.shape[1]


@functools.cache
def _vit_of_size(name: str, tokens: int) -> Callable[[int], nn.Module]:
    """Torchvision's ViT for images of the size that the weights are for."""
    side = math.isqrt(max(tokens - 1, 1))
    patch = int(name.rpartition("_")[2])
    return functools.partial(_from_torchvision, name, image_size=side * patch)


def _of_timm(name: str) -> Architecture:
    timm = import_timm(name)
    wanted = name.removeprefix(TIMM)
    if not timm.is_model(wanted):
        close = near(wanted, timm.list_models(), ["resnet50"])
        raise InputError(f"timm has no network {wanted!r}: try {close}")
    return Architecture(name, "timm", _from_timm(wanted))


@functools.cache
def _from_timm(name: str) -> Callable[[int], nn.Module]:
    def build(classes: int) -> nn.Module:
        network: nn.Module = import_timm(name).create_model(name, num_classes=classes)
        return network

    return build


def _optional(names: set[str]) -> set[str]:
    return {name for name in names if not name.endswith("num_batches_tracked")}


def _by(shape: Any) -> str:
    return "x".join(map(str, shape)) or "a single number"
