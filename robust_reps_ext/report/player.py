"""How the images of a synthesis came about, step by step, to be played in a notebook or a page."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from markupsafe import Markup
from PIL import Image
from torch import Tensor

from ..results.captions import two_digits
from ..results.figures import Channels, as_colors
from ..results.synthesis import MOST_SHOWN, Synthesis, measured
from ..runtime.errors import InputError
from ..runtime.files import writing
from ..runtime.numbers import shown
from .cells import Images
from .page import encoder, environment, script_digest, within

__all__ = ["Player"]

MOST_FRAMES = 64
LARGEST = 4 * 2**20
# Quality of WebP and the longest side in pixels, from the best down.
QUALITIES = ((92, 256), (80, 160), (60, 96), (40, 64))

GIF_IMAGES = 8
# The longest side of an image in a GIF, in pixels.
GIF_SIDE = 160
# Milliseconds: of the whole, and of a frame.
WHOLE, SLOWEST, FASTEST = 4000, 300, 80


class Player:
    """The frames of a synthesis: play, pause, a slider, and under each image its objective.

    Notebooks show it; `save` writes it. What is shown needs no network and no other file, and
    where scripts do not run it is the result. Keys: space plays and pauses, arrows, Home and End
    move the slider. Above each image stands its target, where there is one.

    It shows the first 32 images and up to 64 frames, evenly chosen of more, the first and the last
    among them. Images are made smaller, down to 64 pixels, where it would otherwise exceed 4 MB.

    Parameters
    ----------
    synthesis
        Made with ``frames=``, which says how many are kept: 12 show an inversion well.
    channels
        Those that are shown, see `robust_reps_ext.results.figures.image_grid`.

    Raises
    ------
    InputError
        If it is no `Synthesis` or has no frames, or there are no such channels.

    Examples
    --------
    >>> import robust_reps_ext as rr
    >>> from robust_reps_ext.datasets import critters
    >>> images = critters.draw(2, size=32, seed=0).images / 255
    >>> inverse = rr.invert("critters-robust", images, iterations=8, frames=5)
    >>> rr.Player(inverse)
    Player of 2 images, 5 frames of 8 steps

    As the last line of a cell it is shown. To keep it: ``rr.Player(inverse).save("inverse.html")``.
    """

    def __init__(self, synthesis: Synthesis, *, channels: Channels | None = None) -> None:
        if not isinstance(synthesis, Synthesis):
            inner = isinstance(getattr(synthesis, "synthesis", None), Synthesis)
            advice = "give its .synthesis" if inner else "give a Synthesis"
            raise InputError(f"synthesis={shown(synthesis)} cannot be played: {advice}")
        if synthesis.frames is None or synthesis.frame_steps is None:
            raise InputError("the synthesis has no frames to play: make it with frames=12")
        self._run, self._channels = synthesis[:MOST_SHOWN], channels
        steps = synthesis.frame_steps.tolist()
        chosen = np.linspace(0, len(steps) - 1, min(len(steps), MOST_FRAMES)).round().astype(int)
        self._chosen, self._steps = chosen.tolist(), [int(steps[i]) for i in chosen]
        as_colors(synthesis.images[:1], channels)

    def __repr__(self) -> str:
        return (
            f"Player of {len(self._run)} images, {len(self._steps)} frames of "
            f"{self._steps[-1]} steps"
        )

    def _repr_html_(self) -> str:
        return self._fragment

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write it as a page (``.html``) or as a moving picture (``.gif``), whole or not at all.

        A GIF has the first 8 images side by side, up to 160 pixels wide each, and begins anew when
        it has ended.

        Raises
        ------
        InputError
            If the name ends otherwise, or the file cannot be written.
        """
        path = Path(path)
        kind = path.suffix.lower()
        if kind not in (".html", ".gif"):
            raise InputError(f"cannot write a player as {path.name!r}: end it in .html or .gif")
        content = self._page() if kind == ".html" else self._gif()
        with writing(path, "choose another place") as file:
            file.write(content)
        return path

    @cached_property
    def _fragment(self) -> str:
        template = environment().get_template("player.html.j2")
        ends = self._frames(self._chosen[:1]) + self._frames(self._chosen[-1:])

        def fits(quality: tuple[int, int]) -> bool:
            """Whether all frames would, were each as large as the larger of first and last."""
            encode = encoder(*quality, self._channels)
            sizes = [sum(map(len, encode(frame))) for frame in ends]
            return max(sizes) * len(self._chosen) < LARGEST

        likely = next((i for i, one in enumerate(QUALITIES) if fits(one)), len(QUALITIES) - 1)
        return within(
            LARGEST,
            QUALITIES[likely:],
            self._channels,
            lambda encode: template.render(self._shown(encode)),
        )

    def _shown(self, encode: Images) -> Mapping[str, Any]:
        run, captions = self._run, self._captions()
        frames = [encode(frame) for frame in self._frames(self._chosen)]
        told = [f"step {step} of {self._steps[-1]}" for step in self._steps]
        return {
            "results": frames[-1],
            "targets": [] if run.target_images is None else encode(run.target_images),
            "captions": captions[-1],
            "told": told[-1],
            "made": run.made(),
            "small": max(run.images.shape[2:]) < 100,
            "facts": {
                # The last frame is what the page shows already.
                "frames": frames[:-1],
                "captions": captions,
                "told": told,
                "pause": self._pause(),
            },
            "script": Markup(_script()),
        }

    def _frames(self, chosen: Sequence[int]) -> list[Tensor]:
        """Each (N, C, H, W), in [0, 1]."""
        assert self._run.frames is not None
        return [self._run.frames[i].float() / 255 for i in chosen]

    def _captions(self) -> list[list[str]]:
        """The objective of each image at each frame, as it was last recorded before."""
        run, name = self._run, measured(self._run.settings)
        at = torch.searchsorted(run.trace_steps, torch.tensor(self._steps), right=True) - 1
        values = [*run.trace[at[:-1]].tolist(), run.objective.tolist()]
        return [[f"{name} {two_digits(value, zeros=True)}" for value in row] for row in values]

    def _pause(self) -> int:
        """Milliseconds between two frames."""
        return min(SLOWEST, max(FASTEST, WHOLE // len(self._steps)))

    def _page(self) -> bytes:
        page = environment().get_template("player_page.html.j2")
        digest = script_digest(_script())
        return page.render(fragment=Markup(self._fragment), script_digest=digest).encode()

    def _gif(self) -> bytes:
        targets = self._run.target_images
        above = [] if targets is None else [_side_by_side(targets, self._channels)]
        frames = [
            _one_above_the_other([*above, _side_by_side(frame, self._channels)]).quantize(
                method=Image.Quantize.FASTOCTREE  # the others take seconds for a frame of noise
            )
            for frame in self._frames(self._chosen)
        ]
        pauses = [self._pause()] * len(frames)
        pauses[-1] = 5 * SLOWEST
        drawn = io.BytesIO()
        frames[0].save(
            drawn, "GIF", save_all=True, append_images=frames[1:], duration=pauses, loop=0
        )
        return drawn.getvalue()


def _script() -> str:
    return environment().get_template("player.js").render()


def _side_by_side(images: Tensor, channels: Channels | None) -> Image.Image:
    """The first images in a row, in colours; small ones with each pixel as several dots."""
    pixels = (as_colors(images[:GIF_IMAGES], channels)[0] * 255).round().astype(np.uint8)
    if pixels.shape[3] == 1:
        pixels = pixels.repeat(3, axis=3)
    times = max(1, GIF_SIDE // max(pixels.shape[1:3]))
    pixels = pixels.repeat(times, axis=1).repeat(times, axis=2)
    row = Image.fromarray(np.concatenate([*pixels], axis=1))
    row.thumbnail((GIF_SIDE * len(pixels), GIF_SIDE), Image.Resampling.LANCZOS)
    return row


def _one_above_the_other(rows: list[Image.Image]) -> Image.Image:
    whole = Image.new("RGB", (max(row.width for row in rows), sum(row.height for row in rows)))
    top = 0
    for row in rows:
        whole.paste(row, (0, top))
        top += row.height
    return whole
