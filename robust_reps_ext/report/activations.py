"""A page to browse what activates each coordinate of a representation most and least."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup
from torch import Tensor

from ..results.activations import Activations
from ..results.figures import Channels, as_colors
from ..runtime.files import writing
from .page import encoder, environment, script_digest

__all__ = ["write_activations"]

LARGEST = 28 * 2**20
# Quality of WebP and the longest side in pixels, from the best down.
QUALITIES = ((80, 96), (65, 72), (50, 64), (35, 48), (25, 32))


def write_activations(
    path: Path,
    found: Activations,
    image: Callable[[int], Tensor],
    *,
    names: Sequence[str],
    model: Mapping[str, Any],
    name: str,
    data: str,
    channels: Channels | None = None,
) -> Path:
    """Write one self-contained HTML page of all coordinates.

    It needs no network and no other file, and shows some coordinates at a time. Each image is in
    it once, as a thumbnail, however many coordinates it activates; thumbnails are made smaller
    where the page would otherwise exceed 30 MB.

    Parameters
    ----------
    path
        The page.
    found
        What it shows.
    image
        From an index in `found` to the image, (C, H, W) in [0, 1]. Images are asked for one at a
        time.
    names
        Of the labels; the labels themselves where there are none.
    model, name, data
        The model's card and its name, and the data set's.
    channels
        Those that are shown of images, see `robust_reps_ext.results.figures.image_grid`.

    Returns
    -------
    pathlib.Path
        `path` itself.

    Raises
    ------
    InputError
        If the page cannot be written.
    """
    labels = {
        index: label
        for end in (found.most, found.least)
        for index, label in zip(
            end.index.flatten().tolist(), end.label.flatten().tolist(), strict=True
        )
    }
    shown = sorted(labels)
    place = {index: k for k, index in enumerate(shown)}
    called = [_name(names, labels[index]) for index in shown]
    ends: dict[str, dict[str, list[list[Any]]]] = {
        end: {
            "image": [[place[i] for i in row] for row in kept.index.tolist()],
            "value": [[float(f"{v:.4g}") for v in row] for row in kept.value.tolist()],
        }
        for end, kept in (("most", found.most), ("least", found.least))
    }
    said = as_colors(image(shown[0])[None], channels)[1] if shown else ""
    made = environment()
    script = made.get_template("activations.js").render()
    for quality, side in QUALITIES:
        encode = encoder(quality, side, channels)
        thumbnails = [encode(image(index)[None])[0] for index in shown]
        facts = {
            "coordinates": found.coordinates.tolist(),
            "alike": [_alike([called[k] for k in row]) for row in ends["most"]["image"]],
            "names": called,
            "index": shown,
            "thumbnails": thumbnails,
            **ends,
        }
        text = made.get_template("activations.html.j2").render(
            script=Markup(script),
            script_digest=script_digest(script),
            facts=facts,
            name=name,
            model=model,
            data=f"{data}, {said}" if said else data,
            seen=found.seen,
            k=found.k,
            size=len(found.coordinates),
            images=len(shown),
        )
        if len(text.encode()) < LARGEST:
            break
    with writing(path, "free some space") as file:
        file.write(text.encode())
    return path


def _name(names: Sequence[str], label: int) -> str:
    if label < 0:
        return ""
    return names[label] if label < len(names) else str(label)


def _alike(names: Sequence[str]) -> int:
    """How many of them are the most frequent one."""
    return max(Counter(names).values(), default=0)
