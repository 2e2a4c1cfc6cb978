"""Data sets made of another's training images, inverted through a model or moved to a class."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from robustness.attacker import AttackerModel
from robustness.datasets import DataSet
from torch import Tensor
from typing_extensions import Unpack

from ..datasets.samples import class_names, training_set
from ..datasets.shards import (
    INDEX,
    Index,
    Sample,
    damaged,
    described,
    read_index,
    read_members,
    shard_name,
    write_index,
    write_shard,
)
from ..models.loading import Model, Normalize, as_model, weights_digest
from ..models.representation import representation
from ..results.folder import WorkFolder, digest_of, read_json, remove, write_json
from ..results.records import plain
from ..runtime.errors import InputError
from ..runtime.files import remove_unfinished
from ..runtime.numbers import whole
from ..runtime.randomness import another, check_seed, shuffled
from ..runtime.signatures import keywords
from ..synthesis import Progress, noise, synthesize
from ..synthesis.objectives import RepresentationMatching
from ..synthesis.settings import Options, Settings, recorded
from .made_samples import image_and_label, made_samples
from .towards_class import LENGTHS, TowardsClass, check_classes

__all__ = ["KINDS", "SETTINGS", "robustify"]

KINDS = ("robust", "non-robust", *LENGTHS)

SETTINGS = "robustified.json"
STARTS = ("images", "noise")
# Theirs for CIFAR: 1000 steps of 0.1 at 32 pixels, which are 0.7 at 224.
STEPS = {"step_size": 0.1 * 224 / 32, "iterations": 1000}

# Results do not depend on the first, and there are no others here.
OF_NO_MOMENT = ("batch_size", "first", "frames")


@keywords(Options)
def robustify(
    model: Model,
    data_set: DataSet,
    out: str | Path,
    *,
    kind: str = "robust",
    start: str = "images",
    n: int | None = None,
    shard_size: int = 256,
    overwrite: bool = False,
    normalize: Normalize = None,
    seed: int = 0,
    progress: bool | Progress = False,
    **options: Unpack[Options],
) -> Index:
    """Write what a model sees in the training images of a data set as a data set to train on.

    For each image x finds x_r = argmin over x' of ||R(x') - R(x)||_2 / ||R(x)||_2, from noise or
    from another training image drawn at random. What a network learns from the x_r is then what
    `model` represents. With kinds ``"random"`` and ``"next"``, x is moved a little towards another
    class and labelled so: what is learnt from these is what moved the model. With kind
    ``"enhanced"``, it is moved towards its own class, which people then see more plainly.

    The images are written to tar files of `shard_size`, which the ``webdataset`` library reads,
    and `robustness` as data set ``webshards``. A shard is written when it is complete, so that a
    kill loses one at most; the same call goes on with those that are missing. Any number of
    processes may be given the same folder: each shard is made once.

    Parameters
    ----------
    model
        As `load_model` returns it, or a network, a name or a file, which it is made of. A network
        stays as it is, its mode included.
    data_set
        As `open_data_set` returns it. Its training images are taken as its test transform gives
        them, without augmentation.
    out
        Folder to write; made where there is none.
    kind
        Which of the four data sets of Ilyas et al. 2019, or that of Talbot et al. 2025.
        ``"robust"`` (D_R) and ``"non-robust"`` (D_NR) are inverted as above, the former through a
        robust model, the latter through a standard one. ``"random"`` (D_rand) and ``"next"``
        (D_det) move each image by PGD towards the lowest cross-entropy to a class of `model`, a
        standard one, and label it so: a class drawn at random for each image, or the one after its
        own. ``"enhanced"`` raises the logit of each image's own class by a robust model, as
        `enhance` does; the metadata says its ``difficulty`` before, by minus that logit.
    start
        Of inversions. ``"images"``: another training image (theirs); ``"noise"``:
        N(0, 1) / 20 + 0.5. Which image and what noise depends on `seed` and the image's index
        alone.
    n
        How many training images, which `seed` chooses; default: all.
    shard_size
        Images in a shard. Memory holds one shard's images, starts and results.
    overwrite
        Replace shards that were made with other settings.
    seed
        Fixes the draws.
    progress
        True for a bar for each shard, or ``progress(images_done, images_in_all, mean_distance)``.
    normalize
        (mean, std) of each channel for a `model` that `load_model` did not make; default: those
        of its file, else of `data_set`.
    **options
        See `robust_reps_ext.synthesis.settings.Options`; `layer` by name, `eps` and `step_size` as
        numbers, without `frames`, `first` and `snapshot`. By default 1000 steps of 0.1 at 32
        pixels, as theirs for CIFAR, the length scaled with the square root of the number of pixels;
        for kinds ``"random"`` and ``"next"`` 100 steps of 0.1 within 0.5 of the image, in the same
        way, without `layer`; for ``"enhanced"`` the numbers of `enhance`, without `layer`.

    Returns
    -------
    Index
        What is in the folder, as ``index.json`` says it too.

    Raises
    ------
    InputError
        If a setting is out of range, the model has fewer classes than the data where it is to be
        moved towards one, the folder holds shards made with others, or it cannot be written.

    Examples
    --------
    >>> import tempfile, robust_reps_ext as rr
    >>> from robust_reps_ext.datasets.critters import CrittersDataSet
    >>> numbers = {"n_train": 18, "n_val": 18}
    >>> data = CrittersDataSet(tempfile.mkdtemp(), size=32, custom_class_args=numbers)
    >>> model = rr.load_model(data.get_model("critters_resnet"), dataset=data)
    >>> made = rr.robustify(model, data, tempfile.mkdtemp(), shard_size=9, iterations=2)
    ==> Preparing dataset critters..
    >>> made.images, [shard.name for shard in made.shards]
    (18, ['shard-000000.tar', 'shard-000001.tar'])
    """
    shard_size = whole("shard_size", shard_size, 1)
    _check(kind, start, options)
    seed, model = check_seed(seed), as_model(model, normalize, data_set)
    images = training_set(data_set)
    chosen = _chosen(len(images), n, seed, start)
    first = image_and_label(images[chosen[0]])[0][None]
    if first.shape[1] not in (1, 3):
        raise InputError(
            f"the images have {first.shape[1]} channels: shards hold PNG files; choose 1 or 3"
        )
    lengths = LENGTHS.get(kind, STEPS)
    settings = Settings.paper(first, options, **lengths)  # type: ignore[arg-type]
    if kind in LENGTHS:
        check_classes(model, first[0], data_set.num_classes)
    folder = Path(out).expanduser()
    made_with = plain(
        {
            "weights": weights_digest(model),
            "origin": _origin(data_set),
            "training_images": len(images),
            "size": list(first.shape[-2:]),
            "n": n,
            "shard_size": shard_size,
            **({} if kind == "robust" else {"kind": kind}),
            "start": start,
            "seed": seed,
            **{
                name: value
                for name, value in recorded(settings).items()
                if name not in OF_NO_MOMENT
            },
        }
    )
    work = _begun(folder, made_with, overwrite)
    parts = [chosen[k : k + shard_size] for k in range(0, len(chosen), shard_size)]
    paths = [folder / shard_name(k) for k in range(len(parts))]
    if not all(path.exists() for path in paths):
        (folder / INDEX).unlink(missing_ok=True)
    digest = digest_of(made_with)[:16]
    make = (
        TowardsClass(model, images, settings, kind, data_set.num_classes, seed, digest)
        if kind in LENGTHS
        else _Inversion(model, images, settings, start, seed, digest)
    )
    part_of = dict(zip(paths, parts, strict=True))
    with closing(work.shared(paths)) as units:
        for path in units:
            remove_unfinished(path)
            done = sum(len(part_of[other]) for other in paths if other.exists())
            tell = _within(progress, done, len(part_of[path]), len(chosen))
            write_shard(path, make(part_of[path], tell))
    with closing(work.shared([folder / INDEX])) as units:
        for _ in units:
            write_index(folder, _index(paths, data_set, made_with))
    return read_index(folder)


@dataclass(frozen=True)
class _Inversion:
    """Makes the samples of a shard."""

    model: AttackerModel
    images: Any
    settings: Settings
    start: str
    seed: int
    digest: str

    def __call__(self, indices: Sequence[int], progress: bool | Progress) -> list[Sample]:
        loaded = [image_and_label(self.images[i]) for i in indices]
        targets = torch.stack([image for image, _ in loaded])
        starts, from_where = zip(
            *(self._start(i, image) for i, (image, _) in zip(indices, loaded, strict=True)),
            strict=True,
        )
        layer = self.settings.layer
        wanted = representation(self.model, targets, layer=layer)
        found = synthesize(
            self.model,
            RepresentationMatching(fake_relu=self.settings.fake_relu),
            target=wanted,
            start=torch.stack(starts),
            settings=self.settings,
            numbers=torch.tensor(indices),
            seed=self.seed,
            progress=progress,
        )
        return made_samples(
            self.model,
            found.images,
            wanted=wanted,
            layer=layer,
            indices=indices,
            labels=[label for _, label in loaded],
            metadata=[{"start": one, "settings": self.digest} for one in from_where],
        )

    def _start(self, index: int, like: Tensor) -> tuple[Tensor, int | str]:
        if self.start == "noise":
            return noise(like[None], seed=self.seed, first=index)[0], "noise"
        other = another(index, len(self.images), seed=self.seed)
        return image_and_label(self.images[other])[0], other


def _check(kind: str, start: str, options: Options) -> None:
    if kind not in KINDS:
        raise InputError(f"kind={kind!r} is not known: give {' or '.join(KINDS)}")
    if start not in STARTS:
        raise InputError(f"start={start!r} is not known: give {' or '.join(STARTS)}")
    if kind in LENGTHS and (start == "noise" or options.get("layer") is not None):
        what = "start='noise'" if start == "noise" else f"layer={options.get('layer')!r}"
        raise InputError(
            f"{what} is of no use with kind={kind!r}, which moves images towards classes: leave it "
            "out"
        )
    for name in ("frames", "first", "snapshot"):
        if options.get(name) is not None:
            raise InputError(f"{name}= is of no use in a robust data set: leave it out")
    if not isinstance(options.get("layer"), str | None):
        raise InputError("layer= is a function: give a name, which goes into the settings")
    for name in ("eps", "step_size"):
        if isinstance(options.get(name), Tensor):
            raise InputError(f"{name}= has a number for each image: give one number for all")


def _chosen(most: int, n: int | None, seed: int, start: str) -> list[int]:
    if most < 2 and start == "images":
        raise InputError(
            f"there is no other of {most} training images to begin with: give more, or begin "
            "with noise"
        )
    if n is None:
        return list(range(most))
    if not 1 <= n <= most:
        raise InputError(f"n={n}: there are {most} training images; ask for 1 to that many")
    return sorted(shuffled(most, seed=seed)[:n])


def _origin(data_set: DataSet) -> dict[str, Any]:
    """What opens the data set again; of shards, that which their images come from."""
    origin = getattr(data_set, "origin", None)
    if origin is not None:
        return dict(origin)
    data = str(data_set.data_path)
    return {
        "name": data_set.ds_name,
        "data": str(Path(data).expanduser().absolute()) if data else None,
        "arguments": getattr(data_set, "arguments", {}),
    }


def _begun(folder: Path, wanted: dict[str, Any], overwrite: bool) -> WorkFolder:
    """The folder, once it is known that its shards have these settings."""
    settings = folder / SETTINGS

    def begun() -> dict[Path, Any]:
        try:
            there = read_json(settings)
        except InputError:
            if not overwrite:
                raise
            there = {}
        if there is None and any(folder.glob("shard-*.tar")):
            if not overwrite:
                raise InputError(
                    f"{settings} is missing, which says how the shards were made: give another "
                    "folder, or --overwrite (overwrite=True)"
                )
            there = {}
        return {folder: there}

    def begin() -> None:
        remove(folder, (folder / INDEX, *folder.glob("shard-*.tar")))
        write_json(settings, wanted)

    return WorkFolder(folder, wanted, begun=begun, begin=begin, overwrite=overwrite)


def _within(progress: bool | Progress, done: int, own: int, in_all: int) -> bool | Progress:
    """The progress of a shard as part of the whole."""
    if not callable(progress):
        return progress
    tell = progress

    def move(steps: int, steps_in_all: int, distance: float) -> None:
        tell(done + own * steps // steps_in_all, in_all, distance)

    return move


def _index(paths: Sequence[Path], data_set: DataSet, made_with: dict[str, Any]) -> Index:
    distances = []
    for path in paths:
        said = read_members(path, metadata=True).metadata
        if any(one.get("settings") != digest_of(made_with)[:16] for one in said):
            raise damaged(path, "it was made with other settings")
        distances += [float(one["distance"]) for one in said]
    height, width = made_with["size"]
    return Index(
        shards=tuple(described(path) for path in paths),
        size=(height, width),
        num_classes=data_set.num_classes,
        classes=tuple(class_names(data_set)),
        mean=tuple(data_set.mean.flatten().tolist()),
        std=tuple(data_set.std.flatten().tolist()),
        origin=made_with["origin"],
        settings=made_with,
        distance=sum(distances) / len(distances),
    )
