"""The leaves a record commits to: one per token of a generation, one per step of an action."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property

from ..errors import UserError
from ._hashing import MASK, leaf_hash, word
from ._keccak import keccak
from ._merkle import MerkleTree

__all__ = ["END_TOKEN", "Finish", "Generation", "StepKind", "StepLeaf", "TokenLeaf", "clip_logprob", "pack_int32",
           "pack_uint32", "prefix_hash", "steps_tree", "unpack_int32", "unpack_uint32"]  # fmt: skip

END_TOKEN = 0xFFFFFFFF
"""The token number of the leaf that closes a generation."""

LOGPROB_UNIT = 10_000
LOGPROB_FLOOR = -1_000_000


class StepKind(IntEnum):
    """What a step was."""

    MODEL_CALL = 0
    TOOL_CALL = 1
    RETRIEVAL = 2
    SUB_ACTION = 3
    TRAINING = 4


class Finish(IntEnum):
    """Why a generation ended; 0 marks a leaf that does not end it."""

    NONE = 0
    STOP = 1
    LENGTH = 2


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
                    + (logprob & MASK).to_bytes(32, "big")
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
