"""What a client sends and gets: a paid request, and the receipt that holds the agent to its answer."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ..errors import UserError
from ..registry import ActionRecord, KeptTicket, Payment, SignedRecord, Ticket, normalise_cid, value_hash

__all__ = ["PaidRequest", "Receipt", "SignedTicket", "check_request", "request_of"]


def request_of(
    agent_id: int, value: Any, *, thread: str | None = None, parent: str | None = None
) -> dict[str, Any]:
    """The request as it is hashed and recorded. With ``parent``, the CID of an interrupted action's record,
    ``value`` answers its interrupt; ``thread`` is then the one that action ran on: its own, or by default
    its payment id (0x…). Threads of different clients never meet."""
    return {"agent": agent_id, "input": value, "thread": thread, "parent": parent}


def check_request(request: Any) -> None:
    """Raises ``UserError`` for a request that :func:`request_of` would not make."""
    if not isinstance(request, dict) or set(request) != {"agent", "input", "thread", "parent"}:
        raise UserError(
            "the request is malformed", why="it has other fields", fix="make it with request_of()"
        )
    if type(request["agent"]) is not int or not isinstance(request["thread"], str | None):
        raise UserError(
            "the request is malformed", why="agent is a number, thread is text", fix="use request_of()"
        )
    if request["parent"] is not None:
        normalise_cid(request["parent"])
        if request["thread"] is None:
            raise UserError(
                "a request that resumes an action needs its thread",
                fix="give thread=: the one that action ran on, by default its payment id",
            )


@dataclass(frozen=True)
class PaidRequest:
    """A request and the client's authorization to pay for exactly this request."""

    request: dict[str, Any]
    payment: Payment
    held: bool = False
    """Whether the paying key is in the operator's hands, as a gateway's prepaid accounts are. It could then sign
    until it likes the seed: the record names the operator as the seed's source, and is never called verified."""

    @property
    def agent_id(self) -> int:
        return int(self.request["agent"])

    @cached_property
    def request_hash(self) -> bytes:
        return value_hash(self.request)

    @cached_property
    def payment_id(self) -> bytes:
        return self.payment.payment_id(self.agent_id, self.request_hash)


@dataclass(frozen=True)
class SignedTicket:
    """The agent's promise, given before it starts, to anchor a record for this payment in time."""

    ticket: Ticket
    signature: bytes

    def keep(self, payment: Payment) -> KeptTicket:
        """The ticket with the payment it was given for: what the client needs if the promise is broken."""
        return KeptTicket(self.ticket, self.signature, payment)


@dataclass(frozen=True)
class Receipt:
    """The signed record of a finished action and its CID."""

    cid: str
    signed: SignedRecord
    output: Any

    @property
    def record(self) -> ActionRecord:
        return self.signed.record
