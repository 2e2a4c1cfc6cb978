"""A corpus of hostile files: each is one line that names it, in little time and memory.

They are loaded in a process of their own whose memory is limited, under an audit hook that sees
every program started, module executed, file written and connection made.
"""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from hostile_files import HOSTILE

SECONDS = 2.0
MEBIBYTES = 512

CHILD = """
import json, pathlib, resource, sys, time
import torch
import robust_reps_ext as rr
from robust_reps_ext.datasets.critters.networks import critters_resnet

folder = pathlib.Path(sys.argv[1])
half = ((0.5,) * 3, (0.5,) * 3)


def load(path):
    try:
        rr.load_model(path, normalize=half)
    except rr.InputError as error:
        return str(error)
    return "it was loaded"


# What is imported when it is first needed is imported now; zipfile reads names in code page 437.
b"x".decode("cp437")
torch.save({"fc.weight": torch.zeros(9, 1), "layer1.0.conv1.weight": torch.zeros(1)}, folder / "0")
torch.save(critters_resnet(num_classes=9).state_dict(), folder / "1")
for name in "01":
    load(folder / name)

seen, writes = [], ("w", "a", "x", "+")


def watch(event, arguments):
    if event in ("exec", "compile", "import", "pickle.find_class", "socket.connect") or (
        event.startswith(("os.", "subprocess.", "shutil."))
        and event not in ("os.listdir", "os.scandir")
    ):
        seen.append(event)
    if event == "open" and any(mode in str(arguments[1]) for mode in writes):
        seen.append(f"open {arguments[0]}")


size = next(
    int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line[:7] == "VmSize:"
)
limit = size + int(sys.argv[2]) * 2**20
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
sys.addaudithook(watch)
for path in sorted(folder.glob("*.hostile")):
    seen.clear()
    start = time.process_time()
    said = load(path)
    took = time.process_time() - start
    print(json.dumps({"name": path.stem, "said": said, "took": took, "seen": seen[:]}), flush=True)
"""


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """What happened with each file; and the file that code in it would have made."""
    folder = tmp_path_factory.mktemp("hostile")
    marker = folder / "marker"
    for number, (content, _) in enumerate(HOSTILE.values()):
        (folder / f"{number:03}.hostile").write_bytes(content(marker))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", CHILD, str(folder), str(MEBIBYTES)],
        capture_output=True,
        text=True,
        timeout=300,
    )
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(found) == len(HOSTILE), done.stderr[-2000:]
    return dict(zip(HOSTILE, found, strict=True)), marker


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_file(name, outcomes):
    found, marker = outcomes
    said = found[name]["said"]
    assert HOSTILE[name][1] in said
    assert f"{found[name]['name']}.hostile" in said
    assert "\n" not in said
    assert len(said) < 700
    assert found[name]["seen"] == []
    assert found[name]["took"] < SECONDS
    assert not marker.exists()


def test_the_watch_sees_what_a_trusted_file_does(tmp_path):
    """The audit hook of these tests is no ornament."""
    import os

    from checkpoint_files import saved
    from hostile_files import Call

    (tmp_path / "000.hostile").write_bytes(saved({"model": Call(os.system, "true")}))
    child = CHILD.replace("normalize=half)", "normalize=half, trust=True)")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", child, str(tmp_path), str(MEBIBYTES)],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert "os.system" in json.loads(done.stdout)["seen"]
