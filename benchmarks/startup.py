"""What starting costs: ``python benchmarks/startup.py [--runs N] [--only hook|imports]``.

The import hook at each start of Python: two bare virtual environments hold the built package; one
of them lacks the start-up files. ``python -c pass`` is timed in turns, so that whatever else the
machine does falls on both; on a busy machine only the processor time means something.

Then, in this environment: ``robust-reps --help``, and what `robust_reps_ext` adds to importing
torch and torchvision, alone and with everything that it offers by name.
"""

from __future__ import annotations

import argparse
import os
import platform
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


def start(python: Path | str, *arguments: str) -> tuple[float, float]:
    """Run the interpreter once; return its processor time and the time on the wall, in ms."""
    before = time.perf_counter()
    process = subprocess.Popen([python, *(arguments or ("-c", "pass"))], stdout=subprocess.DEVNULL)
    _, process.returncode, usage = os.wait4(process.pid, 0)
    if process.returncode:
        sys.exit(f"{python} {' '.join(arguments)} failed")
    return 1000 * (usage.ru_utime + usage.ru_stime), 1000 * (time.perf_counter() - before)


def report(what: str, hooked: Sequence[float], bare: Sequence[float]) -> None:
    differences = sorted(a - b for a, b in zip(hooked, bare, strict=True))
    quarter = len(differences) // 4
    print(
        f"{what}: {statistics.median(bare):.2f} ms without the hook; the hook adds "
        f"{statistics.median(differences):.2f} ms (median of {len(differences)} pairs, middle half "
        f"{differences[quarter]:.2f} to {differences[-quarter - 1]:.2f} ms)"
    )


def imports(runs: int) -> None:
    """Time the command's help and the imports, in turns, each in a process of its own."""
    torch = "import torch, torchvision"
    package = f"{torch}, robust_reps_ext"
    everything = f"{package} as rr; [getattr(rr, name) for name in rr.__all__]"
    commands = {
        "robust-reps --help": ("-m", "robust_reps_ext", "--help"),
        "torch, torchvision": ("-c", torch),
        "and robust_reps_ext": ("-c", package),
        "and all its names": ("-c", everything),
    }
    for arguments in commands.values():
        start(sys.executable, *arguments)  # writes what is compiled
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    for i in range(runs):
        for name in list(commands)[:: 1 if i % 2 else -1]:
            times[name].append(start(sys.executable, *commands[name]))
    reference = times["torch, torchvision"]
    for name, found in times.items():
        line = f"{name:20s}"
        for i, what in enumerate(("processor", "wall")):
            low, middle, high = statistics.quantiles([each[i] / 1000 for each in found], n=4)
            line += f" {what} {middle:.3f} s ({low:.3f} to {high:.3f})"
            if name.startswith("and"):
                added = [a[i] / b[i] - 1 for a, b in zip(found, reference, strict=True)]
                line += f", adds {100 * statistics.median(added):.1f}%"
            line += ";" if not i else ""
        print(line)


def hook(runs: int) -> None:
    """Time bare starts of Python with and without the start-up files."""
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=400, help="starts of each interpreter")
    parser.add_argument("--import-runs", type=int, default=10, help="imports of each kind")
    parser.add_argument("--only", choices=["hook", "imports"])
    given = parser.parse_args()
    print(f"Python {platform.python_version()}, load {os.getloadavg()[0]:.1f}")
    if given.only != "imports":
        hook(given.runs)
    if given.only != "hook":
        imports(given.import_runs)


if __name__ == "__main__":
    main()
