"""The content of an action: what was asked, paid, done and answered. Its digest is in the signed record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ..errors import ContentError
from ._blocks import (
    Encoded,
    Getter,
    Reader,
    pack_items,
    pack_value,
    parse_uint256,
    unpack_items,
    unpack_value,
)
from ._cid import Link
from ._dagcbor import decode, encode
from ._hashing import address_of, address_word, authorization_nonce, payment_id, sha2

__all__ = ["ActionContent", "Payment", "value_hash"]

CONTENT_VERSION = 1


def value_hash(value: Any) -> bytes:
    """``requestHash`` and ``outputHash``: sha2-256 of the value's dag-cbor bytes."""
    return sha2(encode(value))


@dataclass(frozen=True, slots=True)
class Payment:
    """A client's EIP-3009 authorization to an agent's escrow, and the salt that binds it to one request.

    ``value`` in wei, times in unix seconds, ``signature`` 65 bytes, ``salt`` 32 bytes.
    """

    client: str
    to: str
    value: int
    valid_after: int
    valid_before: int
    signature: bytes
    salt: bytes

    def nonce(self, agent_id: int, request_hash: bytes) -> bytes:
        """The authorization nonce the client signed."""
        return authorization_nonce(agent_id, request_hash, self.salt)

    def payment_id(self, agent_id: int, request_hash: bytes) -> bytes:
        """The payment's identifier in records and on-chain."""
        return payment_id(self.client, self.nonce(agent_id, request_hash))

    def to_abi(self, agent_id: int, request_hash: bytes) -> tuple[Any, ...]:
        """The contracts' ``Payment`` struct."""
        nonce = self.nonce(agent_id, request_hash)
        return self.client, nonce, self.value, self.valid_after, self.valid_before, self.signature

    def to_block(self) -> dict[str, Any]:
        return {
            "from": address_word(self.client)[12:],
            "to": address_word(self.to)[12:],
            "value": str(self.value),
            "valid_after": self.valid_after,
            "valid_before": self.valid_before,
            "signature": self.signature,
            "salt": self.salt,
        }

    @classmethod
    def from_block(cls, block: Any, cid: str | None) -> Payment:
        keys = {"from", "to", "value", "valid_after", "valid_before", "signature", "salt"}
        read = Reader(block, "a payment", cid, keys)
        value = parse_uint256(read.raw("value"))
        if value is None:
            raise read.fail("value")
        return cls(
            client=address_of(read.octets("from", 20)),
            to=address_of(read.octets("to", 20)),
            value=value,
            valid_after=read.integer("valid_after", high=2**64 - 1),
            valid_before=read.integer("valid_before", high=2**64 - 1),
            signature=read.octets("signature", 65),
            salt=read.octets("salt", 32),
        )


@dataclass(frozen=True)
class ActionContent:
    """Everything about one action that is not in its record.

    ``manifest`` and ``parent`` are CIDs (the parent: the record this action resumes), ``steps`` the CIDs of
    its steps in order; ``request``, ``output`` and ``scores`` are dag-cbor values; ``rule`` names the
    attribution rule; ``started`` and ``ended`` are unix seconds. ``payment`` is None for an unpaid local run.
    """

    manifest: str
    agent: str
    request: Any
    output: Any
    payment: Payment | None
    steps: Sequence[str]
    rule: str
    scores: Any
    parent: str | None
    started: int
    ended: int

    @cached_property
    def encoded(self) -> Encoded:
        """The root block and its chunks, to be stored (the steps' own blocks are not among them)."""
        blocks: dict[str, bytes] = {}
        root = {
            "version": CONTENT_VERSION,
            "manifest": Link(self.manifest),
            "agent": self.agent,
            "request": pack_value(self.request, blocks),
            "output": pack_value(self.output, blocks),
            "payment": None if self.payment is None else self.payment.to_block(),
            "steps": pack_items([Link(step) for step in self.steps], 64, blocks),
            "rule": self.rule,
            "scores": pack_value(self.scores, blocks),
            "parent": None if self.parent is None else Link(self.parent),
            "started": self.started,
            "ended": self.ended,
        }
        return Encoded.of(root, blocks, "An action's content")

    @property
    def cid(self) -> str:
        return self.encoded.cid

    @property
    def request_hash(self) -> bytes:
        return value_hash(self.request)

    @cached_property
    def output_hash(self) -> bytes:
        return value_hash(self.output)

    @classmethod
    def decode(cls, cid: str, get: Getter) -> ActionContent:
        """Read the content stored at ``cid``. Raises ``ContentError`` for anything malformed."""
        keys = {"version", "manifest", "agent", "request", "output", "payment", "steps", "rule", "scores", "parent",
                "started", "ended"}  # fmt: skip
        read = Reader(decode(get(cid), cid), "an action's content", cid, keys)
        if read.raw("version") != CONTENT_VERSION:
            raise ContentError(
                f"Content version {read.raw('version')!r} is not known", fix="upgrade openledger", cid=cid
            )
        steps = unpack_items(read.raw("steps"), get, cid, limit=1 << 16)
        if any(type(step) is not Link for step in steps):
            raise read.fail("steps")
        payment = read.raw("payment")
        content = cls(
            manifest=read.link("manifest"),
            agent=read.text("agent"),
            request=unpack_value(read.raw("request"), get, cid),
            output=unpack_value(read.raw("output"), get, cid),
            payment=None if payment is None else Payment.from_block(payment, cid),
            steps=[str(step) for step in steps],
            rule=read.text("rule"),
            scores=unpack_value(read.raw("scores"), get, cid),
            parent=read.link_or_none("parent"),
            started=read.integer("started"),
            ended=read.integer("ended"),
        )
        if content.cid != cid:
            raise ContentError(f"Content {cid} is not in canonical form", cid=cid)
        return content
