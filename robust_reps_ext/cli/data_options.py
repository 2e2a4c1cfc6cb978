"""The options that say which images: of a data set, or one's own."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..models.zoo.bundled import bundled, card
from ..runtime.errors import InputError
from .flags import folder, option

if TYPE_CHECKING:
    from robustness.datasets import DataSet

__all__ = ["DataOptions", "ImagesOptions"]


class OnBadImage(str, Enum):
    """What an image that cannot be read does to the run."""

    stop = "stop"
    skip = "skip"


class Fit(str, Enum):
    """How an image becomes square."""

    crop = "crop"
    pad = "pad"
    stretch = "stretch"


TRAINED_ON = (
    "Data set that the model was trained on: critters, critters_fine, folder, cifar, cinic, "
    "imagenet, restricted_imagenet, tiny_imagenet, restricted_tiny_imagenet, webshards."
)


def _all_of_images(context: typer.Context, value: int | None) -> int | None:
    """None where the number of images that are given is not told, in place of the default."""
    told = context.get_parameter_source("n")
    return None if context.params.get("images") and told and told.name == "DEFAULT" else value


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """Which images."""

    dataset: Annotated[str, option(TRAINED_ON, "NAME")]
    data: Annotated[
        Path | None,
        option("Folder of the data set; critters do without one.", "DIR", callback=folder),
    ] = None
    on_bad_image: Annotated[OnBadImage, option("At an image that cannot be read.")] = (
        OnBadImage.stop
    )
    n: Annotated[
        int,
        option(
            "Number of validation images; or of --images, the first so many, by default all.",
            "N",
            callback=_all_of_images,
        ),
    ] = 8
    size: Annotated[
        int | None,
        option("Of --dataset folder and --images; default: the checkpoint's.", "PIXELS"),
    ] = None
    fit: Annotated[Fit | None, option("How these become square; default: the same, or crop.")] = (
        None
    )
    mean: Annotated[
        str | None, option("Of the training images; default: the checkpoint's.", "X,X,X")
    ] = None
    std: Annotated[str | None, option("As --mean.", "X,X,X")] = None

    @property
    def normalize(self) -> Any:
        """(mean, std), where they are given."""
        from ..upstream.registry import three_numbers

        if (self.mean is None) != (self.std is None):
            raise InputError("give both --mean and --std, or none of them")
        if self.mean is None or self.std is None:
            return None
        return three_numbers("mean", self.mean), three_numbers("std", self.std)

    @cached_property
    def data_set(self) -> DataSet:
        """The data set that is named."""
        return self.open()

    def open(self, model: str | None = None) -> DataSet:
        """The data set that is named, as a model's checkpoint knows it."""
        from ..datasets.samples import open_data_set
        from ..models.cards import trained_size
        from ..upstream.registry import data_set_arguments, is_folder

        told: dict[str, Any] = {}
        if is_folder(self.dataset):
            given = {name: getattr(self, name) for name in ("size", "mean", "std")}
            given["fit"] = self.fit and self.fit.value
            file = model if model is not None and Path(model).is_file() else None
            if model in bundled() and self.size is None:
                given["size"] = trained_size(card(model))
            told = data_set_arguments(self.dataset, given, file)
        return open_data_set(self.dataset, self.data, on_bad_image=self.on_bad_image.value, **told)

    @cached_property
    def validation_set(self) -> Any:
        """The images of its validation part, with their labels."""
        from ..datasets.samples import validation_set

        return validation_set(self.data_set)

    @cached_property
    def class_names(self) -> list[str]:
        """Names of the labels, empty where the data set has none."""
        from ..datasets.samples import class_names

        return class_names(self.data_set, self.validation_set)


@dataclass(frozen=True, kw_only=True)
class ImagesOptions:
    """Images that belong to no data set."""

    images: Annotated[
        list[str] | None,
        option("One's own images, in place of validation images.", "FILE|DIR|GLOB..."),
    ] = None
