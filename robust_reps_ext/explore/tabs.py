"""What each open page has: its images, its runs, and what it is still to be told."""

from __future__ import annotations

import asyncio
import base64
import json
import math
import re
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from ..results.synthesis import Synthesis
from ..runtime.errors import InputError
from ..runtime.numbers import shown
from .jobs import ENDED, Job
from .pictures import MOST_DROPPED, Gallery, Picture, pixels
from .wanted import Wanted

__all__ = ["MOST_RUNS", "MOST_TABS", "Run", "Tab", "Tabs"]

MOST_TABS = 16
MOST_RUNS = 24
"""Runs whose results a page may still keep; of more, the first go."""


@dataclass
class Run:
    """What was asked for, and the job of each network that does it."""

    id: str
    wanted: Wanted
    networks: list[int]
    jobs: list[Job] = field(default_factory=list)
    kept: Any = None

    @property
    def ended(self) -> bool:
        """Whether no network works on it any more."""
        return all(one.state in ENDED for one in self.jobs)

    def results(self) -> dict[int, Synthesis]:
        """By number of the network, what has been made."""
        pairs = zip(self.networks, self.jobs, strict=True)
        return {i: one.made.result() for i, one in pairs if one.state in ("done", "stopped")}


class Tab:
    """An open page.

    Of the images of a job, the page is told those that are newest when it asks: a slow page sees
    fewer frames, and nothing piles up.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.id = secrets.token_urlsafe(12)
        self.pictures: OrderedDict[str, Picture] = OrderedDict()
        self.runs: OrderedDict[str, Run] = OrderedDict()
        self._told: OrderedDict[Any, Callable[[], dict[str, Any]]] = OrderedDict()
        self._lock = threading.Lock()
        self._loop, self._news = loop, asyncio.Event()
        self.closed = False

    def add_picture(self, picture: Picture) -> str:
        """Hold an image as long as the page is open; its number."""
        number = f"d{secrets.token_hex(4)}"
        self.pictures[number] = picture
        while len(self.pictures) > MOST_DROPPED:
            self.pictures.popitem(last=False)
        return number

    def picture(self, gallery: Gallery, number: Any) -> Picture:
        """The image of a number: of all pages, or dropped on this one.

        Raises
        ------
        InputError
            If there is none.
        """
        if isinstance(number, str) and number in self.pictures:
            return self.pictures[number]
        if type(number) is int and 0 <= number < len(gallery):
            return gallery[number]
        raise InputError(f"image={shown(number)} is not there any more: choose one")

    def new_run(self, number: Any, wanted: Wanted, networks: list[int]) -> Run:
        """A run that has not begun; the page names it, for it hears of it before it is answered.

        Raises
        ------
        InputError
            If the name is none, or is in use.
        """
        if not isinstance(number, str) or not re.fullmatch("[0-9a-f]{16}", number):
            raise InputError(f"run={shown(number)}: give 16 hexadecimal digits")
        if number in self.runs:
            raise InputError(f"run {number} is there already")
        run = self.runs[number] = Run(number, wanted, networks)
        while len(self.runs) > MOST_RUNS:
            self.forget(next(iter(self.runs.values())))
        return run

    def forget(self, run: Run) -> None:
        """Let go of a run, and cancel what goes on of it."""
        self.runs.pop(run.id, None)
        for job in run.jobs:
            job.cancel()

    def run(self, number: str) -> Run:
        """The run of a number.

        Raises
        ------
        InputError
            If there is none.
        """
        if number not in self.runs:
            raise InputError(f"run {number[:20]!r} is not there any more: begin another")
        return self.runs[number]

    def watcher(
        self, run: Run, network: int, channels: Any
    ) -> Callable[[Job, Tensor | None], None]:
        """What a job tells, as the page hears it."""

        def tell(job: Job, images: Tensor | None) -> None:
            about = {"run": run.id, "network": network}
            if images is not None:
                step, value, image = job.step, job.value, images.detach()[:1].cpu().clone()
                self._put(
                    (run.id, network, "frame"),
                    lambda: {
                        **about,
                        "type": "frame",
                        "step": step,
                        "value": None if math.isnan(value) else value,
                        **_encoded(image, channels),
                    },
                )
                return
            facts = {**about, "type": "state", "state": job.state, "error": job.error}
            facts |= {"step": job.step}
            if job.state in ("done", "stopped"):
                made: Synthesis = job.made.result()
                facts["value"] = float(made.objective[0])
                self._put(object(), lambda: {**facts, **_encoded(made.images[:1], channels)})
                return
            self._put(object(), lambda: facts)

        return tell

    def _put(self, key: Any, made: Callable[[], dict[str, Any]]) -> None:
        """To be told; what was to be told under the same key is not any more."""
        with self._lock:
            if self.closed:
                return
            self._told.pop(key, None)
            self._told[key] = made
        with suppress(RuntimeError):  # the server has ended
            self._loop.call_soon_threadsafe(self._news.set)

    async def news(self, seconds: float) -> list[str]:
        """What is to be told, in order; nothing after so many seconds."""
        try:
            await asyncio.wait_for(self._news.wait(), seconds)
        except asyncio.TimeoutError:
            return []
        self._news.clear()
        with self._lock:
            told = [*self._told.values()]
            self._told.clear()
        return [json.dumps(one()) for one in told]

    def close(self) -> None:
        """The page is gone: cancel what runs for it, and let everything go."""
        with self._lock:
            self.closed = True
            self._told.clear()
        for run in [*self.runs.values()]:
            self.forget(run)
        self.pictures.clear()
        self._news.set()


class Tabs:
    """All open pages."""

    def __init__(self) -> None:
        self._open: dict[str, Tab] = {}

    def open(self) -> Tab:
        """A new one, in the loop that is running.

        Raises
        ------
        InputError
            If there are too many.
        """
        if len(self._open) >= MOST_TABS:
            raise InputError(f"{MOST_TABS} pages are open: close some")
        tab = Tab(asyncio.get_running_loop())
        self._open[tab.id] = tab
        return tab

    def close(self, tab: Tab) -> None:
        """The page is gone."""
        self._open.pop(tab.id, None)
        tab.close()

    def close_all(self) -> None:
        """The server ends."""
        for tab in [*self._open.values()]:
            self.close(tab)

    def __len__(self) -> int:
        return len(self._open)

    def __getitem__(self, number: Any) -> Tab:
        found = self._open.get(number) if isinstance(number, str) else None
        if found is None:
            raise InputError("this page is not connected any more: load it again")
        return found


def _encoded(image: Tensor, channels: Any) -> dict[str, Any]:
    """One image as the page draws it: its bytes, red, green and blue."""
    shown = pixels(image, channels)
    return {
        "height": shown.shape[0],
        "width": shown.shape[1],
        "pixels": base64.b64encode(shown.tobytes()).decode(),
    }
