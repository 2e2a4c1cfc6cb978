"""The explorer's server in a thread, and pages without a browser."""

from __future__ import annotations

import http.client
import json
import queue
import secrets
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import torch
from torch import nn

import robust_reps_ext as rr
from robust_reps_ext.explore.pictures import Gallery, Picture
from robust_reps_ext.explore.server import HOST, Explorer, Server, listening
from robust_reps_ext.explore.wanted import Network


class Tiny(nn.Module):
    """A network whose step takes a millisecond."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 6, 3, stride=2), nn.ReLU())
        self.fc = nn.Linear(6, 3)

    def forward(self, x):
        return self.fc(self.body(x).mean(dim=(2, 3)))


class Slow(Tiny):
    """One whose step takes longer than a page needs to hear of the last."""

    def forward(self, x):
        time.sleep(0.3)
        return super().forward(x)


def tiny(name="tiny", seed=0, side=8, kind=Tiny):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = rr.load_model(kind(), normalize=((0.5,) * 3, (0.5,) * 3))
    return Network(name, name, model, (3, side), ("a", "b", "c"), ("body.0",), 6)


def bundled(name):
    model = rr.load_model(name)
    classes = tuple(model.card["data_set"]["classes"])
    return Network(name, name, model, (3, 64), classes, ("body.4",), 4608)


def gallery(images, names=None):
    shape = (images.shape[1], images.shape[-1])
    names = names or [f"image {i}" for i in range(len(images))]
    return Gallery(
        [Picture(name, {shape: images[i : i + 1]}, i) for i, name in enumerate(names)], "test"
    )


@contextmanager
def serving(networks, images, out, **options):
    """An explorer that answers."""
    with listening(0) as socket:
        host = f"{HOST}:{socket.getsockname()[1]}"
        explorer = Explorer(networks, gallery(images), host, out=Path(out), **options)
        server = Server(explorer)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [socket]})
        thread.start()
        try:
            until(lambda: server.started)
            yield explorer
        finally:
            server.should_exit = True
            thread.join(20)
            explorer.close()
            assert not thread.is_alive()


def until(holds, seconds=20.0):
    """Wait until it holds."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.005)


def asked(explorer, method, path, body=None, headers=None, *, token=True):
    """Status, headers and body of an answer."""
    connection = http.client.HTTPConnection(explorer.host, timeout=30)
    given = {"Origin": f"http://{explorer.host}"} if method != "GET" else {}
    given |= {"X-Token": explorer.token} if token else {}
    try:
        connection.request(method, path, body, {**given, **(headers or {})})
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        connection.close()


class Page:
    """An open page: it hears, and asks."""

    def __init__(self, explorer):
        self.explorer = explorer
        self._connection = http.client.HTTPConnection(explorer.host, timeout=30)
        self._connection.request("GET", f"/events?token={explorer.token}")
        self._answer = self._connection.getresponse()
        assert self._answer.status == 200
        self._socket = self._answer.fp
        self._heard = queue.Queue()
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()
        self.tab = self.hear()["tab"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _listen(self):
        try:
            for line in self._answer:
                if line.startswith(b"data: "):
                    self._heard.put(json.loads(line[6:]))
        except (OSError, ValueError, AttributeError, http.client.HTTPException):
            pass

    def hear(self, seconds=20):
        return self._heard.get(timeout=seconds)

    def hear_until(self, holds, seconds=20):
        """All that is heard until something holds, it included."""
        heard = []
        while not (heard and holds(heard[-1])):
            heard.append(self.hear(seconds))
        return heard

    def ask(self, path, **body):
        status, _, said = asked(
            self.explorer, "POST", path, json.dumps({"tab": self.tab, **body}).encode()
        )
        return status, json.loads(said)

    def begin(self, networks=(0,), **wanted):
        """Begin a run; its number."""
        given = {"kind": "match", "image": 0, **wanted, "networks": [*networks]}
        number = secrets.token_hex(8)
        status, said = self.ask("/runs", run=number, **given)
        assert status == 200, said
        return number

    def end(self, run, networks=(0,)):
        """All that is heard until it has ended with each network."""
        left, heard = {*networks}, []
        while left:
            heard.append(self.hear())
            one = heard[-1]
            if one["run"] == run and one.get("state") in ("done", "stopped", "cancelled", "failed"):
                left.discard(one["network"])
        return heard

    def drop(self, name, data):
        path = f"/images?tab={quote(self.tab)}&name={quote(name)}"
        status, _, said = asked(self.explorer, "POST", path, data)
        return status, json.loads(said)

    def close(self):
        """As a browser does: the connection ends."""
        import socket

        found = self._connection.sock or self._answer.fp.raw._sock
        found.shutdown(socket.SHUT_RDWR)
        self._thread.join(5)
        self._answer.close()
        self._connection.close()
