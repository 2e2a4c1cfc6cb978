"""Write one self-contained HTML page of the finished figures and tables."""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image
from torch import Tensor

from ..results.figures import Channels, as_colors
from ..results.units import FinishedUnit, finished_units
from ..runtime.errors import InputError
from ..runtime.files import writing
from .accuracy import accuracies, near_chance
from .cells import Images, blocks
from .sections import pair_of, sections

__all__ = ["encoder", "environment", "script_digest", "within", "write_report"]

LARGEST = 14 * 2**20
# Quality of WebP and the longest side in pixels, from the best down.
QUALITIES = ((92, 256), (80, 224), (60, 160), (40, 96))


def write_report(
    out: str | Path, order: Sequence[str], *, channels: Channels | None = None
) -> Path:
    """Write ``OUT/report/index.html`` of the units that `run_paper` has finished in `out`.

    The page needs no network and no other file; its links to pictures and data lead into `out`. Its
    pictures are made smaller where it would otherwise exceed 15 MB.

    Parameters
    ----------
    out
        As given to `run_paper`.
    order
        Ids of the units to show, in this order.
    channels
        Those that are shown of images, see `robust_reps_ext.results.figures.image_grid`.

    Returns
    -------
    pathlib.Path
        The page.

    Raises
    ------
    InputError
        If there is no finished unit, or the page cannot be written.
    """
    units = finished_units(out, order)
    if not units:
        raise InputError(f"{out} holds no finished figure: give the --out of robust-reps paper")
    made = environment()
    script = made.get_template("page.js").render()

    def rendered(encode: Images) -> str:
        shown = sections(units, encode, channels)
        return made.get_template("page.html.j2").render(
            script=Markup(script),
            # Browsers run this script and no other, whatever a name should smuggle in.
            script_digest=script_digest(script),
            sections=shown.sections,
            traces=shown.traces,
            studies=[
                study | {"accuracies": accuracies(units, study["study"].get("models", {}))}
                for study in _studies(units)
            ],
            near_chance=near_chance(units),
        )

    text = within(LARGEST, QUALITIES, channels, rendered)
    folder = Path(out, "report")
    folder.mkdir(exist_ok=True)
    with writing(folder / "index.html", "free some space") as file:
        file.write(text.encode())
    return folder / "index.html"


def _studies(units: Sequence[FinishedUnit]) -> list[dict[str, Any]]:
    """The newest unit of each pair of networks, as they come."""
    found: dict[str, dict[str, Any]] = {}
    for unit in units:
        pair = repr(pair_of(unit))
        known = found.get(pair)
        if known is None or known["finished"] < unit.manifest["finished"]:
            found[pair] = dict(unit.manifest)
    return list(found.values())


def script_digest(script: str) -> str:
    """What a page's security policy calls a script that it may run."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def encoder(quality: int, side: int, channels: Channels | None = None) -> Images:
    """Makes WebP data URIs, of at most that many pixels a side, of images, or of `channels`."""

    def encode(images: Tensor) -> list[str]:
        pixels = (as_colors(images, channels)[0] * 255).round().astype(np.uint8)
        grey = pixels.shape[3] == 1
        return [_data_uri(Image.fromarray(p[..., 0] if grey else p), quality, side) for p in pixels]

    return encode


def within(
    largest: int,
    qualities: Sequence[tuple[int, int]],
    channels: Channels | None,
    rendered: Callable[[Images], str],
) -> str:
    """A page of fewer than `largest` bytes, or as few as there can be.

    `qualities` of WebP and the longest side in pixels are tried in their order.
    """
    text = ""
    for quality, side in qualities:
        text = rendered(encoder(quality, side, channels))
        if len(text.encode()) < largest:
            break
    return text


def _data_uri(image: Image.Image, quality: int, side: int) -> str:
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, format="WEBP", quality=quality, method=4)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


def environment() -> Environment:
    """What the page's templates are rendered by."""
    made = Environment(
        loader=PackageLoader("robust_reps_ext.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"percent": _percent, "blocks": blocks}
    return made


def _percent(share: Any) -> str:
    return f"{100 * float(share):.1f}%"
