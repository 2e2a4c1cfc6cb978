"""A page of the few features by which a sparse head tells each class, each seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from ..results.activations import Activations
from ..results.directions import Directions
from ..results.figures import Channels
from ..runtime.errors import InputError
from ..runtime.files import writing
from .cells import Images
from .page import environment, within

__all__ = ["FEATURES", "Heads", "shown_features", "write_classes"]

FEATURES = 5
"""The features of a class that the page shows, those of the largest weights."""

LARGEST = 28 * 2**20
# Quality of WebP and the longest side in pixels, from the best down.
QUALITIES = ((80, 96), (65, 72), (50, 48), (35, 32))


@dataclass(frozen=True)
class Heads:
    """What is shown of one model.

    Attributes
    ----------
    name
        What it is called.
    found
        Of `directions(..., method="probe")`.
    raised
        (K, channels, H, W), what raises each class' direction.
    activations
        Of the coordinates of `shown_features`, with their images.
    features
        (F, channels, H, W), what raises each of these.
    """

    name: str
    found: Directions
    raised: Tensor
    activations: Activations
    features: Tensor


def shown_features(found: Directions) -> list[int]:
    """The coordinates that the page shows, ascending.

    Raises
    ------
    InputError
        If no class has a feature.
    """
    places = {place for i in range(len(found.vectors)) for place, _ in found.features(i, FEATURES)}
    if not places:
        raise InputError("no class has a feature: give more images of each")
    return sorted(places)


def write_classes(
    path: Path, models: Sequence[Heads], *, data: str, channels: Channels | None = None
) -> Path:
    """Write one self-contained HTML page, which runs no script and needs no network.

    For each class stand what raises its direction and the images farthest along it; then its
    features of the largest weights, each with what raises it and the images that activate it most.

    Parameters
    ----------
    path
        The page.
    models
        One or more.
    data
        What the data set is called.
    channels
        Those that are shown, see `robust_reps_ext.results.figures.image_grid`.

    Returns
    -------
    pathlib.Path
        `path` itself.

    Raises
    ------
    InputError
        If there is nothing to show, or the page cannot be written.
    """
    if not models:
        raise InputError("there is nothing to show: give at least one model")
    template = environment().get_template("classes.html.j2")

    def rendered(encode: Images) -> str:
        return template.render(models=[_model(one, encode) for one in models], data=data)

    text = within(LARGEST, QUALITIES, channels, rendered)
    with writing(path, "free some space") as file:
        file.write(text.encode())
    return path


def _model(one: Heads, encode: Images) -> Mapping[str, Any]:
    found, path = one.found, one.found.sparsity
    raised, features = encode(one.raised), encode(one.features)
    place = {number: i for i, number in enumerate(one.activations.coordinates.tolist())}
    ends = [encode(images) for images in one.activations.most.images]
    classes = []
    for i, name in enumerate(found.names):
        own = found.features(i)
        shown = [
            {
                "coordinate": number,
                "weight": f"{weight:+.2f}".replace("-", "\N{MINUS SIGN}"),
                "raised": features[place[number]],
                "most": ends[place[number]],
            }
            for number, weight in own[:FEATURES]
        ]
        classes.append(
            {
                "name": name,
                "raised": raised[i],
                "most": encode(found.most.images[i]),
                "count": len(own),
                "features": shown,
            }
        )
    rows = path.to_frame().to_dict("records")
    return {"name": one.name, "classes": classes, "rows": rows, "seen": found.seen}
