"""How PGD runs, as data: the paper's numbers, brought to the size of the images at hand."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, TypedDict

import torch
from torch import Tensor, nn

from ..results.snapshot import check_snapshot, described
from ..runtime.errors import InputError, OptionError, warn
from ..runtime.masks import as_mask
from ..runtime.numbers import flag, number_for_each, real, shown, whole
from ..runtime.precision import PRECISIONS
from ..upstream.attack.schedules import SCHEDULES

__all__ = [
    "CONSTRAINTS",
    "FASTEST",
    "PAPER_SIZE",
    "STEADY",
    "Options",
    "Settings",
    "at_size",
    "paper_eps",
    "recorded",
]

PAPER_SIZE = 224

# Of the faster schedules, measured on critters: steps, their way, and the longest of them, the
# latter two in widths of the box, which is sqrt(C H W).
PERIOD = 100
WIDTHS = 3.5
LONGEST = 0.07

CONSTRAINTS = ("2", "inf", "unconstrained", "random_smooth")
"""Upstream's sets of images, by upstream's names."""

FASTEST = "lbfgs"
"""The schedule that comes nearest in the same time on every network of docs/benchmarks.md."""

STEADY = "cosine-momentum"
"""That of what raises coordinates, which has no end to come near."""

# Of Feather et al. 2023, at 224 pixels.
FEATHER_EPS = 100_000.0
FEATHER_STEPS = 24_000

_RENAMED = {"place": "snapshot", "place_interval": "snapshot_interval"}


class Options(TypedDict, total=False):
    """The keywords that every experiment takes; what is left out (or None) is its default.

    Attributes
    ----------
    layer
        The representation layer, by name (``"layer3"``) or as a function of the network; default
        the penultimate one.
    eps
        L2 radius around the origin: a number, or one per image (N,).
    step_size
        Length of a step.
    iterations
        Number of steps, by default the schedule's; ``"auto"`` for at most the paper's number, and
        an image is left as it is once 100 steps have changed its best objective by less than 1%.
    schedule
        ``"paper"``: steps of constant length, as many as the paper's (appendix A.6).
        ``"cosine-momentum"``: steps with momentum, whose length falls as a cosine; 100 by
        default, together as long as the paper's, but at most 3.5 times as long as the box of
        images is wide. ``"lbfgs"``: the same lengths at most, along L-BFGS's direction; it keeps 20
        tensors of the batch's size. It comes nearest in the same time (docs/benchmarks.md), and is
        the default of what matches representations; coordinates are raised by
        ``"cosine-momentum"``.
        An image that either has taken to twice its first distance goes back to its best iterate
        and on by half as long steps; ``"lbfgs"`` returns the best of all (`use_best`).
        ``"feather"``: eight rounds of 3,000 steps, the first of the paper's length and each half
        as long as the one before, in a ball of radius 100,000 (Feather et al. 2023).
    batch_size
        Images optimised together, by default 32; ``"auto"`` for as many as are fastest and fit
        into memory, by a short probe, whose answer may be another one each time. Results do not
        depend on it, but for float rounding, which grows over many steps, and for
        ``precision="auto"``, which judges a batch as a whole.
    precision
        ``"float32"`` (default), ``"bfloat16"`` for autocast inside the network (in float16, with
        a scale for each image's gradient, on cards before Ampere, which lack bfloat16), or
        ``"auto"`` for autocast where the hardware computes in bfloat16 and on any card, and
        float32 again, with a warning, once the objective is off by 1%. Under ``"float32"`` a
        card's steps round as torch lets them: to TF32 by default, in float32 throughout after
        ``torch.backends.cudnn.allow_tf32 = False``. Targets and the final objective are computed
        in full float32 in any case. ``Synthesis.settings["computed_in"]`` says what it was.
    frames
        Keep this many iterates of each image, the start and the result among them and dense where
        images change fast, as `Synthesis.frames`; by default none. They take
        frames * N * C * H * W bytes, beside the 8 * N * C * H * W of starts and results.
    fake_relu
        Let the gradient pass straight through the representation's ReLU (default), or not: for
        the ablation.
    first
        Number of the first image among all that are drawn with the seed, by default 0. What is
        drawn for an image depends on the seed and its own number, so that a run over images
        [a, b) of many with ``first=a`` draws what one over all of them does.
    constraint
        What images are held to, in upstream's words: ``"2"`` (default), within an L2 ball of
        radius `eps` around the origin; ``"inf"``, no pixel farther than `eps` from it;
        ``"unconstrained"``, anywhere in [0, 1], by steps that are `step_size` times the gradient.
        Or one's own: a subclass of upstream's `AttackerStep`, or a function ``(images, origin,
        eps) -> images`` that projects, called after each step, whose length is then that of L2.
        All stay in [0, 1].
    mask
        Where pixels may change: (H, W) or (1, 1, H, W) for all images, or (N, 1, H, W), 1 or True
        there. All others are those of the origin, to the bit; so is the start outside of the
        mask. By default every pixel may.
    snapshot
        A file in which the run keeps how far it is, by default none. A run that was interrupted,
        or killed, goes on from it when it is called again, and ends in the same bits on the same
        machine; on a card deterministic kernels compute for that, and torch warns of an operation
        that has none. It is deleted when the run has ended. With a snapshot, SIGINT and SIGTERM
        wait for the end of the step, write the file, and raise `Interrupted`; a second one leaves
        at once.
    snapshot_interval
        Seconds between two writes of the snapshot, by default 60, and never less than 20 times as
        long as a write takes; 0 for one after every step.
    """

    layer: str | Callable[[nn.Module], nn.Module] | None
    eps: float | Tensor | None
    step_size: float | Tensor | None
    iterations: int | Literal["auto"] | None
    schedule: str | None
    batch_size: int | Literal["auto"] | None
    precision: str | None
    frames: int | None
    fake_relu: bool | None
    first: int | None
    constraint: Any
    mask: Any
    snapshot: str | os.PathLike[str] | None
    snapshot_interval: float | None


def at_size(
    length: float, images: Tensor, *, side: int = PAPER_SIZE, constraint: Any = None
) -> float:
    """An L2 length that is meant for images of another size, brought to that of `images`.

    Parameters
    ----------
    length
        What it is at `side` x `side` pixels.
    images
        (..., H, W).
    side
        Default: the paper's 224.
    constraint
        ``"inf"`` for the L-inf length that moves an image as far; default: an L2 one.

    Returns
    -------
    float
        ``length * sqrt(H * W) / side``: as much for each pixel. By L-inf, divided by
        sqrt(C * H * W).

    Examples
    --------
    >>> import torch
    >>> from robust_reps_ext.synthesis.settings import at_size
    >>> at_size(7.0, torch.empty(1, 3, 32, 128))
    2.0
    """
    scaled = length * math.sqrt(math.prod(images.shape[-2:])) / side
    return scaled / _width(images) if str(constraint) == "inf" else scaled


def _width(images: Tensor) -> float:
    """The diagonal of the box of images, (..., C, H, W)."""
    return math.sqrt(math.prod(images.shape[-3:]))


def paper_eps(images: Tensor) -> float:
    """The L2 radius that the paper's models are trained and attacked with, 3 at 224 pixels.

    Parameters
    ----------
    images
        (..., H, W), whose size it is brought to, see `at_size`.
    """
    return at_size(3.0, images)


@dataclass(frozen=True)
class Settings:
    """How PGD runs.

    Attributes
    ----------
    eps, step_size, iterations, schedule, batch_size, precision, layer, frames, fake_relu, first
    constraint, mask
        See `Options`.
    snapshot, snapshot_interval
        See `Options`; as they do not decide the result, they are not recorded.
    use_best
        Return the best iterate of each image instead of the last.
    patience
        Leave an image once so many steps have changed its best objective by less than 1%; the
        lengths of a faster schedule fall over so many steps.
    """

    eps: Any
    step_size: Any
    iterations: int
    constraint: Any = "2"
    schedule: str = "paper"
    use_best: bool = False
    batch_size: Any = 32
    precision: str = "float32"
    layer: Any = None
    frames: int | None = None
    fake_relu: bool = True
    patience: int | None = None
    first: int = 0
    mask: Any = None
    snapshot: str | os.PathLike[str] | None = None
    snapshot_interval: float = 60.0

    @classmethod
    def paper(
        cls,
        images: Tensor,
        given: Options,
        *,
        schedule: str = "paper",
        eps: float = 1000.0,
        step_size: float = 1.0,
        iterations: int = 10_000,
        use_best: bool = False,
    ) -> Settings:
        """The paper's numbers, which are for 224-pixel images, brought to the size of `images`.

        An L2 length scales with the square root of the number of pixels: eps 1000 and step 1
        become 285.7 and 0.286 at 64 pixels. In an L-inf ball they are divided by sqrt(C H W),
        which moves an image as far. What is `given`, and not None, wins. The defaults are those
        of appendix A.6.2; `schedule` is that of an experiment for which none is given.

        Raises
        ------
        InputError
            For a value that no run can use.
        """
        scale = at_size(1.0, images, constraint=given.get("constraint"))
        width = 1.0 if str(given.get("constraint")) == "inf" else _width(images)
        if str(given.get("constraint")) == "unconstrained" and given.get("step_size") is None:
            raise InputError(
                'constraint="unconstrained" steps by step_size times the gradient, whose length '
                "differs from network to network: give step_size"
            )
        paper = cls(
            eps * scale, step_size * scale, iterations, schedule=schedule, use_best=use_best
        )
        wanted: dict[str, Any] = {
            _renamed(name): value for name, value in given.items() if value is not None
        }
        if isinstance(wanted.get("iterations"), str) and wanted["iterations"] == "auto":
            feather = wanted.get("schedule", schedule) == "feather"
            most = FEATHER_STEPS if feather else iterations
            wanted |= {"iterations": most, "patience": PERIOD}
        known = {field.name for field in fields(cls)}
        for name in wanted.keys() - known:
            raise OptionError(name, known | {"seed", "progress"})
        settings = replace(paper, **wanted)
        if settings.schedule == "paper":
            return settings
        checked = {name: getattr(settings, name) for name in wanted}
        if settings.schedule == "feather":
            theirs = {"eps": FEATHER_EPS * scale, "iterations": FEATHER_STEPS}
            return replace(paper, **{**theirs, **checked})
        return replace(paper, **_faster(paper, checked, width))

    def __post_init__(self) -> None:
        """Raise `InputError` for values that no run can use; numbers of any library are taken."""
        kept = {
            "iterations": whole("iterations", self.iterations, 1),
            "first": whole("first", self.first),
            "eps": number_for_each("eps", self.eps),
            "step_size": number_for_each("step_size", self.step_size, finite=True),
            "fake_relu": flag("fake_relu", self.fake_relu),
            "use_best": flag("use_best", self.use_best),
            "snapshot_interval": real(
                *("snapshot_interval", self.snapshot_interval),
                "seconds, 0 (after every step) or more",
                option="--save-interval",
                finite=False,
            ),
        }
        if not (isinstance(self.batch_size, str) and self.batch_size == "auto"):
            text = isinstance(self.batch_size, str)
            wanted = 'a whole number, or "auto"' if text else "1 or more"
            kept["batch_size"] = whole("batch_size", self.batch_size, 1, wanted=wanted)
        if self.frames is not None:
            wanted = "a whole number, 2 (the start and the result) or more"
            kept["frames"] = whole("frames", self.frames, 2, wanted=wanted)
        if self.patience is not None:
            kept["patience"] = whole("patience", self.patience, 1)
        if not callable(self.constraint) and str(self.constraint) not in CONSTRAINTS:
            raise InputError(
                f"constraint={shown(self.constraint)} is not known: choose one of "
                f"{', '.join(CONSTRAINTS)}, or give a subclass of robustness' AttackerStep or a "
                "function (images, origin, eps) -> images"
            )
        if self.mask is not None:
            kept["mask"] = as_mask(self.mask)
        for name, value in kept.items():
            object.__setattr__(self, name, value)
        if self.snapshot is not None:
            check_snapshot(self.snapshot)
        for name, known in {
            # Auto-PGD crosses the ball at first: it is for attacks.
            "schedule": tuple(name for name in SCHEDULES if name != "apgd"),
            "precision": PRECISIONS,
        }.items():
            value = getattr(self, name)
            if not isinstance(value, str) or value not in known:
                raise InputError(f"{name}={shown(value)} is not known: choose {' or '.join(known)}")


def _renamed(name: str) -> str:
    """The keyword's name now; what it was called in version 0.1 is still taken, with a warning."""
    if name not in _RENAMED:
        return name
    warn(f"{name}= is called {_RENAMED[name]}= now", DeprecationWarning)
    return _RENAMED[name]


def recorded(settings: Settings) -> dict[str, Any]:
    """The settings that decide the result; of a mask its digest."""
    kept = {
        name: value
        for name, value in vars(settings).items()
        if name not in ("snapshot", "snapshot_interval", "mask")
    }
    return kept if settings.mask is None else {**kept, "mask": described(settings.mask)}


def _faster(paper: Settings, given: dict[str, Any], width: float) -> dict[str, Any]:
    """What is given, with the number and first length of steps that fall as a cosine."""
    steps = given.get("iterations", min(paper.iterations, PERIOD))
    way = min(paper.step_size * paper.iterations, WIDTHS * width)
    # The mean of a falling cosine is half of where it begins.
    length: Any = min(2 * way / max(1, given.get("patience") or steps), LONGEST * width)
    if "eps" in given:
        length = (torch.as_tensor(given["eps"]) / 2).clamp(max=length)
        length = length if length.dim() else float(length)
    best = {"use_best": True} if given.get("schedule", paper.schedule) == FASTEST else {}
    return {"iterations": steps, "step_size": length, **best, **given}
