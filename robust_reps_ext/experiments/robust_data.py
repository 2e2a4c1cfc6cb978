"""Robust data sets (Ilyas et al. 2019, section 3.1): training images, inverted through a model."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from robustness.attacker import AttackerModel
from robustness.datasets import DataSet
from torch import Tensor
from typing_extensions import Unpack

from ..datasets.samples import class_names, training_set
from ..datasets.shards import (
    INDEX,
    SPACE,
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
from ..models.loading import weights_digest
from ..models.representation import representation
from ..results.locks import claimed, lock_of
from ..runtime.errors import InputError
from ..runtime.files import writing
from ..runtime.randomness import another, check_seed
from ..synthesis import Progress, noise, synthesize
from ..synthesis.objectives import RepresentationMatching
from ..synthesis.settings import Options, Settings, recorded

__all__ = ["SETTINGS", "robustify"]

SETTINGS = "robustified.json"
STARTS = ("images", "noise")
# Theirs for CIFAR: 1000 steps of 0.1 at 32 pixels, which are 0.7 at 224.
STEPS = {"step_size": 0.1 * 224 / 32, "iterations": 1000}

# Results do not depend on the first, and there are no others here.
OF_NO_MOMENT = ("batch_size", "first", "frames")


def robustify(
    model: AttackerModel,
    data_set: DataSet,
    out: str | Path,
    *,
    start: str = "images",
    n: int | None = None,
    shard_size: int = 256,
    overwrite: bool = False,
    seed: int = 0,
    progress: bool | Progress = False,
    **options: Unpack[Options],
) -> Index:
    """Invert the training images of a data set, and write them with their labels as a data set.

    For each image x finds x_r = argmin over x' of ||R(x') - R(x)||_2 / ||R(x)||_2, from noise or
    from another training image drawn at random. What a network learns from the x_r is then what
    `model` represents.

    The images are written to tar files of `shard_size`, which the ``webdataset`` library reads,
    and `robustness` as data set ``webshards``. A shard is written when it is complete, so that a
    kill loses one at most; the same call goes on with those that are missing. Any number of
    processes may be given the same folder: each shard is made once.

    Parameters
    ----------
    model
        As `load_model` returns it.
    data_set
        As `open_data_set` returns it. Its training images are taken as its test transform gives
        them, without augmentation.
    out
        Folder to write; made where there is none.
    start
        ``"images"``: another training image (theirs); ``"noise"``: N(0, 1) / 20 + 0.5. Which
        image and what noise depends on `seed` and the image's index alone.
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
    **options
        See `robust_reps_ext.synthesis.settings.Options`; `layer` by name, `eps` and `step_size` as
        numbers, without `frames`, `first` and `snapshot`. By default 1000 steps of 0.1 at 32
        pixels, as theirs for CIFAR, the length scaled with the square root of the number of pixels.

    Returns
    -------
    Index
        What is in the folder, as ``index.json`` says it too.

    Raises
    ------
    InputError
        If a setting is out of range, the folder holds shards made with others, or it cannot be
        written.

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
    _check(start, shard_size, options)
    seed = check_seed(seed)
    images = training_set(data_set)
    chosen = _chosen(len(images), n, seed, start)
    first = _pair(images[chosen[0]])[0][None]
    settings = Settings.paper(first, options, **STEPS)  # type: ignore[arg-type]
    folder = Path(out).expanduser()
    facts = {
        "weights": weights_digest(model),
        "origin": _origin(data_set),
        "training_images": len(images),
        "size": list(first.shape[-2:]),
        "n": n,
        "shard_size": shard_size,
        "start": start,
        "seed": seed,
        **{name: value for name, value in recorded(settings).items() if name not in OF_NO_MOMENT},
    }
    _agree(folder, facts, overwrite)
    parts = [chosen[k : k + shard_size] for k in range(0, len(chosen), shard_size)]
    paths = [folder / shard_name(k) for k in range(len(parts))]
    if not all(path.exists() for path in paths):
        (folder / INDEX).unlink(missing_ok=True)
    make = _Inversion(model, images, settings, start, seed, facts)
    part_of = dict(zip(paths, parts, strict=True))
    with closing(claimed(paths)) as units:
        for path in units:
            for left_by_a_kill in folder.glob(f".{path.name}.*.tmp"):
                left_by_a_kill.unlink(missing_ok=True)
            done = sum(len(part_of[other]) for other in paths if other.exists())
            tell = _within(progress, done, len(part_of[path]), len(chosen))
            write_shard(path, make(part_of[path], tell))
    with closing(claimed([folder / INDEX])) as units:
        for _ in units:
            write_index(folder, _index(paths, data_set, facts))
    return read_index(folder)


class _Inversion:
    """Makes the samples of a shard."""

    def __init__(
        self,
        model: AttackerModel,
        images: Any,
        settings: Settings,
        start: str,
        seed: int,
        facts: dict[str, Any],
    ) -> None:
        self.model, self.images, self.settings = model, images, settings
        self.start, self.seed, self.digest = start, seed, _digest(facts)

    def __call__(self, indices: Sequence[int], progress: bool | Progress) -> list[Sample]:
        loaded = [_pair(self.images[i]) for i in indices]
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
        pixels = (found.images * 255).round().to(torch.uint8)
        # Of the images as they are stored.
        reached = representation(self.model, pixels.float() / 255, layer=layer)
        distances = (reached - wanted).norm(dim=1) / wanted.norm(dim=1)
        return [
            Sample(
                key=f"{index:08d}",
                image=image.permute(1, 2, 0).numpy(),
                label=label,
                facts={
                    "source": index,
                    "start": begin,
                    "distance": distance,
                    "settings": self.digest,
                },
            )
            for index, image, (_, label), begin, distance in zip(
                indices, pixels, loaded, from_where, distances.tolist(), strict=True
            )
        ]

    def _start(self, index: int, like: Tensor) -> tuple[Tensor, int | str]:
        if self.start == "noise":
            return noise(like[None], seed=self.seed, first=index)[0], "noise"
        other = another(index, len(self.images), seed=self.seed)
        return _pair(self.images[other])[0], other


def _pair(item: Any) -> tuple[Tensor, int]:
    """An image and its label; one that cannot be read stops the run, or shards would differ."""
    if isinstance(item, Exception):
        raise item
    image, label = item
    return image, int(label)


def _check(start: str, shard_size: int, options: Options) -> None:
    if start not in STARTS:
        raise InputError(f"start={start!r} is not known: give {' or '.join(STARTS)}")
    if shard_size < 1:
        raise InputError(f"shard_size={shard_size}: give 1 or more images")
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
    order = torch.randperm(most, generator=torch.Generator().manual_seed(seed))
    return sorted(order[:n].tolist())


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


def _agree(folder: Path, facts: dict[str, Any], overwrite: bool) -> None:
    """Write down the settings, or see that they are those which the folder was begun with."""
    wanted = json.loads(json.dumps(facts))
    if _agreed(folder, wanted, overwrite):
        return
    path = folder / SETTINGS
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(lock_of(path)):
            # Another process may have written them, or others, in between.
            if not _agreed(folder, wanted, overwrite):
                for old in (folder / INDEX, *folder.glob("shard-*.tar")):
                    old.unlink(missing_ok=True)
                with writing(path, SPACE) as file:
                    file.write(json.dumps(wanted, indent=1).encode())
            Path(lock_of(path)).unlink(missing_ok=True)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise InputError(f"cannot write to {folder}: {reason}; give another folder") from error


def _agreed(folder: Path, wanted: dict[str, Any], overwrite: bool) -> bool:
    """Whether the folder has these settings; it has none if not, or may be overwritten."""
    there = _read(folder / SETTINGS)
    if there == wanted:
        return True
    if (there is not None or any(folder.glob("shard-*.tar"))) and not overwrite:
        raise InputError(
            f"{folder} holds shards made with other settings ({_difference(there, wanted)}): "
            "give the same, another folder, or --overwrite (overwrite=True)"
        )
    return False


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError:
        return "damaged"


def _difference(there: Any, wanted: dict[str, Any]) -> str:
    if not isinstance(there, dict):
        return f"{SETTINGS} is {'missing' if there is None else 'damaged'}"
    names = [name for name in {**there, **wanted} if there.get(name) != wanted.get(name)]
    return ", ".join(f"{name} {there.get(name)!r}, not {wanted.get(name)!r}" for name in names)


def _digest(facts: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def _within(progress: bool | Progress, done: int, own: int, in_all: int) -> bool | Progress:
    """The progress of a shard as part of the whole."""
    if not callable(progress):
        return progress
    tell = progress

    def move(steps: int, steps_in_all: int, distance: float) -> None:
        tell(done + own * steps // steps_in_all, in_all, distance)

    return move


def _index(paths: Sequence[Path], data_set: DataSet, facts: dict[str, Any]) -> Index:
    distances = []
    for path in paths:
        said = read_members(path, facts=True).facts
        if any(one.get("settings") != _digest(facts) for one in said):
            raise damaged(path, "it was made with other settings")
        distances += [float(one["distance"]) for one in said]
    height, width = facts["size"]
    return Index(
        shards=tuple(described(path) for path in paths),
        size=(height, width),
        num_classes=data_set.num_classes,
        classes=tuple(class_names(data_set)),
        mean=tuple(data_set.mean.tolist()),
        std=tuple(data_set.std.tolist()),
        origin=facts["origin"],
        settings=facts,
        distance=sum(distances) / len(distances),
    )
