"""The commands towards classes: `generate`, `translate`, `inpaint` and `upscale`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, TypeVar

from ..runtime.errors import InputError
from . import console
from .common import Experiment
from .edited import class_label, judged_by, load_judge, nearness, sees, shown, tell_edited
from .edits_page import write_section
from .options import DATA, Steps, composed, option
from .side_by_side import Plan, side_by_side

if TYPE_CHECKING:
    import torch

    from ..datasets.samples import Samples
    from ..experiments.gaussians import ClassGaussians
    from ..results.store import Part
    from ..results.synthesis import Synthesis

__all__ = ["generate", "inpaint", "translate", "upscale"]

WITHOUT = ("paper", "layer")
DOWNSAMPLE = 4

Judge = Annotated[
    str | None,
    option("A third network, which says what the images show.", "FILE|NAME"),
]
Page = Annotated[bool, option("Show it as a section of the page in --out, too.", flag="--page")]
ToClass = Annotated[
    str | None,
    option(
        "Class of all, by name or number; label: each one's own; default: what the network takes "
        "each for.",
        "NAME|I|label",
    ),
]


@dataclass(frozen=True, kw_only=True)
class Edit(Experiment):
    """What goes towards a class, by steps of constant length."""

    usual: ClassVar[Steps] = Steps.paper

    @property
    def like(self) -> torch.Tensor:
        """An image of the size that the network takes, (1, C, H, W)."""
        import torch

        from ..models.inputs import channels_of

        return torch.zeros(1, channels_of(self.network), self.side, self.side)

    def check_class(self, text: str | None) -> None:
        """Refuse a class that there is not, before anything is made."""
        if text == "label" and self.images:
            raise InputError("--to-class label: images of one's own have no labels; give a class")
        if text is not None and text != "label":
            class_label(self, text)

    def wanted(self, text: str | None, images: Samples) -> Any:
        """The class of each of some images; None for what the network takes them for."""
        if text is None:
            return None
        return images.labels if text == "label" else class_label(self, text)


Edited = TypeVar("Edited", bound=Edit)


class Start(str, Enum):
    """What a generation starts from."""

    gaussians = "gaussians"
    noise = "noise"
    grey = "grey"


@dataclass(frozen=True, kw_only=True)
class Generation(Edit):
    """Which classes, and from where."""

    classes: Annotated[
        str, option("By name or number; image after image takes the next.", "NAME,I,...|all")
    ] = "all"
    start: Annotated[
        Start,
        option(
            "A draw of the class's Gaussian, fitted to training images; noise; or grey.", panel=DATA
        ),
    ] = Start.gaussians
    downsample: Annotated[
        int, option("Of the Gaussians: squares of so many pixels become one.", "PIXELS", DATA)
    ] = DOWNSAMPLE

    @property
    def needs_data(self) -> bool:
        """Whether Gaussians are to be fitted, or sketches are missing."""
        return not self.images and self.start is Start.gaussians

    @cached_property
    def labels(self) -> list[int]:
        """The class of each of the n images."""
        if self.classes == "all":
            from ..experiments.classes import count_classes

            chosen = [*range(count_classes(self.network, self.side))]
        else:
            chosen = [class_label(self, one) for one in self.classes.split(",")]
        return [chosen[i % len(chosen)] for i in range(self.n)]

    @cached_property
    def gaussians(self) -> ClassGaussians:
        """Those of the data set, from the file in --out, or fitted and kept there."""
        from ..datasets.samples import training_set
        from ..experiments.gaussians import kept_gaussians

        with console.progress("Fitting", "images") as progress:
            return kept_gaussians(
                self.out,
                training_set(self.data_set),
                classes=self.data_set.num_classes,
                downsample=self.downsample,
                fitted_on={"dataset": self.dataset, "data": str(self.data or "")},
                progress=progress,
            )


def carry_out(
    command: str,
    whole: str,
    common: Edited,
    plan: Callable[[Edited], Plan],
    *,
    words: Sequence[object],
    judge: str | None,
    page: bool,
    value: str = "cross-entropy",
) -> None:
    """Make what is planned with each network, and show it with what the judge sees in it."""
    from ..results.figures import panel_figure

    third = load_judge(common, judge)
    with side_by_side(common, command, plan, words=words) as found:
        judged, near = judged_by(third, found), nearness(found)
        found.add(whole, panel_figure(shown(found, judged), channels=common.channels))
        if page:
            found.paths.append(write_section(command, found, judged, near))
    tell_edited(found, judged, near, value)


def helps(eps: str, step: str, iterations: int) -> dict[str, str]:
    return {
        "eps": f"L2 radius; default: {eps} at 224 pixels, scaled to the images.",
        "step_size": f"Default: {step} at 224 pixels, scaled to the images.",
        "iterations": f"Default: {iterations}; auto: until the objective stops changing.",
        "schedule": "Steps of constant length (default), or faster ones.",
    }


@composed(
    helps={
        **helps("40", "1", 60),
        "n": "Number of images.",
        "images": "Sketches of one's own, to start from.",
    },
    without=WITHOUT,
)
def generate(common: Generation, *, judge: Judge = None, page: Page = False) -> None:
    """Make images of classes, from a random start or from sketches (Santurkar et al. 2019).

    The Gaussians are kept in --out and used again by the next command with that folder.

    \b
    robust-reps generate --model critters-robust --dataset critters_fine \\
      --classes 0,50,100 --n 6 --out out
    robust-reps generate --model photographs-robust --images sketch.png \\
      --classes goose --out out
    """
    from ..experiments.generation import generate as make_images

    if common.images and common.start is not Start.gaussians:
        raise InputError(f"--images and --start {common.start.value} exclude each other: give one")
    if common.downsample != DOWNSAMPLE and not common.needs_data:
        other = "--images" if common.images else f"--start {common.start.value}"
        raise InputError(
            f"--downsample {common.downsample} is of the Gaussians, and {other} takes none: leave "
            "one of them out"
        )
    start = "images" if common.images else common.start.value

    def plan(one: Generation) -> Plan:
        labels = one.labels
        gaussians = one.gaussians if start == "gaussians" else None

        def make(part: Part, given: dict[str, Any]) -> tuple[Synthesis, Any]:
            begin: Any = start
            if one.images:
                begin = one.samples(part.images).images
            elif gaussians is not None:
                begin = gaussians
            wanted = labels[part.images]
            size = None if start in ("images", "gaussians") else one.side
            found = make_images(one.network, wanted, start=begin, size=size, **given)
            return found, sees(one, found, wanted)

        downsample = common.downsample if start == "gaussians" else None
        settings = {"to_classes": common.classes, "start": start, "downsample": downsample}
        return Plan(
            whole="generated",
            make=make,
            said=("Generating", "cross-entropy"),
            settings=settings,
        )

    words = [common.classes, start]
    carry_out("generate", "generated", common, plan, words=words, judge=judge, page=page)


@composed(helps=helps("80", "0.5", 200), without=WITHOUT)
def translate(
    common: Edit,
    *,
    to_class: Annotated[str, option("The class they become, by name or number.", "NAME|I")],
    judge: Judge = None,
    page: Page = False,
) -> None:
    """Turn images into such of another class (Santurkar et al. 2019).

    \b
    robust-reps translate --model critters-robust --dataset critters_fine \\
      --to-class 7 --n 4 --out out
    """
    from ..experiments.editing import translate as turn

    def plan(one: Edit) -> Plan:
        label = class_label(one, to_class)

        def make(part: Part, given: dict[str, Any]) -> tuple[Synthesis, Any]:
            images = one.samples(part.images)
            found = turn(one.network, images.images, label, **given)
            return found, sees(one, found, [label] * len(found), images)

        said = ("Translating", "cross-entropy")
        return Plan(whole="translated", make=make, said=said, settings={"to_class": label})

    carry_out("translate", "translated", common, plan, words=[to_class], judge=judge, page=page)


@composed(helps=helps("21.6", "0.1", 720), without=WITHOUT)
def inpaint(
    common: Edit,
    *,
    hole: Annotated[
        int | None,
        option("Side of the square hole; default: 60 at 224 pixels, scaled.", "PIXELS"),
    ] = None,
    to_class: ToClass = None,
    judge: Judge = None,
    page: Page = False,
) -> None:
    """Fill holes in images, and leave the rest to the bit (Santurkar et al. 2019).

    Each image gets a square hole at a place that the seed draws; with --mask, all get that one.

    \b
    robust-reps inpaint --model critters-robust --dataset critters_fine \\
      --n 4 --out out
    """
    from ..experiments.editing import holes
    from ..experiments.editing import inpaint as fill

    if common.mask is not None and hole is not None:
        raise InputError(f"--mask and --hole {hole} exclude each other: give one")

    def plan(one: Edit) -> Plan:
        one.check_class(to_class)
        holes(one.like, side=hole)

        def make(part: Part, given: dict[str, Any]) -> tuple[Synthesis, Any]:
            images = one.samples(part.images)
            mask = given.pop("mask", None)
            if mask is None:
                mask = holes(images.images, side=hole, seed=one.seed, first=part.first)
            classes = one.wanted(to_class, images)
            found = fill(one.network, images.images, mask, classes=classes, **given)
            return found, sees(one, found, None, images)

        settings = {"hole": hole, "to_class": to_class}
        said = ("Inpainting", "cross-entropy")
        return Plan(whole="inpainted", make=make, said=said, settings=settings)

    words = ["" if hole is None else f"hole{hole}", to_class]
    carry_out("inpaint", "inpainted", common, plan, words=words, judge=judge, page=page)


@composed(
    helps={
        **helps("8", "1", 40),
        "images": "One's own small images; larger ones are made small.",
    },
    without=WITHOUT,
)
def upscale(
    common: Edit,
    *,
    factor: Annotated[int, option("How many times as high and wide they become.", "N")] = 4,
    to_class: ToClass = None,
    judge: Judge = None,
    page: Page = False,
) -> None:
    """Enlarge small images (Santurkar et al. 2019).

    Validation images are first made small, so that the truth is known.

    \b
    robust-reps upscale --model critters-robust --dataset critters_fine \\
      --factor 4 --n 4 --out out
    """
    from ..experiments.editing import reduced
    from ..experiments.editing import upscale as enlarge

    def plan(one: Edit) -> Plan:
        one.check_class(to_class)
        reduced(one.like, factor)

        def make(part: Part, given: dict[str, Any]) -> tuple[Synthesis, Any]:
            images = one.samples(part.images)
            small = reduced(images.images, factor)
            truth = None if one.images else images.images
            classes = one.wanted(to_class, images)
            found = enlarge(one.network, small, factor, classes=classes, truth=truth, **given)
            return found, sees(one, found, None, images)

        settings = {"factor": factor, "to_class": to_class}
        said = ("Enlarging", "cross-entropy")
        return Plan(whole="upscaled", make=make, said=said, settings=settings)

    carry_out(
        "upscale", "upscaled", common, plan, words=[f"x{factor}", to_class], judge=judge, page=page
    )
