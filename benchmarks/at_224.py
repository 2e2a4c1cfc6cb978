"""Every experiment of the command line at 224 pixels: minutes and memory of a ResNet-50.

    python benchmarks/at_224.py --data DIR              # an ImageNet tree; val/ is enough
    python benchmarks/at_224.py --data DIR --n 2 --iterations 5 --out OUT

The weights are drawn at random, which costs what trained ones do. Each command runs twice in a
process of its own, with one step and with `iterations` more: the difference tells what a step of
an image costs, and with that what the paper's number of steps would take. Memory is the largest
resident size of the process.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from timing import machine, random_resnet50


@dataclass(frozen=True)
class Command:
    """What is typed, how many images it makes for each of `n`, and the paper's steps for each."""

    words: tuple[str, ...]
    images: int = 1
    paper: int = 10_000


COMMANDS = (
    Command(("invert",)),
    Command(("invert", "--start", "images")),
    Command(("invert", "--schedule", "lbfgs"), paper=100),
    Command(("curve", "--radii", "2,8,32,128"), 4),
    Command(("interpolate", "--steps", "10"), 11),
    Command(("visualize", "--coordinates", "random:4"), 8, 200),
    Command(("visualize", "--coordinates", "random:4", "--parameterization", "fourier"), 8, 200),
    Command(("add-feature", "--coordinate", "3"), 1, 800),
)


def main() -> None:
    """One line for each command."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--data", required=True, help="a tree of ImageNet's class folders")
    parser.add_argument("--n", type=int, default=4)
    parser.add_argument("--iterations", type=int, default=10)
    parser.add_argument("--out", help="keep the results there; default: nowhere")
    args = parser.parse_args()
    print(f"{machine()}, {args.n} images or pairs\n")
    print("| command | fixed | an image-step | GiB | the paper's steps, an image |")
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Path(folder, "resnet50.pt")
        torch.manual_seed(0)
        torch.save(random_resnet50().state_dict(), checkpoint)
        for command in COMMANDS:
            out = Path(args.out or folder, "-".join(command.words).replace(",", "-"))
            given = (*command.words, "--model", str(checkpoint), "--n", str(args.n))
            given += ("--dataset", "restricted_imagenet", "--data", args.data)
            once, _ = spent(*given, "--iterations", "1", "--out", f"{out}-once")
            more = str(1 + args.iterations)
            all_of_it, memory = spent(*given, "--iterations", more, "--out", str(out))
            step = max(0.0, all_of_it - once) / args.iterations / command.images / args.n
            minutes = step * command.images * command.paper / 60
            print(
                f"| `{' '.join(command.words)}` | {once:.0f} s | {step:.2f} s | {memory:.1f} "
                f"| {minutes:.1f} min |",
                flush=True,
            )


def spent(*words: str) -> tuple[float, float]:
    """Seconds of a command, and GiB of its process."""
    begun = time.monotonic()
    process = subprocess.Popen([sys.executable, "-c", _RUN, *words], stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(words)}: it ended with {os.waitstatus_to_exitcode(status)}")
    return time.monotonic() - begun, used.ru_maxrss / 2**20


_RUN = "import sys; from robust_reps_ext.cli import main; sys.argv[0] = 'robust-reps'; main()"

if __name__ == "__main__":
    main()
