"""A page to browse what activates each coordinate of a representation most and least."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup
from torch import Tensor

from ..results.activations import Activations, Extreme
from ..results.figures import Channels, as_colors
from ..runtime.errors import InputError
from ..runtime.files import writing
from .cells import Images
from .page import environment, script_digest, within

__all__ = ["ModelActivations", "write_activations"]

LARGEST = 28 * 2**20
# Quality of WebP and the longest side in pixels, from the best down.
QUALITIES = ((80, 96), (65, 72), (50, 64), (35, 48), (25, 32))
ENDS = ("most", "least")


@dataclass(frozen=True)
class ModelActivations:
    """What is shown of one model.

    Attributes
    ----------
    found
        Its activations.
    name, card
        What it is called, and its card.
    raised
        (C, channels, H, W) in [0, 1], for each coordinate an image that raises it; default: none
        are shown.
    """

    found: Activations
    name: str
    card: Mapping[str, Any]
    raised: Tensor | None = None


def write_activations(
    path: Path,
    models: Sequence[ModelActivations],
    image: Callable[[int], Tensor],
    *,
    names: Sequence[str],
    data: str,
    channels: Channels | None = None,
) -> Path:
    """Write one self-contained HTML page of all coordinates, of several models side by side.

    It needs no network and no other file, and shows some coordinates at a time. Each image is in
    it once, as a thumbnail, however many coordinates it activates; thumbnails are made smaller
    where the page would otherwise exceed 30 MB. ``#1-205`` at the end of its address leads to
    coordinate 205 of the first model.

    Parameters
    ----------
    path
        The page.
    models
        What it shows, of one model or more that looked at the same images.
    image
        From an index in the activations to the image, (C, H, W) in [0, 1]. Images are asked for
        one at a time.
    names
        Of the labels; the labels themselves where there are none.
    data
        What the data set is called.
    channels
        Those that are shown of images, see `robust_reps_ext.results.figures.image_grid`.

    Returns
    -------
    pathlib.Path
        `path` itself.

    Raises
    ------
    InputError
        If there is nothing to show, what raises coordinates are not as many as these, or the page
        cannot be written.
    """
    if not models:
        raise InputError("there is nothing to show: give at least one model")
    for one in models:
        count = len(one.found.coordinates)
        if one.raised is not None and len(one.raised) != count:
            raise InputError(
                f"{len(one.raised)} raised images for {count} coordinates: give one each"
            )
    labels = {
        index: label
        for one in models
        for end in (one.found.most, one.found.least)
        for index, label in zip(
            end.index.flatten().tolist(), end.label.flatten().tolist(), strict=True
        )
    }
    shown = sorted(labels)
    place = {index: k for k, index in enumerate(shown)}
    called = [_name(names, labels[index]) for index in shown]
    said = as_colors(image(shown[0])[None], channels)[1] if shown else ""
    made = environment()
    script = made.get_template("activations.js").render()

    def rendered(encode: Images) -> str:
        facts = {
            "models": [_model(one, place, called, encode) for one in models],
            "names": called,
            "index": shown,
            "thumbnails": [encode(image(index)[None])[0] for index in shown],
        }
        return made.get_template("activations.html.j2").render(
            script=Markup(script),
            script_digest=script_digest(script),
            facts=facts,
            models=models,
            data=f"{data}, {said}" if said else data,
            seen=models[0].found.seen,
            k=models[0].found.k,
            images=len(shown),
            classes=sorted({*called} - {""}),
        )

    text = within(LARGEST, QUALITIES, channels, rendered)
    with writing(path, "free some space") as file:
        file.write(text.encode())
    return path


def _model(
    one: ModelActivations, place: Mapping[int, int], called: Sequence[str], encode: Images
) -> dict[str, Any]:
    ends = {end: _end(getattr(one.found, end), place) for end in ENDS}
    return {
        "name": one.name,
        "coordinates": one.found.coordinates.tolist(),
        "alike": [_alike([called[k] for k in row]) for row in ends["most"]["image"]],
        "raised": [] if one.raised is None else encode(one.raised),
        **ends,
    }


def _end(kept: Extreme, place: Mapping[int, int]) -> dict[str, list[list[Any]]]:
    return {
        "image": [[place[i] for i in row] for row in kept.index.tolist()],
        "value": [[float(f"{v:.4g}") for v in row] for row in kept.value.tolist()],
    }


def _name(names: Sequence[str], label: int) -> str:
    if label < 0:
        return ""
    return names[label] if label < len(names) else str(label)


def _alike(names: Sequence[str]) -> int:
    """How many of them are the most frequent one."""
    return max(Counter(names).values(), default=0)
