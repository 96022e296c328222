"""Agents by the A2A protocol, version 1.0 over JSON-RPC: a message is an action, and its task says what became of it.

A task is named after its action's payment, or at random while it waits for one. Nothing about paid tasks is kept here but
such names: their state is the outbox's. https://a2a-protocol.org/latest/specification
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import uuid4

from a2a.server.context import ServerCallContext
from a2a.server.events import Event
from a2a.server.request_handlers.request_handler import RequestHandler, validate_request_params
from a2a.server.routes import ServerCallContextBuilder, create_jsonrpc_routes
from a2a.types import (
    AgentCard,
    Artifact,
    CancelTaskRequest,
    GetTaskRequest,
    ListTasksRequest,
    ListTasksResponse,
    Message,
    Part,
    SendMessageRequest,
    SubscribeToTaskRequest,
    Task,
    TaskArtifactUpdateEvent,
    TaskState,
    TaskStatusUpdateEvent,
)
from a2a.utils.errors import (
    InvalidParamsError,
    PushNotificationNotSupportedError,
    TaskNotCancelableError,
    TaskNotFoundError,
    UnsupportedOperationError,
)
from starlette.requests import Request
from starlette.routing import Route

from ...errors import OpenLedgerError, UserError
from ...registry import Status, payment_id
from .._intake import paid_of
from .._outbox import ActionRow, State
from ._a2a_parts import ended_task, header_of, input_of, payment_of, rejects, task, unpaid
from ._a2a_tasks import Kept, Tasks, a2a_errors
from ._agents import Agents, Served
from ._answers import Sse, begun, ended, payer_of, told
from ._calls import Call, Calls
from ._errors import PaymentRefused
from ._x402 import metered

__all__ = ["A2a", "rpc_routes"]

_POLL = 0.5
"""Seconds between two looks at a task that somebody subscribed to."""


@dataclass
class _Under:
    """An action under way, and the task it belongs to."""

    task_id: str
    context_id: str
    call: Call
    said: str = field(default="", init=False)

    def working(self) -> Task:
        return task(self.task_id, self.context_id, TaskState.TASK_STATE_WORKING)


class A2a(RequestHandler):
    """The operations of the protocol. Its methods run in one event loop."""

    def __init__(self, agents: Agents, calls: Calls, secret: bytes) -> None:
        """``secret`` makes the tasks' ids; with the same one they last beyond a restart."""
        self._agents, self._calls = agents, calls
        self._tasks = Tasks(secret)

    # -- messages ---------------------------------------------------------------------------------

    @validate_request_params
    async def on_message_send(self, params: SendMessageRequest, context: ServerCallContext) -> Task:
        with a2a_errors():
            under = await self._begin(params, context, stream=False)
            if isinstance(under, Task):
                return under
            return under.working() if params.configuration.return_immediately else await self._end(under)

    @validate_request_params
    async def on_message_send_stream(
        self, params: SendMessageRequest, context: ServerCallContext
    ) -> AsyncGenerator[Event]:
        with a2a_errors():
            under = await self._begin(params, context, stream=True)
            if isinstance(under, Task):
                yield under
                return
            yield under.working()
            sse = Sse(under.call)
            try:
                async for piece in sse.text(stripped=True):
                    if piece:
                        yield _chunk(under, Artifact(artifact_id="answer", parts=[Part(text=piece)]))
                        under.said += piece
            finally:
                sse.leave()
            done = await self._end(under)
            for artifact in done.artifacts:
                said = artifact.parts[0].text
                if under.said and said.startswith(under.said):
                    artifact.parts[0].text = said[len(under.said) :]
                else:
                    under.said = ""  # what came before was not the answer: this replaces it
                yield _chunk(under, artifact, last=True)
            yield TaskStatusUpdateEvent(
                task_id=done.id, context_id=done.context_id, status=done.status, metadata=done.metadata
            )

    async def _begin(
        self, params: SendMessageRequest, context: ServerCallContext, *, stream: bool
    ) -> _Under | Task:
        """The action that a message asks for, paid; or the task as it stands, where there is nothing to begin."""
        message, request = params.message, context.state["request"]
        served, payment = self._served(params.tenant, request), payment_of(message)
        kept = self._tasks.get(message.task_id, served)
        if kept is not None and message.context_id not in ("", kept.context_id):
            raise InvalidParamsError(f"the task is of context {kept.context_id}")
        if kept is not None and rejects(message):
            return self._reject(message.task_id, kept)
        if kept is not None and kept.message_id == message.message_id and kept.payment_id is not None:
            return await self._of(message.task_id, served)
        asked = await self._asked(message, served, payment, kept)
        task_id, context_id = message.task_id, message.context_id or (kept.context_id if kept else "")
        payer = replace(
            payer_of(request),
            payment=None if payment is None else header_of(payment),
            once=f"a2a/{message.message_id}",
        )
        more = {"thread": asked["thread"], "parent": asked["parent"]}
        try:
            call = self._calls.begin(served, asked["input"], payer, stream=stream, **more)
            paid = await begun(call)
        except PaymentRefused as error:
            task_id = task_id or str(uuid4())
            now = self._tasks.keep(task_id, served, context_id or task_id)
            now.wait_for(asked)
            return unpaid(task_id, now.context_id, error, tried=payment is not None or payer.key is not None)
        task_id = task_id or self._tasks.named(paid["payment_id"])
        now = self._tasks.keep(task_id, served, context_id or task_id)
        now.paid(paid["payment_id"], message.message_id)
        return _Under(task_id, now.context_id, call)

    async def _asked(
        self, message: Message, served: Served, payment: dict[str, Any] | None, kept: Kept | None
    ) -> dict[str, Any]:
        """The request that a message makes or pays for."""
        if payment is not None:
            row = await self._row(_payment_id(payment), served)
            if row is not None:
                return dict(row.accepted["request"])  # paid already: it gets what it paid for
            if kept is not None and kept.asked is not None:
                return kept.asked
        waits = kept is not None and kept.payment_id is None
        if not message.task_id or waits:
            return {"input": input_of(message, served, resumes=False), "thread": None, "parent": None}
        row = await self._row(self._payment(message.task_id, kept), served)
        if row is None:
            raise TaskNotFoundError(
                "There is no such task, or its payment came too late. Send the message again, without a task id"
            )
        if _status(row) is not Status.INTERRUPTED:
            raise UnsupportedOperationError("The task takes no message: it works, or is over")
        thread = row.accepted["request"]["thread"] or row.payment_id
        value = input_of(message, served, resumes=True)
        return {"input": value, "thread": thread, "parent": row.envelope}

    async def _end(self, under: _Under) -> Task:
        receipt, extension = await ended(under.call)
        return ended_task(under.task_id, under.context_id, receipt, extension, under.call.settled)

    def _reject(self, task_id: str, kept: Kept) -> Task:
        self._tasks.forget(task_id)
        state, metadata = TaskState.TASK_STATE_FAILED, {"x402.payment.status": "payment-rejected"}
        return task(task_id, kept.context_id, state, metadata=metadata)

    # -- tasks ------------------------------------------------------------------------------------

    @validate_request_params
    async def on_get_task(self, params: GetTaskRequest, context: ServerCallContext) -> Task:
        with a2a_errors():
            return await self._of(params.id, self._served(params.tenant, context.state["request"]), context)

    @validate_request_params
    async def on_cancel_task(self, params: CancelTaskRequest, context: ServerCallContext) -> Task:
        with a2a_errors():
            served = self._served(params.tenant, context.state["request"])
            found = await self._of(params.id, served, context)
            kept = self._tasks.get(params.id, served)
            if kept is None or kept.payment_id is not None:
                raise TaskNotCancelableError("An action that was paid for is carried out")
            self._tasks.forget(params.id)
            return task(found.id, found.context_id, TaskState.TASK_STATE_CANCELED)

    @validate_request_params
    async def on_subscribe_to_task(
        self, params: SubscribeToTaskRequest, context: ServerCallContext
    ) -> AsyncGenerator[Event]:
        with a2a_errors():
            served = self._served(params.tenant, context.state["request"])
            found = await self._of(params.id, served, context)
            if found.status.state != TaskState.TASK_STATE_WORKING:
                raise UnsupportedOperationError("The task does not work: get it")
            yield found
            while found.status.state == TaskState.TASK_STATE_WORKING:
                await asyncio.sleep(_POLL)
                found = await self._of(params.id, served, context)
            yield found

    async def on_list_tasks(self, params: ListTasksRequest, context: ServerCallContext) -> ListTasksResponse:
        raise UnsupportedOperationError("GET /agents/{id}/receipts lists the actions of an agent")

    async def _of(self, task_id: str, served: Served, context: ServerCallContext | None = None) -> Task:
        """The task as it stands."""
        kept = self._tasks.get(task_id, served)
        if kept is not None and kept.asked is not None and context is not None:
            url = str(context.state["request"].url)
            request = {"agent": served.agent_id, **kept.asked}
            terms = self._calls.till.refusal(served, request, url, "Payment is required")
            return unpaid(task_id, kept.context_id, terms, tried=False)
        row = await self._row(self._payment(task_id, kept), served)
        if row is None:
            raise TaskNotFoundError
        context_id = task_id if kept is None else kept.context_id
        if row.state is State.REFUNDED:
            parts = [Part(text="The action was not carried out, and its payment given back.")]
            return task(task_id, context_id, TaskState.TASK_STATE_FAILED, parts=parts)
        if row.envelope is None:
            return task(task_id, context_id, TaskState.TASK_STATE_WORKING)
        return await asyncio.to_thread(self._ended, task_id, context_id, served, row)

    def _ended(self, task_id: str, context_id: str, served: Served, row: ActionRow) -> Task:
        paid = paid_of(row)
        receipt = served.service.operator.finish(paid.payment_id)
        settled = None if paid.held else self._calls.till.settled(paid)
        if settled is not None and served.tariff is not None:
            settled = metered(settled, receipt.record)
        return ended_task(task_id, context_id, receipt, told(paid, receipt), settled)

    # -- what there is not ------------------------------------------------------------------------

    async def _no_pushing(self, params: Any, context: ServerCallContext) -> Any:
        raise PushNotificationNotSupportedError("Ask for the task, or stream")

    on_create_task_push_notification_config = _no_pushing
    on_get_task_push_notification_config = _no_pushing
    on_list_task_push_notification_configs = _no_pushing
    on_delete_task_push_notification_config = _no_pushing

    async def on_get_extended_agent_card(self, params: Any, context: ServerCallContext) -> AgentCard:
        raise UnsupportedOperationError("There is one card for everybody")

    # -- who and what is meant --------------------------------------------------------------------

    def _served(self, tenant: str, request: Request) -> Served:
        named = str(request.path_params.get("agent_id") or tenant)
        if named:
            return self._agents.named(f"agent:{named}" if named.isdigit() else named)
        alone = list(self._agents)
        if len(alone) != 1:
            raise UserError(
                "several agents are served here",
                why="the message names none",
                fix="send it to /a2a/<agent id>, or name the agent as its tenant",
            )
        return alone[0]

    def _payment(self, task_id: str, kept: Kept | None) -> str | None:
        """The payment of a task's latest action."""
        return self._tasks.payment_of(task_id) if kept is None else kept.payment_id

    async def _row(self, payment: str | None, served: Served) -> ActionRow | None:
        """The agent's action that ``payment`` paid for."""
        if payment is None:
            return None
        try:
            row = await asyncio.to_thread(served.service.outbox.get, payment)
        except UserError:
            return None
        return row if row.agent_id == served.agent_id else None


class _Context(ServerCallContextBuilder):
    """Hands the request on, with its headers where the protocol's version is looked for."""

    def build(self, request: Request) -> ServerCallContext:
        return ServerCallContext(state={"headers": dict(request.headers), "request": request})


def rpc_routes(handler: A2a) -> list[Route]:
    """``/a2a/<agent id>``, and ``/a2a`` for the agent that the tenant names or that is alone."""
    # it would log what was asked, wherever that was malformed
    logging.getLogger("a2a.server.routes.jsonrpc_dispatcher").setLevel(logging.CRITICAL)
    context = _Context()
    return [
        route
        for path in ("/a2a/{agent_id}", "/a2a")
        for route in create_jsonrpc_routes(handler, path, context)
    ]


def _chunk(under: _Under, artifact: Artifact, *, last: bool = False) -> TaskArtifactUpdateEvent:
    return TaskArtifactUpdateEvent(
        task_id=under.task_id,
        context_id=under.context_id,
        artifact=artifact,
        append=bool(under.said),
        last_chunk=last,
    )


def _payment_id(payment: dict[str, Any]) -> str | None:
    """Which payment this is; None where it is malformed, which is told when it is taken."""
    try:
        signed = payment["payload"]["authorization"]
        nonce = bytes.fromhex(str(signed["nonce"]).removeprefix("0x"))
        return "0x" + payment_id(str(signed["from"]), nonce).hex()
    except (KeyError, TypeError, ValueError, OpenLedgerError):
        return None


def _status(row: ActionRow) -> Status | None:
    """None while it is not known."""
    return (
        None
        if row.executed is None or row.envelope is None
        else Status(int(row.executed["record"]["status"]))
    )
