"""Files fetched once into the cache: resumed where they broke off, and checked."""

from __future__ import annotations

import http
import http.client
import os
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ...runtime import environment, files
from ...runtime.errors import InputError

__all__ = ["cache_folder", "fetched"]

_SECONDS = 30
_BLOCK = 2**18


def cache_folder() -> Path:
    """Where fetched models lie: ``models`` in `runtime.environment.cache_folder`."""
    return environment.cache_folder() / "models"


def fetched(url: str, name: str, *, sha256: str | None = None, size: int | None = None) -> Path:
    """The file at `url`, from the cache or, once, from the network.

    A transfer that broke off goes on where it was, if the server's entity tag still is the same.

    Parameters
    ----------
    url
        Where it is published.
    name
        Of the file in `cache_folder`.
    sha256
        In hexadecimal; the first digits will do. Default: whatever comes is kept.
    size
        In bytes.

    Raises
    ------
    InputError
        If there is no network, the server has no such file, or what came is not what was
        published; the message names the address, and where to put a file fetched by hand.
    """
    path = cache_folder() / name
    if path.is_file():
        return path
    by_hand = f"fetch {url} by hand and put it at {path}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = _Partial(path)
        _transfer(url, partial)
        _check(partial, name, sha256, size)
        partial.finish()
    except urllib.error.HTTPError as error:
        raise InputError(f"cannot fetch {name}: the server says {error.code}; {by_hand}") from error
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError) as error:
        reason = str(getattr(error, "reason", error)) or type(error).__name__
        raise InputError(f"cannot fetch {name} ({reason}): run again, or {by_hand}") from error
    except OSError as error:
        raise InputError(
            f"cannot fetch {name} ({error.strerror or error}): make room in {path.parent}, or name "
            "another folder with ROBUST_REPS_EXT_CACHE"
        ) from error
    return path


class _Partial:
    """A file on its way: what has come of it, and the tag of what it is a part of."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.data = path.with_name(f"{path.name}.part")
        self.tag = path.with_name(f"{path.name}.etag")

    def headers(self) -> dict[str, str]:
        """Ask for the rest, on condition that the published file has not changed."""
        if not (self.data.is_file() and self.tag.is_file()):
            return {}
        tag = self.tag.read_text("utf-8")
        return {"Range": f"bytes={self.data.stat().st_size}-", "If-Range": tag} if tag else {}

    def begin(self, response: Any) -> int:
        """How much is there already, once the server has answered; the rest of it is dropped."""
        tag = response.headers.get("ETag", "")
        self.tag.write_text("" if tag.startswith("W/") else tag, "utf-8")
        kept = self.data.stat().st_size if response.status == http.HTTPStatus.PARTIAL_CONTENT else 0
        with open(self.data, "ab") as file:
            file.truncate(kept)
        return kept

    def drop(self) -> None:
        self.data.unlink(missing_ok=True)
        self.tag.unlink(missing_ok=True)

    def finish(self) -> None:
        os.replace(self.data, self.path)
        self.tag.unlink(missing_ok=True)


def _transfer(url: str, partial: _Partial) -> None:
    request = urllib.request.Request(url, headers={"User-Agent": "robust-reps"} | partial.headers())
    try:
        response = urllib.request.urlopen(request, timeout=_SECONDS)
    except urllib.error.HTTPError as error:
        if error.code != http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise
        error.close()
        partial.drop()
        response = urllib.request.urlopen(url, timeout=_SECONDS)
    with response:
        kept = partial.begin(response)
        rest = response.headers.get("Content-Length")
        total = None if rest is None else kept + int(rest)
        bar = tqdm(
            desc=partial.path.name, total=total, initial=kept, unit="B", unit_scale=True,
            disable=None, leave=False,
        )  # fmt: skip
        with bar, open(partial.data, "ab") as file:
            while block := response.read(_BLOCK):
                file.write(block)
                bar.update(len(block))
        if total is not None and partial.data.stat().st_size < total:
            raise urllib.error.URLError(
                f"the connection broke after {partial.data.stat().st_size:,} of {total:,} bytes"
            )


def _check(partial: _Partial, name: str, sha256: str | None, size: int | None) -> None:
    came = partial.data.stat().st_size
    digest = files.sha256(partial.data)
    reason = ""
    if size is not None and came != size:
        reason = f"it has {came:,} bytes, not {size:,}"
    elif sha256 is not None and not digest.startswith(sha256.lower()):
        reason = f"its sha256 is {digest}, not {sha256}"
    if reason:
        partial.drop()
        raise InputError(f"what came for {name} is not what was published: {reason}; try later")
