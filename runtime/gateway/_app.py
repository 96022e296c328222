"""The gateway: an HTTP application over the services of one operator."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, cast

from fastapi import FastAPI, Request, Response

from ...contracts import Signer
from ...errors import OpenLedgerError
from ...registry import Connection
from ...staking import DaemonLog, Entry
from ...telemetry import start
from .._deploy import Service
from .._keeper import Keeper, Keeping
from ._a2a import A2a, rpc_routes
from ._agent_routes import agent_routes
from ._agents import Agents
from ._calls import Calls
from ._errors import Json, refuse_malformed, respond, status_of
from ._faces import Faces
from ._guard import Guard
from ._keys import Keys
from ._limits import Limiter, Limits
from ._log import note
from ._mcp import Mcp
from ._openai_routes import openai_routes
from ._schema import Health, describe
from ._token_stream import TokenStreams

__all__ = ["announce", "create_app"]

_LATE = 1.0
"""Seconds between two tries at what could not be finished."""


def create_app(
    services: Sequence[Service],
    connection: Connection,
    *,
    keys: Keys | None = None,
    streams: TokenStreams | None = None,
    limits: Limits | None = None,
    keeping: Keeping | None = None,
    url: str | None = None,
) -> FastAPI:
    """An ASGI application that clients call the agents of ``services`` by: OpenAI's ``/v1``, ``/agents``, ``/actions``,
    MCP's ``/mcp/``, and A2A's ``/a2a``.

    Calls are paid by x402, or with ``keys`` by a prepaid API key. With ``streams`` model agents stream token by
    token. ``url`` is where the world finds the gateway, for cards and registration files; by default each request says
    it. With ``keeping`` a ``Keeper`` anchors and settles for each service; without, whoever runs the services
    does. Leaving its lifespan waits for the actions that run; what a crash interrupts goes on at the next
    ``deploy_agent``.

    Raises ``UserError`` for services that cannot stand side by side.
    """
    start()
    agents = Agents(services, connection)
    limiter = Limiter(limits or Limits())
    calls = Calls(connection, agents, keys, limiter, streams)
    mcp = Mcp(agents, calls, limiter.limits.body_bytes)
    first = next(iter(agents)).agent_id
    secret = connection.as_(connection.record_key(first)).secret("gateway-tasks", b"")
    faces = Faces(agents, connection, url=url, keys=keys is not None)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await asyncio.to_thread(calls.reconcile)
        stop = asyncio.Event()
        late = asyncio.create_task(_finish_late(calls, stop))
        keepers = [_keeper(service, connection, keeping) for service in services] if keeping else []
        for keeper in keepers:
            keeper.start()
        async with mcp.running():
            yield
        stop.set()
        await late
        await asyncio.to_thread(calls.close)
        for keeper in keepers:
            try:
                await asyncio.to_thread(keeper.close)
            except OpenLedgerError as error:  # it is anchored after the next start
                note("anchor", error=error.code)

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

    @app.get("/healthz", tags=["health"], responses={200: {"model": Health}, 503: {"model": Health}})
    async def healthz() -> Response:
        """Whether calls can be taken now: 503 while the chain is away."""
        try:
            block = await asyncio.to_thread(connection.chain.block_number)
        except Exception:  # noqa: BLE001 - whatever keeps the chain away
            return Json({"status": "unavailable", "chain": False}, 503)
        return Json({"status": "ok", "chain": True, "block": block, "agents": len(agents.listed())})

    app.include_router(faces.routes())
    app.router.routes.extend(rpc_routes(A2a(agents, calls, secret)))  # described by cards, not by OpenAPI
    describe(app)
    app.mount("/mcp", mcp.app)
    app.state.faces = faces
    app.add_middleware(cast(Any, Guard), limiter=limiter, keys=keys)
    app.add_exception_handler(OpenLedgerError, _told)
    refuse_malformed(app)
    return app


def announce(app: FastAPI, signer: Signer) -> list[str]:
    """Have the registration files of the agents of ``create_app(url=…)`` name their addresses there: one transaction for
    each that does not and that ``signer`` owns. Returns what was done, in words.

    Raises ``ChainError`` when the chain is away or refuses.
    """
    faces: Faces = app.state.faces
    return faces.announce(signer)


async def _finish_late(calls: Calls, stop: asyncio.Event) -> None:
    """Try again, until told to stop, what was paid and could not be finished."""
    while not stop.is_set():
        await asyncio.to_thread(calls.finish_late)
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), _LATE)


def _keeper(service: Service, connection: Connection, keeping: Keeping) -> Keeper:
    def tell(entry: Entry) -> None:
        note(entry.event, agent=service.operator.agent_id, **entry.fields)

    return Keeper(service, connection.ledger, DaemonLog(tell=tell), keeping)


async def _told(request: Request, error: Exception) -> Response:
    found = cast(OpenLedgerError, error)
    again = request.state.key is None or "Idempotency-Key" in request.headers
    # OpenAI's clients repeat by themselves what failed here. With a key that would be another payment.
    headers = {} if again or status_of(found) < 500 else {"X-Should-Retry": "false"}
    return respond(found, headers)
