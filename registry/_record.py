"""Tickets and action records, and the signed envelope stored as content."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from enum import IntEnum
from functools import cached_property

from ..errors import ContentError, UserError
from ._cid import Link, cid_of, digest_of
from ._dagcbor import decode, encode
from ._eip712 import Domain, HashSigner, Struct, recover, sign_digest, struct_types
from ._hashing import address_of, address_word
from ._keccak import keccak

__all__ = ["ActionRecord", "Domain", "HashSigner", "ReplayClass", "SeedSource", "SignedRecord", "Status", "Ticket",
           "recover", "sign_digest"]  # fmt: skip

ENVELOPE_VERSION = 1


class Status(IntEnum):
    """How an action ended."""

    OK = 1
    FAILED = 2
    INTERRUPTED = 3


class ReplayClass(IntEnum):
    """Whether an outsider can replay an action. Only ``EXACT_TOLERANCE`` is ever called verified."""

    EXACT_TOLERANCE = 1
    RESTRICTED = 2
    NON_REPLAYABLE = 3


class SeedSource(IntEnum):
    """Who fixed the sampling seed. An operator's seed is never called verified."""

    CLIENT = 1
    OPERATOR = 2


@dataclass(frozen=True, slots=True)
class Ticket(Struct):
    """What an agent signs before it starts: a promise to anchor this paid request by ``anchor_by`` (unix s)."""

    agent_id: int
    epoch: int
    payment_id: bytes
    request_hash: bytes
    anchor_by: int

    _NAME = "Ticket"
    _TYPES = struct_types(
        agent_id="uint256", epoch="uint32", payment_id="bytes32", request_hash="bytes32", anchor_by="uint64"
    )

    def __post_init__(self) -> None:
        self._check()


@dataclass(frozen=True, slots=True)
class ActionRecord(Struct):
    """One action as the agent signs it and the chain anchors it.

    ``fee`` is in wei, ``anchor_by`` in unix seconds, hashes and digests are 32 bytes; ``content_digest``
    names the action's content block, ``client`` is the verified payer.
    """

    agent_id: int
    nonce: int
    epoch: int
    client: str
    payment_id: bytes
    status: Status
    request_hash: bytes
    output_hash: bytes
    steps_root: bytes
    rule_id: bytes
    fee: int
    replay_class: ReplayClass
    seed_source: SeedSource
    anchor_by: int
    content_digest: bytes

    _NAME = "ActionRecord"
    _TYPES = struct_types(
        agent_id="uint256", nonce="uint64", epoch="uint32", client="address", payment_id="bytes32", status="uint8",
        request_hash="bytes32", output_hash="bytes32", steps_root="bytes32", rule_id="bytes32", fee="uint256",
        replay_class="uint8", seed_source="uint8", anchor_by="uint64", content_digest="bytes32",
    )  # fmt: skip

    def __post_init__(self) -> None:
        self._check()
        for field, kind in (("status", Status), ("replay_class", ReplayClass), ("seed_source", SeedSource)):
            try:
                object.__setattr__(self, field, kind(getattr(self, field)))
            except ValueError as error:
                raise UserError(f"ActionRecord.{field} is out of range", why=str(error)) from None

    @property
    def charge(self) -> int:
        """Wei this action takes from its payer: the fee, or nothing when it failed."""
        return 0 if self.status is Status.FAILED else self.fee

    def with_nonce(self, nonce: int) -> ActionRecord:
        """The same action at another nonce."""
        return replace(self, nonce=nonce)


for _struct in (Ticket, ActionRecord):
    if list(_struct._TYPES) != [field.name for field in fields(_struct)]:
        raise TypeError(f"{_struct.__name__}: fields and EIP-712 types differ")
    _struct._TYPE_HASH = keccak(_struct.type_string().encode())


@dataclass(frozen=True)
class SignedRecord:
    """The receipt: a record, its signature and domain, and the CID of its content. Stored as one block."""

    record: ActionRecord
    signature: bytes
    domain: Domain
    content: str

    @classmethod
    def make(cls, record: ActionRecord, signer: HashSigner, domain: Domain, content: str) -> SignedRecord:
        """Sign ``record``; its ``content_digest`` must be the digest of the ``content`` CID."""
        if digest_of(content) != record.content_digest:
            raise UserError(
                "A record must name its own content", why="contentDigest is not the digest of the CID"
            )
        return cls(record, record.sign(signer, domain), domain, content)

    def encode(self) -> bytes:
        """The dag-cbor block."""
        return self._encoded

    @cached_property
    def _encoded(self) -> bytes:
        return encode(
            {
                "version": ENVELOPE_VERSION,
                "chain_id": self.domain.chain_id,
                "verifying_contract": address_word(self.domain.verifying_contract)[12:],
                "record": self.record.to_block(),
                "signature": self.signature,
                "content": Link(self.content),
            }
        )

    @property
    def cid(self) -> str:
        return cid_of(self.encode())

    def signer(self) -> str:
        """The address that signed it; compare with the record key of its epoch."""
        return self.record.signer(self.signature, self.domain)

    @classmethod
    def decode(cls, data: bytes, cid: str | None = None) -> SignedRecord:
        """Read a block. Raises ``ContentError`` for anything but a well-formed envelope."""
        block = decode(data, cid)
        keys = {"version", "chain_id", "verifying_contract", "record", "signature", "content"}
        if not isinstance(block, dict) or set(block) != keys:
            raise ContentError(
                f"Block {cid or 'given'} is not an action record",
                fix="give the CID of a record, as printed in a receipt",
                cid=cid,
            )
        if block["version"] != ENVELOPE_VERSION:
            raise ContentError(
                f"Record version {block['version']!r} is not known", fix="upgrade openledger", cid=cid
            )
        contract, signature, content = block["verifying_contract"], block["signature"], block["content"]
        chain_id = block["chain_id"]
        if (
            not isinstance(contract, bytes)
            or len(contract) != 20
            or not isinstance(signature, bytes)
            or len(signature) != 65
            or type(content) is not Link
            or type(chain_id) is not int
            or chain_id < 0
        ):
            raise ContentError(
                f"Record {cid or 'given'} is malformed", why="a field has another type", cid=cid
            )
        record = ActionRecord.from_block(block["record"], cid)
        if digest_of(content) != record.content_digest:
            raise ContentError(f"Record {cid or 'given'} names other content than it signed", cid=cid)
        return cls(record, signature, Domain(chain_id, address_of(contract)), str(content))
