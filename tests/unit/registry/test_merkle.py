"""Merkle trees: every leaf has a proof, and nothing else does."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openledger.errors import UserError
from openledger.registry import (
    MerkleTree,
    SumTree,
    depth_of,
    keccak,
    payout_tree,
    verify_proof,
    verify_sum_proof,
)

counts = st.integers(1, 70)
ADDRESS = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"


def _leaves(count: int) -> list[bytes]:
    return [sha256(b"%d" % i).digest() for i in range(count)]


def _sum_leaves(count: int) -> list[tuple[bytes, int]]:
    return [(leaf, 10**18 + i) for i, leaf in enumerate(_leaves(count))]


def _naive(leaves: list[bytes]) -> bytes:
    level = leaves + [bytes(32)] * (2 ** depth_of(len(leaves)) - len(leaves))
    while len(level) > 1:
        level = [keccak(level[i] + level[i + 1]) for i in range(0, len(level), 2)]
    return level[0]


@given(counts)
def test_the_root_is_that_of_the_padded_tree(count: int) -> None:
    assert MerkleTree(_leaves(count)).root == _naive(_leaves(count))


@given(counts, st.data())
def test_a_proof_speaks_for_one_position(count: int, draw: st.DataObject) -> None:
    leaves = _leaves(count)
    tree = MerkleTree(leaves)
    index = draw.draw(st.integers(0, count - 1))
    proof = tree.proof(index)
    assert len(proof) == depth_of(count)
    assert verify_proof(tree.root, leaves[index], index, count, proof)
    for other in range(count):
        if other != index:
            assert not verify_proof(tree.root, leaves[index], other, count, proof)
            assert not verify_proof(tree.root, leaves[other], index, count, proof)
    assert not verify_proof(tree.root, leaves[index], index + 2 ** depth_of(count), count, proof)
    assert not verify_proof(tree.root, leaves[index], index, index, proof), "index beyond the count"
    assert not verify_proof(tree.root, leaves[index], index, 2**20, proof), "a proof of another depth"
    assert not verify_proof(tree.root, leaves[index], index, count, [*proof, bytes(32)])
    if proof:
        assert not verify_proof(tree.root, leaves[index], index, count, proof[:-1])
        at = draw.draw(st.integers(0, len(proof) - 1))
        wrong = [*proof[:at], bytes(b ^ 1 for b in proof[at]), *proof[at + 1 :]]
        assert not verify_proof(tree.root, leaves[index], index, count, wrong)


@given(counts, st.data())
def test_a_sum_proof_binds_every_amount(count: int, draw: st.DataObject) -> None:
    leaves = _sum_leaves(count)
    tree = SumTree(leaves)
    assert tree.root[1] == sum(amount for _, amount in leaves)
    index = draw.draw(st.integers(0, count - 1))
    proof = tree.proof(index)
    leaf = leaves[index]
    assert verify_sum_proof(tree.root, leaf, index, count, proof)
    assert not verify_sum_proof(tree.root, (leaf[0], leaf[1] + 1), index, count, proof)
    assert not verify_sum_proof((tree.root[0], tree.root[1] + 1), leaf, index, count, proof)
    assert not verify_sum_proof(tree.root, leaf, index + 1, count, proof)
    if proof:
        at = draw.draw(st.integers(0, len(proof) - 1))
        for delta in (1, -1, -(2**255), 2**256):
            wrong = [*proof[:at], (proof[at][0], proof[at][1] + delta), *proof[at + 1 :]]
            assert not verify_sum_proof(tree.root, leaf, index, count, wrong)


def test_empty_trees_and_bad_indexes() -> None:
    assert MerkleTree([]).root == bytes(32)
    assert SumTree([]).root == (bytes(32), 0)
    assert not verify_proof(bytes(32), bytes(32), 0, 0, [])
    for tree in (MerkleTree(_leaves(3)), SumTree(_sum_leaves(3))):
        for index in (-1, 3):
            with pytest.raises(UserError, match="no leaf"):
                tree.proof(index)


def test_padding_is_not_provable_as_a_leaf() -> None:
    tree = MerkleTree(_leaves(3))
    assert not verify_proof(tree.root, bytes(32), 3, 3, [_leaves(3)[2], MerkleTree(_leaves(2)).root])


def test_payouts_are_one_per_account_and_never_negative() -> None:
    with pytest.raises(UserError, match="two payouts"):
        payout_tree([(ADDRESS, 1), (ADDRESS.lower(), 2)])
    with pytest.raises(UserError, match="negative"):
        SumTree([(bytes(32), -1)])
