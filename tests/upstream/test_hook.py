"""The hook mends upstream however it is imported, and is nowhere to be felt before."""

import os
import subprocess
import sys
import sysconfig
import textwrap
import zipfile
from pathlib import Path

import cox
import pytest
import torch

import robust_reps_ext
from robust_reps_ext.upstream import cuda_noop, hook

PACKAGE = Path(robust_reps_ext.__file__).parent
LIBRARIES = sysconfig.get_path("purelib")
SMALL = ["robust_reps_ext", "robust_reps_ext.upstream", "robust_reps_ext.upstream.startup"]
MENDED = "cox.utils.mkdirp.__module__ == 'robust_reps_ext.upstream.mends.cox_utils'"


def run(code, *options, path=(), **variables):
    """Run Python on its own; return what it prints. `path` goes before sys.path."""
    preamble = f"import sys; sys.path[:0] = {[str(place) for place in path]!r}\n"
    done = subprocess.run(
        [sys.executable, *options, "-c", preamble + textwrap.dedent(code)],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip(), done.stderr.strip()


def without_site(code, **variables):
    return run(code, "-S", path=(PACKAGE.parent, LIBRARIES), **variables)


def test_a_start_of_python_loads_three_small_modules_and_changes_no_variable(monkeypatch):
    monkeypatch.delenv("GIT_PYTHON_REFRESH", raising=False)  # upstream's import here sets it
    out, _ = run(
        """
        import os
        print(*sorted(name for name in sys.modules if name.startswith("robust_reps_ext")))
        print(any(type(finder).__name__ == "_Waiting" for finder in sys.meta_path))
        print(os.environ.get("GIT_PYTHON_REFRESH"))
        """
    )
    assert out.splitlines() == [" ".join(SMALL), "True", "None"]


def test_importing_the_package_imports_nothing_else():
    out, _ = without_site(
        "before = set(sys.modules); import robust_reps_ext; print(*set(sys.modules) - before)"
    )
    assert sorted(out.split()) == SMALL


def test_upstream_is_mended_without_importing_the_extension():
    assert run(f"import cox.utils; print({MENDED})") == ("True", "")


def test_upstream_is_mended_without_the_start_up_file():
    assert without_site(f"import robust_reps_ext, cox.utils; print({MENDED})") == ("True", "")


@pytest.mark.parametrize("yes", ["1", "true", " YES "])
def test_the_extension_can_be_switched_off(yes):
    out, _ = run(f"import cox.utils; print({MENDED})", ROBUST_REPS_EXT_DISABLE=yes)
    assert out == "False"


def test_upstream_imported_before_is_mended_with_a_warning():
    out, err = without_site(f"import cox.utils, robust_reps_ext; print({MENDED})")
    assert out == "True"
    assert "imported after cox.utils" in err
    assert "import robust_reps_ext first" in err


def test_arming_again_adds_nothing():
    out, _ = run(
        """
        import importlib, robust_reps_ext.upstream.startup as startup, cox.utils
        from robust_reps_ext.upstream import hook
        once = len(sys.meta_path)
        importlib.reload(hook).install()
        importlib.reload(startup).arm()
        importlib.reload(robust_reps_ext := sys.modules["robust_reps_ext"])
        print(len(sys.meta_path) - once)
        """
    )
    assert out == "0"


def test_a_reloaded_module_is_mended_again():
    out, err = run(
        f"""
        import importlib, cox.utils
        importlib.reload(cox.utils)
        from robust_reps_ext.upstream import mend
        print({MENDED}, {{one.status for one in mend.outcomes()}} <= {{"applied", "not needed"}})
        """
    )
    assert (out, err) == ("True True", "")


def test_a_mended_module_looks_like_any_other():
    out, _ = run(
        """
        import inspect, importlib.machinery, cox.utils
        print(type(cox.utils.__loader__) is importlib.machinery.SourceFileLoader)
        print(cox.utils.__spec__.loader is cox.utils.__loader__)
        print("def mkdirp" in inspect.getsource(cox.utils))
        """
    )
    assert out.split() == ["True"] * 3


def test_another_finder_that_delegates_does_not_recurse():
    out, _ = run(
        f"""
        import importlib.util
        class Delegating:
            busy = False
            def find_spec(self, name, path=None, target=None):
                if self.busy or not name.startswith("cox."):
                    return None
                self.busy = True
                try:
                    return importlib.util.find_spec(name)
                finally:
                    self.busy = False
        sys.meta_path.insert(0, Delegating())
        import cox
        sys.meta_path.insert(0, Delegating())
        import cox.utils
        print({MENDED})
        """
    )
    assert out == "True"


def test_threads_that_import_at_once_get_the_mended_module():
    out, _ = run(
        """
        import importlib, threading
        seen, go = [], threading.Barrier(8)
        def work():
            go.wait()
            seen.append(importlib.import_module("cox.utils").mkdirp.__module__)
        threads = [threading.Thread(target=work) for _ in range(8)]
        [thread.start() for thread in threads], [thread.join() for thread in threads]
        print(len(seen), *set(seen))
        print(sum(type(finder).__name__ == "_Finder" for finder in sys.meta_path))
        """
    )
    assert out.splitlines() == ["8 robust_reps_ext.upstream.mends.cox_utils", "1"]


def test_packages_in_a_zip_archive(tmp_path):
    archive = tmp_path / "packages.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for package in (PACKAGE, Path(cox.__file__).parent):
            for source in package.rglob("*.py"):
                file.write(source, source.relative_to(package.parent))
    out, _ = run(
        f"""
        import robust_reps_ext, cox.utils, inspect
        print(robust_reps_ext.__file__, cox.utils.__file__)
        print({MENDED}, "def mkdirp" in inspect.getsource(cox.utils))
        print(type(cox.__loader__.exec_module).__name__, "exec_module" in vars(cox.__loader__))
        """,
        "-S",
        path=(archive, LIBRARIES),
    )
    files, mended, loader = out.splitlines()
    assert all(file.startswith(str(archive)) for file in files.split())
    assert mended == "True True"
    assert loader == "method False"


def test_a_spawned_process_is_mended(tmp_path):
    script = tmp_path / "spawning.py"
    script.write_text(
        "import multiprocessing\n"
        "def child(queue):\n"
        "    import cox.utils\n"
        f"    queue.put({MENDED})\n"
        "if __name__ == '__main__':\n"
        "    context = multiprocessing.get_context('spawn')\n"
        "    queue = context.SimpleQueue()\n"
        "    process = context.Process(target=child, args=(queue,))\n"
        "    process.start(); process.join()\n"
        "    print(queue.get())\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "True", done.stderr


def test_a_mend_that_fails_takes_nothing_away():
    out, err = run(
        """
        import types
        from robust_reps_ext.upstream import mend
        mend.apply(types.ModuleType("cox.utils"))
        print(*{one.status.partition(":")[0] for one in mend.outcomes()})
        """
    )
    assert "failed" in out.split()
    assert "robust_reps_ext: mend cox.utils." in err


def test_no_stand_in_is_offered_before_robustness_is_imported():
    out, _ = run(
        """
        import cox.utils
        from robust_reps_ext.upstream import hook
        finder, name = sys.meta_path[-1], "torchvision.models.utils"
        print(type(finder).__name__, finder.find_spec(name))
        sys.modules["robustness"] = sys
        print(finder.find_spec(name).name)
        """
    )
    assert out.splitlines() == ["_StandIns None", "torchvision.models.utils"]


def test_running_as_a_module_runs_the_mended_one():
    out, _ = run(
        """
        import contextlib, io, runpy
        names = runpy.run_module("robustness.main", run_name="elsewhere")
        import robustness.main
        print(names["setup_args"] is robustness.main.setup_args, "robust_reps_ext" in
              names["setup_args"].__module__)
        sys.argv = ["robustness.main", "--help"]
        shown = io.StringIO()
        try:
            with contextlib.redirect_stdout(shown):
                runpy.run_module("robustness.main", run_name="__main__", alter_sys=True)
        except SystemExit as end:
            print(end.code or 0, "restricted_imagenet" in shown.getvalue())
        """
    )
    assert out.splitlines() == ["True True", "0 True"]


@pytest.mark.parametrize(("given", "left"), [("", "0"), ("true", "0"), ("0", "0"), ("2", "0")])
def test_notebook_mode_that_upstream_cannot_read(monkeypatch, given, left):
    monkeypatch.setenv("NOTEBOOK_MODE", given)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    hook._prepare("robustness.attacker")
    assert os.environ["NOTEBOOK_MODE"] == left


def test_notebook_mode_stays_where_notebook_bars_work(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    for given in ("1", "true"):
        monkeypatch.setenv("NOTEBOOK_MODE", given)
        hook._prepare("robustness.train")
        assert os.environ["NOTEBOOK_MODE"] == "1"
    monkeypatch.delenv("NOTEBOOK_MODE")
    hook._prepare("robustness.train")
    assert "NOTEBOOK_MODE" not in os.environ


def test_cuda_is_a_no_op_only_when_asked_and_says_so_once():
    out, err = run(
        """
        import torch, robustness.attack_steps
        from robust_reps_ext.upstream import cuda_noop
        cuda_noop.arm()
        print(cuda_noop.active())
        if cuda_noop.active():
            layer, x = torch.nn.Linear(2, 2), torch.zeros(2)
            print(layer.cuda(0) is layer, x.cuda(non_blocking=True) is x)
        """,
        ROBUST_REPS_EXT_CUDA_NOOP="1",
    )
    if torch.cuda.is_available():
        assert (out, err) == ("False", "")
    else:
        assert out.splitlines() == ["True", "True True"]
        assert err.count("ROBUST_REPS_EXT_CUDA_NOOP is set") == 1


def test_cuda_is_a_no_op_within_the_context():
    before = torch.Tensor.cuda, torch.nn.Module.cuda
    x = torch.zeros(2)

    def fail_inside():
        with robust_reps_ext.compat_cuda():
            with robust_reps_ext.compat_cuda():
                assert cuda_noop.active() is not torch.cuda.is_available()
            assert torch.cuda.is_available() or x.cuda() is x
            raise KeyError

    assert not cuda_noop.active()
    with pytest.raises(KeyError):
        fail_inside()
    assert (torch.Tensor.cuda, torch.nn.Module.cuda) == before
