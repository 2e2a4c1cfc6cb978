"""How soon and how fast the explorer shows images: ``python benchmarks/explore.py [--runs N]``.

Starts `robust-reps explore` with the bundled pair, opens a page as a browser does, and inverts the
first photograph with both networks at 64 pixels, ``--runs`` times one after the other. From the
moment at which the run is asked for are timed: the first frame, which is where the run begins; the
first after a step; and the frames a second of each network. A browser draws a frame in
less than a millisecond more.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import secrets
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit


class Page:
    """What a browser is to the server."""

    def __init__(self, address: str) -> None:
        there = urlsplit(address)
        self.host, [self.token] = there.netloc, parse_qs(there.query)["token"]
        self._connection = http.client.HTTPConnection(self.host)
        self._connection.request("GET", f"/events?token={self.token}")
        self._events = self._connection.getresponse()
        self.tab = next(self.heard())["tab"]

    def heard(self) -> Iterator[dict[str, Any]]:
        for line in self._events:
            if line.startswith(b"data: "):
                yield json.loads(line[6:])

    def begin(self) -> None:
        asked = {"tab": self.tab, "run": secrets.token_hex(8), "networks": [0, 1]}
        body = json.dumps({**asked, "kind": "match", "image": 0})
        connection = http.client.HTTPConnection(self.host)
        headers = {"X-Token": self.token, "Origin": f"http://{self.host}"}
        connection.request("POST", "/runs", body, headers)
        answer = connection.getresponse()
        if answer.status != 200:
            sys.exit(answer.read().decode())
        connection.close()

    def run(self) -> dict[str, float]:
        """One inversion with both networks."""
        began = time.perf_counter()
        self.begin()
        frames: dict[int, list[tuple[float, int]]] = {0: [], 1: []}
        left = {0, 1}
        for event in self.heard():
            now = time.perf_counter() - began
            if event["type"] == "frame":
                frames[event["network"]].append((now, event["step"]))
            elif event["state"] in ("done", "failed"):
                left.discard(event["network"])
            if not left:
                break
        times = [[when for when, _ in one] for one in frames.values()]
        stepped = [next(when for when, step in one if step) for one in frames.values()]
        rates = [(len(one) - 1) / (one[-1] - one[0]) for one in times]
        return {
            "first frame, ms": 1000 * max(one[0] for one in times),
            "first step, ms": 1000 * max(stepped),
            "frames a second": min(rates),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=9)
    runs = parser.parse_args().runs
    command = [sys.executable, "-m", "robust_reps_ext", "explore", "--no-open"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            page = Page(server.stdout.readline().strip())
            page.run()
            found = [page.run() for _ in range(runs)]
        finally:
            server.terminate()
    for name in found[0]:
        values = sorted(one[name] for one in found)
        middle = statistics.median(values)
        print(f"{name}: median {middle:.0f} of {runs} runs, {values[0]:.0f} to {values[-1]:.0f}")
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
