"""What a synthesis gives back: images, how they came about, and a file that holds both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..runtime.errors import InputError
from .figures import Channels
from .result import Result, spread

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure

__all__ = ["MOST_SHOWN", "Synthesis", "distances", "measured"]

MOST_SHOWN = 32
"""Images of a run that a notebook shows."""

_MEASURED = {
    "representation_matching": "distance",
    "interpolation_target": "distance",
    "coordinate_maximization": "value",
}

_IMAGE_AXIS = {"trace": 1, "frames": 1}


@dataclass(frozen=True, repr=False)
class Synthesis(Result):
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
        for. The first is where PGD began, the last the result. `robust_reps_ext.Player` plays
        them.
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
        numbers = torch.arange(len(self))[rows.cpu() if isinstance(rows, Tensor) else rows]
        tensors = {
            name: one
            if name.endswith("_steps")
            else one.index_select(_IMAGE_AXIS.get(name, 0), numbers.to(one.device))
            for name in self._tensor_names()
            for one in [getattr(self, name)]
        }
        settings = {
            name: [value[i] for i in numbers.tolist()]
            if isinstance(value, list) and len(value) == len(self)
            else value
            for name, value in self.settings.items()
        }
        return replace(self, **tensors, settings=settings)

    def _some(self) -> Synthesis:
        return self[:MOST_SHOWN]

    def figure(self, *, channels: Channels | None = None) -> Figure:
        """Targets (where there are), starts and results, with the objective under each result.

        `channels` are those that are shown, see `robust_reps_ext.results.figures.image_grid`.
        """
        from .captions import two_digits
        from .figures import Row, image_grid

        values = [two_digits(value, zeros=True) for value in self.objective.tolist()]
        below = measured(self.settings)
        rows = [Row(self.start, "start"), Row(self.images, "result", values, below=below)]
        if self.target_images is not None:
            rows.insert(0, Row(self.target_images, "target"))
        return image_grid(rows, channels=channels)

    def to_frame(self) -> pandas.DataFrame:
        """A row for each image: its objective, how far it has moved (L2), and its own settings."""
        import pandas

        own = {
            name: value
            for name, value in self.settings.items()
            if isinstance(value, list) and len(value) == len(self)
        }
        moved = distances(self.images, self.start)
        numbers = {"objective": self.objective.tolist(), "moved": moved.tolist()}
        return pandas.DataFrame({**numbers, **own})

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

    def _told(self) -> tuple[str, str]:
        what = str(self.settings.get("objective", "objective")).replace("_", " ")
        size = "x".join(map(str, self.images.shape[1:]))
        return f"Synthesis of {len(self)} images of {size}, {what} {spread(self.objective)}", (
            self.made()
        )

    def made(self) -> str:
        """How PGD ran, in a line."""
        names = ("constraint", "eps", "step_size", "iterations", "schedule", "layer")
        given = {name: self.settings.get(name) for name in names}
        given["seed"] = self.provenance.get("seed")
        said = [f"{name} {_short(one)}" for name, one in given.items() if one is not None]
        return ", ".join([*said, *(["stopped early"] if self.settings.get("stopped") else [])])

    def _check(self) -> None:
        n, steps = self.images.shape[:1], self.trace_steps.shape
        shapes: dict[str, Any] = {
            "images": self.images.shape,
            "start": self.images.shape,
            "objective": n,
        }
        shapes |= {"trace": (*steps, *n), "trace_steps": steps[:1]}
        if self.frames is not None and self.frame_steps is not None:
            shapes["frames"] = (*self.frame_steps.shape[:1], *self.images.shape)
        wrong = [name for name, shape in shapes.items() if getattr(self, name).shape != shape]
        target = self.images if self.target_images is None else self.target_images
        if self.images.dim() != 4 or target.dim() != 4 or target.shape[:1] != n or wrong:
            raise ValueError(f"the shapes of {wrong or 'images'} do not fit")
        if (self.frames is None) != (self.frame_steps is None):
            raise ValueError("it has frames without their steps")
        seen = self.frame_steps
        if seen is not None and (seen.dim() != 1 or not len(seen)):
            raise ValueError("its frames are at no steps")

    def _tensor_names(self) -> list[str]:
        names = [one.name for one in fields(self)]
        return [name for name in names if isinstance(getattr(self, name), torch.Tensor)]


def _joined(parts: Sequence[Synthesis]) -> dict[str, Any]:
    """The settings of all parts: one value where they agree, else one for each image."""
    settings: dict[str, Any] = {}
    for name, value in parts[0].settings.items():
        # A part of an earlier version may not have it.
        of: list[tuple[Any, int]] = [(part.settings.get(name), len(part)) for part in parts]
        listed = [isinstance(one, list) and len(one) == n for one, n in of]
        if all(one == value for one, _ in of) and not all(listed):
            settings[name] = value
        else:
            each = [one if own else [one] * n for (one, n), own in zip(of, listed, strict=True)]
            settings[name] = [one for some in each for one in some]
    return settings


def measured(settings: Mapping[str, Any]) -> str:
    """What the objective of such settings is called under an image."""
    objective = str(settings.get("objective", "objective"))
    return _MEASURED.get(objective, objective.replace("_", " "))


def distances(one: Tensor, other: Tensor) -> Tensor:
    """The L2 distance of each image of one batch to that of the other, (N,)."""
    return torch.linalg.vector_norm((one - other).flatten(1), dim=1)


def _short(value: Any) -> str:
    if isinstance(value, list) and value and all(isinstance(one, (int, float)) for one in value):
        return spread(torch.tensor(value, dtype=torch.float64)).partition(",")[0]
    return f"{value:.4g}" if isinstance(value, float) else str(value)
