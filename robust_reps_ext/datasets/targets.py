"""What is inverted, by name: validation images, or inputs from outside the data (Fig. 14)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch
from PIL import Image
from robustness.datasets import DataSet

from ..runtime.errors import InputError
from ..runtime.image_files import BadImageError, pil_loader
from ..runtime.randomness import shuffled
from ..upstream.data.bad_images import BadImages, readable, record_of
from ..upstream.data.folders import EXTENSIONS, find_classes, make_dataset
from .patterns import kaleidoscope
from .photographs import available, photographs
from .samples import ALL, Samples, validation_samples
from .wordnet import named

__all__ = ["TARGETS", "held_out_samples", "left_out", "target_samples"]

TARGETS = ("data", "kaleidoscope", "photographs", "held-out")

UNLABELLED = -1


def target_samples(
    kind: str,
    data_set: DataSet | None,
    n: int,
    *,
    size: int | None = None,
    seed: int = 0,
    part: slice = ALL,
) -> Samples:
    """Take `n` images of a kind, at the size of the data set's validation images.

    Parameters
    ----------
    kind
        ``"data"``: validation images; ``"kaleidoscope"``: patterns (Fig. 14a);
        ``"photographs"``: those of installed packages, cut square and resized;
        ``"held-out"``: images of classes that the data set leaves out (Fig. 14b).
    data_set
        As `open_data_set` returns it; None for what is of no data set, at `size`.
    n
        How many, 1 or more.
    size
        Of kaleidoscopes and photographs in pixels, where it is not the data set's.
    seed
        Fixes which, and what is drawn; the photographs are always the first `n`.
    part
        Which of the `n` to return.

    Returns
    -------
    Samples
        Its labels are -1 for all but validation images.

    Raises
    ------
    InputError
        If the kind is not known, does not have that many, or needs a data set or a size.

    Examples
    --------
    >>> from robust_reps_ext.datasets.samples import open_data_set
    >>> from robust_reps_ext.datasets.targets import target_samples
    >>> target_samples("kaleidoscope", open_data_set("critters"), 2).images.shape
    ==> Preparing dataset critters..
    torch.Size([2, 3, 64, 64])
    """
    if kind not in TARGETS:
        raise InputError(f"targets={kind!r} is not known: choose {', '.join(TARGETS)}")
    if data_set is None and (size is None or kind in ("data", "held-out")):
        raise InputError(f"targets={kind!r}: give a data set, or of what is of none a size")
    if kind == "data":
        return validation_samples(data_set, n, seed=seed, part=part)
    if kind == "held-out":
        return held_out_samples(data_set, n, seed=seed, part=part)
    side = size or validation_samples(data_set, 1, seed=seed).images.shape[-1]
    if kind == "kaleidoscope":
        images, names = kaleidoscope(n, size=side, seed=seed), ("kaleidoscope",) * n
    else:
        images = photographs(n, size=side)
        names = tuple(Path(name).stem.replace("_", " ") for name in available()[:n])
    images, names, indices = images[part], names[part], torch.arange(n)[part]
    return Samples(images, torch.full((len(images),), UNLABELLED), names, indices)


def held_out_samples(data_set: DataSet, n: int, *, seed: int = 0, part: slice = ALL) -> Samples:
    """Take `n` validation images of class folders that the data set leaves out (Fig. 14b).

    A model trained on Restricted ImageNet has seen 203 of ImageNet's classes; the other folders
    of the same tree hold what it was never trained on.

    Parameters
    ----------
    data_set
        One that labels only some classes of its folder, such as ``restricted_imagenet`` and
        ``restricted_tiny_imagenet``.
    n
        How many, 1 or more.
    seed
        Fixes the order.
    part
        Which of the `n` to load.

    Returns
    -------
    Samples
        Named after their classes, or folders; their indices count the left-out files, sorted.

    Raises
    ------
    InputError
        If the data set leaves no class out, or there are not that many images.

    Examples
    --------
    >>> held_out_samples(open_data_set("restricted_imagenet", "IMAGENET"), 8)  # doctest: +SKIP
    """
    if n < 1:
        raise InputError(f"n={n}: ask for 1 image or more")
    files = left_out(data_set)
    if n > len(files):
        raise InputError(
            f"n={n}: {data_set.data_path} has {len(files)} validation images of classes that "
            f"{data_set.ds_name!r} leaves out: ask for fewer, or add some"
        )
    order = shuffled(len(files), seed=seed)
    images = _Files([path for path, _ in files], record_of(data_set))
    if images.bad_images.action == "skip":
        order = list(islice((i for i, _ in readable(images, order)), n))
        if len(order) < n:
            raise InputError(f"n={n}: only {len(order)} of these images can be read; ask for fewer")
    taken = list(readable(images, order[:n][part]))
    return Samples(
        images=torch.stack([data_set.transform_test(image) for _, image in taken]),
        labels=torch.full((len(taken),), UNLABELLED),
        names=tuple(files[i][1] for i, _ in taken),
        indices=torch.tensor([i for i, _ in taken]),
    )


def left_out(data_set: DataSet) -> list[tuple[str, str]]:
    """The validation images without a label: path, and name of the class.

    Raises
    ------
    InputError
        If the data set leaves no class out.
    """
    mapping = getattr(data_set, "label_mapping", None)
    if mapping is None:
        told: list[tuple[str, str]] = getattr(data_set, "left_out", list)()
        if told:
            return told
        raise InputError(
            f"{data_set.ds_name!r} leaves no class out: choose kaleidoscope or photographs, or a "
            "data set that labels some classes of its folder only, such as restricted_imagenet"
        )
    root = Path(data_set.data_path).expanduser()
    folder = root / "val" if (root / "val").is_dir() else root / "test"
    classes, positions = find_classes(folder)
    _, used = mapping(classes, positions)
    others = {one: UNLABELLED for one in classes if one not in used}
    files = make_dataset(folder, others, EXTENSIONS) if _any_file(folder, others) else []
    names = dict(zip(others, named(list(others)), strict=True))
    return [(path, names[Path(path).relative_to(folder).parts[0]]) for path, _ in files]


@dataclass(frozen=True)
class _Files:
    """Images without labels, some of which may not be readable."""

    paths: Sequence[str]
    bad_images: BadImages

    def __getitem__(self, i: int) -> Image.Image | BadImageError:
        try:
            return pil_loader(self.paths[i])
        except BadImageError as error:
            if self.bad_images.action == "stop":
                raise
            return error


def _any_file(folder: Path, classes: dict[str, int]) -> bool:
    return any(
        path.suffix.lower() in EXTENSIONS and not path.name.startswith(".")
        for name in classes
        for path in (folder / name).rglob("*")
    )
