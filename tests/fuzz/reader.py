"""Reads files of strangers in a process of its own, of little memory and under a watch.

Gets lines ``{"kind": ..., "path": ...}`` and answers each with what came of it: ``"read"``,
``"refused"``, or anything else, which is a defect; what the process did that no reader needs to do;
and the seconds it took. HDF5 is C, and may end the process instead: that, too, is seen.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import resource
import sys
import time
from pathlib import Path

import numpy as np
import torch

import robust_reps_ext as rr
from robust_reps_ext.datasets.critters import images
from robust_reps_ext.datasets.critters.series import Series
from robust_reps_ext.experiments.accuracy import Accuracies
from robust_reps_ext.experiments.paper.units import ORDER
from robust_reps_ext.experiments.scorecard.result import Scorecard
from robust_reps_ext.models.checkpoints import read_checkpoint
from robust_reps_ext.results import safe_pickle
from robust_reps_ext.results.activations import Activations
from robust_reps_ext.results.reader import read_results
from robust_reps_ext.results.synthesis import Synthesis
from robust_reps_ext.results.units import finished_units
from robust_reps_ext.runtime.image_files import pil_loader
from robust_reps_ext.upstream.arguments import fill_from_file, number
from robust_reps_ext.upstream.training.options import GROUPS, entries

OPTIONS = [entries(group) for group in GROUPS]
SERIES = Series(9, 0, 24, "val")
PROGRAMS = ("os.system", "os.exec", "os.posix_spawn", "os.fork", "subprocess.Popen")
OTHERS = ("socket.connect", "pickle.find_class", "os.remove", "os.rename", "shutil.rmtree")


def plain_pickle(path: Path) -> None:
    try:
        safe_pickle.loads(path.read_bytes())
    except pickle.UnpicklingError as error:
        raise rr.InputError(type(error).__name__) from error


def preset(path: Path) -> None:
    fill_from_file(argparse.Namespace(), path, OPTIONS)


# A store and a unit are files in a folder of a folder, which is what is read.
READERS = {
    "accuracies": lambda path: repr(Accuracies.load(path)),
    "activations": lambda path: repr(Activations.load(path)),
    "checkpoint": read_checkpoint,
    "critters": lambda path: images._read(path, SERIES),
    "image": pil_loader,
    "number": lambda path: number(path.read_text("utf-8", "replace"), "--eps"),
    "pickle": plain_pickle,
    "preset": preset,
    "record": lambda path: read_results(path.parents[2]),
    "scorecard": lambda path: repr(Scorecard.load(path)),
    "store": lambda path: read_results(path.parents[1]),
    "synthesis": lambda path: repr(Synthesis.load(path)),
    "program": lambda path: os.system("true"),
    "unit": lambda path: finished_units(path.parents[1], ORDER),
}


def main(mebibytes: int) -> None:
    # What a reader prints is no answer.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    seen: list[str] = []

    def watch(event, arguments):
        if event.startswith(PROGRAMS) or event in OTHERS:
            seen.append(event)
        elif event == "open" and set("wax+") & set(str(arguments[1])):
            seen.append(f"open {arguments[0]}")
        elif event == "exec":
            seen.append(f"exec {arguments[0]}")

    status = Path("/proc/self/status").read_text().splitlines()
    size = next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmSize:"))
    watched = False
    for line in sys.stdin:
        asked = json.loads(line)
        kind, path = asked["kind"], Path(asked["path"])
        if kind == "begin":  # what is imported when it is first needed has been by now
            limit = size + mebibytes * 2**20
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
            if not watched:
                sys.addaudithook(watch)
                watched = True
        seen.clear()
        if kind == "begin":
            answer = {"said": "read", "seen": [], "took": 0.0}
        else:
            answer = (in_a_fork if kind == "store" and watched else outcome)(
                READERS[kind], path, seen
            )
        print(json.dumps(answer), file=answers, flush=True)


def outcome(read, path: Path, seen: list[str]) -> dict[str, object]:
    began = time.process_time()
    try:
        read(path)
        said = "read"
    except rr.InputError as error:
        said = "refused" if "\n" not in str(error) else f"two lines: {error!r}"
    except BaseException as error:
        said = f"{type(error).__module__}.{type(error).__qualname__}: {error}"
    return {"said": said, "seen": seen[:], "took": time.process_time() - began}


def in_a_fork(read, path: Path, seen: list[str]) -> dict[str, object]:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        seen.clear()
        os.write(writing, json.dumps(outcome(read, path, seen)).encode())
        os._exit(0)
    os.close(writing)
    with open(reading, "rb") as pipe:
        told = pipe.read()
    _, status = os.waitpid(child, 0)
    if told:
        return dict(json.loads(told))
    return {"said": f"crashed by signal {os.WTERMSIG(status)}", "seen": [], "took": 0.0}


if __name__ == "__main__":
    torch.set_num_threads(1)
    np.seterr(all="ignore")
    main(int(sys.argv[1]))
