"""The batch block: struct hashes, record CIDs, influence and payouts behind one anchored header."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from ..errors import ContentError, UserError
from ._blocks import Encoded, Getter, Reader, pack_items, parse_uint256, unpack_items
from ._cid import Link, digest_of
from ._dagcbor import decode
from ._hashing import BatchHeader, address_word, payout_tree, record_leaf
from ._merkle import SumNode, SumTree

__all__ = ["Batch", "BatchEntry", "Payout", "RecordProof"]

BATCH_VERSION = 2
"""Of batches whose rule pays by spans alone."""
INFLUENCE_VERSION = 3
"""Of batches with an entry that names its influence."""


class BatchEntry(NamedTuple):
    """A record in a batch: its EIP-712 struct hash, the CID of its signed envelope, and the wei it charges; under a rule
    that pays by influence also the CID of what the batch states of it, see ``attribution.encode_influence``."""

    struct_hash: bytes
    envelope: str
    charge: int
    influence: str | None = None


class RecordProof(NamedTuple):
    """Shows a record in a batch, as the contracts take it: what its leaf charges and the leaf's siblings."""

    charge: int
    path: tuple[SumNode, ...]


class Payout(NamedTuple):
    """What an account is paid by a batch, in wei."""

    account: str
    amount: int


@dataclass(frozen=True)
class Batch:
    """Records at contiguous nonces from ``first_nonce``, and one payout per account.

    The payouts come to what the records charge, less the cut of the epoch; those of the manifest's fixed
    shares are first, in its order.
    """

    agent_id: int
    first_nonce: int
    entries: Sequence[BatchEntry]
    payouts: Sequence[Payout]

    def __post_init__(self) -> None:
        object.__setattr__(self, "entries", tuple(BatchEntry(*entry) for entry in self.entries))
        object.__setattr__(self, "payouts", tuple(Payout(*payout) for payout in self.payouts))
        if not self.entries:
            raise UserError("A batch needs at least one record")

    @cached_property
    def record_tree(self) -> SumTree:
        """Its root is (``recordRoot``, ``sum``); index = nonce - first nonce."""
        return SumTree([record_leaf(entry.struct_hash, entry.charge) for entry in self.entries])

    @cached_property
    def payout_tree(self) -> SumTree:
        """Its root is (``payoutRoot``, what is paid out)."""
        return payout_tree(self.payouts)

    def record_proof(self, nonce: int) -> RecordProof:
        """What shows the record at ``nonce`` in the batch."""
        index = nonce - self.first_nonce
        path = self.record_tree.proof(index)  # refuses an index that is not there
        return RecordProof(self.entries[index].charge, tuple(path))

    def header(self, epoch: int, anchored_at: int = 0) -> BatchHeader:
        """The header ``ActionLog`` stores once it has stamped ``anchored_at`` (unix seconds)."""
        root, charged = self.record_tree.root
        return BatchHeader(
            agent_id=self.agent_id,
            first_nonce=self.first_nonce,
            count=len(self.entries),
            record_root=root,
            payout_root=self.payout_tree.root[0],
            payout_count=len(self.payouts),
            sum=charged,
            epoch=epoch,
            batch_digest=digest_of(self.cid),
            anchored_at=anchored_at,
        )

    @cached_property
    def encoded(self) -> Encoded:
        """The root block and its chunks, to be stored."""
        blocks: dict[str, bytes] = {}
        with_influence = any(entry.influence is not None for entry in self.entries)
        root = {
            "version": INFLUENCE_VERSION if with_influence else BATCH_VERSION,
            "agent_id": self.agent_id,
            "first_nonce": self.first_nonce,
            "entries": pack_items(
                [_packed(entry, with_influence) for entry in self.entries],
                24 if with_influence else 40,
                blocks,
            ),
            "payouts": pack_items(
                [[address_word(to)[12:], str(amount)] for to, amount in self.payouts], 40, blocks
            ),
        }
        return Encoded.of(root, blocks, "A batch")

    @property
    def cid(self) -> str:
        return self.encoded.cid

    @classmethod
    def decode(cls, cid: str, get: Getter) -> Batch:
        """Read the batch stored at ``cid``. Raises ``ContentError`` for anything malformed."""
        from eth_utils.address import to_checksum_address

        read = Reader(
            decode(get(cid), cid),
            "a batch",
            cid,
            {"version", "agent_id", "first_nonce", "entries", "payouts"},
        )
        version = read.raw("version")
        if version not in (BATCH_VERSION, INFLUENCE_VERSION):
            raise ContentError(f"Batch version {version!r} is not known", fix="upgrade openledger", cid=cid)
        entries, payouts = [], []
        for item in unpack_items(read.raw("entries"), get, cid):
            entry = _unpacked(item, version == INFLUENCE_VERSION)
            if entry is None:
                raise read.fail("entries")
            entries.append(entry)
        for item in unpack_items(read.raw("payouts"), get, cid):
            if not isinstance(item, list) or len(item) != 2:
                raise read.fail("payouts")
            account, amount = item[0], parse_uint256(item[1])
            if not isinstance(account, bytes) or len(account) != 20 or amount is None:
                raise read.fail("payouts")
            payouts.append(Payout(str(to_checksum_address(account)), amount))
        try:
            batch = cls(read.integer("agent_id"), read.integer("first_nonce"), entries, payouts)
        except UserError as error:
            raise ContentError(f"Batch {cid} is malformed", why=str(error), cid=cid) from None
        if batch.cid != cid:
            raise ContentError(f"Batch {cid} is not in canonical form", cid=cid)
        return batch


def _packed(entry: BatchEntry, with_influence: bool) -> list[Any]:
    """The influence comes right after the envelope: there its blocks can be demanded like the record's (see ``_links``)."""
    packed: list[Any] = [entry.struct_hash, Link(entry.envelope)]
    if with_influence:
        packed.append(None if entry.influence is None else Link(entry.influence))
    return [*packed, str(entry.charge)]


def _unpacked(item: Any, with_influence: bool) -> BatchEntry | None:
    """The inverse of :func:`_packed`; None for anything malformed."""
    if not isinstance(item, list) or len(item) != 3 + with_influence or type(item[1]) is not Link:
        return None
    influence = item[2] if with_influence else None
    if influence is not None and type(influence) is not Link:
        return None
    charge = parse_uint256(item[-1])
    if not isinstance(item[0], bytes) or len(item[0]) != 32 or charge is None:
        return None
    return BatchEntry(item[0], str(item[1]), charge, None if influence is None else str(influence))
