// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { IndexedMerkle } from "src/libraries/IndexedMerkle.sol";
import { MerkleSum } from "src/libraries/MerkleSum.sol";
import { Records } from "src/libraries/Records.sol";
import { ActionRecord, RecordProof, SumNode } from "src/types/Records.sol";

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
        return sumRoot(_payoutLeaves(payouts));
    }

    function sumRoot(SumNode[] memory leaves) internal pure returns (SumNode memory) {
        SumNode[] memory level = _sumPadded(leaves);
        while (level.length > 1) {
            level = _sumUp(level);
        }
        return level[0];
    }

    function sumProof(Payout[] memory payouts, uint256 index) internal pure returns (SumNode[] memory) {
        return sumProof(_payoutLeaves(payouts), index);
    }

    function sumProof(SumNode[] memory leaves, uint256 index) internal pure returns (SumNode[] memory path) {
        SumNode[] memory level = _sumPadded(leaves);
        path = new SumNode[](IndexedMerkle.depthOf(leaves.length));
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

    /// @dev Leaves of honest records: each charges what the record says.
    function recordLeaves(ActionRecord[] memory records) internal pure returns (SumNode[] memory leaves) {
        leaves = new SumNode[](records.length);
        for (uint256 i; i < records.length; ++i) {
            leaves[i] = SumNode(
                IndexedMerkle.leafOf(abi.encode(Records.structHash(records[i]))), Records.chargeOf(records[i])
            );
        }
    }

    function recordProof(ActionRecord[] memory records, uint256 index)
        internal
        pure
        returns (RecordProof memory)
    {
        SumNode[] memory leaves = recordLeaves(records);
        return RecordProof(leaves[index].sum, sumProof(leaves, index));
    }

    function _payoutLeaves(Payout[] memory payouts) private pure returns (SumNode[] memory leaves) {
        leaves = new SumNode[](payouts.length);
        for (uint256 i; i < payouts.length; ++i) {
            leaves[i] = SumNode(
                MerkleSum.leafOf(uint32(i), payouts[i].account, payouts[i].amount), payouts[i].amount
            );
        }
    }

    function _sumPadded(SumNode[] memory leaves) private pure returns (SumNode[] memory level) {
        level = new SumNode[](1 << IndexedMerkle.depthOf(leaves.length));
        for (uint256 i; i < level.length; ++i) {
            level[i] = i < leaves.length ? leaves[i] : SumNode(0, 0);
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
