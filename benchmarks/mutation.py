"""How many small faults in the core the fast tests see: ``python benchmarks/mutation.py --n 300``.

Mutants (a comparison turned, a number one off, a keyword left out, ...) are drawn with a seed over
the files of `CORE`. Each is put into a copy of the tree, in a fork of one process of pytest, where
the tests that touch its statement run, the quickest first, until one fails. Which test touches what
is found by one traced run of `TESTS`, kept beside ``--out`` in a file that ends on ``.tests``.

What ran is kept in ``--out``, a line of JSON each; the same command goes on where it was
interrupted, and ``--again`` tries survivors again, with the tests that there are now.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import math
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import pytest
from mutants import Mutant, mutants

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "robust_reps_ext"
CORE = (
    "synthesis/objectives.py", "synthesis/settings.py", "synthesis/__init__.py",
    "synthesis/run.py", "synthesis/trace.py",
    "upstream/attack/attacker.py", "upstream/attack/pgd.py", "upstream/attack/schedules.py",
    "upstream/attack/state.py", "upstream/attack/steps.py", "upstream/data/label_maps.py",
    "experiments/accuracy.py", "experiments/activations.py", "experiments/addition.py",
    "experiments/constrained.py", "experiments/interpolation.py", "experiments/inversion.py",
    "experiments/visualization.py", "experiments/scorecard/statistics.py",
    "models/representation.py", "datasets/restricted_imagenet.py",
)  # fmt: skip
TESTS = (
    "synthesis/test_run.py", "synthesis/test_guards.py", "synthesis/test_snapshot.py",
    "synthesis/test_trace.py", "experiments/test_experiments.py", "experiments/test_inversion.py",
    "experiments/test_accuracy.py", "experiments/test_activations.py",
    "experiments/test_regularizers.py", "experiments/scorecard/test_scorecard.py",
    "experiments/scorecard/test_paper_claims.py", "experiments/test_attacks.py",
    "experiments/test_common_keywords.py", "experiments/test_defaults.py",
    "experiments/test_outcomes.py", "experiments/test_pairs.py", "experiments/test_threat.py",
    "experiments/metamers/test_metamers.py",
    "experiments/test_parameterizations.py", "synthesis/test_sums.py", "synthesis/test_region.py",
    "synthesis/test_on_a_card.py",
    "upstream/attack/test_pgd.py", "upstream/attack/test_network_copy.py",
    "upstream/attack/test_apgd.py", "upstream/attack/test_float16.py",
    "upstream/attack/test_way_back.py", "test_any_network.py",
    "models/test_inputs.py", "models/test_representation.py",
    "datasets/test_restricted_imagenet.py", "upstream/data/test_label_maps.py",
    "upstream/mends/test_helpers.py", "results/test_result.py", "runtime/test_randomness.py",
    "test_channels.py", "test_paper_constants.py", "test_signatures.py",
)  # fmt: skip
SECONDS = 30  # of processor time for the tests of a mutant; not seen until then, it has survived
COPIED = ("robust_reps_ext", "tests", "pyproject.toml")
Touched = dict[str, set[int]]  # lines of each file of CORE


class NotInPlace(Exception):
    """A function has lost or won a variable of what is around it."""


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
        if before.__code__.co_freevars != value.__code__.co_freevars:
            raise NotInPlace(value.__qualname__)
        before.__code__ = value.__code__
        before.__defaults__, before.__kwdefaults__ = value.__defaults__, value.__kwdefaults__
    elif isinstance(value, dict) and isinstance(before, dict):
        before.clear()
        before.update(value)
    elif owner is not None and not name.startswith("__"):
        setattr(owner, name, value)


class Tests:
    """Which lines of the core each test touches, and the seconds it takes."""

    def __init__(self, copy: Path, kept: Path) -> None:
        self.copy, self.kept = copy, kept
        self.touched: Touched = defaultdict(set)
        self.files = {str(copy / PACKAGE / name): name for name in CORE}
        self.core = [(copy / PACKAGE / name).read_bytes() for name in CORE]
        self.shared: dict[str, tuple[Touched, float]] = {}  # fixtures that several tests use
        self.seconds: dict[str, float] = {}
        self.found: dict[str, tuple[float, dict[str, list[int]]]] = {}

    def find(self, session: Any, fork: Callable[[Callable[[], str]], tuple[int, str]]) -> None:
        """Run what was not run before, a file of tests at a time."""
        lines = self.kept.read_text("utf-8").splitlines() if self.kept.exists() else []
        rows = {row["digest"]: row["tests"] for row in map(json.loads, lines)}
        items: dict[str, list[Any]] = defaultdict(list)
        for item in session.items:
            items[item.nodeid.split("::")[0]].append(item)
        for name, its in items.items():
            names = [item.nodeid.encode() for item in its]
            content = b"".join([(self.copy / name).read_bytes(), *names, *self.core])
            digest = hashlib.sha256(content).hexdigest()
            if digest not in rows:
                status, told = fork(partial(self._run, session, its))
                if status:
                    raise RuntimeError(f"{name}: {told}")
                rows[digest] = json.loads(told)
                with self.kept.open("a", encoding="utf-8") as file:
                    file.write(json.dumps({"digest": digest, "tests": rows[digest]}) + "\n")
                seconds = sum(one for one, _ in rows[digest].values())
                print(f"{name}: {len(rows[digest])} tests, {seconds:.0f} s", file=sys.stderr)
            self.found |= rows[digest]

    def of(self, mutant: Mutant) -> list[str]:
        """Tests that touch its statement, or its file where that has none; the quickest first."""
        names = [
            name
            for name, (_, touched) in self.found.items()
            if any(not mutant.first or mutant.first <= line <= mutant.last
                   for line in touched.get(mutant.path, ()))
        ]  # fmt: skip

        def order(name: str) -> tuple[int, str, float]:
            seconds = self.found[name][0]
            return math.floor(math.log2(max(seconds, 0.25))), name.split("::")[0], seconds

        return sorted(names, key=order)

    def _run(self, session: Any, items: list[Any]) -> str:
        made = {}
        for item, after in zip(items, [*items[1:], None], strict=True):
            with self._watched() as own:
                session.config.hook.pytest_runtest_protocol(item=item, nextitem=after)
            seconds = self.seconds[item.nodeid]
            for shared in map(_name, _shared(item)):
                lines, more = self.shared.get(shared, ({}, 0.0))
                seconds += more
                for name, some in lines.items():
                    own[name] |= some
            made[item.nodeid] = (seconds, {name: sorted(some) for name, some in own.items()})
        failed = {name for name in self.seconds if self.seconds[name] < 0}
        for name in failed:
            print(f"left out, it fails as it is: {name}", file=sys.stderr)
        return json.dumps({name: made[name] for name in made if name not in failed})

    @contextmanager
    def _watched(self) -> Iterator[Touched]:
        before, self.touched = self.touched, defaultdict(set)
        hook = sys.gettrace()
        threading.settrace(self._call)
        sys.settrace(self._call)
        try:
            yield self.touched
        finally:
            sys.settrace(hook)
            self.touched = before

    def _call(self, frame: Any, event: str, _: Any) -> Any:
        name = self.files.get(frame.f_code.co_filename)
        if name is None:
            return None
        self.touched[name].add(frame.f_lineno)
        return self._line

    def _line(self, frame: Any, event: str, _: Any) -> Any:
        self.touched[self.files[frame.f_code.co_filename]].add(frame.f_lineno)
        return self._line

    def pytest_runtest_logreport(self, report: Any) -> None:
        before = self.seconds.get(report.nodeid, 0.0)
        failed = report.failed or before < 0
        self.seconds[report.nodeid] = -1.0 if failed else before + report.duration

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: Any, request: Any) -> Any:
        if fixturedef.scope == "function":
            return (yield)
        begun = time.monotonic()
        with self._watched() as touched:
            value = yield
        lines, seconds = self.shared.get(_name(fixturedef), (defaultdict(set), 0.0))
        for name, some in touched.items():
            lines[name] |= some
        self.shared[_name(fixturedef)] = (lines, max(seconds, time.monotonic() - begun))
        return value


def _name(fixture: Any) -> str:
    return f"{fixture.baseid}::{fixture.argname}"


def _shared(item: Any) -> list[Any]:
    every = item._fixtureinfo.name2fixturedefs.values()
    return [one for found in every for one in found if one.scope != "function"]


class Mutation:
    """A plugin of pytest that runs the collected tests for each mutant, in a fork."""

    def __init__(self, copy: Path, drawn: list[Mutant], out: Path, again: bool) -> None:
        self.copy, self.drawn, self.out, self.again = copy, drawn, out, again
        lines = out.read_text("utf-8").splitlines() if out.exists() else []
        self.rows = {row["id"]: row for row in map(json.loads, lines)}
        self.modules = {name: importlib.import_module(_dotted(name)) for name in CORE}
        self.tests = Tests(copy, out.with_name(f"{out.name}.tests"))
        self.failed = ""

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed and not self.failed:
            self.failed = report.nodeid

    def pytest_runtestloop(self, session: Any) -> bool:
        for name, module in self.modules.items():
            source = (self.copy / PACKAGE / name).read_text("utf-8")
            status, told = self.forked(lambda m=module, s=source: _grafted(m, s) or "")
            if status:
                pytest.exit(f"{name} cannot be changed: {told}", returncode=1)
        session.config.pluginmanager.register(self.tests)
        self.tests.find(session, self.forked)
        session.config.pluginmanager.unregister(self.tests)
        items = {item.nodeid: item for item in session.items}
        for i, mutant in enumerate(self.drawn):
            before = self.rows.get(mutant.id)
            if before is None or (self.again and before["status"] == "survived"):
                row = self.rows[mutant.id] = self.tried(session, mutant, items)
                with self.out.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")
                told = f"{i + 1}/{len(self.drawn)} {row['status']}, {row['seconds']} s: {row['id']}"
                print(told, file=sys.stderr, flush=True)
        return True

    def tried(self, session: Any, mutant: Mutant, items: dict[str, Any]) -> dict[str, Any]:
        """Whether a test fails with the mutant, and which."""
        path = self.copy / PACKAGE / mutant.path
        before, times = path.read_bytes(), path.stat()
        source = before[: mutant.start] + mutant.now.encode() + before[mutant.stop :]
        path.write_bytes(source)  # for what starts processes
        chosen = [items[name] for name in self.tests.of(mutant) if name in items]
        begun = time.monotonic()
        try:
            change = partial(_grafted, self.modules[mutant.path], source.decode())
            status, told = self.forked(partial(self._run, session, chosen, change))
        finally:
            path.write_bytes(before)
            os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
        late = os.WIFSIGNALED(status) and os.WTERMSIG(status) in (signal.SIGXCPU, signal.SIGALRM)
        unseen = status == 0 and not told.startswith("tests/")
        how = "timeout" if late else "survived" if unseen else "killed"
        if told.startswith("NotInPlace"):
            how = "left out"
        seconds = round(time.monotonic() - begun, 1)
        return {"id": mutant.id, "status": how, "by": told, "seconds": seconds, **asdict(mutant)}

    def _run(self, session: Any, items: list[Any], change: Callable[[], None]) -> str:
        change()
        begun = time.process_time()
        for i, (item, after) in enumerate(zip(items, [*items[1:], None], strict=False)):
            used = time.process_time()
            if used - begun > SECONDS:
                return f"{i} of {len(items)} tests"
            _, hard = resource.getrlimit(resource.RLIMIT_CPU)
            allowed = 10 + 3 * self.tests.found[item.nodeid][0]
            resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(used + allowed), hard))
            signal.alarm(1800)
            session.config.hook.pytest_runtest_protocol(item=item, nextitem=after)
            if self.failed:
                return self.failed
        return f"{len(items)} tests"

    def forked(self, run: Callable[[], str]) -> tuple[int, str]:
        """The exit status of a process that runs something, and what that says."""
        told = self.copy.parent / "told"
        told.unlink(missing_ok=True)
        child = os.fork()
        if not child:
            status = 1
            try:
                said = run()
                status = 0
            except BaseException as error:  # a module that no longer loads
                said = f"{type(error).__name__}: {error}"
            told.write_text(said, "utf-8")
            os._exit(status)
        _, status = os.waitpid(child, 0)
        return status, told.read_text("utf-8") if told.exists() else ""


def _dotted(name: str) -> str:
    return f"{PACKAGE}.{name.removesuffix('.py').removesuffix('/__init__').replace('/', '.')}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--n", type=int, default=300, help="Mutants that are drawn.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("mutants.jsonl"))
    parser.add_argument("--files", nargs="+", default=CORE, choices=CORE, metavar="FILE")
    parser.add_argument("--tests", nargs="+", default=TESTS, help="Files, or ids of tests.")
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
        for name in given.files
        for mutant in mutants(name, (given.copy / PACKAGE / name).read_text("utf-8"))
    ]
    drawn = random.Random(given.seed).sample(every, min(given.n, len(every)))
    # xdist's own option stands in pyproject.toml.
    options = ["-o", "addopts=--import-mode=importlib -m 'not slow'"]
    options += ["-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:terminal"]
    options += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
    given.out.parent.mkdir(parents=True, exist_ok=True)
    mutation = Mutation(given.copy, drawn, given.out, given.again)
    if pytest.main([*options, *(f"tests/{name}" for name in given.tests)], plugins=[mutation]):
        raise SystemExit(1)
    ran = [mutation.rows[mutant.id] for mutant in drawn if mutant.id in mutation.rows]
    ran = [row for row in ran if row["status"] != "left out"]
    count = Counter(row["status"] for row in ran)
    seen = 100 * (1 - count["survived"] / max(1, len(ran)))
    print(
        f"{len(every)} mutants in {len(given.files)} files, "
        f"{len(drawn)} drawn with seed {given.seed}"
    )
    print(f"{len(ran)} have run: {dict(count)}, {seen:.1f}% seen")
    for row in ran:
        if row["status"] == "survived":
            print(f"survived {row['by'] or '0 tests'}: {row['id']}")
    shutil.rmtree(given.copy.parent)


if __name__ == "__main__":
    main()
