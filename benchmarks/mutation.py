"""How many small faults in the core the fast tests see: ``python benchmarks/mutation.py --n 300``.

Mutants (a comparison turned, a number one off, a keyword left out, ...) are drawn with a seed over
the files of `CORE`. Each is put into a copy of the tree, where the tests of its file run until one
fails. What ran is kept in ``--out``, a line of JSON each; the same command goes on where it was
interrupted, and ``--again`` tries survivors again, with the tests that there are now.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "robust_reps_ext"
EXPERIMENTS = ("experiments/test_experiments.py",)
RESULTS = ("results/test_result.py", "test_channels.py")
# Of every file of experiments, last.
NUMBERS = ("test_paper_constants.py",)
ATTACK = ("upstream/attack/test_pgd.py", "synthesis/test_run.py", "synthesis/test_guards.py")
SYNTHESIS = ("synthesis/test_run.py", "experiments/test_inversion.py", "synthesis/test_guards.py")
SNAPSHOT = ("synthesis/test_snapshot.py",)
# File -> its fast tests, in the order in which they run.
CORE: dict[str, tuple[str, ...]] = {
    "synthesis/objectives.py": ("experiments/test_inversion.py", *EXPERIMENTS, *ATTACK, *NUMBERS),
    "synthesis/settings.py": (*SYNTHESIS, *EXPERIMENTS, *NUMBERS),
    "synthesis/__init__.py": (*SYNTHESIS, "runtime/test_randomness.py", *NUMBERS),
    "synthesis/run.py": (*SYNTHESIS, *SNAPSHOT, *NUMBERS),
    "synthesis/trace.py": ("synthesis/test_trace.py", *SYNTHESIS, *SNAPSHOT),
    "upstream/attack/attacker.py": (*ATTACK, "upstream/attack/test_network_copy.py", *NUMBERS),
    "upstream/attack/pgd.py": (*ATTACK, *EXPERIMENTS, *SNAPSHOT, *NUMBERS),
    "upstream/attack/schedules.py": (*ATTACK, *EXPERIMENTS, *SNAPSHOT),
    "upstream/attack/state.py": (*ATTACK, *SNAPSHOT),
    "upstream/attack/steps.py": (*ATTACK, *EXPERIMENTS, "experiments/test_regularizers.py"),
    "experiments/accuracy.py": ("experiments/test_accuracy.py", *EXPERIMENTS, *RESULTS, *NUMBERS),
    "experiments/activations.py": (
        "experiments/test_activations.py",
        "experiments/test_accuracy.py",
        *EXPERIMENTS,
        *RESULTS,
        *NUMBERS,
    ),
    "experiments/addition.py": (*EXPERIMENTS, *RESULTS, *NUMBERS),
    "experiments/constrained.py": (*EXPERIMENTS, *RESULTS, *NUMBERS),
    "experiments/interpolation.py": (*EXPERIMENTS, *RESULTS, *NUMBERS),
    "experiments/inversion.py": ("experiments/test_inversion.py", *RESULTS, *NUMBERS),
    "experiments/visualization.py": (
        *EXPERIMENTS,
        "experiments/test_regularizers.py",
        *RESULTS,
        *NUMBERS,
    ),
    "experiments/scorecard/statistics.py": ("experiments/scorecard/test_scorecard.py",),
    "models/representation.py": ("models/test_representation.py", *NUMBERS),
    "datasets/restricted_imagenet.py": ("datasets/test_restricted_imagenet.py", *NUMBERS),
    "upstream/data/label_maps.py": ("datasets/test_restricted_imagenet.py", *NUMBERS),
}
# Third parties' modules, imported once; each mutant's process is a fork.
PRELOADED = (
    "torch torchvision numpy scipy.stats pandas matplotlib.pyplot PIL.Image safetensors.torch "
    "tqdm pytest tables dill git tensorboardX timm"
)
LIMIT = 600.0  # seconds of the tests of a mutant
COPIED = ("robust_reps_ext", "tests", "pyproject.toml")

COMPARED: dict[type, tuple[type, ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
REPLACED: dict[type, type] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}


@dataclass(frozen=True)
class Mutant:
    """`was`, at bytes `start` to `stop` of a file, becomes `now`."""

    path: str
    line: int
    column: int
    start: int
    stop: int
    was: str
    now: str

    @property
    def id(self) -> str:
        return f"{self.path}:{self.line}:{self.column}: {self.was} -> {self.now}"


class Finder:
    """All mutants of a file."""

    def __init__(self, path: str, source: str) -> None:
        self.path, self.source = path, source.encode()
        self.begins = [0]
        for line in self.source.splitlines(keepends=True):
            self.begins.append(self.begins[-1] + len(line))
        self.found: list[Mutant] = []
        for statement in ast.parse(source).body:
            self._statement(statement)

    def _statement(self, node: ast.stmt) -> None:
        if isinstance(node, (ast.Import, ast.ImportFrom)) or _is_left_out(node):
            return
        if isinstance(node, ast.FunctionDef):
            for default in (*node.args.defaults, *node.args.kw_defaults):
                if default is not None:
                    self._expression(default)
        elif not isinstance(node, ast.ClassDef):
            self._parts(node)
        for name in ("body", "orelse", "finalbody", "handlers"):
            for child in getattr(node, name, []):
                if isinstance(child, ast.ExceptHandler):
                    for one in child.body:
                        self._statement(one)
                else:
                    self._statement(child)

    def _parts(self, node: ast.stmt) -> None:
        """A statement itself, and its expressions."""
        if isinstance(node, (ast.Raise, ast.AugAssign, ast.Break)) or (
            isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
        ):
            self._add(node, "pass")
        if isinstance(node, (ast.If, ast.While)):
            self._add(node.test, f"not ({ast.unparse(node.test)})")
        if isinstance(node, ast.Raise):  # what it says
            return
        for name, value in ast.iter_fields(node):
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.expr) and name != "annotation":
                    self._expression(child)
                elif isinstance(child, ast.withitem):
                    self._expression(child.context_expr)

    def _expression(self, node: ast.expr) -> None:
        if isinstance(node, ast.JoinedStr):
            return
        for other in _others(node):
            self._add(node, other)
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.keyword):
                if child.arg != "strict":
                    self._expression(child.value)
            elif isinstance(child, ast.comprehension):
                for part in (child.iter, *child.ifs):
                    self._expression(part)
            elif isinstance(child, ast.expr):
                self._expression(child)

    def _add(self, node: Any, now: str) -> None:
        start = self.begins[node.lineno - 1] + node.col_offset
        stop = self.begins[node.end_lineno - 1] + node.end_col_offset
        was = " ".join(self.source[start:stop].decode().split())
        place = (self.path, node.lineno, node.col_offset, start, stop)
        self.found.append(Mutant(*place, was, now))


def _is_left_out(node: ast.stmt) -> bool:
    """Text, names for export, and what type checkers alone read."""
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
        return node.targets[0].id in ("__all__", "_log")
    if isinstance(node, ast.If):
        return ast.unparse(node.test) == "TYPE_CHECKING"
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _others(node: ast.expr) -> Iterator[str]:
    """What may stand in place of an expression."""
    if isinstance(node, ast.Constant):
        if isinstance(node.value, bool):
            yield str(not node.value)
        elif isinstance(node.value, int):
            yield str(node.value + 1)
            if node.value > 1:
                yield str(node.value - 1)
        elif isinstance(node.value, float):
            yield str(node.value * 2 or 1.0)
    elif isinstance(node, ast.Compare):
        for i, operator in enumerate(node.ops):
            for other in COMPARED[type(operator)]:
                ops = [*node.ops[:i], other(), *node.ops[i + 1 :]]
                yield f"({ast.unparse(ast.Compare(node.left, ops, node.comparators))})"
    elif isinstance(node, ast.BinOp) and type(node.op) in REPLACED:
        yield f"({ast.unparse(ast.BinOp(node.left, REPLACED[type(node.op)](), node.right))})"
    elif isinstance(node, ast.BoolOp):
        other = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        yield f"({ast.unparse(ast.BoolOp(other, node.values))})"
    elif isinstance(node, ast.UnaryOp):
        yield f"({ast.unparse(node.operand)})"
    elif isinstance(node, ast.IfExp):
        yield f"({ast.unparse(ast.IfExp(node.test, node.orelse, node.body))})"
    elif isinstance(node, ast.Call):
        for i, keyword in enumerate(node.keywords):
            if keyword.arg not in (None, "strict"):
                left = [*node.keywords[:i], *node.keywords[i + 1 :]]
                yield ast.unparse(ast.Call(node.func, node.args, left))


class Watch:
    """A plugin of pytest: the test that failed."""

    failed = ""

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed and not self.failed:
            self.failed = report.nodeid

    def pytest_collectreport(self, report: Any) -> None:
        self.pytest_runtest_logreport(report)


def _tests(files: tuple[str, ...]) -> dict[str, Any]:
    """Run tests in this process until one fails."""
    import pytest

    watch = Watch()
    options = ["-q", "-x", "--tb=no", "-p", "no:cacheprovider", "-p", "no:xdist"]
    options += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
    # xdist's own option stands in pyproject.toml.
    options += ["-o", "addopts=--import-mode=importlib -m 'not slow'"]
    there = [f"tests/{name}" for name in files if Path("tests", name).exists()]
    return {"status": int(pytest.main([*options, *there], plugins=[watch])), "by": watch.failed}


def forked(
    log: Path, call: Callable[[], dict[str, Any]], timeout: float
) -> tuple[int | None, dict[str, Any]]:
    """What `call` gives as JSON in a process of its own, and its status; None after `timeout`."""
    told = log.with_suffix(".json")
    told.unlink(missing_ok=True)
    child = os.fork()
    if not child:
        os.setpgid(0, 0)
        with log.open("wb") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        status = 70
        try:
            found = call()
            told.write_text(json.dumps(found), "utf-8")
            status = int(found["status"])
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(status)
    ends = time.monotonic() + timeout
    while time.monotonic() < ends:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return status, json.loads(told.read_text("utf-8")) if told.exists() else {}
        time.sleep(0.05)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None, {}


class Copy:
    """A copy of the tree, that holds one mutant at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.log = path.parent / "log"

    def check(self) -> None:
        """End unless every test passes without a mutant."""
        files = tuple(dict.fromkeys(name for names in CORE.values() for name in names))
        status, told = forked(self.log, lambda: _tests(files), 12 * LIMIT)
        if status != 0:
            raise SystemExit(f"without a mutant {told.get('by')} fails: {self.log}")

    def tried(self, mutant: Mutant) -> dict[str, Any]:
        """Whether a test fails with the mutant, and which."""
        tests = CORE[mutant.path]
        path = self.path / PACKAGE / mutant.path
        before, times = path.read_bytes(), path.stat()
        path.write_bytes(before[: mutant.start] + mutant.now.encode() + before[mutant.stop :])
        begun = time.monotonic()
        try:
            status, told = forked(self.log, lambda: _tests(tests), LIMIT)
        finally:
            path.write_bytes(before)
            os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
        how = "timeout" if status is None else "survived" if status == 0 else "killed"
        seconds = round(time.monotonic() - begun, 1)
        row = {"id": mutant.id, "status": how, "by": told.get("by", ""), "seconds": seconds}
        return {**row, **asdict(mutant)}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--n", type=int, default=300, help="Mutants that are drawn.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("mutants.jsonl"))
    parser.add_argument("--again", action="store_true", help="Try survivors again.")
    parser.add_argument("--unchecked", action="store_true", help="Do not first run all tests once.")
    parser.add_argument("--copy", type=Path, help="The copy; for the script's own use.")
    given = parser.parse_args()
    if given.copy is None:
        copy = Path(tempfile.mkdtemp(prefix="mutants-")) / "tree"
        copy.mkdir()
        for name in COPIED:
            source, into = ROOT / name, copy / name
            (shutil.copytree if source.is_dir() else shutil.copy2)(source, into)
        os.environ |= {"PYTHONPATH": str(copy), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, *sys.argv, "--out", str(given.out.absolute())]
        os.chdir(copy)
        os.execv(sys.executable, [*command[:1], str(ROOT / "benchmarks" / "mutation.py"),
                                  *command[2:], "--copy", str(copy)])  # fmt: skip
    for name in PRELOADED.split():
        __import__(name)
    every = [
        mutant
        for name in CORE
        for mutant in Finder(name, (given.copy / PACKAGE / name).read_text("utf-8")).found
    ]
    drawn = random.Random(given.seed).sample(every, min(given.n, len(every)))
    lines = given.out.read_text("utf-8").splitlines() if given.out.exists() else []
    rows = {row["id"]: row for row in map(json.loads, lines)}
    copy = Copy(given.copy)
    if not given.unchecked:
        copy.check()
    for i, mutant in enumerate(drawn):
        before = rows.get(mutant.id)
        if before is None or (given.again and before["status"] == "survived"):
            rows[mutant.id] = row = copy.tried(mutant)
            with given.out.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
            print(
                f"{i + 1}/{len(drawn)} {row['status']}, {row['seconds']} s: {row['id']}", flush=True
            )
    ran = [rows[mutant.id] for mutant in drawn]
    count = Counter(row["status"] for row in ran)
    print(f"{len(every)} mutants in {len(CORE)} files, {len(ran)} drawn with seed {given.seed}: "
          f"{dict(count)}, {100 * (1 - count['survived'] / len(ran)):.1f}% seen")  # fmt: skip
    for row in ran:
        if row["status"] == "survived":
            print(f"survived: {row['id']}")
    shutil.rmtree(given.copy.parent)


if __name__ == "__main__":
    main()
