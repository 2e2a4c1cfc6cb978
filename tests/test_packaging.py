"""Every way of installing brings the start-up files, and uninstalling takes them away."""

import os
import pkgutil
import shutil
import subprocess
import sys
import venv
import zipfile
from email.parser import HeaderParser
from pathlib import Path

import pytest

import robust_reps_ext

ROOT = Path(__file__).parents[1]
SOURCES = ("setup.py", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE", "robust_reps_ext")
START_UP_FILES = {"robust_reps_ext.pth", "robust_reps_ext.start"}
ARMED = "import sys; print(*(type(finder).__name__ for finder in sys.meta_path[:1]))"


def python(*arguments, cwd=None):
    # pip must find nothing but what it is given.
    isolated = {"PIP_NO_INDEX": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_CONFIG_FILE": ""}
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, **isolated},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def build(sources, kind, to, settings=None):
    """Call a hook of the build backend, as pip does."""
    to.mkdir(exist_ok=True)
    code = (
        "import setuptools.build_meta as backend; "
        f"print(backend.build_{kind}({str(to)!r}, {settings!r}))"
    )
    return to / python("-c", code, cwd=sources).splitlines()[-1]


def copy_sources(to):
    to.mkdir()
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, to / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, to / name)
    return to


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    return copy_sources(tmp_path_factory.mktemp("project") / "sources")


@pytest.fixture(scope="module")
def wheel(sources, tmp_path_factory):
    return build(sources, "wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture
def environment(tmp_path):
    """A virtual environment without anything, and its site-packages."""
    where = tmp_path / "environment"
    venv.create(where, symlinks=os.name != "nt")
    bin = where / ("Scripts" if os.name == "nt" else "bin") / "python"
    query = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = subprocess.check_output([bin, "-c", query], text=True).strip()
    return bin, Path(site)


def check_installed_and_uninstalled(wheel, environment, cwd):
    interpreter, site = environment
    pip = ("-m", "pip", "--python", interpreter)
    before = set(site.glob("*"))
    python(*pip, "install", "-q", "--no-deps", wheel)
    assert {file.name for file in site.iterdir()} >= START_UP_FILES
    started = subprocess.run(
        [interpreter, "-c", ARMED], capture_output=True, text=True, check=True, cwd=cwd
    )
    assert (started.stdout.strip(), started.stderr) == ("_Waiting", "")
    python(*pip, "uninstall", "-q", "-y", "robust-reps-ext")
    assert set(site.glob("*")) == before


def test_a_wheel(wheel, environment, tmp_path):
    check_installed_and_uninstalled(wheel, environment, tmp_path)


@pytest.mark.parametrize(
    "mode",
    ["lenient", *(pytest.param(mode, marks=pytest.mark.slow) for mode in ("compat", "strict"))],
)
def test_an_editable_install(sources, environment, tmp_path, mode):
    wheel = build(sources, "editable", tmp_path / "built", {"editable_mode": mode})
    check_installed_and_uninstalled(wheel, environment, tmp_path)


@pytest.mark.slow
def test_a_wheel_from_the_source_archive(sources, wheel, tmp_path):
    archive = build(sources, "sdist", tmp_path / "sdist")
    shutil.unpack_archive(archive, tmp_path / "unpacked", filter="data")
    (unpacked,) = (tmp_path / "unpacked").iterdir()
    again = build(unpacked, "wheel", tmp_path / "wheel")
    assert {"LICENSE", "README.md", "setup.py"} <= {file.name for file in unpacked.iterdir()}
    assert names(again) == names(wheel)


def names(wheel):
    with zipfile.ZipFile(wheel) as archive:
        return sorted(archive.namelist())


def test_the_wheel_holds_everything_once(wheel):
    contents = names(wheel)
    assert len(set(contents)) == len(contents)
    ours = {
        file.relative_to(ROOT).as_posix()
        for file in (ROOT / "robust_reps_ext").rglob("*")
        if file.is_file() and file.suffix != ".pyc"
    }
    assert {name for name in contents if name.startswith("robust_reps_ext/")} == ours
    assert {name for name in contents if "/" not in name} == START_UP_FILES


def test_a_missing_package_does_not_disturb_a_start(wheel, environment, tmp_path):
    interpreter, site = environment
    with zipfile.ZipFile(wheel) as archive:
        archive.extract("robust_reps_ext.pth", site)
    started = subprocess.run([interpreter, "-c", "pass"], capture_output=True, cwd=tmp_path)
    assert (started.returncode, started.stderr) == (0, b"")


def test_the_start_file_names_something_to_call(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (line,) = archive.read("robust_reps_ext.start").decode().splitlines()
    assert pkgutil.resolve_name(line) is robust_reps_ext.upstream.startup.arm


def test_the_version_stands_in_one_place(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("/METADATA"))
        metadata = HeaderParser().parsestr(archive.read(name).decode())
    assert metadata["Version"] == robust_reps_ext.__version__
    assert metadata["License-Expression"] == "MIT"
    assert metadata["Requires-Python"] == ">=3.10"
