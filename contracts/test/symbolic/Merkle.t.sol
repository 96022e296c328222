// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { IndexedMerkle } from "src/libraries/IndexedMerkle.sol";

/// @dev Proved for every input by Halmos (scripts/halmos), where keccak256 has no collisions.
contract MerkleSymbolic {
    /// @notice In a tree of four, whatever its leaves and siblings: nothing verifies at two positions.
    function check_aLeafVerifiesAtOnePosition(
        bytes32[4] calldata leaves,
        bytes32 leaf,
        bytes32 low,
        bytes32 high,
        uint256 index
    ) public view {
        bytes32 left = keccak256(abi.encode(leaves[0], leaves[1]));
        bytes32 right = keccak256(abi.encode(leaves[2], leaves[3]));
        bytes32 root = keccak256(abi.encode(left, right));
        bytes32[] memory proof = new bytes32[](2);
        (proof[0], proof[1]) = (low, high);
        if (!this.verify(root, 4, index, leaf, proof)) return;
        assert(index < 4);
        // spelt out: Halmos reads no array at a symbolic place
        if (index == 0) assert(leaf == leaves[0] && low == leaves[1] && high == right);
        if (index == 1) assert(leaf == leaves[1] && low == leaves[0] && high == right);
        if (index == 2) assert(leaf == leaves[2] && low == leaves[3] && high == left);
        if (index == 3) assert(leaf == leaves[3] && low == leaves[2] && high == left);
    }

    /// @notice A proof of another length never verifies.
    function check_aProofHasTheTreesDepth(bytes32 root, bytes32 leaf, uint256 index, bytes32 sibling)
        public
        view
    {
        bytes32[] memory proof = new bytes32[](1);
        proof[0] = sibling;
        assert(!this.verify(root, 4, index, leaf, proof));
        assert(!this.verify(root, 1, index, leaf, proof));
    }

    function verify(bytes32 root, uint256 count, uint256 index, bytes32 leaf, bytes32[] calldata proof)
        external
        pure
        returns (bool)
    {
        return IndexedMerkle.verify(root, count, index, leaf, proof);
    }
}
