"""What the import hook costs at each start of Python: ``python benchmarks/startup.py [--runs N]``.

Two bare virtual environments hold the built package; one of them lacks the start-up files.
``python -c pass`` is timed in turns, so that whatever else the machine does falls on both; on a
busy machine only the processor time means something.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Sequence
from pathlib import Path
from zipfile import ZipFile

ROOT = Path(__file__).parents[1]


def environment(where: Path, wheel: Path, *, start_up_files: bool) -> Path:
    """Make a virtual environment that holds the wheel's content; return its interpreter."""
    venv.create(where, symlinks=True)
    python = where / "bin" / "python"
    query = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = Path(subprocess.check_output([python, "-c", query], text=True).strip())
    with ZipFile(wheel) as archive:
        archive.extractall(site)
    if not start_up_files:
        for file in (*site.glob("*.pth"), *site.glob("*.start")):
            file.unlink()
    subprocess.run([python, "-m", "compileall", "-q", site], check=True)
    return python


def start(python: Path) -> tuple[float, float]:
    """Start the interpreter once; return its processor time and the time on the wall, in ms."""
    before = time.perf_counter()
    process = subprocess.Popen([python, "-c", "pass"])
    _, process.returncode, usage = os.wait4(process.pid, 0)
    return 1000 * (usage.ru_utime + usage.ru_stime), 1000 * (time.perf_counter() - before)


def report(what: str, hooked: Sequence[float], bare: Sequence[float]) -> None:
    differences = sorted(a - b for a, b in zip(hooked, bare, strict=True))
    quarter = len(differences) // 4
    print(
        f"{what}: {statistics.median(bare):.2f} ms without the hook; the hook adds "
        f"{statistics.median(differences):.2f} ms (median of {len(differences)} pairs, middle half "
        f"{differences[quarter]:.2f} to {differences[-quarter - 1]:.2f} ms)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=400, help="starts of each interpreter")
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as scratch:
        subprocess.run(
            [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", scratch, str(ROOT)],
            check=True,
        )
        (wheel,) = Path(scratch).glob("*.whl")
        hooked = environment(Path(scratch, "hooked"), wheel, start_up_files=True)
        bare = environment(Path(scratch, "bare"), wheel, start_up_files=False)
        times: dict[Path, list[tuple[float, float]]] = {hooked: [], bare: []}
        for i in range(runs):
            for python in (hooked, bare) if i % 2 else (bare, hooked):
                times[python].append(start(python))
    for i, what in enumerate(("processor time", "wall time")):
        report(what, [t[i] for t in times[hooked]], [t[i] for t in times[bare]])


if __name__ == "__main__":
    main()
