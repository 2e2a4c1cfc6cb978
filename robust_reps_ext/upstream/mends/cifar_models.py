"""Mends `robustness.cifar_models`: the architectures for CIFAR-sized images."""

from __future__ import annotations

import inspect
from types import ModuleType
from typing import Any

from ..mend import Mend

__all__ = ["MENDS"]


def _thin_resnet(module: ModuleType) -> None:
    def ResNet18Thin(**kwargs: Any) -> Any:
        return module.ResNet(module.BasicBlock, [2, 2, 2, 2], wm=0.75, **kwargs)

    _bind(module, "resnet", ResNet18Thin=ResNet18Thin, resnet18thin=ResNet18Thin)


def _inception_with_classes(module: ModuleType) -> None:
    def inceptionv3(**kwargs: Any) -> Any:
        return module.InceptionV3(**kwargs)

    _bind(module, "inception", inceptionv3=inceptionv3)


def _lower_case_resnet34(module: ModuleType) -> None:
    _bind(module, "resnet", resnet34=module.ResNet34)


def _bind(module: ModuleType, part: str, **names: Any) -> None:
    module.__dict__.update(names)
    module.__dict__[part].__dict__.update(names)


MENDS: tuple[Mend, ...] = (
    Mend(
        name="ResNet18Thin",
        where="cifar_models/resnet.py:117",
        why="Passes an argument that ResNet lacks (wd for wm), so it can never be made.",
        present=lambda module: "wd=" in inspect.getsource(module.ResNet18Thin),
        apply=_thin_resnet,
    ),
    Mend(
        name="inceptionv3",
        where="cifar_models/inception.py:325",
        why="Drops its arguments, so that it has ten outputs whatever the data set.",
        present=lambda module: "InceptionV3()" in inspect.getsource(module.inceptionv3),
        apply=_inception_with_classes,
    ),
    Mend(
        name="resnet34",
        where="cifar_models/resnet.py:133",
        why="The published package has ResNet34 under no lower-case name, unlike its sisters.",
        present=lambda module: not hasattr(module, "resnet34"),
        apply=_lower_case_resnet34,
    ),
)
