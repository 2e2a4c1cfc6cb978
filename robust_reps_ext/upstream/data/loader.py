"""Loaders that repeat, and that say what they could not read."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Subset

from ...runtime.errors import InputError, first_line
from .bad_images import Rest, collate, record_of

__all__ = ["Loader", "leave_interrupts_to_the_trainer", "make_loaders"]

DEFAULT_SUBSET_SEED = 1  # what upstream's documentation promises


class Loader(DataLoader[Any]):
    """A `DataLoader` that reports images that cannot be read, or passes them over.

    An error in a worker becomes its own one line; and a batch gets shorter, or is left out, where
    the data set passes images over, see `bad_images.BadImages`.
    """

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        try:
            for batch in super().__iter__():
                if not isinstance(batch, Rest):
                    yield batch
                    continue
                for reason in batch.bad:
                    record_of(self.dataset).skip(reason)
                if batch.batch is not None:
                    yield batch.batch
        except InputError as error:
            # A worker's error arrives with the worker's traceback in front.
            kind = type(error)
            raise kind(str(error).rstrip().rpartition(f"{kind.__name__}: ")[2]) from error
        except RuntimeError as error:
            if "DataLoader worker" not in str(error) or str(error).startswith("Caught "):
                raise
            raise InputError.also(RuntimeError)(
                f"a worker that reads images is gone ({first_line(error)}): give fewer "
                "--workers if memory is short, or 0 to see what happens"
            ) from error


def make_loaders(
    workers: int,
    batch_size: int,
    transforms: tuple[Any, Any],
    data_path: str,
    data_aug: bool = True,
    custom_class: Callable[..., Any] | None = None,
    dataset: str = "",
    label_mapping: Callable[..., Any] | None = None,
    subset: int | None = None,
    subset_type: str = "rand",
    subset_start: int = 0,
    val_batch_size: int | None = None,
    only_val: bool = False,
    shuffle_train: bool = True,
    shuffle_val: bool = False,
    seed: int | None = DEFAULT_SUBSET_SEED,
    custom_class_args: dict[str, Any] | None = None,
) -> tuple[Loader | None, Loader]:
    """Make the training and the validation loader of a data set.

    The training loader's `generator` fixes the order of the data and, through the seed that each
    worker draws from it, the augmentation: seed it before an epoch and the epoch repeats. It
    starts from torch's own random state. Without workers, augmentation uses the random state of
    the main process.

    Parameters
    ----------
    workers, batch_size, val_batch_size
        As for `DataLoader`; validation batches are `batch_size` long by default.
    transforms
        For training and for validation images.
    data_path
        Folder that holds ``train/`` and ``val/`` (or ``test/``), each with one folder a class; or
        what `custom_class` takes as `root`.
    data_aug
        Whether training images get the training transform; else the validation transform.
    custom_class, custom_class_args
        Makes the data set instead of reading folders:
        ``custom_class(root=, train=, download=True, transform=, **custom_class_args)``.
    dataset
        Name to print.
    label_mapping
        From (folders, positions) to (classes, labels), see `tools.helpers.get_label_mapping`.
    subset, subset_type, subset_start, seed
        Train on `subset` images only: a random choice fixed by `seed` (``"rand"``; 1 if
        ``None``), or the ``"first"`` or ``"last"`` ones. `subset_start` skips that many first.
    only_val
        Give ``None`` in place of the training loader.
    shuffle_train, shuffle_val
        Whether the order is random. Validation keeps its order unless asked, so that two
        evaluations see the same batches (upstream shuffles it).

    Returns
    -------
    tuple
        Training loader (or ``None``) and validation loader.

    Raises
    ------
    InputError
        If a folder is missing or holds no image, if train/ and val/ have different classes, or
        if the subset does not fit.
    """
    print(f"==> Preparing dataset {dataset}..")
    if workers < 0 or batch_size < 1:
        raise InputError(
            f"workers={workers}, batch_size={batch_size}: give 0 or more workers and batches of "
            "at least 1"
        )
    train_transform, val_transform = transforms
    splits = {"val": val_transform}
    if not only_val:
        splits["train"] = train_transform if data_aug else val_transform
    if custom_class is None:
        sets = _from_folders(Path(data_path).expanduser(), splits, label_mapping)
    else:
        options = dict(custom_class_args or {})
        if label_mapping is not None:
            options["label_mapping"] = label_mapping
        sets = {
            split: custom_class(
                root=data_path, train=split == "train", download=True, transform=each, **options
            )
            for split, each in splits.items()
        }
    val_loader = _loader(sets["val"], val_batch_size or batch_size, shuffle_val, workers)
    if only_val:
        return None, val_loader
    train_set = sets["train"]
    if subset is not None:
        seed = DEFAULT_SUBSET_SEED if seed is None else seed
        indices = _chosen(len(train_set), subset, subset_type, subset_start, seed)
        train_set = Subset(train_set, indices)
    return _loader(train_set, batch_size, shuffle_train, workers), val_loader


def _from_folders(
    root: Path, splits: dict[str, Any], label_mapping: Callable[..., Any] | None
) -> dict[str, Any]:
    from robustness.tools.folder import ImageFolder

    folders = {split: root / split for split in splits}
    if not folders["val"].is_dir():
        folders["val"] = root / "test"
    if not root.is_dir():
        raise InputError.also(FileNotFoundError)(
            f"no folder {root}: give the folder that holds train/ and val/ as --data"
        )
    for split, folder in folders.items():
        if not folder.is_dir():
            there = (root / split).exists()
            kind = NotADirectoryError if there else FileNotFoundError
            raise InputError.also(kind)(
                f"{root} has no {split}/ folder: it needs train/ and val/, a folder a class in each"
            )
    sets = {
        split: ImageFolder(
            root=str(folders[split]), transform=splits[split], label_mapping=label_mapping
        )
        for split in splits
    }
    if "train" in sets and label_mapping is None:
        apart = sorted(set(sets["train"].classes) ^ set(sets["val"].classes))
        if apart:
            raise InputError(
                f"{root}: {len(apart)} class folders are in only one of train/ and val/ "
                f"({', '.join(apart[:5])}), so labels would differ: give both the same folders"
            )
    return sets


def _chosen(total: int, size: int, kind: str, start: int, seed: int) -> Any:
    if kind not in ("rand", "first", "last"):
        raise InputError(f"subset_type {kind!r} is unknown: choose rand, first or last")
    skipped = 0 if kind == "last" else start
    if size < 1 or skipped < 0 or size + skipped > total:
        place = f" after the first {skipped}" if skipped else ""
        raise InputError(
            f"a subset of {size} images{place} does not fit into {total}: "
            f"give 1 to {max(total - max(skipped, 0), 1)}"
        )
    if kind == "first":
        return np.arange(start, start + size)
    if kind == "last":
        return np.arange(total - size, total)
    return np.random.RandomState(seed).choice(total, size=size + start, replace=False)[start:]


def _loader(images: Dataset[Any], batch_size: int, shuffle: bool, workers: int) -> Loader:
    generator = torch.Generator()
    # A new generator always has the same seed: take one from the state the user controls.
    generator.manual_seed(int(torch.empty((), dtype=torch.int64).random_()))
    return Loader(
        images,
        batch_size=batch_size,
        shuffle=shuffle,
        num_workers=workers,
        collate_fn=collate,
        pin_memory=torch.cuda.is_available(),
        generator=generator,
        worker_init_fn=leave_interrupts_to_the_trainer,
        # Workers that outlive an epoch keep its random state, so that augmentation could not be
        # fixed epoch by epoch; and two loops over one loader at once would disturb each other.
        persistent_workers=False,
    )


def leave_interrupts_to_the_trainer(worker: int) -> None:
    """Begin a worker that SIGINT does not end."""
    # Ctrl-C goes to every process of the terminal; the trainer finishes its step, and needs data.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
