// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title Medians of juror votes and what is near them.
library Ruling {
    /// @dev The median of an odd number of values is one value, of an even number any between the middle two.
    struct Median {
        int256 low;
        int256 high;
    }

    /// @notice Median of `values`, which are sorted in place; there must be at least one.
    function median(int256[] memory values) internal pure returns (Median memory) {
        uint256 n = values.length;
        for (uint256 i = 1; i < n; ++i) {
            int256 value = values[i];
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
        return int32((m.low + m.high) / 2);
    }
}
