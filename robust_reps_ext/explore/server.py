"""The server behind the page: what it answers, and the networks that work for it."""

from __future__ import annotations

import asyncio
import json
import secrets
import socket
from collections.abc import AsyncIterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
import uvicorn
from anyio import to_thread
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from ..experiments.inversion import invert
from ..results.figures import Channels
from ..runtime.errors import InputError
from ..runtime.numbers import shown, whole
from .guard import Guard
from .jobs import Job, Worker
from .keeping import keep
from .page import page
from .pictures import MOST_BYTES, Gallery, png, read_dropped, too_large
from .tabs import Tabs
from .units import Units
from .wanted import Network, Wanted

__all__ = ["HOST", "Explorer", "Server", "listening"]

HOST = "127.0.0.1"

MOST_ASKED = 256 * 2**10
"""Bytes of what a page asks, files apart."""

HEARTBEAT = 5.0
FRAME = 1 / 30  # seconds between two messages to a page


class Explorer:
    """The page's server, as an ASGI application.

    Parameters
    ----------
    networks
        Those to choose from.
    gallery
        The images to choose from.
    host
        ``"127.0.0.1:PORT"``.
    out
        Where results are kept.
    words
        See `robust_reps_ext.explore.keeping.keep`.
    channels
        Those that are shown of images, see `robust_reps_ext.results.figures.image_grid`.
    fit
        How dropped images become square.

    Attributes
    ----------
    token
        What the address holds.
    tabs
        The pages that are open.
    workers
        The thread of each network.
    """

    def __init__(
        self,
        networks: Sequence[Network],
        gallery: Gallery,
        host: str,
        *,
        out: Path,
        words: Sequence[str] = (),
        channels: Channels | None = None,
        fit: str = "crop",
    ) -> None:
        self.networks, self.gallery, self.host = list(networks), gallery, host
        self.out, self.words, self.channels, self.fit = out, list(words), channels, fit
        self.token = secrets.token_urlsafe(24)
        self.tabs, self.units = Tabs(), Units(gallery)
        self.workers = [Worker(one.name) for one in self.networks]
        for worker, network in zip(self.workers, self.networks, strict=True):
            worker.put(Job(partial(_warm, network), _tell_nobody))
        self._keeping = asyncio.Lock()
        html, policy = page(self.networks, self.gallery)
        self._html = html
        routes = [
            Route("/", self._page),
            Route("/images/{number}", self._image),
            Route("/events", self._events),
            Route("/images", self._drop, methods=["POST"]),
            Route("/runs", self._begin, methods=["POST"]),
            Route("/runs/{run}/{what}", self._steer, methods=["POST"]),
            Route("/units", self._units, methods=["POST"]),
        ]
        app = Starlette(routes=routes, exception_handlers={InputError: _one_line})
        self.app = Guard(app, host, self.token, policy)

    @property
    def address(self) -> str:
        """Of the page."""
        return f"http://{self.host}/?token={self.token}"

    @property
    def busy(self) -> int:
        """How many jobs run or wait."""
        return sum(one.busy for one in self.workers)

    def close(self) -> None:
        """Let go of all pages, and end what runs."""
        self.tabs.close_all()
        for worker in self.workers:
            worker.close()

    async def _page(self, request: Request) -> Response:
        return HTMLResponse(self._html)

    async def _image(self, request: Request) -> Response:
        number = request.path_params["number"]
        if number.isdecimal():
            picture = self.gallery[int(number)] if int(number) < len(self.gallery) else None
        else:
            picture = self.tabs[request.query_params.get("tab")].pictures.get(number)
        if picture is None:
            raise InputError(f"image {number[:20]!r} is not there any more")
        shape = self.networks[0].shape
        return Response(png(picture.at(shape), self.channels), media_type="image/png")

    async def _events(self, request: Request) -> Response:
        tab = self.tabs.open()

        async def told() -> AsyncIterator[str]:
            try:
                yield f"data: {json.dumps({'type': 'hello', 'tab': tab.id})}\n\n"
                while not tab.closed:
                    news = await tab.news(HEARTBEAT)
                    yield "".join(f"data: {one}\n\n" for one in news) or ": still here\n\n"
                    await asyncio.sleep(FRAME)
            finally:
                self.tabs.close(tab)

        return StreamingResponse(told(), media_type="text/event-stream")

    async def _drop(self, request: Request) -> Response:
        tab = self.tabs[request.query_params.get("tab")]
        name = request.query_params.get("name", "image")
        data = await _body(request, MOST_BYTES, too_large(name[:80]))
        shapes = [one.shape for one in self.networks]
        picture = await to_thread.run_sync(read_dropped, name, data, shapes, self.fit)
        return JSONResponse({"image": tab.add_picture(picture), "name": picture.name})

    async def _begin(self, request: Request) -> Response:
        given = await _asked(request)
        tab = self.tabs[given.get("tab")]
        chosen = given.get("networks")
        if not isinstance(chosen, list) or not 1 <= len(chosen) <= 2:
            raise InputError(f"networks={shown(chosen)}: choose one or two")
        numbers = [whole("network", one, most=len(self.networks) - 1) for one in chosen]
        wanted = Wanted.read(given, partial(tab.picture, self.gallery))
        run = tab.new_run(given.get("run"), wanted, list(dict.fromkeys(numbers)))
        for number in run.networks:
            network = self.networks[number]
            make = partial(_descend, wanted, network)
            run.jobs.append(Job(make, tab.watcher(run, number, self.channels)))
        try:
            before = [
                self.workers[number].put(job)
                for number, job in zip(run.networks, run.jobs, strict=True)
            ]
        except InputError:
            tab.forget(run)
            raise
        return JSONResponse({"run": run.id, "networks": run.networks, "before": before})

    async def _steer(self, request: Request) -> Response:
        given = await _asked(request)
        run = self.tabs[given.get("tab")].run(request.path_params["run"])
        what = request.path_params["what"]
        if what == "keep":
            if not run.ended or not run.results():
                raise InputError("nothing to keep yet: let the run end, or stop it")
            async with self._keeping:  # asked twice, it is kept once
                if run.kept is None:
                    run.kept = await to_thread.run_sync(
                        keep, run, self.networks, self.out, self.words
                    )
            return JSONResponse(vars(run.kept))
        if what not in ("hold", "go_on", "stop", "cancel"):
            raise InputError(f"a run cannot {what[:20]!r}")
        for job in run.jobs:
            getattr(job, what)()
        return JSONResponse({"run": run.id})

    async def _units(self, request: Request) -> Response:
        given = await _asked(request)
        self.tabs[given.get("tab")]
        number = whole("network", given.get("network"), most=len(self.networks) - 1)
        layer = given.get("layer") or None
        if layer is not None and not isinstance(layer, str):
            raise InputError(f"layer={shown(layer)}: give a name")
        found = self.units.known(number, layer)
        if found is None:
            job = Job(partial(self.units.find, number, self.networks[number], layer), _tell_nobody)
            self.workers[number].put(job)
            found = await asyncio.wrap_future(job.made)
        assert found is not None  # else the job has raised
        return JSONResponse(self.units.page(found, given.get("first", 0)))


class Server(uvicorn.Server):
    """A server that lets go of its pages when it is to end, as these never end by themselves."""

    def __init__(self, explorer: Explorer) -> None:
        config = uvicorn.Config(
            explorer.app,
            http="h11",
            ws="none",
            lifespan="off",
            log_level="warning",
            access_log=False,
            server_header=False,
            limit_concurrency=100,
            timeout_graceful_shutdown=5,
        )
        super().__init__(config)
        self.explorer = explorer

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close the pages first."""
        self.explorer.tabs.close_all()
        await super().shutdown(sockets)


def listening(port: int) -> socket.socket:
    """A socket on the loopback address; 0 for a port that is free.

    Raises
    ------
    InputError
        If the port is taken, or may not be.
    """
    if not 0 <= port < 2**16:
        raise InputError(f"--port {port}: give a number from 1 to 65535, or 0 for any")
    found = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind((HOST, port))
        found.listen(100)  # so that a browser may come before the server
    except OSError as error:
        found.close()
        said = (error.strerror or str(error)).lower()
        raise InputError(f"--port {port}: {said}; choose another, or 0 for any") from error
    return found


async def _body(request: Request, most: int, line: str) -> bytes:
    """All that is sent; what is too much is read to its end, so that the answer is heard."""
    data = bytearray()
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > 16 * most:
            break
        if size <= most:
            data += chunk
        else:
            data.clear()
    if size > most:
        raise TooLargeError(line)
    return bytes(data)


class TooLargeError(InputError):
    """More was sent than is read."""


async def _asked(request: Request) -> dict[str, Any]:
    data = await _body(request, MOST_ASKED, "the page asked for too much")
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise InputError("what the page asks is no JSON object")
    return found


async def _one_line(request: Request, error: Exception) -> Response:
    status = 413 if isinstance(error, TooLargeError) else 400
    return JSONResponse({"error": str(error)}, status_code=status)


def _descend(wanted: Wanted, network: Network, job: Job) -> Any:
    """Show where it begins, for the first step takes a while to come; then make it."""
    job.show(wanted.begin(network))
    made = wanted.make(network, job)
    if job.step + 1 == made.settings["iterations"] and not made.settings.get("stopped"):
        job.step += 1  # none was left out
    return made


def _warm(network: Network, job: Job) -> None:
    """A step of a run, so that the first one that is asked for waits for nothing."""
    channels, side = network.shape
    invert(network.model, torch.full((1, channels, side, side), 0.5), iterations=1)


def _tell_nobody(job: Job, images: Any) -> None:
    """Of a job that no page watches."""
