"""What a synthesis gives back: images, how they came about, and a file that holds both."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from .atomic import writing
from .errors import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Synthesis"]

_FORMAT = "robust_reps_ext.Synthesis/1"


@dataclass(frozen=True)
class Synthesis:
    """Synthesised images and what made them.

    Attributes
    ----------
    images
        (N, C, H, W), float32 in [0, 1].
    start
        Where each image started, same shape.
    objective
        (N,), the final value of the objective, computed in float32 from `images`.
    trace
        (T, N), the objective at the recorded steps.
    trace_steps
        (T,), which steps those are; step 0 is the start.
    settings
        How PGD ran: objective, constraint, eps, step_size, iterations, ...
    provenance
        What made it: digest of the model's weights, seed, versions.
    target_images
        (N, C, H, W), the images whose representations were matched, where there are such.
    frames
        (T, N, C, H, W), uint8: each image at the steps `frame_steps`, where frames were asked
        for. The first is where PGD began, the last the result.
    frame_steps
        (T,), which steps those are, denser where images change fast.
    """

    images: Tensor
    start: Tensor
    objective: Tensor
    trace: Tensor
    trace_steps: Tensor
    settings: dict[str, Any]
    provenance: dict[str, Any]
    target_images: Tensor | None = None
    frames: Tensor | None = None
    frame_steps: Tensor | None = None

    def __len__(self) -> int:
        return len(self.images)

    def figure(self) -> Figure:
        """Targets (where there are), starts and results, with the objective under each result."""
        from .figures import Row, image_grid

        values = [f"{value:.3g}" for value in self.objective.tolist()]
        rows = [Row(self.start, "start"), Row(self.images, "result", captions=values)]
        if self.target_images is not None:
            rows.insert(0, Row(self.target_images, "target"))
        return image_grid(rows)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write everything into one safetensors file, whole or not at all.

        Raises
        ------
        InputError
            If the file cannot be written.
        """
        path = Path(path)
        facts = {"settings": self.settings, "provenance": self.provenance}
        metadata = {"format": _FORMAT, **{name: json.dumps(v) for name, v in facts.items()}}
        # Cloned, because one file cannot hold two tensors that share their memory.
        tensors = {
            name: getattr(self, name).detach().cpu().contiguous().clone()
            for name in self._tensor_names()
        }
        with writing(path, "choose another place") as file:
            file.write(save(tensors, metadata))
        return path

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Synthesis:
        """Read a file that `save` wrote. Runs no code from it.

        Raises
        ------
        InputError
            If the file is missing, damaged or of another kind.
        """
        if not Path(path).is_file():
            raise InputError(f"there is no file {path}: give one that Synthesis.save wrote")
        try:
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
                if metadata.get("format") != _FORMAT:
                    raise InputError(
                        f"{path} is not a saved Synthesis: its format is not {_FORMAT}"
                    )
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            facts = {name: json.loads(metadata[name]) for name in ("settings", "provenance")}
            return cls(**tensors, **facts)
        except (SafetensorError, KeyError, TypeError, ValueError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{path} is damaged: {error}; write it again") from error

    def _tensor_names(self) -> list[str]:
        names = [one.name for one in fields(self)]
        return [name for name in names if isinstance(getattr(self, name), torch.Tensor)]
