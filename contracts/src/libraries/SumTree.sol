// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { Checkpoints } from "@openzeppelin/contracts/utils/structs/Checkpoints.sol";

/// @title Weights in a tree of checkpointed sums, so that a past set can be drawn from.
/// @notice 4-ary, eight levels, 65,536 slots; the children of node k are 4k+1 … 4k+4. An update writes nine
/// nodes, a draw reads at most three children a level: four ways cost half the writes of two for about as many reads.
library SumTree {
    using Checkpoints for Checkpoints.Trace208;

    uint256 internal constant CAPACITY = 65_536;
    uint256 private constant LEVELS = 8;
    /// @dev Nodes above the leaves: (4^8 - 1) / 3.
    uint256 private constant FIRST_LEAF = 21_845;

    struct Tree {
        mapping(uint256 node => Checkpoints.Trace208) sums;
    }

    /// @notice Sets the weight of `slot` as of the current block.
    function set(Tree storage self, uint256 slot, uint208 weight) internal {
        uint48 key = uint48(block.number);
        uint256 node = FIRST_LEAF + slot;
        uint208 old = self.sums[node].latest();
        if (old == weight) return;
        self.sums[node].push(key, weight);
        while (node != 0) {
            node = (node - 1) / 4;
            self.sums[node].push(key, self.sums[node].latest() - old + weight);
        }
    }

    /// @notice Present weight of `slot`.
    function weightOf(Tree storage self, uint256 slot) internal view returns (uint208) {
        return self.sums[FIRST_LEAF + slot].latest();
    }

    /// @notice Sum of all weights at the end of block `key`.
    function totalAt(Tree storage self, uint48 key) internal view returns (uint256) {
        return self.sums[0].upperLookupRecent(key);
    }

    /// @notice Weight of `slot` and sum of the weights of the slots before it, at the end of block `key`.
    function intervalAt(Tree storage self, uint256 slot, uint48 key)
        internal
        view
        returns (uint256 start, uint256 weight)
    {
        uint256 node = FIRST_LEAF + slot;
        weight = self.sums[node].upperLookupRecent(key);
        while (node != 0) {
            uint256 parent = (node - 1) / 4;
            for (uint256 child = 4 * parent + 1; child < node; ++child) {
                start += self.sums[child].upperLookupRecent(key);
            }
            node = parent;
        }
    }

    /// @notice Slot whose interval contains `position`, which must be below the total, at the end of block `key`.
    function find(Tree storage self, uint256 position, uint48 key)
        internal
        view
        returns (uint256 slot, uint256 start, uint256 weight)
    {
        uint256 left = position;
        uint256 node;
        for (uint256 level; level < LEVELS; ++level) {
            node = 4 * node + 1;
            // the fourth child needs no reading: the position is in none of the others
            for (uint256 i; i < 3; ++i) {
                uint256 sum = self.sums[node].upperLookupRecent(key);
                if (left < sum) break;
                left -= sum;
                ++node;
            }
        }
        slot = node - FIRST_LEAF;
        start = position - left;
        weight = self.sums[node].upperLookupRecent(key);
    }
}
