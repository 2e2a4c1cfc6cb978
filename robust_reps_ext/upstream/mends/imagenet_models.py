"""Mends `robustness.imagenet_models`: the architectures for ImageNet-sized images."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any

import torch
from torch import nn
from torch.hub import load_state_dict_from_url

from ...runtime.errors import InputError
from ..mend import Mend, bind, mentions

__all__ = ["MENDS", "FakeLeakyReLU"]

_WITH_WEIGHTS = ("resnet", "densenet", "vgg", "alexnet", "squeezenet")


class FakeLeakyReLU(torch.autograd.Function):
    """Leaky ReLU forwards (slope 0.01), the identity backwards."""

    @staticmethod
    def forward(ctx: Any, input: torch.Tensor) -> torch.Tensor:
        return nn.functional.leaky_relu(input)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: torch.Tensor) -> torch.Tensor:
        return grad_outputs[0]


class _Urls(dict[str, str]):
    def __missing__(self, arch: str) -> str:
        raise InputError.also(KeyError)(
            f"no pretrained weights are published for {arch}: leave pretrained off, or choose one "
            f"of {', '.join(sorted(self))}"
        )


class _ContiguousAvgPool2d(nn.AdaptiveAvgPool2d):
    """What follows flattens by view(), which channels_last maps do not allow."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return super().forward(input).contiguous()


def _checked_weights(url: str, progress: bool = True) -> Any:
    return load_state_dict_from_url(url, progress=progress, check_hash=True, weights_only=True)


def _alexnet_weights(url: str, progress: bool = True) -> Any:
    """Torchvision's last layer is ``classifier.6``, upstream's is ``last_layer``."""
    return {
        name.replace("classifier.6.", "last_layer."): weight
        for name, weight in _checked_weights(url, progress).items()
    }


def _check_weights(module: ModuleType) -> None:
    for name in _WITH_WEIGHTS:
        part = _part(module, name)
        weights = _alexnet_weights if name == "alexnet" else _checked_weights
        part.__dict__.update(
            load_state_dict_from_url=weights, model_urls=_Urls(part.__dict__["model_urls"])
        )


def _keep_logits_without_relu(network: Any) -> None:
    upstream = network.forward

    @functools.wraps(upstream)
    def forward(
        self: Any,
        x: torch.Tensor,
        with_latent: bool = False,
        fake_relu: bool = False,
        no_relu: bool = False,
    ) -> Any:
        if fake_relu or not no_relu:
            return upstream(self, x, with_latent=with_latent, fake_relu=fake_relu)
        maps = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        maps = self.layer3(self.layer2(self.layer1(maps)))
        maps = self.layer4(maps, no_relu=True)
        latent = self.avgpool(maps).flatten(1)
        logits = self.fc(self.avgpool(self.relu(maps.clone())).flatten(1))
        return (logits, latent) if with_latent else logits

    network.forward = forward
    if hasattr(network, "_forward"):
        network._forward = forward


def _after_making(network: Any, change: Callable[[Any], None]) -> None:
    upstream = network.__init__

    @functools.wraps(upstream)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        upstream(self, *args, **kwargs)
        change(self)

    network.__init__ = __init__


def _keep_the_latent(model: Any) -> None:
    model.last_relu = nn.ReLU()


def _pool_to_contiguous(model: Any) -> None:
    model.avgpool = _ContiguousAvgPool2d(model.avgpool.output_size)


def _for_each(parts: Iterable[tuple[str, str]], change: Callable[[Any], None]) -> Any:
    def apply(module: ModuleType) -> None:
        for part, network in parts:
            change(getattr(_part(module, part), network))

    return apply


def _part(module: ModuleType, name: str) -> ModuleType:
    # As an attribute, `alexnet` is the function.
    return importlib.import_module(f"{module.__name__}.{name}")


def _within(part: str, present: Callable[[ModuleType], bool]) -> Callable[[ModuleType], bool]:
    return lambda module: present(_part(module, part))


def _overwrites_the_latent(part: ModuleType) -> bool:
    with torch.device("meta"):  # where weights take no time
        return bool(part.AlexNet().last_relu.inplace)


def _views_what_it_pools(part: ModuleType) -> bool:
    return mentions("VGG.forward", "view")(part) and mentions("VGG.__init__", "avgpool")(part)


def _lacks_the_fake_relu(part: ModuleType) -> bool:
    name = "classifier_last_relu_fake"
    return mentions("SqueezeNet.forward", name)(part) and not hasattr(part.SqueezeNet, name)


def _lend_the_fake_relu(network: Any) -> None:
    network.classifier_last_relu_fake = property(lambda self: self.last_relu_fake)


MENDS: tuple[Mend, ...] = (
    Mend(
        name="pretrained",
        where="imagenet_models/alexnet.py:66, resnet.py:232",
        why="Weights load unchecked, AlexNet's never fit, and wide ResNets end in a bare KeyError.",
        present=_within(
            "resnet", lambda part: part.load_state_dict_from_url is load_state_dict_from_url
        ),
        apply=_check_weights,
    ),
    Mend(
        name="ResNet.forward",
        where="imagenet_models/resnet.py:207, leaky_resnet.py:145",
        why="With no_relu the logits are computed from what has not passed the last ReLU.",
        present=_within("resnet", mentions("ResNet.forward", "pre_out")),
        apply=_for_each(
            [("resnet", "ResNet"), ("leaky_resnet", "ResNet")], _keep_logits_without_relu
        ),
    ),
    Mend(
        name="leaky_resnet FakeReLU",
        where="imagenet_models/leaky_resnet.py:50",
        why="With fake_relu values are clamped at zero where the network does not clamp them.",
        present=_within(
            "leaky_resnet", lambda part: bool(part.FakeReLU.apply(torch.tensor(-1.0)) == 0)
        ),
        apply=lambda module: bind(FakeReLU=FakeLeakyReLU)(_part(module, "leaky_resnet")),
    ),
    Mend(
        name="AlexNet.last_relu",
        where="imagenet_models/alexnet.py:37, squeezenet.py:88",
        why="With no_relu the latent is overwritten in place by the ReLU that it should not pass.",
        present=_within("alexnet", _overwrites_the_latent),
        apply=_for_each(
            [("alexnet", "AlexNet"), ("squeezenet", "SqueezeNet")],
            lambda network: _after_making(network, _keep_the_latent),
        ),
    ),
    Mend(
        name="AlexNet.avgpool",
        where="imagenet_models/alexnet.py:44, vgg.py:45",
        why="Images in channels_last memory fail.",
        present=_within("vgg", _views_what_it_pools),
        apply=_for_each(
            [("alexnet", "AlexNet"), ("vgg", "VGG")],
            lambda network: _after_making(network, _pool_to_contiguous),
        ),
    ),
    Mend(
        name="SqueezeNet.classifier_last_relu_fake",
        where="imagenet_models/squeezenet.py:103",
        why="With fake_relu the network asks for a layer that does not exist.",
        present=_within("squeezenet", _lacks_the_fake_relu),
        apply=_for_each([("squeezenet", "SqueezeNet")], _lend_the_fake_relu),
    ),
)
