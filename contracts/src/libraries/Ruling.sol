// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { Median } from "../types/DisputeTypes.sol";

/// @title Medians of juror votes and what is near them.
library Ruling {
    /// @notice Median of the first `n` of `values`, which are sorted in place; `n` must be at least one.
    function median(int32[] memory values, uint256 n) internal pure returns (Median memory) {
        for (uint256 i = 1; i < n; ++i) {
            int32 value = values[i];
            uint256 k = i;
            for (; k != 0 && values[k - 1] > value; --k) {
                values[k] = values[k - 1];
            }
            values[k] = value;
        }
        return Median(values[(n - 1) / 2], values[n / 2]);
    }

    /// @notice Whether `value` is more than `tolerance` away from every median: doubt favours the value.
    function isFar(Median memory m, int256 value, uint256 tolerance) internal pure returns (bool) {
        return value < m.low - int256(tolerance) || value > m.high + int256(tolerance);
    }

    /// @notice One number for the median, for display.
    function middle(Median memory m) internal pure returns (int32) {
        return int32((int256(m.low) + m.high) / 2);
    }
}
