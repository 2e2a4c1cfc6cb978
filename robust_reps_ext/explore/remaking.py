"""How a run is made again: by a command where there is one for it, else by a script."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..results.names import as_word
from .pictures import Picture
from .wanted import STEPS, Network, Wanted

__all__ = ["MASK", "SCRIPT", "command", "file_of", "has_command", "pictures", "script"]

SCRIPT, MASK = "again.py", "mask.png"
"""Files beside the result."""


def has_command(wanted: Wanted) -> bool:
    """Whether a command makes it; others are made by a script."""
    return wanted.mask is None and wanted.kind in ("match", "coordinate", "between")


def pictures(wanted: Wanted) -> list[Picture]:
    """The images that it is made of."""
    second = wanted.kind in ("between", "direction") or wanted.start == "other"
    other = wanted.other if second else None
    return [wanted.image, *([other] if other is not None else [])]


def file_of(picture: Picture, wanted: Wanted) -> str:
    """The file of one of `pictures`."""
    second = picture is wanted.other and picture is not wanted.image
    return f"{'second' if second else 'first'}-{as_word(Path(picture.name).stem)}.png"


def command(
    wanted: Wanted,
    networks: Sequence[Network],
    where: Path,
    iterations: int | None,
    words: Sequence[str],
) -> str:
    """The command line.

    Parameters
    ----------
    wanted, networks
        What was made, and with which networks.
    where
        The folder that holds the images, into which the command writes.
    iterations
        How many steps it is to make; None for as many as the schedule does.
    words
        What it is told of the networks beside their names.
    """
    more: list[str] = []
    if wanted.kind == "match":
        name = "pairs" if wanted.start == "other" else "invert"
        more = [] if wanted.start == "other" else ["--start", wanted.start]
    elif wanted.kind == "coordinate":
        name, more = "visualize", ["--coordinates", str(wanted.coordinate)]
    else:
        name, more = "interpolate", ["--steps", str(STEPS)]
    models = [word for one in networks for word in ("--model", one.source)]
    options = {
        "--layer": wanted.layer,
        "--eps": wanted.eps,
        "--schedule": wanted.schedule,
        "--iterations": iterations,
        "--seed": wanted.seed or None,
    }
    told = [str(word) for pair in options.items() if pair[1] is not None for word in pair]
    images = [str(where / file_of(one, wanted)) for one in pictures(wanted)]
    line = [name, *models, *words, "--images", *images, *more, *told, "--out", str(where)]
    return shlex.join(["robust-reps", *line])


def script(wanted: Wanted, network: Network, iterations: int | None) -> str:
    """A script that lies beside the images, and writes ``again.safetensors`` there."""
    first, *rest = (file_of(one, wanted) for one in pictures(wanted))
    start = {
        "noise": f"noise(first, seed={wanted.seed})",
        "grey": "torch.full_like(first, 0.5)",
        "image": "first",
        "other": "second",
    }[wanted.start]
    options = {**wanted.told, "iterations": iterations}
    told = "".join(f", {name}={value!r}" for name, value in options.items() if value is not None)
    told += "" if wanted.mask is None else ", mask=mask"
    keywords = ", ".join(f"{name!r}: {value!r}" for name, value in options.items())
    keywords += "" if wanted.mask is None else ', "mask": mask'
    settings = f'settings = Settings.paper(start, {{{keywords}}}, schedule="cosine-momentum")'
    layer = "" if wanted.layer is None else f", layer={wanted.layer!r}"
    calls = {
        "match": [f"made = rr.invert(model, first, start=start, seed={wanted.seed}{told})"],
        "coordinate": [
            f"made = rr.visualize(model, coordinates=[{wanted.coordinate}], seeds=start, "
            f"seed={wanted.seed}{told}).synthesis"
        ],
        "class": [
            settings,
            f"made = rr.synthesize(model, rr.ClassLogit(), torch.tensor([{wanted.number}]), start, "
            f"settings, seed={wanted.seed})",
        ],
        "direction": [
            f"ahead, back = (rr.representation(model, one{layer}) for one in (first, second))",
            settings,
            "made = rr.synthesize(model, rr.Direction(ahead - back), torch.tensor([0]), start, "
            f"settings, seed={wanted.seed})",
        ],
    }
    loading = "".join(f", {name}={value!r}" for name, value in network.loading.items())
    lines: list[Any] = [
        '"""Make again what was kept beside this file: again.safetensors."""',
        "",
        "from pathlib import Path",
        "",
        "import torch",
        "",
        "import robust_reps_ext as rr",
        "from robust_reps_ext.synthesis import noise",
        "from robust_reps_ext.synthesis.settings import Settings",
        "",
        "here = Path(__file__).parent",
        f"model = rr.load_model({network.source!r}{loading})",
        f"first = rr.load_images(here / {first!r})",
        *(f"second = rr.load_images(here / {one!r})" for one in rest),
        f"start = {start}",
    ]
    if network.shape[0] == 1:
        lines.insert(-1, "first = first[:, :1]")
        lines[-1:-1] = ["second = second[:, :1]"] if rest else []
    if wanted.mask is not None:
        lines.append(f"mask = rr.load_images(here / {MASK!r})[:, :1] > 0.5")
    return "\n".join([*lines, *calls[wanted.kind], 'made.save(here / "again.safetensors")', ""])
