"""What tensorboard shows of an experiment, and the room that it needs."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from ..runtime.errors import InputError
from .figures import as_colors
from .synthesis import Synthesis

__all__ = ["check_space", "show"]

# What an experiment takes on the disk beside its images, in bytes.
MARGIN = 2**22
# Of a part, in tensorboard: to encode an image costs more than to keep its tensors.
IMAGES_SHOWN = 8


def check_space(path: Path, synthesis: Synthesis) -> None:
    """Raise `InputError` where `synthesis` and what is shown of it do not fit beside `path`."""
    # Twice: tensors, and images for tensorboard, whose writer hangs where a disk is full.
    images = 3 * synthesis.images.numel() * synthesis.images.element_size()
    frames = 0 if synthesis.frames is None else synthesis.frames.numel()
    needed, free = 2 * images + frames + MARGIN, shutil.disk_usage(path.parent).free
    if free < needed:
        raise InputError(
            f"cannot write {path}: {free // 2**20} MiB are free and {-(-needed // 2**20)} MiB "
            "needed; free some, or give another directory"
        )


def show(writer: Any, name: str, synthesis: Synthesis) -> None:
    """Write the objective, and the first images, of a part."""
    shown = {"images": synthesis.images, "start": synthesis.start}
    if synthesis.target_images is not None:
        shown["targets"] = synthesis.target_images
    for what, images in shown.items():
        some, said = as_colors(images[:IMAGES_SHOWN])
        tag = f"{name}/{what}, {said}" if said else f"{name}/{what}"
        writer.add_images(tag, some, dataformats="NHWC")
    for step, values in zip(synthesis.trace_steps.tolist(), synthesis.trace, strict=True):
        writer.add_scalar(f"{name}/objective", float(values.mean()), int(step))
    writer.flush()
