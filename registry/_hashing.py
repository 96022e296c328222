"""What is hashed and how: record, manifest and payout leaves, batch headers, seeds, payment identifiers.

Every function mirrors ``abi.encode`` of the contracts byte for byte (fields are static, each one
32-byte word, but for the list in a vote). Leaves are hashed twice, so that no inner node can pass as a leaf.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256

from ..errors import UserError
from ._keccak import keccak
from ._merkle import SumNode, SumTree

__all__ = ["BatchHeader", "address_of", "address_word", "answer_commitment", "authorization_nonce", "evidence_hash", "fixed_split_leaf",
           "leaf_hash", "manifest_leaf", "payment_id", "payout_leaf", "payout_tree", "payouts_answer", "position_word",
           "record_leaf", "sha2", "shares_evidence_hash", "step_seed", "training_evidence_hash", "vote_commitment", "word"]  # fmt: skip

MASK = (1 << 256) - 1


def word(value: int) -> bytes:
    """One ABI word: an unsigned or signed integer as 32 bytes, two's complement."""
    return (value & MASK).to_bytes(32, "big")


def address_word(address: str) -> bytes:
    """A 0x… address as one ABI word."""
    try:
        raw = bytes.fromhex(address[2:]) if address.startswith("0x") and len(address) == 42 else b""
    except ValueError:
        raw = b""
    if len(raw) != 20:
        raise UserError(f"{address!r} is not an address", fix="an address is 0x and 40 hexadecimal digits")
    return bytes(12) + raw


@lru_cache(4096)  # of payers, escrows and contracts the same ones come again
def address_of(raw: bytes) -> str:
    """The checksummed 0x… address of 20 bytes (EIP-55)."""
    digits = raw.hex()
    marks = keccak(digits.encode()).hex()
    return "0x" + "".join(
        digit.upper() if mark > "7" else digit for digit, mark in zip(digits, marks, strict=False)
    )


def sha2(data: bytes) -> bytes:
    """sha2-256: the digest inside a CID."""
    return sha256(data).digest()


def leaf_hash(encoded: bytes) -> bytes:
    """keccak(keccak(x)) of the ABI-encoded leaf."""
    return keccak(keccak(encoded))


def record_leaf(struct_hash: bytes, charge: int) -> SumNode:
    """The Merkle-sum leaf of a record in its batch, from its EIP-712 struct hash (no domain) and the wei it
    charges."""
    return leaf_hash(struct_hash), charge


def manifest_leaf(asset_id: int, content_digest: bytes) -> bytes:
    """The leaf of one declared asset in a manifest."""
    return leaf_hash(word(asset_id) + content_digest)


def fixed_split_leaf(index: int, account: str, bps: int) -> bytes:
    """The leaf of one fixed share in a manifest; three words, so that none passes for an asset's two."""
    return leaf_hash(word(index) + address_word(account) + word(bps))


def payout_leaf(index: int, account: str, amount: int) -> SumNode:
    """The Merkle-sum leaf that pays ``amount`` wei to ``account``."""
    return leaf_hash(word(index) + address_word(account) + word(amount)), amount


def payout_tree(payouts: Sequence[tuple[str, int]]) -> SumTree:
    """The Merkle-sum tree over a batch's (account, wei) payouts, in the given order; one leaf an account."""
    accounts = [account.lower() for account, _ in payouts]
    if len(set(accounts)) != len(accounts):
        raise UserError("An account has two payouts in one batch", fix="add its amounts up first")
    return SumTree([payout_leaf(index, account, amount) for index, (account, amount) in enumerate(payouts)])


@dataclass(frozen=True, slots=True)
class BatchHeader:
    """An anchored batch: what ``ActionLog`` hashes and stores, and ``Anchored`` carries."""

    agent_id: int
    first_nonce: int
    count: int
    record_root: bytes
    payout_root: bytes
    payout_count: int
    sum: int
    epoch: int
    batch_digest: bytes
    anchored_at: int

    def hash(self) -> bytes:
        return keccak(
            word(self.agent_id) + word(self.first_nonce) + word(self.count) + self.record_root + self.payout_root
            + word(self.payout_count) + word(self.sum) + word(self.epoch) + self.batch_digest + word(self.anchored_at)
        )  # fmt: skip

    def to_abi(self) -> tuple[int, int, int, bytes, bytes, int, int, int, bytes, int]:
        """The contracts' ``BatchHeader`` struct."""
        return (self.agent_id, self.first_nonce, self.count, self.record_root, self.payout_root,
                self.payout_count, self.sum, self.epoch, self.batch_digest, self.anchored_at)  # fmt: skip


def authorization_nonce(agent_id: int, request_hash: bytes, salt: bytes) -> bytes:
    """The EIP-3009 nonce that binds a payment to one request to one agent."""
    return keccak(word(agent_id) + request_hash + salt)


def payment_id(client: str, authorization: bytes) -> bytes:
    """keccak(abi.encode(client, authorization nonce))."""
    return keccak(address_word(client) + authorization)


def step_seed(signature: bytes, request_hash: bytes, step: int) -> bytes:
    """The seed of model call ``step``: fixed by the client's 65-byte signature, so no operator can grind it."""
    if len(signature) != 65:
        raise UserError(f"A signature has 65 bytes, not {len(signature)}")
    return keccak(signature + request_hash + step.to_bytes(4, "big"))


def evidence_hash(
    challenger: str, salt: bytes, struct_hash: bytes, step_index: int, token_index: int
) -> bytes:
    """What a challenger commits to before revealing the evidence."""
    return keccak(address_word(challenger) + salt + struct_hash + word(step_index) + word(token_index))


def shares_evidence_hash(challenger: str, salt: bytes, header_hash: bytes) -> bytes:
    """What who disputes a batch's payouts commits to."""
    return keccak(address_word(challenger) + salt + header_hash + word(4 * 32) + _text("shares"))


def training_evidence_hash(challenger: str, salt: bytes, struct_hash: bytes, step_index: int) -> bytes:
    """What who disputes a training run commits to."""
    head = address_word(challenger) + salt + struct_hash + word(step_index) + word(5 * 32)
    return keccak(head + _text("training"))


def payouts_answer(payout_root: bytes, payout_count: int) -> bytes:
    """A jury's answer to what a batch has to pay: keccak(abi.encode(payoutRoot, payoutCount))."""
    return keccak(payout_root + word(payout_count))


def answer_commitment(chain_id: int, disputes: str, dispute_id: int, round_: int, juror: str, answer: bytes,
                      probe_answer: bytes, salt: bytes) -> bytes:  # fmt: skip
    """What a juror commits to where a question is asked: bound like :func:`vote_commitment`."""
    return keccak(
        word(chain_id) + address_word(disputes) + word(dispute_id) + word(round_) + address_word(juror)
        + answer + probe_answer + salt
    )  # fmt: skip


def _text(value: str) -> bytes:
    """A short string at the end of abi.encode: its length and its padded bytes."""
    data = value.encode()
    return word(len(data)) + data + bytes(-len(data) % 32)


def vote_commitment(chain_id: int, disputes: str, dispute_id: int, round_: int, juror: str,
                    token_logprobs: Sequence[int], probe_logprob: int, salt: bytes) -> bytes:  # fmt: skip
    """What a juror commits to: bound to chain, contract, dispute, round and juror, so it cannot be copied.
    One logprob for each opened leaf, in their order."""
    head = 8 * 32  # where the list begins: after the eight words of the head
    return keccak(
        word(chain_id) + address_word(disputes) + word(dispute_id) + word(round_) + address_word(juror)
        + word(head) + word(probe_logprob) + salt
        + word(len(token_logprobs)) + b"".join(map(word, token_logprobs))
    )  # fmt: skip


def position_word(seed: bytes, position: int, what: str) -> int:
    """What decides about a drawn position of a batch: keccak(abi.encode(seed, position, what)), ``what`` being
    ``record``, ``step`` or ``token``."""
    return int.from_bytes(keccak(seed + word(position) + word(3 * 32) + _text(what)), "big")
