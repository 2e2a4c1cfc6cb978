"""The command that serves the page: what it prints, and how it ends."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
from contextlib import closing, contextmanager
from urllib.parse import urlsplit

import pytest

from robust_reps_ext import cli


def test_without_its_libraries_it_is_one_line(command, monkeypatch):
    for name in [one for one in sys.modules if one.startswith("robust_reps_ext.explore")]:
        monkeypatch.delitem(sys.modules, name)
    loaded = [one for one in sys.modules if one.startswith("starlette.")]
    for name in ("starlette", *loaded):
        monkeypatch.setitem(sys.modules, name, None)
    # With a port that there is not, so that it serves nothing if it does have them.
    status, _, said = command("explore", "--no-open", "--port", 99999)
    assert status == 2
    assert said.strip() == (
        "error: explore needs starlette, which is not installed: "
        "pip install 'robust-reps-ext[explore]'"
    )


def test_a_port_that_is_taken_is_one_line(command):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        status, _, said = command("explore", "--no-open", "--port", port)
    assert status == 2
    assert said.startswith(f"error: --port {port}: address already in use")


@pytest.fixture
def started(tmp_path):
    """The command in a process of its own, and the address that it prints."""
    words = [sys.executable, "-m", "robust_reps_ext", "explore", "--no-open"]
    process = subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    yield process, process.stdout.readline().strip()
    process.kill()
    process.wait()
    process.stdout.close()


@contextmanager
def asked(address):
    there = urlsplit(address)
    connection = http.client.HTTPConnection(there.netloc, timeout=60)
    connection.request("GET", f"{there.path}?{there.query}")
    with closing(connection), connection.getresponse() as answer:
        yield answer


@pytest.mark.parametrize(
    ("number", "status"),
    [
        (signal.SIGINT, 0),
        pytest.param(signal.SIGTERM, 128 + signal.SIGTERM, marks=pytest.mark.slow),
    ],
)
def test_it_serves_until_it_is_told_to_end(started, number, status, tmp_path):
    process, address = started
    assert address.startswith("http://127.0.0.1:")
    with asked(address) as page, asked(address + "x") as other:
        assert (page.status, other.status) == (200, 403)
    with asked(address.replace("/?", "/events?")) as events:  # a page that stays open
        assert events.readline().startswith(b"data: ")
        process.send_signal(number)
        assert process.wait(60) == status
    assert os.listdir(tmp_path) == []


def test_commands_are_told_what_the_page_was_told_of_its_networks():
    from robust_reps_ext.cli.explore import Exploration, _words

    given = Exploration(model=["a.pt"], out="out", dataset="folder", data="d", size=32)
    assert _words(given) == ["--dataset", "folder", "--data", "d", "--size", "32"]
    assert "explore" in {one.callback.__name__ for one in cli.app.registered_commands}


def test_images_of_a_data_set_and_of_ones_own_are_those_to_choose_from(tmp_path):
    from PIL import Image

    from robust_reps_ext.cli.explore import Exploration, _gallery, _network

    for name in ("one", "two"):
        Image.new("RGB", (40, 30)).save(tmp_path / f"{name}.png")
    own = Exploration(model=["photographs-robust"], out="out", images=[str(tmp_path)], n=None)
    found = _gallery([*own.each()])
    assert [one.name for one in found.pictures] == ["one", "two"]
    assert found.at((3, 64)).shape == (2, 3, 64, 64)
    [network] = [_network(one) for one in own.each()]
    assert (network.shape, network.size, len(network.classes)) == ((3, 64), 4608, 59)
    assert "body.5" in network.layers
    plain = Exploration(model=["photographs-robust"], out="out")
    assert _gallery([*plain.each()]).origin == "installed photographs"
