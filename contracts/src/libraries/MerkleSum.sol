// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { SumNode } from "../types/Records.sol";
import { IndexedMerkle } from "./IndexedMerkle.sol";

/// @title Merkle-sum trees, over payouts and over the charges of records.
/// @notice A node is keccak256(abi.encode(leftHash, leftSum, rightHash, rightSum)) and the sum of its children,
/// so a root fixes the total: no set of provable leaves exceeds it. Padding is (0, 0).
library MerkleSum {
    /// @notice Leaf hash of a payout.
    function leafOf(uint32 index, address account, uint256 amount) internal pure returns (bytes32) {
        return IndexedMerkle.leafOf(abi.encode(index, account, amount));
    }

    /// @notice Whether (leaf, amount) is leaf number `index` of the tree of `count` leaves with root (root, sum).
    /// Reverts when sums overflow.
    function verify(
        bytes32 root,
        uint256 sum,
        uint256 count,
        uint256 index,
        bytes32 leaf,
        uint256 amount,
        SumNode[] calldata proof
    ) internal pure returns (bool) {
        if (index >= count || proof.length != IndexedMerkle.depthOf(count)) return false;
        bytes32 node = leaf;
        uint256 total = amount;
        uint256 position = index;
        for (uint256 i; i < proof.length; ++i) {
            SumNode calldata sibling = proof[i];
            node = position & 1 == 0
                ? keccak256(abi.encode(node, total, sibling.hash, sibling.sum))
                : keccak256(abi.encode(sibling.hash, sibling.sum, node, total));
            total += sibling.sum;
            position >>= 1;
        }
        return node == root && total == sum;
    }
}
