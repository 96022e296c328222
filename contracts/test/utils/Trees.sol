// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { IndexedMerkle } from "src/libraries/IndexedMerkle.sol";
import { MerkleSum } from "src/libraries/MerkleSum.sol";
import { SumNode } from "src/types/Records.sol";

struct Payout {
    address account;
    uint256 amount;
}

/// @title Builds the trees that the contracts only verify.
library Trees {
    function root(bytes32[] memory leaves) internal pure returns (bytes32) {
        bytes32[] memory level = _padded(leaves);
        while (level.length > 1) {
            level = _up(level);
        }
        return level[0];
    }

    function proof(bytes32[] memory leaves, uint256 index) internal pure returns (bytes32[] memory path) {
        bytes32[] memory level = _padded(leaves);
        path = new bytes32[](IndexedMerkle.depthOf(leaves.length));
        for (uint256 i; i < path.length; ++i) {
            path[i] = level[index ^ 1];
            index >>= 1;
            level = _up(level);
        }
    }

    function sumRoot(Payout[] memory payouts) internal pure returns (SumNode memory) {
        SumNode[] memory level = _sumLeaves(payouts);
        while (level.length > 1) {
            level = _sumUp(level);
        }
        return level[0];
    }

    function sumProof(Payout[] memory payouts, uint256 index) internal pure returns (SumNode[] memory path) {
        SumNode[] memory level = _sumLeaves(payouts);
        path = new SumNode[](IndexedMerkle.depthOf(payouts.length));
        for (uint256 i; i < path.length; ++i) {
            path[i] = level[index ^ 1];
            index >>= 1;
            level = _sumUp(level);
        }
    }

    function _padded(bytes32[] memory leaves) private pure returns (bytes32[] memory level) {
        level = new bytes32[](1 << IndexedMerkle.depthOf(leaves.length));
        for (uint256 i; i < leaves.length; ++i) {
            level[i] = leaves[i];
        }
    }

    function _up(bytes32[] memory level) private pure returns (bytes32[] memory above) {
        above = new bytes32[](level.length / 2);
        for (uint256 i; i < above.length; ++i) {
            above[i] = keccak256(bytes.concat(level[2 * i], level[2 * i + 1]));
        }
    }

    function _sumLeaves(Payout[] memory payouts) private pure returns (SumNode[] memory level) {
        level = new SumNode[](1 << IndexedMerkle.depthOf(payouts.length));
        for (uint256 i; i < payouts.length; ++i) {
            level[i] = SumNode(
                MerkleSum.leafOf(uint32(i), payouts[i].account, payouts[i].amount), payouts[i].amount
            );
        }
    }

    function _sumUp(SumNode[] memory level) private pure returns (SumNode[] memory above) {
        above = new SumNode[](level.length / 2);
        for (uint256 i; i < above.length; ++i) {
            SumNode memory l = level[2 * i];
            SumNode memory r = level[2 * i + 1];
            above[i] = SumNode(keccak256(abi.encode(l.hash, l.sum, r.hash, r.sum)), l.sum + r.sum);
        }
    }
}
