// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title How many of k leaves, drawn at random, must deviate before a batch is at fault.
/// @notice Honest leaves deviate by more than leafDelta with probability p = 1/1000 at most (leafDelta is what 99.9 % of
/// them stay below). The chance that m or more of k do is at most C(k, m) p^m, the expected number of sets of m
/// leaves that all do.
library Drift {
    /// @notice Smallest m with C(k, m) p^m <= rate / 1e9. Above k where even that is likelier: then none convicts.
    /// @param k at most 256, so that nothing overflows.
    function threshold(uint256 k, uint256 rate) internal pure returns (uint256 m) {
        uint256 sets = 1;
        uint256 scale = 1;
        do {
            sets = sets * (k - m) / (m + 1);
            scale *= 1000;
            ++m;
        } while (sets * 1e9 > rate * scale);
    }
}
