"""Who is let in, and what browsers may do with what they get."""

from __future__ import annotations

import re
import socket

import pytest
import torch
from explorers import Page, asked, serving, tiny

from robust_reps_ext.explore.page import script_digest


@pytest.fixture(scope="module")
def explorer(tmp_path_factory):
    with serving([tiny()], torch.rand(2, 3, 8, 8), tmp_path_factory.mktemp("out")) as found:
        yield found


def status(explorer, *given, **more):
    return asked(explorer, *given, **more)[0]


def test_the_address_opens_the_page(explorer):
    path = explorer.address.removeprefix(f"http://{explorer.host}")
    code, headers, page = asked(explorer, "GET", path, token=False)
    assert (code, headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert b"explore" in page
    assert explorer.host.startswith("127.0.0.1:")


@pytest.mark.parametrize("token", ["", "wrong", "é", "x" * 5000])
@pytest.mark.parametrize("path", ["/", "/events", "/images/0", "/nosuch"])
def test_a_wrong_token_gets_nothing(explorer, path, token):
    from urllib.parse import quote

    assert status(explorer, "GET", f"{path}?token={quote(token)}", token=False) == 403
    assert status(explorer, "GET", path, token=False) == 403
    assert len(explorer.tabs) == 0


def test_two_tokens_are_none(explorer):
    assert status(explorer, "GET", f"/?token={explorer.token}") == 403
    twice = f"/?token=x&token={explorer.token}"
    assert status(explorer, "GET", twice, token=False) == 403


@pytest.mark.parametrize(
    "host", ["localhost:{port}", "evil.example", "127.0.0.1", "127.0.0.1:1", ""]
)
def test_another_host_gets_nothing(explorer, host):
    host = host.format(port=explorer.host.partition(":")[2])
    assert status(explorer, "GET", "/", headers={"Host": host}) == 421


def test_a_second_host_header_gets_nothing(explorer):
    name, port = explorer.host.split(":")
    for second in (explorer.host, "evil.example"):
        with socket.create_connection((name, int(port)), timeout=10) as raw:
            lines = ["GET / HTTP/1.1", f"Host: {explorer.host}", f"Host: {second}"]
            lines += [f"X-Token: {explorer.token}", "Connection: close", "", ""]
            raw.sendall("\r\n".join(lines).encode())
            answer = b"".join(iter(lambda raw=raw: raw.recv(65536), b""))
        assert re.match(rb"HTTP/1.1 4(00|21) ", answer)
        assert b"<html" not in answer


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_another_page_may_not_ask(explorer, headers):
    assert status(explorer, "POST", "/runs", b"{}", headers=headers) == 403


def test_what_has_no_origin_may_not_ask(explorer):
    import http.client

    connection = http.client.HTTPConnection(explorer.host, timeout=10)
    connection.request("POST", "/runs", b"{}", {"X-Token": explorer.token})
    assert connection.getresponse().status == 403
    connection.close()


def test_a_page_of_another_origin_sees_no_images(explorer):
    headers = {"Origin": "http://evil.example"}
    assert status(explorer, "GET", "/images/0", headers=headers) == 403


def test_browsers_run_the_script_of_the_page_and_load_nothing_from_elsewhere(explorer):
    _, headers, page = asked(explorer, "GET", "/")
    [script] = re.findall(r"<script>(.*?)</script>", page.decode(), re.DOTALL)
    [style] = re.findall(r"<style>(.*?)</style>", page.decode(), re.DOTALL)
    policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == f"'{script_digest(script)}'"
    assert policy["style-src"] == f"'{script_digest(style)}'"
    assert policy["connect-src"] == "'self'"
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert not re.findall(r"(?:src|href)=[\"']?https?:", page.decode())


def test_names_are_text(tmp_path):
    name = "</script><script>alert(1)</script>"
    with serving([tiny(name)], torch.rand(1, 3, 8, 8), tmp_path) as explorer:
        _, _, page = asked(explorer, "GET", "/")
        assert b"<script>alert" not in page


def test_it_listens_on_this_machine_alone(explorer):
    port = int(explorer.host.partition(":")[2])
    with socket.socket() as other:
        other.settimeout(1)
        assert other.connect_ex(("127.0.0.2", port)) != 0


def test_a_page_is_let_in(explorer):
    with Page(explorer) as page:
        assert len(page.tab) > 10
