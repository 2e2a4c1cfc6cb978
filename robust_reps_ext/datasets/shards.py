"""Images in WebDataset tar files, and the index that says what is in a folder of them."""

from __future__ import annotations

import io
import json
import re
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from ..results.figures import Row, image_grid
from ..runtime.errors import InputError, first_line, one_line
from ..runtime.files import sha256, writing
from ..runtime.numbers import whole

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure

__all__ = [
    "INDEX",
    "SPACE",
    "Index",
    "Members",
    "Sample",
    "Shard",
    "damaged",
    "described",
    "read_index",
    "read_members",
    "shard_name",
    "write_index",
    "write_shard",
]

INDEX = "index.json"
FORMAT = "robust-reps-ext shards, 1"
SPACE = "free some space, or give another folder"
# Of members that are read whole while a shard is looked through, in bytes.
LONGEST_TEXT = 2**16


@dataclass(frozen=True)
class Sample:
    """One image of a shard.

    Attributes
    ----------
    key
        Names it in the data set.
    image
        (H, W, 3), uint8.
    label
        Its class.
    metadata
        What else there is to say, as JSON holds it.
    """

    key: str
    image: np.ndarray
    label: int
    metadata: Mapping[str, Any]


@dataclass(frozen=True)
class Shard:
    """One tar file: its name, how many images it holds, its length in bytes and its SHA-256."""

    name: str
    images: int
    bytes: int
    sha256: str


@dataclass(frozen=True, repr=False)
class Index:
    """What is in a folder of shards.

    Attributes
    ----------
    shards
        The files, in order.
    size
        Height and width of the images.
    num_classes
        Labels are 0 to num_classes - 1.
    classes
        Their names; empty where they have none.
    mean, std
        Of the channels, one or three: the normaliser of the data set that the images come from.
    origin
        That data set: its ``name``, its folder ``data`` (or None), and what else opens it,
        ``arguments``. Its validation images are those of the shards.
    settings
        How the images were made.
    distance
        Mean of the images' relative distances of R, each to the R of the image it was made of.
    folder
        Where the files are.
    """

    shards: tuple[Shard, ...]
    size: tuple[int, int]
    num_classes: int
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    origin: Mapping[str, Any]
    settings: Mapping[str, Any]
    distance: float
    folder: Path = field(default=Path(), compare=False)

    @property
    def images(self) -> int:
        """How many images there are in all."""
        return sum(shard.images for shard in self.shards)

    def __repr__(self) -> str:
        height, width = self.size
        data = one_line(self.origin.get("name"))
        kind = one_line(self.settings.get("kind", "robust")).capitalize()
        return (
            f"{kind} data set of {self.images} images, {height} x {width}, in {len(self.shards)} "
            f"shards: mean distance {self.distance:.3g}\n"
            f"data {data}, {self.num_classes} classes, in {one_line(self.folder)}"
        )

    def figure(self, *, n: int = 32) -> Figure:
        """The first `n` images, with the names or numbers of their classes.

        Raises
        ------
        InputError
            If n is below 1, or the first shard is damaged.
        """
        n = whole("n", n, 1)
        images: list[np.ndarray] = []
        labels: list[int] = []
        for shard in self.shards:
            path = self.folder / shard.name
            found = read_members(path)
            with path.open("rb") as file:
                for place, length in zip(found.offsets, found.lengths, strict=True):
                    if len(images) < n:
                        file.seek(int(place))
                        images.append(_pixels(path, file.read(int(length))))
            labels += found.labels.tolist()
            if len(images) == n:
                break
        names = [
            self.classes[i] if i < len(self.classes) else str(i) for i in labels[: len(images)]
        ]
        return image_grid([Row(np.stack(images), "", names)])

    def to_frame(self) -> pandas.DataFrame:
        """A row for each image: its shard, its label, and what is said of it, such as `distance`.

        Raises
        ------
        InputError
            If a shard is damaged.
        """
        import pandas

        rows = []
        for shard in self.shards:
            found = read_members(self.folder / shard.name, metadata=True)
            for label, said in zip(found.labels.tolist(), found.metadata, strict=True):
                rows.append({"shard": shard.name, "label": label, **said})
        return pandas.DataFrame(rows)


def shard_name(number: int) -> str:
    """The file of shard `number`, counted from 0."""
    return f"shard-{number:06d}.tar"


def write_shard(path: Path, samples: Iterable[Sample]) -> None:
    """Write samples as a tar file that the `webdataset` library reads: fields png, cls, json.

    The same samples make the same bytes. A kill at any moment leaves no file or the whole.

    Raises
    ------
    InputError
        If the file cannot be written.
    """
    with writing(path, SPACE) as file, tarfile.open(fileobj=file, mode="w") as tar:
        for sample in samples:
            fields = {
                "cls": str(sample.label).encode(),
                "json": json.dumps(dict(sample.metadata), sort_keys=True).encode(),
                "png": _png(sample.image),
            }
            for field, data in fields.items():
                # Neither a time nor an owner: a TarInfo has none unless it is given one.
                member = tarfile.TarInfo(f"{sample.key}.{field}")
                member.size, member.mode = len(data), 0o444
                tar.addfile(member, io.BytesIO(data))


@dataclass(frozen=True)
class Members:
    """Where the images of a shard lie in its file.

    Attributes
    ----------
    offsets, lengths
        (N,) of the PNG files, in bytes.
    labels
        (N,).
    metadata
        N mappings, if asked for.
    """

    offsets: np.ndarray
    lengths: np.ndarray
    labels: np.ndarray
    metadata: tuple[dict[str, Any], ...] = ()


def read_members(path: Path, *, metadata: bool = False) -> Members:
    """Look a shard through. Nothing is extracted, so that names in it may be what they like.

    Parameters
    ----------
    path
        The tar file, not compressed.
    metadata
        Whether to read what its JSON members say, too.

    Raises
    ------
    InputError
        If the file is missing or damaged, or a sample lacks its image or its label.
    """
    try:
        with tarfile.open(path, "r:") as tar:
            samples = _samples(tar, metadata)
            end = path.stat().st_size
    except (OSError, tarfile.TarError, ValueError, EOFError, RecursionError) as error:
        raise damaged(path, first_line(error)) from error
    for key, sample in samples.items():
        missing = {"png", "cls", *(["json"] if metadata else [])} - sample.keys()
        if missing:
            raise damaged(path, f"sample {key!r} has no {' and no '.join(sorted(missing))}")
        if sum(sample["png"]) > end:
            raise damaged(path, f"it ends within sample {key!r}")
    found = list(samples.values())
    return Members(
        offsets=np.array([sample["png"][0] for sample in found], dtype=np.int64),
        lengths=np.array([sample["png"][1] for sample in found], dtype=np.int64),
        labels=np.array([sample["cls"] for sample in found], dtype=np.int64),
        metadata=tuple(sample["json"] for sample in found) if metadata else (),
    )


def write_index(folder: Path, index: Index) -> None:
    """Write the index of a folder of shards.

    Raises
    ------
    InputError
        If the file cannot be written.
    """
    with writing(folder / INDEX, SPACE) as file:
        said = {name: one for name, one in asdict(index).items() if name != "folder"}
        file.write(json.dumps({"format": FORMAT, **said}, indent=1).encode())


def read_index(folder: Path) -> Index:
    """What is in a folder of shards.

    Raises
    ------
    InputError
        If there is no index or it is damaged, or a shard is missing or of another length.
    """
    path = folder / INDEX
    if not folder.is_dir():
        raise InputError(f"no folder {folder}: give one that robust-reps robustify has written")
    if not path.is_file():
        begun = any(folder.glob("shard-*.tar"))
        reason = (
            "it is not complete: run robust-reps robustify again, which goes on"
            if begun
            else "give a folder that robust-reps robustify has written"
        )
        raise InputError(f"{folder} has no {INDEX}: {reason}")
    try:
        index = _index(json.loads(path.read_text("utf-8")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(
            f"{path} is damaged ({type(error).__name__}: {error}): remove it and run "
            "robust-reps robustify again, which writes it anew"
        ) from error
    for shard in index.shards:
        file = folder / shard.name
        if not file.is_file():
            raise InputError(
                f"{file} is missing: run robust-reps robustify again, which makes it anew"
            )
        if file.stat().st_size != shard.bytes:
            raise damaged(file, f"it has {file.stat().st_size} bytes, not {shard.bytes}")
    return replace(index, folder=folder)


def described(path: Path) -> Shard:
    """What the index says of a shard."""
    members = read_members(path)
    return Shard(path.name, len(members.labels), path.stat().st_size, sha256(path))


def damaged(path: Path, reason: str) -> InputError:
    """The error for a shard that cannot be used."""
    return InputError(
        f"the shard {path} is damaged ({reason}): remove it and run robust-reps robustify again, "
        "which makes it anew"
    )


def _pixels(path: Path, data: bytes) -> np.ndarray:
    """(C, H, W) in [0, 1]."""
    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            pixels = np.asarray(image, dtype=np.float32) / 255
    except (OSError, ValueError, SyntaxError) as error:
        raise damaged(path, first_line(error)) from error
    return np.atleast_3d(pixels).transpose(2, 0, 1)


def _png(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image).save(buffer, "png")
    return buffer.getvalue()


def _samples(tar: tarfile.TarFile, metadata: bool) -> dict[str, dict[str, Any]]:
    """The members of each sample; which is which, names say as in WebDataset: KEY.FIELD."""
    samples: dict[str, dict[str, Any]] = {}
    for member in tar:
        folder, slash, name = member.name.rpartition("/")
        key, _, field = name.partition(".")
        if not member.isreg() or not key:
            continue
        sample = samples.setdefault(f"{folder}{slash}{key}", {})
        if field == "png":
            sample["png"] = (member.offset_data, member.size)
        elif field == "cls":
            sample["cls"] = int(_text(tar, member))
        elif field == "json" and metadata:
            sample["json"] = dict(json.loads(_text(tar, member)))
    return samples


def _text(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    if member.size > LONGEST_TEXT:
        raise ValueError(f"member {member.name!r} has {member.size} bytes")
    file = tar.extractfile(member)
    return b"" if file is None else file.read()


def _index(said: Any) -> Index:
    if said["format"] != FORMAT:
        raise ValueError(f"format {said['format']!r} is not {FORMAT!r}")
    shards = tuple(
        Shard(str(one["name"]), int(one["images"]), int(one["bytes"]), str(one["sha256"]))
        for one in said["shards"]
    )
    for shard in shards:
        if not re.fullmatch(r"shard-\d{6,}\.tar", shard.name):
            raise ValueError(f"{shard.name!r} is no name of a shard")
    height, width = (int(side) for side in said["size"])
    mean, std = (tuple(float(value) for value in said[name]) for name in ("mean", "std"))
    if not len(mean) or len(mean) != len(std):
        raise ValueError("mean and std have three values each")
    return Index(
        shards=shards,
        size=(height, width),
        num_classes=int(said["num_classes"]),
        classes=tuple(str(name) for name in said["classes"]),
        mean=mean,
        std=std,
        origin=dict(said["origin"]),
        settings=dict(said["settings"]),
        distance=float(said["distance"]),
    )
