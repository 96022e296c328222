"""What every request passes first: its size and pace, its client's rate, its key. And one line of log after it."""

from __future__ import annotations

import asyncio
import time
import traceback
from typing import TYPE_CHECKING, Any

from pydantic_core import from_json

from ...errors import OpenLedgerError, UserError
from ...telemetry import Span
from ._errors import respond
from ._keys import Key, Keys
from ._limits import Limiter
from ._log import logger, note
from ._spans import answered, http_span, routed

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["Guard", "check_json"]

_NO_KEY = "x402"
"""As an API key: none. OpenAI's clients must send one, also where x402 pays."""


class Guard:
    """ASGI middleware. Puts ``client`` (whom limits count a request for) and ``key`` into the request's state."""

    def __init__(self, app: ASGIApp, limiter: Limiter, keys: Keys | None) -> None:
        self._app, self._limiter, self._keys = app, limiter, keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] == "/healthz":
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        with http_span(scope["method"], headers) as span:
            await self._watched(scope, receive, send, span)

    async def _watched(self, scope: Scope, receive: Receive, send: Send, span: Span) -> None:
        started, status = time.monotonic(), 0
        scope.setdefault("state", {})

        async def sending(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            if message["type"] == "http.response.start":
                answered(span, message)
            await send(message)

        try:
            await self._handle(scope, receive, sending)
        except OpenLedgerError as error:
            await respond(error)(scope, receive, sending)
        except Exception as error:  # the last resort: say nothing of it to a stranger
            where = "".join(traceback.format_tb(error.__traceback__))  # its text may hold what was asked
            logger.error("unexpected %s\n%s", type(error).__name__, where)
            if status:
                raise  # the response has begun: the server cuts it off
            unexpected = OpenLedgerError("unexpected", code="internal")
            await respond(unexpected)(scope, receive, sending)
        finally:
            route = getattr(scope.get("route"), "path", None)  # a path no route has may hold anything
            if route is not None:
                route = scope.get("root_path", "") + route  # of what is mounted
            routed(span, scope["method"], route)
            note("request", method=scope["method"], route=route, status=status, client=scope["state"].get("client"),
                 ms=round(1000 * (time.monotonic() - started)))  # fmt: skip

    async def _handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {name.lower(): value for name, value in scope["headers"]}
        address = f"address:{(scope.get('client') or ('unknown', 0))[0]}"
        key = await self._key(headers.get(b"authorization", b""), address)
        client = address if key is None else f"key:{key.id}"
        scope["state"] |= {"key": key, "client": client}
        self._limiter.admit(client)
        body = await self._body(headers, receive)
        if body is None:
            return  # hung up before it had asked
        if body:
            check_json(body)
        given = False

        async def receiving() -> Message:
            nonlocal given
            if given:
                return await receive()
            given = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self._app(scope, receiving, send)

    async def _key(self, header: bytes, client: str) -> Key | None:
        """The prepaid key of an ``Authorization`` header; None without one."""
        scheme, _, secret = header.decode("latin-1").partition(" ")
        if scheme.lower() != "bearer" or secret.strip() in ("", _NO_KEY):
            return None
        keys = self._keys
        found = None if keys is None else await asyncio.to_thread(keys.find, secret.strip())
        if found is None:
            self._limiter.admit(client)  # guesses are counted for who makes them
            raise UserError(
                "the API key was refused",
                why="there is no such key here, or it was revoked",
                fix=f"ask the operator for a key, or pay per call by x402 with {_NO_KEY!r} in its place",
                code="user.key",
            )
        return found

    async def _body(self, headers: dict[bytes, bytes], receive: Receive) -> bytes | None:
        limits = self._limiter.limits
        said = headers.get(b"content-length", b"0")
        if said.isdigit() and int(said[:20]) > limits.body_bytes:
            raise _too_large(limits.body_bytes)
        parts: list[bytes] = []
        size, more = 0, True
        try:
            async with asyncio.timeout(limits.body_seconds):
                while more:
                    message: dict[str, Any] = dict(await receive())
                    if message["type"] == "http.disconnect":
                        return None
                    parts.append(message.get("body", b""))
                    size += len(parts[-1])
                    if size > limits.body_bytes:
                        raise _too_large(limits.body_bytes)
                    more = message.get("more_body", False)
        except TimeoutError:
            raise UserError(
                "the request came too slowly",
                why=f"all of it has to be here within {limits.body_seconds:g} s",
                fix="send it again, faster",
                code="user.slow",
            ) from None
        return b"".join(parts)


def check_json(body: bytes) -> None:
    """Refuse what is no JSON, or so deeply nested that Python's own parser may overflow its stack and end the process."""
    try:
        from_json(body)
    except ValueError as error:
        raise UserError(
            "the request is malformed", why=str(error), fix="send JSON, nested at most 200 deep"
        ) from None


def _too_large(most: int) -> UserError:
    return UserError(
        "the request is too large", why=f"it may have {most} bytes", fix="send less", code="user.size"
    )
