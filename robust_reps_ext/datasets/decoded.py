"""Image files decoded once to one size: their pixels in one file, which is mapped into memory."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Sequence
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from tqdm import tqdm

from ..results.locks import claimed
from ..runtime.environment import cache_folder
from ..runtime.errors import InputError, first_line
from ..runtime.files import remove_unfinished, writing
from ..runtime.image_files import WAY_OUT, BadImageError, fitted, pil_loader

__all__ = ["Decoded", "decoded", "read_pixels"]

_VERSION = 1
_CHUNK = 256
_ADVICE = "name another folder in ROBUST_REPS_EXT_CACHE (cache=)"

_log = logging.getLogger(__name__)


class Decoded:
    """The pixels of image files, as they lie in a file of the cache.

    The file is read as far as pixels are looked at; a copy in another process maps it anew.

    Attributes
    ----------
    pixels : numpy.ndarray
        (N, 3, size, size), uint8.
    bad : numpy.ndarray
        (N,), bool: which files could not be read, and have pixels of zeros.

    Raises
    ------
    ValueError, OSError
        If the file is not there, or does not hold `n` images of this size.
    """

    def __init__(self, path: Path, n: int, size: int) -> None:
        self._given = path, n, size
        try:
            # Copy on write: what is done to the pixels in memory never reaches the file.
            rows = np.lib.format.open_memmap(path, mode="c")
        except OSError:
            raise
        except Exception as error:  # of a damaged header come errors of Python's syntax, too
            raise ValueError(first_line(error)) from error
        whole = rows.offset + rows.nbytes == path.stat().st_size
        if rows.shape != (n,) or rows.dtype != _kind(size) or not whole:
            raise ValueError("it does not hold what its name says")
        self.pixels, self.bad = rows["pixels"], np.array(rows["bad"])

    def __reduce__(self) -> Any:
        return Decoded, self._given


def decoded(
    files: Sequence[str],
    root: Path,
    name: str,
    size: int,
    *,
    fit: str | None = None,
    cache: str | os.PathLike[str] | None = None,
) -> Decoded:
    """The pixels of `files`: decoded at the first call, on every core, and mapped ever after.

    They are kept under a name that holds a digest of the files' names, sizes and times, so that
    files that have changed are decoded again; what was kept of the same folder is removed then.
    The file appears whole. Of several processes one decodes, and the others wait.

    Parameters
    ----------
    files
        Paths of the images, in the order of the rows.
    root
        The folder that they are in.
    name
        What the file's name begins with.
    size
        Height and width of the images.
    fit
        How images of other sizes are brought to it, see
        `robust_reps_ext.runtime.image_files.fitted`, after they are turned as their EXIF data
        say; default: they count as files that cannot be read.
    cache
        Where to keep the pixels; default: ``decoded`` in `runtime.environment.cache_folder`.

    Raises
    ------
    InputError
        If the folder cannot be written, or has no room for them.

    Examples
    --------
    >>> decoded(files, root, "tiny-imagenet-val", 64).pixels.shape  # doctest: +SKIP
    (10000, 3, 64, 64)
    """
    folder = cache_folder() / "decoded" if cache is None else Path(cache).expanduser()
    own = f"{name}-{_digest([str(root.resolve())])[:8]}"
    facts = [_VERSION, size, *([fit] if fit else []), *_facts(files, root)]
    path = folder / f"{own}-{_digest(facts)[:16]}.npy"
    try:
        return Decoded(path, len(files), size)
    except FileNotFoundError:
        _log.info("decoding %d images of %s once, into %s", len(files), root, folder)
    except (OSError, ValueError) as error:
        _log.warning("%s is damaged (%s): decoding its images again", path, error)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"decoded images cannot be kept in {folder} ({error.strerror}): {_ADVICE}"
        ) from error
    with closing(claimed([path], finished=partial(_is_whole, n=len(files), size=size))) as mine:
        for one in mine:
            remove_unfinished(one)
            _write(one, files, size, fit)
            for earlier in set(folder.glob(f"{own}-*.npy")) - {one}:
                with suppress(OSError):  # some systems keep what another process maps
                    earlier.unlink()
    return Decoded(path, len(files), size)


def read_pixels(path: str, size: int, fit: str | None = None) -> np.ndarray:
    """One image file as RGB, (3, size, size) of uint8; `fit` is that of `decoded`.

    Raises
    ------
    BadImageError
        If it cannot be read, or has another size and there is no `fit`.
    """
    image = pil_loader(path, upright=fit is not None)
    if fit is not None:
        return np.asarray(fitted(image, size, fit)).transpose(2, 0, 1)
    if image.size != (size, size):
        width, height = image.size
        raise BadImageError(
            f"cannot read the image {path} (it has {width} x {height} pixels, not {size} x {size})"
            f"{WAY_OUT}"
        )
    return np.asarray(image).transpose(2, 0, 1)


def _kind(size: int) -> np.dtype[Any]:
    return np.dtype([("pixels", np.uint8, (3, size, size)), ("bad", np.bool_)])


def _facts(files: Sequence[str], root: Path) -> list[Any]:
    """What tells whether files have changed."""
    found: list[Any] = []
    for path in files:
        found.append(path.removeprefix(str(root)))
        with suppress(OSError):  # it cannot be read either, then
            facts = os.stat(path)
            found += [facts.st_size, facts.st_mtime_ns]
    return found


def _digest(facts: Sequence[Any]) -> str:
    return hashlib.sha256(repr(list(facts)).encode(errors="surrogateescape")).hexdigest()


def _is_whole(path: Path, n: int, size: int) -> bool:
    try:
        return bool(Decoded(path, n, size))
    except (OSError, ValueError):
        return False


def _write(path: Path, files: Sequence[str], size: int, fit: str | None) -> None:
    chunks = [files[start : start + _CHUNK] for start in range(0, len(files), _CHUNK)]
    cores = joblib.cpu_count() if len(chunks) > 4 else 1
    made = joblib.Parallel(n_jobs=cores, return_as="generator")(
        joblib.delayed(_decode)(chunk, size, fit) for chunk in chunks
    )
    described = {
        "descr": np.lib.format.dtype_to_descr(_kind(size)),
        "fortran_order": False,
        "shape": (len(files),),
    }
    with (
        writing(path, f"make room, or {_ADVICE}") as file,
        tqdm(total=len(files), desc="Decoding", unit="image", disable=None) as bar,
    ):
        np.lib.format.write_array_header_1_0(file, described)
        for rows in made:
            file.write(rows.tobytes())
            bar.update(len(rows))


def _decode(files: Sequence[str], size: int, fit: str | None) -> np.ndarray:
    rows = np.zeros(len(files), _kind(size))
    for i, path in enumerate(files):
        try:
            rows["pixels"][i] = read_pixels(path, size, fit)
        except BadImageError:  # said when the image is asked for, as the user wants it then
            rows["bad"][i] = True
    return rows
