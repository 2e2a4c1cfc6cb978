"""What the fuzz tests begin with: a few good and many hostile files of each kind, as bytes."""

from __future__ import annotations

import functools
import io
import json
import pickle
import tempfile
import zipfile
from pathlib import Path

import dill
import numpy as np
import safetensors.torch
import torch
from checkpoint_files import LEGACY, attacker, network, saved
from hostile_files import HOSTILE, archive, tensor_program
from PIL import Image

from robust_reps_ext.experiments.accuracy import Accuracies, Accuracy
from robust_reps_ext.results.activations import Activations, Extreme
from robust_reps_ext.results.synthesis import Synthesis
from robust_reps_ext.upstream.training.presets import preset_names, preset_path

LONGEST = 2**19

__all__ = ["SAMPLES", "samples"]


def checkpoints() -> list[bytes]:
    state = attacker(network()).state_dict()
    good = [
        saved({"model": state, "epoch": 3, "optimizer": {"lr": [0.1]}}),
        saved(state, **LEGACY),
        saved({"model": state, "args": np.float64(1.0)}, pickle_module=dill),
        safetensors.torch.save({name: value.clone() for name, value in state.items()}),
    ]
    marker = "/nonexistent/marker"
    return good + [content(marker) for content, _ in HOSTILE.values()]


def programs() -> list[bytes]:
    """Pickles of checkpoints, which a zip file's checksums would otherwise protect."""
    with zipfile.ZipFile(io.BytesIO(saved({"model": network().state_dict(), "epoch": 3}))) as file:
        [name] = [one for one in file.namelist() if one.endswith("data.pkl")]
        return [file.read(name), tensor_program((2, 2), (2, 1), 4)]


def pickles() -> list[bytes]:
    values = [
        {"a": [1, 2.0, "x", None, True, b"y"], "b": (int, {3}, frozenset([4]))},
        np.arange(12, dtype=np.float32).reshape(3, 4),
        [np.float64(2.5), np.dtype("<U5"), np.array(["a", "bc"])],
    ]
    return [pickle.dumps(value, protocol) for value in values for protocol in (0, 2, 4, 5)] + [
        dill.dumps(value) for value in values
    ]


def stores() -> list[bytes]:
    from cox.store import Store

    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder, "one", new=True)
        store.add_table("metadata", {"eps": float, "note": str, "what": store.OBJECT})
        store["metadata"].append_row({"eps": 3.0, "note": "a", "what": {"x": [1, None]}})
        store.add_table("results", {"n": int})
        for n in range(3):
            store["results"].append_row({"n": n})
        store.close()
        return [Path(folder, "one", "store.h5").read_bytes()]


def syntheses() -> list[bytes]:
    images = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    made = Synthesis(
        images,
        images,
        torch.rand(2),
        torch.rand(1, 2),
        torch.zeros(1),
        {"eps": 3.0, "step_size": [1.0, 2.0], "iterations": 2},
        {"model": "x", "seed": 0},
    )
    return saved_result(made)


def saved_result(made) -> list[bytes]:
    with tempfile.TemporaryDirectory() as folder:
        return [made.save(Path(folder, "one")).read_bytes()]


def accuracies() -> list[bytes]:
    return saved_result(Accuracies([Accuracy("clean", 3, 4), Accuracy("PGD-20", 1, 4)]))


def activations() -> list[bytes]:
    numbers = torch.arange(4).view(2, 2)
    end = Extreme(torch.zeros(2, 2, 3, 4, 4), numbers.float(), numbers, numbers)
    return saved_result(Activations(torch.arange(2), end, end, seen=9, k=2))


def scorecards() -> list[bytes]:
    numbers = {"value": 0.5, "low": 0.4, "high": 0.6}
    row = {"name": "x", "unit": "share", "larger": True, "chance": None, "verdict": "separates"}
    row |= dict.fromkeys(("robust", "standard", "difference"), numbers)
    claim = {"name": "x", "section": "4.1", "statement": "y", "measures": [row]}
    card = {"claims": [claim], "left_out": {}, "made_with": {"eps": 1.5, "data": {"name": "x"}}}
    return [json.dumps(card).encode(), b"[" * 100_000, b"{}", b"\xff"]


def records() -> list[bytes]:
    from robust_reps_ext.results.records import record_path, write_record

    rows = [{"x": 1, "label": "dog"}, {"x": None, "label": ["cat", 2.5]}]
    with tempfile.TemporaryDirectory() as folder:
        write_record(Path(folder), "a", rows, table="results")
        return [record_path(Path(folder), "a").read_bytes()]


def presets() -> list[bytes]:
    hostile = [
        "{\"epochs\": \"__import__('os').system('true')\"}",
        '{"eps": "__import__"}',
        '{"eps": "2**2**2**2**2**2"}',
        '{"lr": NaN, "momentum": 1e999}',
        '{"custom-lr-multiplier": "[(0, exec)]"}',
        '{"epochs": ' + "9" * 5000 + "}",
        "[" * 100_000,
        '{"a": ' * 100_000,
    ]
    return [preset_path(name).read_bytes() for name in preset_names()] + [
        text.encode() for text in hostile
    ]


def numbers() -> list[bytes]:
    texts = ("8/255", "1e-3", "-(2 + 3) * 4 ** .5", "9**9**9**9", "(" * 200 + "1" + ")" * 200)
    more = (
        "__import__('os').system('true')",
        "1 if 2 else 3",
        "1e400",
        "0x1F",
        "1_000",
        "-" * 9999,
    )
    return [text.encode() for text in (*texts, *more)]


def images() -> list[bytes]:
    found = []
    picture = Image.effect_noise((16, 16), 50)
    for kind in ("JPEG", "PNG", "PPM", "BMP", "TIFF", "WEBP", "GIF"):
        for mode in ("L", "RGB"):
            stream = io.BytesIO()
            more = {"exif": b"Exif\0\0MM\0*" + bytes(99)} if kind in ("JPEG", "PNG", "WEBP") else {}
            picture.convert(mode).save(stream, kind, **more)
            found.append(stream.getvalue())
    for mode in ("P", "1", "I;16", "CMYK"):
        stream = io.BytesIO()
        base = Image.new("I;16", (9, 9), 999) if mode == "I;16" else picture.convert(mode)
        base.save(stream, "TIFF", compression="tiff_lzw" if mode != "I;16" else "raw")
        found.append(stream.getvalue())
    return found


def critters() -> list[bytes]:
    stream = io.BytesIO()
    np.savez(
        stream,
        pixels=np.zeros((9, 24, 24, 3), np.uint8),
        fine_labels=np.arange(9),
        factors=np.frombuffer(b"[]", np.uint8),
    )
    return [stream.getvalue()]


def units() -> list[bytes]:
    manifest = {
        "format": 3,
        "finished": "2026-01-01",
        "id": "fig6",
        "kind": "grid",
        "numbers": "Fig. 6",
        "title": "Inversion",
        "runs": ["robust"],
        "pictures": [],
        "metadata": {"labels": ["dog"]},
        "digest": "0",
        "study": {},
    }
    former = {**manifest, "format": 2, "facts": manifest["metadata"]}
    return [
        *(json.dumps(one).encode() for one in (manifest, former)),
        b"[" * 100_000,
        b"{}",
        b"[]",
        b"\xff",
    ]


SAMPLES = {
    "accuracies": accuracies,
    "activations": activations,
    "checkpoint": checkpoints,
    "critters": critters,
    "image": images,
    "number": numbers,
    "pickle": pickles,
    "preset": presets,
    "program": programs,
    "record": records,
    "scorecard": scorecards,
    "store": stores,
    "synthesis": syntheses,
    "unit": units,
}


@functools.cache
def samples(kind: str) -> tuple[bytes, ...]:
    """The samples of a kind that are no longer than half a mebibyte."""
    return tuple(one for one in SAMPLES[kind]() if len(one) <= LONGEST)


def packed(kind: str, content: bytes) -> bytes:
    """What is written to the file: a program goes into a checkpoint."""
    return archive(content, data__0=bytes(64)) if kind == "program" else content
