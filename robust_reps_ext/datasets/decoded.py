"""Small image files, decoded once into a file of pixels that is mapped into memory."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import platformdirs
from PIL import Image
from torch.utils.data import Dataset
from tqdm import tqdm

from ..runtime.errors import InputError
from ..runtime.files import writing
from ..upstream.data.bad_images import record_of
from ..upstream.data.image_files import BadImageError, pil_loader

__all__ = ["DecodedImages"]

_CHUNK = 256
_log = logging.getLogger(__name__)


class DecodedImages(Dataset[tuple[Any, int]]):
    """Image files with their labels, in the manner of `torchvision.datasets.CIFAR10`.

    At first use all files are decoded, on every core, into one file in the user's cache folder
    (``XDG_CACHE_HOME`` moves it); it is made anew when a file has changed.

    Parameters
    ----------
    files
        The image files.
    targets
        Their labels.
    size
        Height and width in pixels; images of another size are resized.
    transform
        Applied to each PIL image; or, where it has a method `batch`, to those of a whole batch of
        a loader at once, as pixels (N, size, size, 3).

    Attributes
    ----------
    data : numpy.ndarray
        The pixels, (N, size, size, 3) of uint8, read from the disk as they are needed.
    targets : list of int
        The labels.

    Raises
    ------
    InputError
        If the cache cannot be written.
    """

    def __init__(
        self,
        files: Sequence[Path],
        targets: Sequence[int],
        *,
        size: int,
        transform: Callable[..., Any] | None = None,
    ) -> None:
        self.files, self.targets = list(files), list(targets)
        self.transform = transform
        path = _cache(self.files, size)
        shape = (len(self.files), size, size, 3)
        kept = _read(path, shape)
        if kept is None:
            _decode(self.files, path, shape)
            kept = _read(path, shape)
        if kept is None:
            raise InputError(f"{path} is gone or changed while it was read: try again")
        self.data, self._bad = kept

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, i: int) -> Any:
        bad = self._checked([i])
        if bad:
            return bad[i]
        image: Any = Image.fromarray(self.data[i])
        return (image if self.transform is None else self.transform(image)), self.targets[i]

    def __getitems__(self, indices: Sequence[int]) -> list[Any]:
        """What loaders ask for: the images of one batch."""
        together = getattr(self.transform, "batch", None)
        if together is None:
            return [self[i] for i in indices]
        bad = self._checked(indices)
        images = together(self.data[list(indices)])
        return [
            bad.get(i, (image, self.targets[i])) for image, i in zip(images, indices, strict=True)
        ]

    def _checked(self, indices: Sequence[int]) -> dict[int, BadImageError]:
        """The images that cannot be read, where the data set passes such over."""
        bad = {i: BadImageError(self._bad[i]) for i in indices if i in self._bad}
        if bad and record_of(self).action == "stop":
            raise next(iter(bad.values()))
        return bad


_Kept = tuple[np.ndarray, dict[int, str]]


def _cache(files: Sequence[Path], size: int) -> Path:
    """Where the pixels of these files are kept: by their names, sizes and times."""
    told = hashlib.sha256(str(size).encode())
    for file in files:
        try:
            now = file.stat()
        except OSError:  # told when it is read
            told.update(f"{file}\0".encode())
        else:
            told.update(f"{file}\0{now.st_size} {now.st_mtime_ns}\0".encode())
    folder = Path(platformdirs.user_cache_path("robust-reps-ext")) / "decoded"
    return folder / f"{told.hexdigest()[:32]}-{size}px.npy"


def _read(path: Path, shape: tuple[int, ...]) -> _Kept | None:
    """The pixels that are kept, and what was said of those that cannot be read."""
    try:
        said = json.loads(path.with_suffix(".json").read_text("utf-8"))
        pixels = np.load(path, mmap_mode="r", allow_pickle=False)
        if pixels.shape != shape or pixels.dtype != np.uint8:
            raise ValueError("other pixels than its name says")
        return pixels, {int(i): str(why) for i, why in said.items()}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, AttributeError) as error:
        _log.warning("%s is damaged (%s): decoding its images again", path, error)
        return None


def _decode(files: Sequence[Path], path: Path, shape: tuple[int, ...]) -> None:
    advice = "make room, or set XDG_CACHE_HOME to another folder"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"decoded images cannot be kept in {path.parent} ({error.strerror}): {advice}"
        ) from error
    chunks = [files[start : start + _CHUNK] for start in range(0, len(files), _CHUNK)]
    # Pillow decodes without Python's lock.
    made = joblib.Parallel(n_jobs=joblib.cpu_count(), prefer="threads", return_as="generator")(
        joblib.delayed(_pixels)(chunk, shape[1]) for chunk in chunks
    )
    bad: dict[int, str] = {}
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    with (
        writing(path, advice) as file,
        tqdm(total=len(files), unit="image", desc="decoding", mininterval=0.5) as bar,
    ):
        np.lib.format.write_array_header_1_0(file, header)
        for start, (pixels, said) in zip(range(0, len(files), _CHUNK), made, strict=True):
            file.write(pixels.tobytes())
            bad |= {start + i: why for i, why in said.items()}
            bar.update(len(pixels))
        # What is there is whole: the pixels get their name last.
        with writing(path.with_suffix(".json"), advice) as record:
            record.write(json.dumps(bad).encode())


def _pixels(files: Sequence[Path], size: int) -> tuple[np.ndarray, dict[int, str]]:
    pixels, bad = np.zeros((len(files), size, size, 3), np.uint8), {}
    for i, file in enumerate(files):
        try:
            image = pil_loader(os.fspath(file))
        except BadImageError as error:
            bad[i] = str(error)
            continue
        if image.size != (size, size):
            image = image.resize((size, size), Image.Resampling.BICUBIC)
        pixels[i] = np.asarray(image)
    return pixels, bad
