"""What holds for every test: no display, no network, and the same random numbers."""

import importlib.util
import os
import random
import signal
import socket
import sys
import warnings
from pathlib import Path

import pytest

os.environ["MPLBACKEND"] = "Agg"
# The networks here are small: more threads than this wait for each other where others work, too.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(autouse=True, scope="session")
def _no_network():
    """Refuse connections to other machines."""
    connect = socket.socket.connect

    def connect_here(self, address):
        elsewhere = self.family in (socket.AF_INET, socket.AF_INET6)
        if elsewhere and address[0] not in ("127.0.0.1", "::1", "localhost"):
            raise OSError(f"tests use no network: {address}")
        return connect(self, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", connect_here)
        yield


@pytest.fixture(autouse=True)
def _same_random_numbers():
    random.seed(0)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(0)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


@pytest.fixture(scope="module")
def one_thread():
    """For the rest of the module, as in its processes: more threads add in another order."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def pristine():
    """Upstream under another name, which no mend touches."""
    import robustness

    folder = Path(robustness.__file__).parent
    spec = importlib.util.spec_from_file_location(
        "pristine", folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    package = sys.modules["pristine"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(package)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in ("attacker", "train", "tools.helpers"):
            importlib.import_module(f"pristine.{name}")
    return package


@pytest.fixture
def gradient_at_bounds(monkeypatch, pristine):
    """Upstream's normaliser has the gradient that it had before torch 2.14."""
    from robustness.tools.helpers import InputNormalize

    normalizer = pristine.tools.helpers.InputNormalize
    monkeypatch.setattr(normalizer, "forward", InputNormalize.forward)


@pytest.fixture
def command(monkeypatch, capsys):
    """Call `robust-reps` in this process; its status, what it prints, and what stderr gets."""

    def call(*words):
        from robust_reps_ext import cli

        monkeypatch.setattr("sys.argv", ["robust-reps", *map(str, words)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            cli.main()
        said = capsys.readouterr()
        return int(end.value.code or 0), said.out, said.err

    return call


@pytest.fixture(scope="module")
def undrawn():
    """For the rest of the module, a figure's file holds a word: drawing is a third of the time."""

    def savefig(figure, file, **options):
        if hasattr(file, "write"):
            file.write(b"a picture")
        else:
            Path(file).write_bytes(b"a picture")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("matplotlib.figure.Figure.savefig", savefig)
        yield


@pytest.fixture(scope="module")
def browser():
    from browsers import BROWSER, FLAGS
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        running = started.chromium.launch(executable_path=BROWSER, args=list(FLAGS))
        yield running
        running.close()


@pytest.fixture
def python_handles_sigint():
    """Also where the shell has it ignored, as it does in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
