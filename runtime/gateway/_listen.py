"""The server in front of an application, which may still be on its way."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
import threading
from concurrent.futures import FIRST_COMPLETED, Future, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from ...errors import ExecutionError
from ._limits import Limits
from ._log import logger

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.types import Receive, Scope, Send

__all__ = ["Door", "listen"]

AGAIN = 1
"""Seconds after which whoever came too early may ask again."""

_LISTED = "/v1/models"
_STARTING = ExecutionError(
    "The gateway is starting",
    why="its engines and workers are not there yet",
    fix="send the same request again in a second; nothing was taken",
    code="gateway.starting",
)


class Door:
    """Listens from the first moment on. Who comes before ``open`` is told to come again, with 503 and ``Retry-After``; after
    ``show`` the models are listed. Leaving it waits for what runs and ends the application's lifespan."""

    def __init__(
        self, *, host: str, port: int, tls: tuple[Path, Path] | None = None, limits: Limits | None = None
    ) -> None:
        import uvicorn

        from ._hasty import HastyProtocol

        certificate, key = tls or (None, None)
        config = uvicorn.Config(
            self._answer,
            host=host,
            port=port,
            ssl_certfile=certificate,
            ssl_keyfile=key,
            access_log=False,  # a path may hold what no log should
            log_level="warning",
            server_header=False,
            http=HastyProtocol,
            timeout_keep_alive=20,
            limit_concurrency=16 * (limits or Limits()).running,
            lifespan="on",
            interface="asgi3",
        )
        config.load()  # what is wrong with the certificate is raised here
        self._server = uvicorn.Server(config)
        self._socket = config.bind_socket()
        self._socket.set_inheritable(False)  # Ray's processes may outlive this one
        self._thread = threading.Thread(
            target=self._server.run, args=([self._socket],), name="gateway", daemon=True
        )
        self._shown: FastAPI | None = None
        self._opened = False
        self._asked = threading.Event()
        self._live: Future[asyncio.AbstractEventLoop] = Future()
        self._held: Future[None] | None = None

    @property
    def port(self) -> int:
        return int(self._socket.getsockname()[1])

    def show(self, app: FastAPI) -> None:
        """Have ``app`` say already which models there will be."""
        self._shown = app

    def open(self, app: FastAPI) -> None:
        """Let everybody in, once the application's lifespan has begun. Raises what keeps it from that."""
        begun: Future[None] = Future()
        self._held = asyncio.run_coroutine_threadsafe(self._hold(app, begun), self._live.result())
        wait([begun, self._held], return_when=FIRST_COMPLETED)
        if not begun.done():
            self._held.result()

    def wait(self) -> None:
        """Until SIGINT or SIGTERM; a second SIGINT does not wait for what runs."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._end)
        while not self._asked.wait(1) and self._thread.is_alive():
            pass

    def __enter__(self) -> Self:
        self._thread.start()
        while not (wait([self._live], timeout=0.1).done or not self._thread.is_alive()):
            pass
        if not self._live.done():
            raise SystemExit(1)  # the server has said why
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let nobody in any more, and wait for what runs and the end of the application."""
        self._server.should_exit = True
        while self._thread.is_alive():
            self._thread.join(1)

    def _end(self, number: int, _: Any) -> None:
        if number == signal.SIGINT and self._asked.is_set():
            self._server.force_exit = True
        self._asked.set()

    # In the server's thread

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif self._shown is not None and (self._opened or _lists(scope)):
            await self._shown(scope, receive, send)
        elif scope["type"] == "http":
            await _early(scope, receive, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        self._closing = asyncio.Event()
        await send({"type": "lifespan.startup.complete"})
        self._live.set_result(asyncio.get_running_loop())
        await receive()
        self._closing.set()
        if self._held is not None:
            await asyncio.wrap_future(self._held)
        await send({"type": "lifespan.shutdown.complete"})

    async def _hold(self, app: FastAPI, begun: Future[None]) -> None:
        async with app.router.lifespan_context(app):
            self._shown, self._opened = app, True
            begun.set_result(None)
            await self._closing.wait()


def listen(
    app: FastAPI, *, host: str, port: int, tls: tuple[Path, Path] | None = None, limits: Limits | None = None
) -> None:
    """Answer requests to ``app`` until SIGINT or SIGTERM, then return, with one log line for each on standard error."""
    log_requests()
    with Door(host=host, port=port, tls=tls, limits=limits) as door:
        door.open(app)
        door.wait()


def log_requests() -> None:
    """One line for each request, on standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)


def _lists(scope: Scope) -> bool:
    return bool(scope["type"] == "http" and scope["method"] == "GET" and scope["path"] == _LISTED)


async def _early(scope: Scope, receive: Receive, send: Send) -> None:
    from ._errors import Json

    body: dict[str, Any] = {"status": "starting"}
    if scope["path"] != "/healthz":
        told = {"what": _STARTING.what, "why": _STARTING.why, "fix": _STARTING.fix, "code": _STARTING.code}
        body = {"error": {"message": str(_STARTING), "type": "server_error", "param": None} | told}
    await Json(body, 503, {"Retry-After": str(AGAIN)})(scope, receive, send)
