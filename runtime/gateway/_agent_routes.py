"""``/agents`` and ``/actions``: agents with all they take and give, and what became of their actions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from ...errors import UserError
from ...registry import ActionRecord, Connection, Status, normalise_cid, pack_car
from ...staking import Report, verify
from .._carry import CAR, action_blocks
from .._outbox import ActionRow
from ._agents import Agents
from ._answers import Sse, begun, ended, failed, headers_of, payer_of
from ._calls import Call, Calls
from ._errors import Json, body_of, failure, status_of
from ._schema import PAID, PAYING, Action, Actions, Answer, Model, gives

__all__ = ["AgentId", "agent_routes"]

AgentId = Annotated[int, Path(ge=1, description="the agent's id on-chain")]


class Invocation(BaseModel):
    """``POST /agents/{id}/invoke`` and ``stream``."""

    model_config = ConfigDict(strict=True, extra="forbid")

    input: Annotated[
        Any, Field(description="the graph's input: its state, or a text where the agent takes one")
    ]
    thread: Annotated[
        str | None, Field(max_length=200, description="of an interrupted action, to resume it")
    ] = None
    parent: Annotated[str | None, Field(max_length=200, description="the CID of its receipt")] = None


def agent_routes(agents: Agents, calls: Calls, connection: Connection) -> APIRouter:
    """The routes, over what is served."""
    routes = APIRouter(tags=["agents"])

    def begin(agent_id: int, body: Invocation, request: Request) -> Call:
        served = agents.get(agent_id)
        return calls.begin(served, body.input, payer_of(request), thread=body.thread, parent=body.parent)

    @routes.get("/agents/{agent_id}", responses=gives(Model, 404))
    async def show_agent(agent_id: AgentId) -> Response:
        """What an agent costs and declares."""
        return Json(agents.described(agents.get(agent_id)))

    @routes.post("/agents/{agent_id}/invoke", responses=gives(Answer, *PAYING), openapi_extra=PAID)
    async def invoke(agent_id: AgentId, body: Invocation, request: Request) -> Response:
        """Call an agent and wait for its answer. Paid by an API key or by x402. Who accepts ``application/vnd.ipld.car`` gets
        the receipt itself, however the action ended, with all that is needed to check it."""
        call = begin(agent_id, body, request)
        await begun(call)
        receipt, extension = await ended(call)
        if CAR in request.headers.get("Accept", ""):
            blocks = await asyncio.to_thread(action_blocks, receipt.cid, connection.store.get)
            packed = pack_car(receipt.cid, blocks)
            return Response(packed, media_type=CAR, headers=headers_of(call, receipt))
        told = {"status": extension["status"], "output": receipt.output, "openledger": extension}
        wrong = failed(call, receipt, extension)
        return wrong or Json(told, headers=headers_of(call, receipt))

    @routes.post(
        "/agents/{agent_id}/stream", responses=gives(None, *PAYING, streams=True), openapi_extra=PAID
    )
    async def stream(agent_id: AgentId, body: Invocation, request: Request) -> Response:
        """The same as server-sent events: ``ticket`` once it is paid, then ``output`` or ``error``, then ``receipt``."""
        call = begin(agent_id, body, request)
        ticket, sse = await begun(call), Sse(call)

        async def events() -> AsyncIterator[str]:
            yield sse.event(ticket, "ticket")
            async for comment in sse.alive():
                yield comment
            receipt, extension = await ended(call)
            if receipt.record.status is Status.FAILED:
                error = failure(receipt.output)
                yield sse.event(body_of(error, status_of(error)), "error")
            else:
                yield sse.event({"output": receipt.output}, "output")
            yield sse.event(extension, "receipt")

        return sse.respond(events())

    @routes.get("/agents/{agent_id}/receipts", responses=gives(Actions, 404))
    async def receipts(
        agent_id: AgentId,
        before: Annotated[int | None, Query(ge=0, lt=2**63, description="only below this nonce")] = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    ) -> Response:
        """The agent's actions, latest first: the CIDs of their records and how far the chain has them."""
        service = agents.get(agent_id).service
        rows = await asyncio.to_thread(service.outbox.receipts, agent_id, before=before, limit=limit)
        return Json(
            {"object": "list", "data": [_receipt(row) for row in rows], "has_more": len(rows) == limit}
        )

    @routes.get("/actions/{cid}", responses=gives(Action, 404, 502))
    async def show_action(cid: str) -> Response:
        """What is known of an action from its record: signature, payment, seeds, anchor. Model calls are not replayed
        here, which is for somebody else than their operator to do, so an action with any is ``unverified``."""
        row = await asyncio.to_thread(_row, agents, normalise_cid(cid))
        report = await asyncio.to_thread(
            verify, str(row.envelope), store=connection.store, ledger=connection.ledger, replayer=None
        )
        final = report.header is not None and await asyncio.to_thread(
            connection.ledger.window_over, report.header
        )
        return Json(_receipt(row) | _found(report, final))

    return routes


def _row(agents: Agents, cid: str) -> ActionRow:
    for served in agents:
        row = served.service.outbox.signed_as(cid)
        if row is not None and row.agent_id == served.agent_id:
            return row
    raise UserError(
        f"no action of the agents here has the receipt {cid}",
        fix="ask its agent's gateway, or run `openledger verify CID` with its content store",
        code="user.action.unknown",
    )


def _receipt(row: ActionRow) -> dict[str, Any]:
    assert row.executed is not None  # a row with a receipt has it
    record = ActionRecord.from_block(row.executed["record"], None)
    return {
        "object": "action",
        "receipt": row.envelope,
        "agent": row.agent_id,
        "nonce": row.nonce,
        "status": record.status.name.lower(),
        "state": row.state.value.lower(),
        "payment_id": row.payment_id,
        "charged": str(record.charge),
        "seed_source": record.seed_source.name.lower(),
        "anchor_by": record.anchor_by,
    }


def _found(report: Report, final: bool) -> dict[str, Any]:
    header, record = report.header, report.record
    anchor = None
    if header is not None:
        anchor = {"first_nonce": header.first_nonce, "count": header.count, "anchored_at": header.anchored_at,
                  "final": final}  # fmt: skip
    return {
        "record": None if record is None else record.to_json(),
        "anchor": anchor,
        "verification": str(report.verdict),
        "summary": report.summary,
        "checks": [{"name": c.name, "verdict": str(c.verdict), "found": c.found} for c in report.checks],
    }
