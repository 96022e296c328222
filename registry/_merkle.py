"""Position-bound Merkle trees, plain and with sums; the same bytes as the contracts' libraries.

Leaves are padded with zero to a power of two, siblings are never sorted and the index picks the side, so
a proof speaks for one position only. Payouts and the charges of records use Merkle-sum trees: every node
carries the sum below it, so one root proves what all leaves together come to.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import UserError
from ._keccak import keccak

__all__ = ["MerkleTree", "SumNode", "SumTree", "depth_of", "verify_proof", "verify_sum_proof"]

ZERO = bytes(32)
SumNode = tuple[bytes, int]
"""A node of a Merkle-sum tree: (hash, sum in wei)."""


def depth_of(count: int) -> int:
    """Levels below the root of a tree with ``count`` leaves: ceil(log2(count)), 0 for one leaf."""
    return max(count - 1, 0).bit_length()


class MerkleTree:
    """An indexed Merkle tree over 32-byte leaves. No leaves: the root is 32 zero bytes."""

    def __init__(self, leaves: Sequence[bytes]) -> None:
        self.count = len(leaves)
        self._levels: list[list[bytes]] = [list(leaves)]
        self._pads: list[bytes] = [ZERO]
        level, pad = self._levels[0], ZERO
        for _ in range(depth_of(self.count)):
            if len(level) & 1:
                level = [*level, pad]
            level = [keccak(level[i] + level[i + 1]) for i in range(0, len(level), 2)]
            pad = keccak(pad + pad)
            self._levels.append(level)
            self._pads.append(pad)

    @property
    def root(self) -> bytes:
        return self._levels[-1][0] if self.count else ZERO

    def proof(self, index: int) -> list[bytes]:
        """The siblings of leaf ``index``, bottom-up."""
        _check_index(index, self.count)
        siblings = []
        for level, pad in zip(self._levels[:-1], self._pads, strict=False):
            other = index ^ 1
            siblings.append(level[other] if other < len(level) else pad)
            index >>= 1
        return siblings


def verify_proof(root: bytes, leaf: bytes, index: int, count: int, proof: Sequence[bytes]) -> bool:
    """Whether ``leaf`` is at ``index`` of a tree of ``count`` leaves with this ``root``."""
    if not 0 <= index < count or len(proof) != depth_of(count):
        return False
    node = leaf
    for sibling in proof:
        node = keccak(sibling + node) if index & 1 else keccak(node + sibling)
        index >>= 1
    return node == root


class SumTree:
    """An indexed Merkle-sum tree over (hash, sum) leaves. No leaves: (32 zero bytes, 0)."""

    def __init__(self, leaves: Sequence[SumNode]) -> None:
        if any(amount < 0 for _, amount in leaves):
            raise UserError("An amount cannot be negative")
        self.count = len(leaves)
        self._levels: list[list[SumNode]] = [list(leaves)]
        self._pads: list[SumNode] = [(ZERO, 0)]
        level, pad = self._levels[0], (ZERO, 0)
        for _ in range(depth_of(self.count)):
            if len(level) & 1:
                level = [*level, pad]
            level = [_join(level[i], level[i + 1]) for i in range(0, len(level), 2)]
            pad = _join(pad, pad)
            self._levels.append(level)
            self._pads.append(pad)

    @property
    def root(self) -> SumNode:
        return self._levels[-1][0] if self.count else (ZERO, 0)

    def proof(self, index: int) -> list[SumNode]:
        """The siblings of leaf ``index`` as (hash, sum), bottom-up."""
        _check_index(index, self.count)
        siblings = []
        for level, pad in zip(self._levels[:-1], self._pads, strict=False):
            other = index ^ 1
            siblings.append(level[other] if other < len(level) else pad)
            index >>= 1
        return siblings


def verify_sum_proof(root: SumNode, leaf: SumNode, index: int, count: int, proof: Sequence[SumNode]) -> bool:
    """Whether ``leaf`` is at ``index`` of a Merkle-sum tree of ``count`` leaves with this ``root``."""
    if not 0 <= index < count or len(proof) != depth_of(count):
        return False
    node = leaf
    for sibling in proof:
        if not 0 <= sibling[1] < 2**256 or not 0 <= node[1] < 2**256:
            return False
        node = _join(sibling, node) if index & 1 else _join(node, sibling)
        index >>= 1
    return node == root


def _join(left: SumNode, right: SumNode) -> SumNode:
    data = left[0] + left[1].to_bytes(32, "big") + right[0] + right[1].to_bytes(32, "big")
    return keccak(data), left[1] + right[1]


def _check_index(index: int, count: int) -> None:
    if not 0 <= index < count:
        raise UserError(f"There is no leaf {index} in a tree of {count}")
