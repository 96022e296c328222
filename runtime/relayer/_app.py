"""The relayer over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

from fastapi import FastAPI, Request, Response
from starlette.concurrency import run_in_threadpool

from ...contracts import Batch
from ...errors import ChainError, OpenLedgerError, UserError
from ..gateway import Guard, Json, Limiter, Limits, refuse_malformed, respond
from ._relayer import Relayer

__all__ = ["create_app"]

_LIMITS = Limits(body_bytes=1 << 18, rate=5.0, burst=40, running=32, running_each=8)


def create_app(relayer: Relayer, limits: Limits | None = None) -> FastAPI:
    """An ASGI application: ``GET /v1/terms`` and ``POST /v1/batches``. Its lifespan begins with :meth:`Relayer.recover`."""
    limiter = Limiter(limits or _LIMITS)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await run_in_threadpool(relayer.recover)
        yield

    app = FastAPI(
        title="OpenLedger relayer",
        description="Pays the gas of what accounts sign (EIP-7702).",
        version="1",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        default_response_class=Json,
    )

    @app.get("/v1/terms")
    def terms() -> dict[str, Any]:
        """Who pays, for which contracts, and how much. Amounts in wei."""
        return _terms(relayer)

    @app.post("/v1/batches")
    def submit(batch: Batch, request: Request) -> dict[str, Any]:
        """Carry a signed batch out; the answer comes once it is mined. The same again gives the same transaction."""
        client = str(request.state.client)
        limiter.begin(client)
        try:
            done = relayer.submit(batch)
        finally:
            limiter.end(client)
        return {"id": done.id, "tx": done.tx}

    @app.get("/healthz")
    def healthz() -> Response:
        """Whether the chain answers."""
        try:
            block = relayer.contracts.chain.block_number()
        except ChainError:
            return Json({"status": "unavailable"}, 503)
        return Json({"status": "ok", "block": block})

    app.add_middleware(cast(Any, Guard), limiter=limiter, keys=None)
    app.add_exception_handler(OpenLedgerError, _told)
    refuse_malformed(app)
    return app


def _terms(relayer: Relayer) -> dict[str, Any]:
    terms = relayer.terms
    return {
        "chainId": relayer.contracts.chain.chain_id,
        "delegate": relayer.delegate,
        "sponsor": relayer.address,
        "windowSeconds": terms.window,
        "maxCalls": terms.max_calls,
        "maxGas": terms.max_gas,
        "accountCapPerDay": str(terms.account_cap),
        "transfers": terms.transfers,
        "targets": sorted(terms.targets),
    }


async def _told(_: Request, error: Exception) -> Response:
    """What the chain said of a batch is its sender's business, unlike what it said of ours."""
    found = cast(OpenLedgerError, error)
    if isinstance(found, ChainError) and (found.revert is not None or found.code == "relay.stale"):
        shown = UserError(found.what, why=found.why, fix=found.fix, code=found.code)
        return respond(shown, revert=found.revert, tx=found.tx)
    return respond(found)
