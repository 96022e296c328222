"""What is hashed and how: token, step, record, manifest and payout leaves, seeds, payment identifiers.

Every function mirrors ``abi.encode`` of the contracts byte for byte (all fields are static, so each is one
32-byte word). Leaves are hashed twice, so that no inner node can pass as a leaf.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from hashlib import sha256

from ..errors import UserError
from ._keccak import keccak
from ._merkle import MerkleTree, SumNode, SumTree

__all__ = ["END_TOKEN", "BatchHeader", "Finish", "Generation", "StepKind", "StepLeaf", "TokenLeaf", "address_word",
           "authorization_nonce", "clip_logprob", "evidence_hash", "leaf_hash", "manifest_leaf", "pack_int32",
           "pack_uint32", "payment_id", "payout_leaf", "payout_tree", "prefix_hash", "record_leaf", "sha2",
           "step_seed", "steps_tree", "unpack_int32", "unpack_uint32", "vote_commitment", "word"]  # fmt: skip

END_TOKEN = 0xFFFFFFFF
"""The token number of the leaf that closes a generation."""

LOGPROB_UNIT = 10_000
LOGPROB_FLOOR = -1_000_000

_MASK = (1 << 256) - 1


class StepKind(IntEnum):
    """What a step was."""

    MODEL_CALL = 0
    TOOL_CALL = 1
    RETRIEVAL = 2
    SUB_ACTION = 3


class Finish(IntEnum):
    """Why a generation ended; 0 marks a leaf that does not end it."""

    NONE = 0
    STOP = 1
    LENGTH = 2


def word(value: int) -> bytes:
    """One ABI word: an unsigned or signed integer as 32 bytes, two's complement."""
    return (value & _MASK).to_bytes(32, "big")


def address_word(address: str) -> bytes:
    """A 0x… address as one ABI word."""
    raw = bytes.fromhex(address.removeprefix("0x"))
    if len(raw) != 20:
        raise UserError(f"{address!r} is not an address", fix="an address is 0x and 40 hexadecimal digits")
    return bytes(12) + raw


def sha2(data: bytes) -> bytes:
    """sha2-256: the digest inside a CID."""
    return sha256(data).digest()


def leaf_hash(encoded: bytes) -> bytes:
    """keccak(keccak(x)) of the ABI-encoded leaf."""
    return keccak(keccak(encoded))


def pack_uint32(values: Sequence[int]) -> bytes:
    """Token ids as big-endian uint32. Raises ``UserError`` outside the range."""
    try:
        return struct.pack(f">{len(values)}I", *values)
    except struct.error as error:
        raise UserError("Token ids must be integers from 0 to 2^32 - 1", why=str(error)) from None


def unpack_uint32(data: bytes) -> list[int]:
    """The inverse of :func:`pack_uint32`; ``len(data)`` must be a multiple of 4."""
    return list(struct.unpack(f">{len(data) // 4}I", data))


def pack_int32(values: Sequence[int]) -> bytes:
    """Logprobs as big-endian int32. Raises ``UserError`` outside the range."""
    try:
        return struct.pack(f">{len(values)}i", *values)
    except struct.error as error:
        raise UserError("Logprobs must be integers of 32 bits", why=str(error)) from None


def unpack_int32(data: bytes) -> list[int]:
    """The inverse of :func:`pack_int32`; ``len(data)`` must be a multiple of 4."""
    return list(struct.unpack(f">{len(data) // 4}i", data))


def clip_logprob(logprob: float) -> int:
    """A natural logprob as the committed integer: round(logprob · 10^4), at least -1,000,000."""
    if logprob != logprob or logprob == float("inf"):
        raise UserError(f"{logprob} is not a logprob")
    return LOGPROB_FLOOR if logprob <= LOGPROB_FLOOR / LOGPROB_UNIT else round(logprob * LOGPROB_UNIT)


def prefix_hash(tokens: Sequence[int]) -> bytes:
    """h0: the hash of the prompt's token ids, before the first output token."""
    return keccak(pack_uint32(tokens))


@dataclass(frozen=True, slots=True)
class TokenLeaf:
    """Leaf ``index`` of a generation. The end leaf has ``token = END_TOKEN`` and a ``finish`` of 1 or 2."""

    index: int
    prefix_hash: bytes
    token: int
    logprob: int
    seed: bytes
    finish: int = 0

    def hash(self) -> bytes:
        return leaf_hash(
            word(self.index)
            + self.prefix_hash
            + word(self.token)
            + word(self.logprob)
            + self.seed
            + word(self.finish)
        )

    def to_abi(self) -> tuple[int, bytes, int, int, bytes, int]:
        """The contracts' ``TokenLeaf`` struct."""
        return self.index, self.prefix_hash, self.token, self.logprob, self.seed, self.finish


@dataclass(frozen=True)
class Generation:
    """One model call's tokens, committed: a leaf for each output token and one that closes it.

    ``logprobs`` are in 10^-4 nat (:func:`clip_logprob`), ``seed`` has 32 bytes, ``finish`` is 1 (stop) or
    2 (length).
    """

    prompt: Sequence[int]
    tokens: Sequence[int]
    logprobs: Sequence[int]
    seed: bytes
    finish: int

    def __post_init__(self) -> None:
        if len(self.tokens) != len(self.logprobs):
            raise UserError(f"{len(self.tokens)} tokens need as many logprobs, not {len(self.logprobs)}")
        if len(self.seed) != 32:
            raise UserError(f"A seed has 32 bytes, not {len(self.seed)}")
        if self.finish not in (Finish.STOP, Finish.LENGTH):
            raise UserError(f"A generation ends by stop (1) or length (2), not {self.finish}")

    @property
    def count(self) -> int:
        """Leaves, the end leaf included."""
        return len(self.tokens) + 1

    @cached_property
    def prefixes(self) -> list[bytes]:
        """The prefix hashes h_0 … h_n: h_{t+1} = keccak(h_t ++ uint32 token_t)."""
        chain = [prefix_hash(self.prompt)]
        packed = pack_uint32(self.tokens)
        for start in range(0, len(packed), 4):
            chain.append(keccak(chain[-1] + packed[start : start + 4]))
        return chain

    @cached_property
    def tree(self) -> MerkleTree:
        """The Merkle tree over all token leaves; its root is the ``generationRoot``."""
        pack_int32(self.logprobs)  # refuses values a contract's int32 could not hold
        prefixes, seed, going_on = self.prefixes, self.seed, self.seed + word(Finish.NONE)
        leaves = [
            keccak(
                keccak(
                    index.to_bytes(32, "big")
                    + prefixes[index]
                    + token.to_bytes(32, "big")
                    + (logprob & _MASK).to_bytes(32, "big")
                    + going_on
                )
            )
            for index, (token, logprob) in enumerate(zip(self.tokens, self.logprobs, strict=True))
        ]
        count = len(self.tokens)
        leaves.append(
            leaf_hash(word(count) + prefixes[count] + word(END_TOKEN) + word(0) + seed + word(self.finish))
        )
        return MerkleTree(leaves)

    @property
    def root(self) -> bytes:
        return self.tree.root

    def leaf(self, index: int) -> TokenLeaf:
        """The leaf at ``index`` of ``0 … len(tokens)``; the last closes the generation."""
        if not 0 <= index < self.count:
            raise UserError(f"There is no leaf {index} in a generation of {len(self.tokens)} tokens")
        prefix = self.prefixes[index]
        if index == len(self.tokens):
            return TokenLeaf(index, prefix, END_TOKEN, 0, self.seed, int(self.finish))
        return TokenLeaf(index, prefix, self.tokens[index], self.logprobs[index], self.seed)

    def proof(self, index: int) -> list[bytes]:
        """The Merkle proof of leaf ``index``."""
        return self.tree.proof(index)


@dataclass(frozen=True, slots=True)
class StepLeaf:
    """Leaf ``index`` of an action's steps. Fields that do not apply to ``kind`` are zero."""

    index: int
    kind: int
    asset_id: int = 0
    content_digest: bytes = bytes(32)
    prompt_hash: bytes = bytes(32)
    generation_root: bytes = bytes(32)
    count: int = 0
    detail_digest: bytes = bytes(32)

    def hash(self) -> bytes:
        return leaf_hash(
            word(self.index)
            + word(self.kind)
            + word(self.asset_id)
            + self.content_digest
            + self.prompt_hash
            + self.generation_root
            + word(self.count)
            + self.detail_digest
        )

    def to_abi(self) -> tuple[int, int, int, bytes, bytes, bytes, int, bytes]:
        """The contracts' ``StepLeaf`` struct."""
        return (self.index, int(self.kind), self.asset_id, self.content_digest, self.prompt_hash,
                self.generation_root, self.count, self.detail_digest)  # fmt: skip


def steps_tree(leaves: Sequence[StepLeaf]) -> MerkleTree:
    """The tree whose root is a record's ``stepsRoot`` (zero without steps). Indexes must be 0, 1, 2, …"""
    if [leaf.index for leaf in leaves] != list(range(len(leaves))):
        raise UserError("Step leaves must be numbered 0, 1, 2, …")
    return MerkleTree([leaf.hash() for leaf in leaves])


def record_leaf(struct_hash: bytes) -> bytes:
    """The leaf of a record in its batch, from its EIP-712 struct hash (no domain)."""
    return leaf_hash(struct_hash)


def manifest_leaf(asset_id: int, content_digest: bytes) -> bytes:
    """The leaf of one declared asset in a manifest."""
    return leaf_hash(word(asset_id) + content_digest)


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


def vote_commitment(chain_id: int, disputes: str, dispute_id: int, round_: int, juror: str, token_logprob: int,
                    probe_logprob: int, salt: bytes) -> bytes:  # fmt: skip
    """What a juror commits to: bound to chain, contract, dispute, round and juror, so it cannot be copied."""
    return keccak(
        word(chain_id) + address_word(disputes) + word(dispute_id) + word(round_) + address_word(juror)
        + word(token_logprob) + word(probe_logprob) + salt
    )  # fmt: skip
