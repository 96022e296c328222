// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { IndexedMerkle } from "./IndexedMerkle.sol";

/// @title The tree of {IndexedMerkle}, growing: appending a leaf costs about one slot, the root O(log n).
/// @notice Only the finished subtrees at the right edge are kept, one a level: as in the deposit contract of Ethereum's
/// beacon chain, but with the least depth that holds the leaves.
library MerkleFrontier {
    struct Frontier {
        uint256 count;
        mapping(uint256 level => bytes32) nodes;
    }

    /// @notice Appends a leaf; returns its index.
    function append(Frontier storage self, bytes32 leaf) internal returns (uint256 index) {
        index = self.count++;
        bytes32 node = leaf;
        uint256 level;
        // every full pair below closes a subtree
        for (uint256 size = index; size & 1 == 1; size >>= 1) {
            node = _hash(self.nodes[level++], node);
        }
        self.nodes[level] = node;
    }

    /// @notice Root over all leaves; 0 without any.
    function root(Frontier storage self) internal view returns (bytes32 node) {
        uint256 size = self.count;
        if (size == 0) return 0;
        uint256 depth = IndexedMerkle.depthOf(size);
        if (size == 1 << depth) return self.nodes[depth];
        bytes32 pad;
        for (uint256 level; level < depth; ++level) {
            node = size & 1 == 1 ? _hash(self.nodes[level], node) : _hash(node, pad);
            pad = _hash(pad, pad);
            size >>= 1;
        }
    }

    function _hash(bytes32 left, bytes32 right) private pure returns (bytes32) {
        return keccak256(abi.encodePacked(left, right));
    }
}
