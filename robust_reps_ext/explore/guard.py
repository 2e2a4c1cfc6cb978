"""Who may ask the server, and what browsers may do with what it answers."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qs

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse

__all__ = ["Guard"]

Scope = MutableMapping[str, Any]
Call = Callable[..., Awaitable[Any]]


class Guard:
    """Around an application: only pages of this server, opened by its own address, get through.

    A request needs the one ``Host`` header of the address (a name that a stranger has pointed at
    this machine is another), the token, in the address or as ``X-Token``, and, where a browser says
    where it comes from, this origin.

    Parameters
    ----------
    app
        What is guarded.
    host
        ``"127.0.0.1:PORT"``.
    token
        What the address holds.
    policy
        The content security policy of every answer.
    """

    def __init__(self, app: Call, host: str, token: str, policy: str) -> None:
        self._app, self._host, self._token = app, host, token
        self._answers = [
            (b"content-security-policy", policy.encode()),
            (b"referrer-policy", b"no-referrer"),
            (b"x-content-type-options", b"nosniff"),
            (b"cross-origin-resource-policy", b"same-origin"),
            (b"cross-origin-opener-policy", b"same-origin"),
            (b"cache-control", b"no-store"),
        ]

    async def __call__(self, scope: Scope, receive: Call, send: Call) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # a WebSocket: there is none here
            await send({"type": "websocket.close", "code": 1008})
            return

        async def guarded(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *self._answers]
            await send(message)

        refused = self._refused(scope)
        app = self._app if refused is None else PlainTextResponse(refused[1], refused[0])
        await app(scope, receive, guarded)

    def _refused(self, scope: Scope) -> tuple[int, str] | None:
        headers = Headers(scope=scope)
        if headers.getlist("host") != [self._host]:
            return 421, f"this is http://{self._host} and nothing else"
        origins = headers.getlist("origin")
        if any(one != f"http://{self._host}" for one in origins):
            return 403, "pages of other servers may not ask"
        site = headers.get("sec-fetch-site", "none")
        if scope["method"] != "GET" and (not origins or site not in ("none", "same-origin")):
            return 403, "only the page of this server may ask"
        named = parse_qs(scope["query_string"].decode("latin-1")).get("token", [])
        given = [*headers.getlist("x-token"), *named]
        if len(given) != 1 or not hmac.compare_digest(given[0].encode(), self._token.encode()):
            return 403, "the address lacks its token: open the one that robust-reps explore printed"
        return None
