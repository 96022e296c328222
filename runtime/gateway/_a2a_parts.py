"""A2A's messages as what an agent is given, and what became of its action as A2A's tasks.

Sources: https://a2a-protocol.org/latest/specification and x402's ``transports-v2/a2a.md``
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from a2a.types import Artifact, Message, Part, Role, Task, TaskState, TaskStatus
from google.protobuf.json_format import MessageToDict, ParseDict, ParseError
from google.protobuf.struct_pb2 import Struct, Value
from x402.schemas import SettleResponse

from ...errors import UserError
from ...registry import Status
from .._requests import Receipt
from ._agents import Served
from ._errors import PaymentRefused, failure
from ._openai import text_input, text_of

if TYPE_CHECKING:
    from google.protobuf.message import Message as Proto

__all__ = [
    "X402",
    "answer_parts",
    "ended_task",
    "header_of",
    "input_of",
    "payment_of",
    "rejects",
    "task",
    "unpaid",
]

X402 = "https://github.com/google-agentic-commerce/a2a-x402/blob/main/spec/v0.2"
"""The extension by which agents are paid."""

STATUS = "x402.payment.status"
REQUIRED = "x402.payment.required"
PAYLOAD = "x402.payment.payload"
RECEIPTS = "x402.payment.receipts"
ERROR = "x402.payment.error"

_EXACT = 2**53
"""Above it A2A's numbers, which are doubles, are no longer whole numbers one by one."""


# -- what came ------------------------------------------------------------------------------------


def payment_of(message: Message) -> dict[str, Any] | None:
    """The x402 payment in a message."""
    found = _plain(message.metadata).get(PAYLOAD)
    if found is not None and not isinstance(found, dict):
        raise UserError("the payment is malformed", why=f"{PAYLOAD} is no object", fix="send x402's payload")
    return found


def rejects(message: Message) -> bool:
    """Whether a message turns the terms down."""
    return bool(_plain(message.metadata).get(STATUS) == "payment-rejected")


def header_of(payment: Mapping[str, Any]) -> str:
    """A payment as HTTP's header has it."""
    return b64encode(json.dumps(payment).encode()).decode()


def input_of(message: Message, served: Served, *, resumes: bool) -> Any:
    """What a message asks of the agent: one part of data as it is, or its text. Raises ``UserError``."""
    kinds = {part.WhichOneof("content") for part in message.parts}
    if kinds == {"data"} and len(message.parts) == 1:
        return _plain(message.parts[0].data)
    if kinds != {"text"}:
        raise UserError(
            "the message has parts that no agent here takes",
            why=f"it has {sorted(str(kind) for kind in kinds)}",
            fix="send text, or one part of data",
            code="user.parts",
        )
    text = "\n".join(part.text for part in message.parts)
    return text if resumes else text_input(served, text)


def _plain(given: Proto) -> Any:
    """A protobuf value as plain data; whole numbers as integers again. Raises ``UserError``."""
    try:
        return _whole(MessageToDict(given))
    except (ValueError, RecursionError) as error:
        raise UserError("the message cannot be read", why=type(error).__name__, fix="send JSON") from None


def _whole(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        if abs(value) >= _EXACT:
            raise UserError(
                "the message has a number that is not exact",
                why="numbers of A2A's data are doubles, whole only below 2^53",
                fix="send it as text",
            )
        return int(value)
    if isinstance(value, dict):
        return {key: _whole(one) for key, one in value.items()}
    return [_whole(one) for one in value] if isinstance(value, list) else value


# -- what is told ---------------------------------------------------------------------------------


def task(
    task_id: str,
    context_id: str,
    state: TaskState,
    *,
    parts: Sequence[Part] = (),
    metadata: Mapping[str, Any] | None = None,
    artifact: Artifact | None = None,
    about: Mapping[str, Any] | None = None,
) -> Task:
    """A task in ``state``; ``parts`` and ``metadata`` are of its status message, ``about`` is its own metadata."""
    status = TaskStatus(state=state)
    status.timestamp.GetCurrentTime()
    if parts or metadata:
        said = Message(
            message_id=str(uuid4()),
            task_id=task_id,
            context_id=context_id,
            role=Role.ROLE_AGENT,
            parts=parts,
            metadata=_struct(metadata or {}),
        )
        status.message.CopyFrom(said)
    artifacts = [] if artifact is None else [artifact]
    return Task(
        id=task_id, context_id=context_id, status=status, artifacts=artifacts, metadata=_struct(about or {})
    )


def unpaid(task_id: str, context_id: str, error: PaymentRefused, *, tried: bool) -> Task:
    """A task that waits for its payment; ``tried`` where one came and was not taken."""
    terms = error.required.model_dump(by_alias=True, exclude_none=True)
    metadata: dict[str, Any] = {
        STATUS: "payment-failed" if tried else "payment-required",
        REQUIRED: terms,
    }
    if tried:
        network = error.required.accepts[0].network
        refused = {"success": False, "errorReason": error.what, "network": network, "transaction": ""}
        metadata |= {ERROR: error.reason, RECEIPTS: [refused]}
    parts = [Part(text=" ".join(f"{part.rstrip('.')}." for part in (error.what, error.why) if part))]
    return task(task_id, context_id, TaskState.TASK_STATE_INPUT_REQUIRED, parts=parts, metadata=metadata)


def ended_task(
    task_id: str,
    context_id: str,
    receipt: Receipt,
    extension: Mapping[str, Any],
    settled: SettleResponse | None,
) -> Task:
    """What an action ended as. The receipt is in the metadata of the task and of its artifact; an interrupt's question is
    its status message."""
    about = {"openledger": extension}
    paid: dict[str, Any] = {}
    if settled is not None:
        told = settled.model_dump(by_alias=True, exclude_none=True)
        paid = {STATUS: "payment-completed", RECEIPTS: [told]}
    status = receipt.record.status
    if status is Status.FAILED:
        error = failure(receipt.output)
        parts, state = [Part(text=str(error))], TaskState.TASK_STATE_FAILED
        return task(
            task_id, context_id, state, parts=parts, metadata=paid | {"code": error.code}, about=about
        )
    parts = answer_parts(receipt.output)
    if status is Status.INTERRUPTED:
        state = TaskState.TASK_STATE_INPUT_REQUIRED
        return task(task_id, context_id, state, parts=parts, metadata=paid, about=about)
    made = Artifact(artifact_id="answer", name="answer", parts=parts, metadata=_struct(about))
    state = TaskState.TASK_STATE_COMPLETED
    return task(task_id, context_id, state, metadata=paid, artifact=made, about=about)


def answer_parts(output: Any) -> list[Part]:
    """An answer: text as text, anything else as data, or as the text of its JSON where data cannot hold it."""
    if not isinstance(output, str):
        data = _exactly(output)
        if data is None:
            return [Part(text=text_of(output), media_type="application/json")]
        return [Part(data=data, media_type="application/json")]
    return [Part(text=output, media_type="text/plain")]


def _exactly(output: Any) -> Value | None:
    """None for what protobuf's JSON would change or cannot hold: large numbers, bytes, deep nesting."""
    try:
        data: Value = ParseDict(output, Value())
        return data if MessageToDict(data) == output else None
    except (ParseError, ValueError, TypeError):
        return None


def _struct(value: Mapping[str, Any]) -> Struct:
    made: Struct = ParseDict(dict(value), Struct())
    return made
