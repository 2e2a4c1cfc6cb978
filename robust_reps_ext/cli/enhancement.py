"""The command `enhance`: images whose class is made plainer."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any

from .edited import sees
from .editing import WITHOUT, Edit, Judge, Page, carry_out, helps
from .options import composed, option
from .side_by_side import Plan

if TYPE_CHECKING:
    from ..results.store import Part
    from ..results.synthesis import Synthesis

__all__ = ["enhance"]


class Objective(str, Enum):
    """What is optimised, by the names of `experiments.enhancement`."""

    logit = "logit"
    cross_entropy = "cross-entropy"
    diverge = "diverge"


@composed(helps=helps("20", "0.5", 40), without=WITHOUT)
def enhance(
    common: Edit,
    *,
    to_class: Annotated[
        str | None,
        option(
            "Class of all, by name or number; label: each one's own; default: label, or of one's "
            "own images what the network takes each for.",
            "NAME|I|label",
        ),
    ] = None,
    objective: Annotated[
        Objective, option("Raise the logit, also lower the others, or lower it and raise no other.")
    ] = Objective.logit,
    judge: Judge = None,
    page: Page = False,
) -> None:
    """Make the class of images plainer by small changes (Gaziv 2023, Talbot 2025).

    Says how hard each image was to see, by minus the logit before.

    \b
    robust-reps enhance --model critters-robust --dataset critters_fine \\
      --n 4 --out out
    """
    from ..experiments.enhancement import enhance as make_plainer

    aim = to_class if to_class is not None or common.images else "label"
    value = objective.value

    def plan(one: Edit) -> Plan:
        one.check_class(aim)

        def make(part: Part, given: dict[str, Any]) -> tuple[Synthesis, Any]:
            images = one.samples(part.images)
            classes = one.wanted(aim, images)
            found = make_plainer(one.network, images.images, classes, objective=value, **given)
            return found, sees(one, found, None, images)

        settings = {"to_class": aim, "objective": value}
        return Plan(whole="enhanced", make=make, said=("Enhancing", value), settings=settings)

    radius = None if common.eps is None else f"eps{common.eps:g}"
    words = [to_class, None if objective is Objective.logit else value, radius]
    carry_out("enhance", "enhanced", common, plan, words=words, judge=judge, page=page, value=value)
