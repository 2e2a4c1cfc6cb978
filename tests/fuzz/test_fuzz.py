"""Whatever a file holds, reading it gives a value or one line, soon, and runs nothing.

`ROBUST_REPS_EXT_FUZZ=N` tries N files of each kind instead of a few, others each time.
"""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))
from samples import SAMPLES, packed, samples

READER = Path(__file__).with_name("reader.py")
CORPUS = Path(__file__).parent / "corpus"
ASKED = os.environ.get("ROBUST_REPS_EXT_FUZZ", "")
EXAMPLES = int(ASKED or 40)
MEBIBYTES = 768
SECONDS = 4.0
HANGS = 40.0
# Where the file must lie for its reader.
PLACES = {"store": "s/one/store.h5", "record": "r/one/records/a.json", "unit": "u/one/unit.json"}

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="memory is limited by what Linux tells"
)


class Reader:
    """The process that reads; a new one is started where one has ended."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process: subprocess.Popen[str] | None = None
        atexit.register(self.stop)

    def start(self) -> None:
        with open(self.folder / "stderr.txt", "w") as said:
            self.process = subprocess.Popen(
                [sys.executable, "-W", "ignore", str(READER), str(MEBIBYTES)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=said,
                text=True,
            )
        for kind in SAMPLES:
            for content in samples(kind):
                self.ask(kind, content)
        self.say({"kind": "begin", "path": ""})

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
            self.process = None

    def say(self, line: dict[str, str]) -> dict[str, object]:
        process = self.process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        timer = threading.Timer(HANGS, process.kill)
        timer.start()
        try:
            process.stdin.write(json.dumps(line) + "\n")
            process.stdin.flush()
            answer = process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        finally:
            timer.cancel()
        if answer:
            return dict(json.loads(answer))
        process.communicate()
        status, self.process = process.returncode, None
        told = (self.folder / "stderr.txt").read_text()[-2000:]
        return {"said": f"the process ended with {status}: {told}", "seen": [], "took": 0.0}

    def ask(self, kind: str, content: bytes) -> dict[str, object]:
        """What comes of reading a file."""
        path = self.folder / PLACES.get(kind, "file")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(packed(kind, content))
        reader = "checkpoint" if kind == "program" else kind
        return self.say({"kind": reader, "path": str(path)})

    def check(self, kind: str, content: bytes) -> None:
        """The property: a value or one line, in little time, and nothing done beside."""
        if self.process is None:
            self.start()
        found = self.ask(kind, content)
        if kind == "store" and str(found["said"]).startswith("crashed"):
            return  # HDF5's own code: docs/security.md
        assert found["said"] in ("read", "refused")
        assert found["seen"] == []
        assert float(str(found["took"])) < SECONDS


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    found = Reader(tmp_path_factory.mktemp("fuzz"))
    yield found
    found.stop()


def changed(content: bytes, changes: list[tuple[str, int, bytes]]) -> bytes:
    """A file with bytes exchanged, put in, taken out, repeated, or cut off."""
    data = bytearray(content)
    for what, place, piece in changes:
        at = place % (len(data) + 1)
        if what == "exchange":
            data[at : at + len(piece)] = piece
        elif what == "put in":
            data[at:at] = piece
        elif what == "take out":
            del data[at : at + len(piece)]
        elif what == "repeat":
            data[at:at] = data[at : at + 16 * len(piece)]
        else:
            del data[at:]
    return bytes(data)


PIECES = st.one_of(
    st.binary(min_size=1, max_size=8),
    st.sampled_from(
        [b"\xff" * 4, b"\xff" * 8, b"\0" * 8, b"\x7f\xff\xff\xff", b"cos\nsystem\n", b"9" * 20]
    ),
)
CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["exchange", "put in", "take out", "repeat", "cut"]),
        st.integers(0, 2**19),
        PIECES,
    ),
    max_size=6,
)


@pytest.mark.parametrize("files", [4, pytest.param(EXAMPLES, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", SAMPLES)
def test_changed_files(reader, kind, files):
    @settings(
        max_examples=files // 4 if kind == "store" else files,  # each a process
        deadline=None,
        derandomize=not ASKED,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.integers(0, len(samples(kind)) - 1), CHANGES)
    def try_one(which, changes):
        reader.check(kind, changed(samples(kind)[which], changes))

    try_one()


@pytest.mark.parametrize("path", sorted(CORPUS.glob("*.*")), ids=lambda path: path.name)
def test_files_that_were_found_once(reader, path):
    reader.check(path.name.partition("-")[0], path.read_bytes())


def test_the_watch_sees_what_runs(reader):
    """The audit hook of these tests is no ornament."""
    if reader.process is None:
        reader.start()
    assert reader.say({"kind": "program", "path": ""})["seen"] == ["os.system"]
