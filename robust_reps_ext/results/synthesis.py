"""What a synthesis gives back: images, how they came about, and a file that holds both."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from ..runtime.errors import InputError
from ..runtime.files import writing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Synthesis"]

_FORMAT = "robust_reps_ext.Synthesis/1"
_IMAGE_AXIS = {"trace": 1, "frames": 1}


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

    def __getitem__(self, rows: slice | Tensor) -> Synthesis:
        """The same of some images: a slice, or numbers of images (M,)."""
        if not isinstance(rows, (slice, Tensor)):
            raise TypeError(f"{rows!r}: give a slice, or a tensor with the numbers of images")
        numbers = torch.arange(len(self))[rows]
        tensors = {
            name: getattr(self, name)
            if name.endswith("_steps")
            else getattr(self, name).index_select(_IMAGE_AXIS.get(name, 0), numbers)
            for name in self._tensor_names()
        }
        settings = {
            name: [value[i] for i in numbers.tolist()]
            if isinstance(value, list) and len(value) == len(self)
            else value
            for name, value in self.settings.items()
        }
        return replace(self, **tensors, settings=settings)

    def figure(self) -> Figure:
        """Targets (where there are), starts and results, with the objective under each result."""
        from .figures import Row, image_grid

        values = [f"{value:.3g}" for value in self.objective.tolist()]
        rows = [Row(self.start, "start"), Row(self.images, "result", captions=values)]
        if self.target_images is not None:
            rows.insert(0, Row(self.target_images, "target"))
        return image_grid(rows)

    @classmethod
    def joined(cls, parts: Sequence[Synthesis]) -> Synthesis:
        """One synthesis of the images of all parts, which were made alike.

        Settings that differ from part to part become a list with an entry for each image.

        Raises
        ------
        InputError
            If there are no parts, or they are of different kinds.

        Examples
        --------
        >>> import torch
        >>> from robust_reps_ext.results.synthesis import Synthesis
        >>> x, trace = torch.rand(2, 3, 8, 8), torch.rand(1, 2)
        >>> made = Synthesis(x, x, trace[0], trace, torch.zeros(1), {"eps": 1.0}, {})
        >>> len(Synthesis.joined([made, made]))
        4
        """
        if not parts:
            raise InputError("there are no parts to join: give at least one")
        if len(parts) == 1:
            return parts[0]
        names = {tuple(part._tensor_names()) for part in parts}
        if len(names) != 1 or len({part.trace_steps.shape for part in parts}) != 1:
            raise InputError("parts that were made in different ways cannot be joined")
        tensors = {
            name: torch.cat([getattr(part, name) for part in parts], dim=_IMAGE_AXIS.get(name, 0))
            for name in names.pop()
            if not name.endswith("_steps")
        }
        steps = {
            name: getattr(parts[0], name)
            for name in ("trace_steps", "frame_steps")
            if getattr(parts[0], name) is not None
        }
        return cls(**tensors, **steps, settings=_joined(parts), provenance=parts[0].provenance)

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


def _joined(parts: Sequence[Synthesis]) -> dict[str, Any]:
    """The settings of all parts: one value where they agree, else one for each image."""
    settings: dict[str, Any] = {}
    for name, value in parts[0].settings.items():
        of = [(part.settings[name], len(part)) for part in parts]
        listed = [isinstance(one, list) and len(one) == n for one, n in of]
        if all(one == value for one, _ in of) and not all(listed):
            settings[name] = value
        else:
            each = [one if own else [one] * n for (one, n), own in zip(of, listed, strict=True)]
            settings[name] = [one for some in each for one in some]
    return settings
