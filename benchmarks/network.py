"""Training in two processes that a slow network joins: ``python benchmarks/network.py``, as root.

Each process is in a network namespace of its own, and this program carries the packets between
them: each arrives ``--latency`` milliseconds after it was sent, and no more come through than
``--rate`` lets. What is trained, and how long a step takes, is as in `scaling.py`. Needs Linux,
``ip`` and ``/dev/net/tun``.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import os
import select
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from timing import machine

NAMES = ("reps0", "reps1")  # of the namespaces, and of the device in each
ADDRESSES = ("10.77.0.1", "10.77.0.2")
# <linux/if_tun.h>: TUNSETIFF, and IFF_TUN with IFF_NO_PI.
SET_INTERFACE, PACKETS_ONLY = 0x400454CA, 0x1001


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


@contextlib.contextmanager
def namespaces() -> Iterator[list[int]]:
    """Two namespaces with a device each; what one sends is read from its file, and so written."""
    with contextlib.ExitStack() as stack:
        ends = []
        for name, address in zip(NAMES, ADDRESSES, strict=True):
            ip("netns", "add", name)
            stack.callback(ip, "netns", "delete", name)
            end = os.open("/dev/net/tun", os.O_RDWR)
            stack.callback(os.close, end)
            fcntl.ioctl(end, SET_INTERFACE, struct.pack("16sH22x", name.encode(), PACKETS_ONLY))
            ip("link", "set", name, "netns", name)
            ip("-n", name, "address", "add", f"{address}/24", "dev", name)
            ip("-n", name, "link", "set", name, "up", "mtu", "60000")
            ip("-n", name, "link", "set", "lo", "up")
            ends.append(end)
        yield ends


@contextlib.contextmanager
def carried(ends: list[int], latency: float, rate: float) -> Iterator[None]:
    """While the block runs, packets go between the ends: after `latency` s, at `rate` bytes/s."""
    over = threading.Event()
    to = dict(zip(ends, reversed(ends), strict=True))
    on_the_way: dict[int, deque[tuple[float, bytes]]] = {end: deque() for end in ends}
    free = dict.fromkeys(ends, 0.0)

    def carry() -> None:
        while not over.is_set():
            now = time.monotonic()
            for end, packets in on_the_way.items():
                while packets and packets[0][0] <= now:
                    os.write(end, packets.popleft()[1])
            due = min([now + 0.1, *(packets[0][0] for packets in on_the_way.values() if packets)])
            for end in select.select(ends, [], [], max(0.0, due - time.monotonic()))[0]:
                packet = os.read(end, 65536)
                free[to[end]] = max(free[to[end]], time.monotonic()) + len(packet) / rate
                on_the_way[to[end]].append((free[to[end]] + latency, packet))

    thread = threading.Thread(target=carry)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def launch(given: argparse.Namespace, port: int) -> float:
    """Train in both namespaces; the median of a step's seconds."""
    scaling = Path(__file__).with_name("scaling.py")
    with tempfile.TemporaryDirectory() as folder:
        runs = []
        for rank, name in enumerate(NAMES):
            command = ["ip", "netns", "exec", name, sys.executable, "-m", "torch.distributed.run"]
            command += ["--nnodes", "2", "--nproc-per-node", "1", "--node-rank", str(rank)]
            command += ["--master-addr", ADDRESSES[0], "--master-port", str(port)]
            command += [str(scaling), "train", "--in", folder]
            command += ["--steps", str(given.steps), "--batch", str(given.batch)]
            environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": name}
            runs.append(subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL))
        ends = [run.wait() for run in runs]
        if any(ends):
            raise SystemExit("a process failed")
        return statistics.median(json.loads(Path(folder, "times.json").read_text()))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--latency", type=float, nargs="+", default=[0, 1, 10, 50], help="ms")
    parser.add_argument("--rate", type=float, default=1000, help="megabits a second, each way")
    parser.add_argument("--rounds", type=int, default=3, help="launches of each latency")
    parser.add_argument("--steps", type=int, default=6, help="steps that count, a launch")
    parser.add_argument("--batch", type=int, default=32, help="images of each process")
    given = parser.parse_args()
    print(f"{machine()}; {given.rate:g} Mbit/s", flush=True)
    times: dict[float, list[float]] = {latency: [] for latency in given.latency}
    with namespaces() as ends:
        for i in range(given.rounds):
            for k, latency in enumerate(given.latency[:: 1 if i % 2 else -1]):
                with carried(ends, latency / 1000, given.rate * 1e6 / 8):
                    times[latency].append(launch(given, 29400 + i * len(times) + k))
    for latency, seconds in times.items():
        print(
            f"{latency:g} ms: {1000 * statistics.median(seconds):.0f} ms a step of {given.batch} "
            f"images each ({1000 * min(seconds):.0f} to {1000 * max(seconds):.0f})"
        )


if __name__ == "__main__":
    main()
