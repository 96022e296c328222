// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title Merkle trees in which a leaf's position is part of the proof.
/// @notice n leaves are padded with zero to 2^depth, depth = ceil(log2 n); a node is keccak256(left ++ right),
/// unsorted; the bits of the index choose the side, lowest first. Leaves are double-hashed, so that no
/// inner node (64 bytes) can be passed off as a leaf (32 bytes).
library IndexedMerkle {
    /// @notice Depth of a tree of `count` leaves; `count` must not be 0.
    function depthOf(uint256 count) internal pure returns (uint256 depth) {
        while ((1 << depth) < count) ++depth;
    }

    /// @notice Leaf of an ABI-encoded value.
    function leafOf(bytes memory encoded) internal pure returns (bytes32) {
        return keccak256(bytes.concat(keccak256(encoded)));
    }

    /// @notice Whether `leaf` is leaf number `index` of the tree of `count` leaves with this root.
    function verify(bytes32 root, uint256 count, uint256 index, bytes32 leaf, bytes32[] calldata proof)
        internal
        pure
        returns (bool)
    {
        return index < count && proof.length == depthOf(count) && climb(index, leaf, proof) == root;
    }

    /// @notice Root that `leaf` at `index` and its siblings lead to. The caller bounds index and proof length.
    function climb(uint256 index, bytes32 leaf, bytes32[] calldata proof)
        internal
        pure
        returns (bytes32 node)
    {
        node = leaf;
        for (uint256 i; i < proof.length; ++i) {
            node = index & 1 == 0 ? _hash(node, proof[i]) : _hash(proof[i], node);
            index >>= 1;
        }
    }

    function _hash(bytes32 left, bytes32 right) private pure returns (bytes32 node) {
        // scratch space: saves the memory growth of abi.encode on every level
        assembly ("memory-safe") {
            mstore(0x00, left)
            mstore(0x20, right)
            node := keccak256(0x00, 0x40)
        }
    }
}
