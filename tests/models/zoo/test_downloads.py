"""Fetching from a server on this machine: whole, broken off, changed, wrong, and absent."""

from __future__ import annotations

import hashlib
import http.server
import threading

import pytest

from robust_reps_ext.models.zoo.downloads import cache_folder, fetched
from robust_reps_ext.models.zoo.public import PUBLIC
from robust_reps_ext.runtime.errors import InputError

CONTENT = bytes(range(256)) * 4096
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves CONTENT with ranges; breaks off after `server.breaks` bytes, once."""

    def do_GET(self):
        server = self.server
        server.ranges.append(self.headers.get("Range"))
        if self.path != "/weights.bin":
            self.send_error(404)
            return
        first = 0
        if self.headers.get("Range") and self.headers.get("If-Range") == server.tag:
            first = int(self.headers["Range"].removeprefix("bytes=").rstrip("-"))
        self.send_response(206 if first else 200)
        self.send_header("ETag", server.tag)
        self.send_header("Content-Length", str(len(CONTENT) - first))
        self.end_headers()
        last, server.breaks = server.breaks or len(CONTENT), None
        self.wfile.write(CONTENT[first:last])

    def log_message(self, *words):
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.setenv("ROBUST_REPS_EXT_CACHE", str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.ranges, server.breaks, server.tag = [], None, '"one"'
        server.url = f"http://127.0.0.1:{server.server_port}/weights.bin"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def test_a_file_is_fetched_once(server):
    path = fetched(server.url, "a.bin", sha256=DIGEST, size=len(CONTENT))
    assert path == cache_folder() / "a.bin"
    assert path.read_bytes() == CONTENT
    assert fetched(server.url, "a.bin", sha256=DIGEST) == path
    assert server.ranges == [None]
    assert [one.name for one in cache_folder().iterdir()] == ["a.bin"]


@pytest.mark.parametrize(("tag", "resumed"), [('"one"', True), ('"two"', False)])
def test_a_transfer_that_broke_off_goes_on_if_the_file_is_the_same(server, tag, resumed):
    server.breaks = 300_000
    with pytest.raises(InputError, match="broke after 300,000 of 1,048,576 bytes"):
        fetched(server.url, "a.bin", sha256=DIGEST)
    server.tag = tag
    assert fetched(server.url, "a.bin", sha256=DIGEST[:8]).read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=300000-"]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({"sha256": "0" * 64}, "its sha256 is"), ({"size": 5}, "1,048,576 bytes, not 5")],
)
def test_what_was_not_published_is_not_kept(server, wrong, message):
    with pytest.raises(InputError, match=message):
        fetched(server.url, "a.bin", **wrong)
    assert list(cache_folder().iterdir()) == []


def test_no_file_and_no_network_say_what_to_fetch_by_hand(server):
    missing = server.url.replace("weights", "others")
    with pytest.raises(InputError, match=f"the server says 404; fetch {missing} by hand"):
        fetched(missing, "a.bin")
    with pytest.raises(InputError, match=r"cannot fetch a\.bin .*put it at .*a\.bin"):
        fetched("http://127.0.0.1:9/a.bin", "a.bin")


def test_the_catalogue_is_whole():
    assert len(PUBLIC) > 50
    for name, model in PUBLIC.items():
        assert model.url.startswith("http"), name
        assert model.file.rpartition(".")[0] == name
        assert all(0 < value < 100 for value in model.accuracies.values()), name
        assert all((model.licence, model.citation, model.dataset, model.arch)), name
    assert len(PUBLIC["resnet50_linf_eps4.0"].sha256) == 64
