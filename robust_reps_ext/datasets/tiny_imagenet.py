"""Tiny ImageNet: photographs of 64 px in up to 200 classes, whole or as the paper's animals."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from robustness import imagenet_models
from robustness.datasets import DataSet
from torchvision import transforms

from ..runtime.errors import InputError, listed
from ..upstream import registry
from ..upstream.data.folders import EXTENSIONS
from .critters.augmentation import MovedAndMirrored
from .critters.networks import ARCHITECTURES as CRITTERS
from .decoded import DecodedImages
from .photograph_networks import ARCHITECTURES
from .restricted_imagenet import sub_classes

__all__ = ["Classes", "RestrictedTinyImageNet", "TinyImageNet", "TinyImages", "read_classes"]

SIZE = 64
_ALL = 200
# Of the 100,000 published training images.
_MEAN = (0.4802, 0.4481, 0.3975)
_STD = (0.2770, 0.2691, 0.2821)

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Classes:
    """What a folder has: WordNet ids in the order of `wnids.txt`, names, and labels.

    Attributes
    ----------
    wnids
        Of the classes with images.
    names
        Of the labels.
    labels
        Of the ids that are used.
    told
        What is worth saying of them; empty where all are there.
    """

    wnids: tuple[str, ...]
    names: tuple[str, ...]
    labels: dict[str, int]
    told: str = ""


def read_classes(folder: Path, *, restricted: bool = False) -> Classes:
    """The classes of a folder in the published layout.

    Parameters
    ----------
    folder
        Holds ``wnids.txt``, ``words.txt``, ``train/`` and ``val/``. Classes without a folder are
        left out, so that it may be cut down.
    restricted
        Labels are the paper's super-classes that the folder has, in the paper's order.

    Raises
    ------
    InputError
        If the folder is laid out otherwise, or has none of the super-classes.
    """
    wanted = _lines(folder / "wnids.txt", folder)
    among = [part for part in (folder / "train", folder / "val") if part.is_dir()]
    if not among:
        raise InputError(f"{folder} has neither train/ nor val/: {_WAY_OUT}")
    there = {entry.name for entry in among[0].iterdir() if entry.is_dir()}
    if among[0].name == "val":
        there |= set(_annotations(folder).values())
    wnids = tuple(dict.fromkeys(wnid for wnid in wanted if wnid in there))
    if not wnids:
        raise InputError(f"{among[0]} has no folder of the classes in wnids.txt: {_WAY_OUT}")
    if restricted:
        return _super_classes(folder, wnids)
    words = folder / "words.txt"
    names = dict(line.split("\t", 1) for line in _lines(words, folder)) if words.exists() else {}
    shown = tuple(names.get(wnid, wnid).split(",")[0].strip() for wnid in wnids)
    fewer = len(wnids) < len(wanted)
    told = f"{len(wnids)} of the {len(wanted)} classes in wnids.txt have images" if fewer else ""
    return Classes(wnids, shown, {wnid: label for label, wnid in enumerate(wnids)}, told)


_WAY_OUT = "give the folder of Tiny ImageNet as it is published (wnids.txt, train/, val/)"


def _super_classes(folder: Path, wnids: tuple[str, ...]) -> Classes:
    found = {
        name: [wnid for wnid in within if wnid in wnids] for name, within in sub_classes().items()
    }
    there = [name for name, within in found.items() if within]
    missing = [name for name in found if name not in there]
    if not there:
        raise InputError(f"{folder} has none of the paper's animals ({', '.join(found)})")
    counted = ", ".join(f"{name} ({len(found[name])})" for name in there)
    labels = {wnid: label for label, name in enumerate(there) for wnid in found[name]}
    told = f"{counted}; none of {', '.join(missing)}" if missing else ""
    return Classes(wnids, tuple(there), labels, told)


def _lines(path: Path, folder: Path) -> list[str]:
    try:
        return [line for line in path.read_text("utf-8").splitlines() if line.strip()]
    except FileNotFoundError as error:
        raise InputError(f"{folder} has no {path.name}: {_WAY_OUT}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read ({error}): {_WAY_OUT}") from error


def _annotations(folder: Path) -> dict[str, str]:
    """File of the validation images -> WordNet id; empty where they lie in folders."""
    path = folder / "val" / "val_annotations.txt"
    if not path.exists():
        return {}
    rows = [line.split("\t") for line in _lines(path, folder)]
    if any(len(row) < 2 for row in rows):
        raise InputError(f"{path} has lines that are not a file, a tab and a class: {_WAY_OUT}")
    return {row[0]: row[1] for row in rows}


def _images_in(folder: Path) -> list[Path]:
    """Those of a class: in its folder, or in `images` in it."""
    inner = folder / "images"
    files = (inner if inner.is_dir() else folder).iterdir()
    known = tuple(EXTENSIONS)
    return sorted(f for f in files if f.suffix.lower() in known and not f.name.startswith("."))


class TinyImages(DecodedImages):
    """The photographs of one part, with labels; decoded at first use, see `DecodedImages`.

    Parameters
    ----------
    root
        The folder, see `read_classes`.
    train
        The training images, else the validation images.
    download
        Nothing is; the name is torchvision's.
    transform
        See `DecodedImages`.
    restricted
        Labels are the paper's super-classes; the rest of the images is left out.

    Attributes
    ----------
    classes : tuple of str
        Names of the labels.

    Raises
    ------
    InputError
        If the folder is laid out otherwise, or an image of `val_annotations.txt` is not there.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        train: bool = True,
        download: bool = False,
        transform: Callable[..., Any] | None = None,
        *,
        restricted: bool = False,
    ) -> None:
        self.root = os.fspath(root)
        folder = Path(root).expanduser()
        found = read_classes(folder, restricted=restricted)
        self.classes = found.names
        part = folder / ("train" if train else "val")
        samples = [
            (file, label)
            for file, wnid in _files(folder, part, found.labels)
            if (label := found.labels.get(wnid)) is not None
        ]
        if not samples:
            raise InputError(f"{part} has no images of its classes: {_WAY_OUT}")
        files, labels = zip(*samples, strict=True)
        super().__init__(files, labels, size=SIZE, transform=transform)


def _files(folder: Path, part: Path, wnids: Iterable[str]) -> list[tuple[Path, str]]:
    annotated = _annotations(folder) if part.name == "val" else {}
    if annotated:
        known = set(wnids)
        images = part / "images"
        files = [(images / name, wnid) for name, wnid in annotated.items() if wnid in known]
        there = set(os.listdir(images)) if images.is_dir() else set()
        gone = [file.name for file, _ in files if file.name not in there]
        if gone:
            raise InputError(
                f"{images} lacks {len(gone)} of the images in val_annotations.txt "
                f"({listed(gone, 3)}): {_WAY_OUT}"
            )
        return files
    return [
        (file, wnid) for wnid in wnids if (part / wnid).is_dir() for file in _images_in(part / wnid)
    ]


class TinyImageNet(DataSet):
    """Photographs of 64 px, as many of the 200 classes as the folder has.

    Registered as ``--dataset tiny_imagenet`` and as `robustness.datasets.TinyImageNet`. In
    training, images are moved by up to 8 px and half of them mirrored. (Crops that are enlarged,
    as for ImageNet, are smoother than the images of the validation part, and batch norm then has
    other statistics.)

    Parameters
    ----------
    data_path
        The folder as published (``wnids.txt``, ``words.txt``, ``train/``, ``val/`` with
        ``val_annotations.txt``), or with a folder a class in ``val/``, or cut down to some
        classes. Without one, the 200 classes are meant and there are no images.
    **kwargs
        What to replace: `mean`, `std` (3 values each), `transform_train`, `transform_test`,
        `num_classes`, `label_mapping`, `custom_class`, `custom_class_args`.

    Attributes
    ----------
    classes : tuple of str
        Names in the order of the labels, which is that of ``wnids.txt``.

    Raises
    ------
    InputError
        If the folder is laid out otherwise.

    Examples
    --------
    >>> TinyImageNet("/data/tiny-imagenet-200").classes[:2]
    ('Egyptian cat', 'reel')
    """

    _name, _restricted = "tiny_imagenet", False

    def __init__(self, data_path: str | os.PathLike[str] = "", **kwargs: Any) -> None:
        folder = Path(data_path).expanduser()
        if not os.fspath(data_path):
            self.classes: tuple[str, ...] = tuple(sub_classes()) if self._restricted else ()
        elif folder.is_dir():
            found = read_classes(folder, restricted=self._restricted)
            self.classes = found.names
            if found.told:
                _log.info("%s: %s", self._name, found.told)
        else:
            raise InputError(f"no folder {folder}: {_WAY_OUT}")
        defaults = {
            "num_classes": len(self.classes) or _ALL,
            "mean": torch.tensor(_MEAN),
            "std": torch.tensor(_STD),
            "custom_class": TinyImages,
            "label_mapping": None,
            "transform_train": MovedAndMirrored(SIZE, padding=8),
            "transform_test": transforms.ToTensor(),
            "custom_class_args": {"restricted": self._restricted},
        }
        chosen = self.override_args(defaults, kwargs)
        super().__init__(self._name, os.fspath(data_path), **chosen)

    def get_model(self, arch: str, pretrained: bool = False) -> torch.nn.Module:
        """Make the network `arch`: ours for small images, or one of `robustness.imagenet_models`.

        Raises
        ------
        InputError
            If there is no such network, or torchvision's weights are asked for.
        """
        known = {**registry.networks(imagenet_models), **CRITTERS, **ARCHITECTURES}
        model: torch.nn.Module = registry.network(self, arch, known, pretrained)
        return model


class RestrictedTinyImageNet(TinyImageNet):
    """Those of the paper's nine animals that the folder has, in the paper's order.

    Of the 200 classes these are dog, cat, frog, bird, primate and insect. Registered as
    ``--dataset restricted_tiny_imagenet``.
    """

    _name, _restricted = "restricted_tiny_imagenet", True
