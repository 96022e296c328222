"""The gateway: an HTTP application over the services of one operator."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, cast

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from ...errors import OpenLedgerError, UserError
from ...registry import Connection
from .._deploy import Service
from ._agent_routes import agent_routes
from ._agents import Agents
from ._calls import Calls
from ._errors import Json, respond, status_of
from ._guard import Guard
from ._keys import Keys
from ._limits import Limiter, Limits
from ._log import note
from ._mcp import Mcp
from ._openai_routes import openai_routes
from ._token_stream import TokenStreams

__all__ = ["create_app"]

_SETTLE = 60
"""Turns of anchoring between two of settling, which asks the chain about every batch whose window is open."""


def create_app(
    services: Sequence[Service],
    connection: Connection,
    *,
    keys: Keys | None = None,
    streams: TokenStreams | None = None,
    limits: Limits | None = None,
    anchor_every: float | None = None,
) -> FastAPI:
    """An ASGI application that clients call the agents of ``services`` by: OpenAI's ``/v1``, ``/agents``, ``/actions``, and
    MCP's ``/mcp/``.

    Calls are paid by x402, or with ``keys`` by a prepaid API key. With ``streams`` model agents stream token by
    token. With ``anchor_every`` it anchors that often, in seconds, and settles; without, whoever runs the services
    does. Leaving its lifespan waits for the actions that run; what a crash interrupts goes on at the next
    ``deploy_agent``.

    Raises ``UserError`` for services that cannot stand side by side.
    """
    agents = Agents(services, connection)
    limiter = Limiter(limits or Limits())
    calls = Calls(connection, agents, keys, limiter, streams)
    mcp = Mcp(agents, calls, limiter.limits.body_bytes)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await asyncio.to_thread(calls.reconcile)
        stop = asyncio.Event()
        anchoring = (
            asyncio.create_task(_anchor(services, calls, anchor_every, stop)) if anchor_every else None
        )
        async with mcp.running():
            yield
        stop.set()
        if anchoring is not None:
            await anchoring
        await asyncio.to_thread(calls.close)

    app = FastAPI(
        title="OpenLedger gateway",
        description="Agents whose every answer is recorded, anchored and paid to whoever it is owed to.",
        version="1",
        lifespan=lifespan,
        docs_url=None,  # its page would fetch scripts from elsewhere
        redoc_url=None,
        default_response_class=Json,
    )
    app.include_router(openai_routes(agents, calls))
    app.include_router(agent_routes(agents, calls, connection))

    @app.get("/healthz", tags=["health"])
    async def healthz() -> Response:
        """Whether calls can be taken now: 503 while the chain is away."""
        try:
            block = await asyncio.to_thread(connection.chain.block_number)
        except Exception:  # noqa: BLE001 - whatever keeps the chain away
            return Json({"status": "unavailable", "chain": False}, 503)
        return Json({"status": "ok", "chain": True, "block": block, "agents": len(agents.listed())})

    app.mount("/mcp", mcp.app)
    app.add_middleware(cast(Any, Guard), limiter=limiter, keys=keys)
    app.add_exception_handler(OpenLedgerError, _told)
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_exception_handler(HTTPException, _http)
    return app


async def _anchor(services: Sequence[Service], calls: Calls, every: float, stop: asyncio.Event) -> None:
    """Anchor until told to stop, and now and then settle. What fails is repeated at the next turn, long before any
    ticket is overdue."""
    for number in itertools.count():
        await asyncio.to_thread(calls.finish_late)
        for service in services:
            turns = [("anchor", service.batcher.anchor), ("settle", service.batcher.settle)]
            for name, turn in turns if number % _SETTLE == 0 else turns[:1]:
                try:
                    await asyncio.to_thread(turn)
                except OpenLedgerError as error:
                    note(name, agent=service.operator.agent_id, error=error.code)
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), every)
        if stop.is_set():
            return


async def _told(request: Request, error: Exception) -> Response:
    found = cast(OpenLedgerError, error)
    again = request.state.key is None or "Idempotency-Key" in request.headers
    # OpenAI's clients repeat by themselves what failed here. With a key that would be another payment.
    headers = {} if again or status_of(found) < 500 else {"X-Should-Retry": "false"}
    return respond(found, headers)


async def _malformed(_: Request, error: Exception) -> Response:
    """Which fields are wrong and how, without what they hold."""
    wrong = cast(RequestValidationError, error).errors()
    told = [f"{'.'.join(map(str, one['loc'][1:])) or 'body'}: {one['msg']}" for one in wrong[:8]]
    return respond(
        UserError(
            "the request is malformed",
            why="; ".join(told)[:1000],
            fix="see /openapi.json for what it may hold",
        )
    )


async def _http(_: Request, error: Exception) -> Response:
    found = cast(HTTPException, error)
    see = "see /openapi.json for what there is"
    if found.status_code == 404:
        return respond(UserError("there is nothing at this address", fix=see, code="user.route"))
    if found.status_code == 405:
        wrong = UserError("this address takes another method", fix=see, code="user.method")
        return respond(wrong, found.headers)
    return respond(UserError("the request is malformed", why=str(found.detail), fix=see))
