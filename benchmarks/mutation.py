"""How many small faults in the core the fast tests see: ``python benchmarks/mutation.py --n 300``.

Mutants (a comparison turned, a number one off, a keyword left out, ...) are drawn with a seed over
the files of `CORE`. Each is put into a copy of the tree, where the tests of its file run until one
fails. What ran is kept in ``--out``, a line of JSON each; the same command goes on where it was
interrupted, and ``--again`` tries survivors again, with the tests that there are now.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import json
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "robust_reps_ext"
EXPERIMENTS = ("experiments/test_experiments.py",)
PASSES = ("experiments/test_activations.py", "experiments/test_accuracy.py")
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
    "experiments/activations.py": (*PASSES, *EXPERIMENTS, *RESULTS, *NUMBERS),
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
SECONDS = 300  # of processor time, for the tests of a mutant
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


def _grafted(module: ModuleType, source: str) -> None:
    """Give the functions, classes and data of a module what they are in another source of it.

    In place, so that whoever has imported them has the changed ones.
    """
    new = ModuleType(module.__name__)
    new.__dict__.update(__file__=module.__file__, __package__=module.__package__)
    if hasattr(module, "__path__"):
        new.__path__ = module.__path__
    exec(compile(source, str(module.__file__), "exec"), new.__dict__)
    for name, value in vars(new).items():
        before = vars(module).get(name)
        if name.startswith("__") or value is before:
            continue
        if isinstance(value, type):
            for part, one in vars(value).items():
                _graft(before, part, vars(before).get(part), one)
        else:
            _graft(module, name, before, value)


def _graft(owner: Any, name: str, before: Any, value: Any) -> None:
    for inner in ("__wrapped__", "__func__", "fget", "func"):
        if hasattr(value, inner) and not isinstance(value, FunctionType):
            _graft(None, name, getattr(before, inner), getattr(value, inner))
            return
    if isinstance(value, FunctionType):
        if hasattr(value, "__wrapped__"):
            _graft(None, name, before.__wrapped__, value.__wrapped__)
            return
        before.__code__ = value.__code__
        before.__defaults__, before.__kwdefaults__ = value.__defaults__, value.__kwdefaults__
    elif isinstance(value, dict) and isinstance(before, dict):
        before.clear()
        before.update(value)
    elif owner is not None and not name.startswith("__"):
        setattr(owner, name, value)


class Mutants:
    """A plugin of pytest that runs the collected tests once for each mutant, in a fork."""

    def __init__(self, copy: Path, drawn: list[Mutant], out: Path, again: bool) -> None:
        self.copy, self.drawn, self.out, self.again = copy, drawn, out, again
        lines = out.read_text("utf-8").splitlines() if out.exists() else []
        self.rows = {row["id"]: row for row in map(json.loads, lines)}
        self.modules = {name: importlib.import_module(_dotted(name)) for name in CORE}
        self.failed = ""

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed and not self.failed:
            self.failed = report.nodeid

    def pytest_runtestloop(self, session: Any) -> bool:
        self._check(session)
        for i, mutant in enumerate(self.drawn):
            before = self.rows.get(mutant.id)
            if before is None or (self.again and before["status"] == "survived"):
                row = self.rows[mutant.id] = self.tried(session, mutant)
                with self.out.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")
                told = f"{i + 1}/{len(self.drawn)} {row['status']}, {row['seconds']} s: {row['id']}"
                print(told, file=sys.stderr, flush=True)
        return True

    def tried(self, session: Any, mutant: Mutant) -> dict[str, Any]:
        """Whether a test fails with the mutant, and which."""
        path = self.copy / PACKAGE / mutant.path
        before, times = path.read_bytes(), path.stat()
        source = before[: mutant.start] + mutant.now.encode() + before[mutant.stop :]
        path.write_bytes(source)  # for what starts processes
        begun = time.monotonic()
        try:
            change = partial(_grafted, self.modules[mutant.path], source.decode())
            how, by = self._forked(session, CORE[mutant.path], change)
        finally:
            path.write_bytes(before)
            os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
        seconds = round(time.monotonic() - begun, 1)
        return {"id": mutant.id, "status": how, "by": by, "seconds": seconds, **asdict(mutant)}

    def _check(self, session: Any) -> None:
        """End unless the tests pass where a module is given its own source."""
        for name, module in self.modules.items():
            source = (self.copy / PACKAGE / name).read_text("utf-8")
            how, by = self._forked(session, (), partial(_grafted, module, source))
            if how != "survived":
                pytest.exit(f"{name} cannot be changed: {by}", returncode=1)

    def _forked(
        self, session: Any, files: tuple[str, ...], change: Callable[[], None]
    ) -> tuple[str, str]:
        """How the tests end after a change, in a process of its own, and the test that failed."""
        told = self.copy.parent / "failed"
        told.unlink(missing_ok=True)
        child = os.fork()
        if not child:
            resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
            status = 1
            try:
                change()
                items = [
                    item
                    for name in files
                    for item in session.items
                    if item.nodeid.startswith(f"tests/{name}::")
                ]
                for item, after in zip(items, [*items[1:], None], strict=False):
                    session.config.hook.pytest_runtest_protocol(item=item, nextitem=after)
                    if self.failed:
                        break
                status = int(bool(self.failed))
                told.write_text(self.failed, "utf-8")
            except BaseException as error:  # a module that no longer loads
                told.write_text(f"{type(error).__name__}: {error}", "utf-8")
            finally:
                os._exit(status)
        _, status = os.waitpid(child, 0)
        late = os.WIFSIGNALED(status) and os.WTERMSIG(status) in (signal.SIGXCPU, signal.SIGKILL)
        by = told.read_text("utf-8") if told.exists() else ""
        return ("timeout" if late else "killed" if status else "survived"), by


def _dotted(name: str) -> str:
    return f"{PACKAGE}.{name.removesuffix('.py').removesuffix('/__init__').replace('/', '.')}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--n", type=int, default=300, help="Mutants that are drawn.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("mutants.jsonl"))
    parser.add_argument("--again", action="store_true", help="Try survivors again.")
    parser.add_argument("--copy", type=Path, help="The copy; for the script's own use.")
    given = parser.parse_args()
    if given.copy is None:
        copy = Path(tempfile.mkdtemp(prefix="mutants-")) / "tree"
        copy.mkdir()
        for name in COPIED:
            source, into = ROOT / name, copy / name
            (shutil.copytree if source.is_dir() else shutil.copy2)(source, into)
        os.environ |= {"PYTHONPATH": str(copy), "OMP_NUM_THREADS": "1"}
        own = [str(ROOT / "benchmarks" / "mutation.py"), *sys.argv[1:]]
        own += ["--out", str(given.out.absolute()), "--copy", str(copy)]
        os.chdir(copy)
        os.execv(sys.executable, [sys.executable, *own])
    every = [
        mutant
        for name in CORE
        for mutant in Finder(name, (given.copy / PACKAGE / name).read_text("utf-8")).found
    ]
    drawn = random.Random(given.seed).sample(every, min(given.n, len(every)))
    files = dict.fromkeys(name for names in CORE.values() for name in names)
    # xdist's own option stands in pyproject.toml.
    options = ["-o", "addopts=--import-mode=importlib -m 'not slow'"]
    options += ["-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:terminal"]
    options += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
    mutants = Mutants(given.copy, drawn, given.out, given.again)
    if pytest.main([*options, *(f"tests/{name}" for name in files)], plugins=[mutants]):
        raise SystemExit(1)
    ran = [mutants.rows[mutant.id] for mutant in drawn if mutant.id in mutants.rows]
    count = Counter(row["status"] for row in ran)
    seen = 100 * (1 - count["survived"] / max(1, len(ran)))
    print(f"{len(every)} mutants in {len(CORE)} files, {len(drawn)} drawn with seed {given.seed}")
    print(f"{len(ran)} have run: {dict(count)}, {seen:.1f}% seen")
    for row in ran:
        if row["status"] == "survived":
            print(f"survived: {row['id']}")
    shutil.rmtree(given.copy.parent)


if __name__ == "__main__":
    main()
