"""Mends `robustness.datasets`: our data sets by name, and what upstream's classes refuse."""

from __future__ import annotations

import functools
import inspect
import logging
from collections import UserDict
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.error import URLError

import torch

from ...runtime.errors import InputError
from .. import registry
from ..data.bad_images import BadImages
from ..mend import Mend, bind, fails

__all__ = ["MENDS", "DataSets"]

_log = logging.getLogger(__name__)
_CIFAR_FILES = "cifar-10-batches-py"
_RESTRICTED_IMAGENET = registry.DATA_SETS["restricted_imagenet"]


class DataSets(UserDict[str, Any]):
    """Upstream's table of data sets, in which an entry may be an address, loaded at first use.

    Our data sets subclass upstream's `DataSet`, so they cannot be imported while
    `robustness.datasets` is still on its way.
    """

    def __getitem__(self, name: str) -> Any:
        entry = self.data[name]
        if isinstance(entry, str):
            entry = self.data[name] = registry.load(entry)
        return entry


def _register(module: ModuleType) -> None:
    bind(DATASETS=DataSets({**module.DATASETS, **registry.DATA_SETS}))(module)


def _give_ours_for_restricted_imagenet(module: ModuleType) -> None:
    def load_when_asked(name: str) -> Any:
        if name != "RestrictedImageNet":
            raise AttributeError(f"module {module.__name__!r} has no attribute {name!r}")
        module.__dict__[name] = registry.load(_RESTRICTED_IMAGENET)
        return module.__dict__[name]

    public = [name for name in module.__dict__ if not name.startswith("_")]
    del module.__dict__["RestrictedImageNet"]
    module.__dict__.update(__getattr__=load_when_asked, __all__=public)


def _has_a_restricted_imagenet_of_its_own(module: ModuleType) -> bool:
    found = vars(module).get("RestrictedImageNet")
    return getattr(found, "__module__", None) == module.__name__


def _override_args(
    self: Any, default_args: Mapping[str, Any], kwargs: Mapping[str, Any]
) -> dict[str, Any]:
    """Replace a data set's defaults; the message of a wrong type names what was given."""
    given = dict(kwargs)
    for name in ("mean", "std"):
        if given.get(name) is not None:
            given[name] = torch.as_tensor(given[name], dtype=torch.float32).flatten()
    for name, value in given.items():
        default = default_args.get(name)
        if default is None or value is None:
            continue
        right = callable(value) if callable(default) else isinstance(value, type(default))
        if not right:
            raise InputError(
                f"{name}={value!r} has type {type(value).__name__}: "
                f"give {'a callable' if callable(default) else type(default).__name__}"
            )
    return {**default_args, **given}


def _keep_the_validation_order(module: ModuleType) -> None:
    upstream = module.DataSet.make_loaders
    names = list(inspect.signature(upstream).parameters)[-len(upstream.__defaults__) :]
    defaults = {**dict(zip(names, upstream.__defaults__, strict=True)), "shuffle_val": False}
    upstream.__defaults__ = tuple(defaults.values())

    @functools.wraps(upstream)
    def make_loaders(self: Any, *args: Any, **options: Any) -> tuple[Any, Any]:
        try:
            loaders: tuple[Any, Any] = upstream(self, *args, **options)
        except URLError as error:
            raise InputError.also(URLError)(
                f"the files of data set {self.ds_name!r} are not in {self.data_path} and cannot be "
                "fetched: put them there, or give another folder"
            ) from error
        _check_classes(self, loaders[1].dataset)
        # What becomes of images that cannot be read, the data set says.
        record = vars(self).setdefault("bad_images", BadImages())
        for loader in loaders:
            if loader is not None:
                images = getattr(loader.dataset, "dataset", loader.dataset)  # within a Subset
                images.bad_images = record
        return loaders

    module.DataSet.make_loaders = make_loaders


def _check_classes(data_set: Any, images: Any) -> None:
    labels = getattr(images, "class_to_idx", None)
    if not labels:
        return
    classes = max(labels.values()) + 1
    if classes > data_set.num_classes:
        raise InputError(
            f"{data_set.data_path} has {classes} classes, but {data_set.ds_name} has "
            f"{data_set.num_classes}: check --data and --dataset"
        )
    if classes < data_set.num_classes:
        _log.warning(
            "%s has %d of the %d classes of %s: labels go by the order of the folders",
            data_set.data_path,
            classes,
            data_set.num_classes,
            data_set.ds_name,
        )


def _ask_for_a_grouping(module: ModuleType) -> None:
    upstream = module.CustomImageNet.__init__

    def __init__(self: Any, data_path: str, custom_grouping: Any = None, **kwargs: Any) -> None:
        if not custom_grouping:
            raise InputError.also(TypeError)(
                "custom_imagenet needs custom_grouping, a list of groups of WordNet ids, which "
                "only Python can give: CustomImageNet(data_path, custom_grouping=[...])"
            )
        upstream(self, data_path, custom_grouping, **kwargs)

    module.CustomImageNet.__init__ = __init__


def _read_cifar_from_a_folder(module: ModuleType) -> None:
    upstream = module.CIFAR.__init__

    @functools.wraps(upstream)
    def __init__(self: Any, data_path: str = "/tmp/", **kwargs: Any) -> None:
        upstream(self, data_path, **kwargs)
        folder = Path(data_path)
        asked = {"custom_class", "custom_class_args"} & {*kwargs}
        if not asked and not (folder / _CIFAR_FILES).is_dir() and (folder / "train").is_dir():
            self.custom_class = registry.load(registry.FOLDER_IMAGES)
            self.custom_class_args = {"size": 32}

    module.CIFAR.__init__ = __init__


def _refuses_any_callable(module: ModuleType) -> bool:
    data_set = module.DataSet.__new__(module.DataSet)
    default, given = ({"transform_train": one} for one in (module.transforms.Compose([]), len))
    return fails(lambda: data_set.override_args(default, given), ValueError)


def _default(function: Any, parameter: str) -> Any:
    return inspect.signature(function).parameters[parameter].default


MENDS: tuple[Mend, ...] = (
    Mend(
        name="DATASETS",
        where="datasets.py:489",
        why="Restricted ImageNet is labelled by the position of folders, and critters are unknown.",
        present=lambda module: not isinstance(module.DATASETS, DataSets),
        apply=_register,
    ),
    Mend(
        name="RestrictedImageNet",
        where="datasets.py:242",
        why="The class imported by name would differ from the one registered.",
        present=_has_a_restricted_imagenet_of_its_own,
        apply=_give_ours_for_restricted_imagenet,
    ),
    Mend(
        name="DataSet.override_args",
        where="datasets.py:92",
        why="Torchvision v2 transforms, and every other callable, are refused by a type check.",
        present=_refuses_any_callable,
        apply=bind("DataSet", override_args=_override_args),
    ),
    Mend(
        name="DataSet.make_loaders",
        where="datasets.py:122",
        why="Validation is shuffled, so that no two evaluations see the same batches.",
        present=lambda module: _default(module.DataSet.make_loaders, "shuffle_val") is True,
        apply=_keep_the_validation_order,
    ),
    Mend(
        name="CIFAR",
        where="datasets.py:347",
        why="CIFAR-10 as image files in class folders, as many have it, is fetched once more.",
        present=lambda module: not hasattr(module.CIFAR.__init__, "__wrapped__"),
        apply=_read_cifar_from_a_folder,
    ),
    Mend(
        name="CustomImageNet",
        where="datasets.py:290",
        why="From the command line, where no grouping can be given, it ends in a TypeError.",
        present=lambda module: (
            _default(module.CustomImageNet, "custom_grouping") is inspect.Parameter.empty
        ),
        apply=_ask_for_a_grouping,
    ),
)
