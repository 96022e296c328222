// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title What a share of a pool is worth, and what money buys; every rounding favours the pool.
/// @notice Assets fit in 96 bits and shares in 128, so that no product overflows.
library ShareMath {
    /// @dev A pool in which a wei buys more than 2^31 shares has lost all but a two-thousand-millionth.
    uint256 private constant SPENT_BITS = 31;

    /// @notice Shares that `assets` buy in a pool of `totalAssets` and `totalShares`.
    /// @dev One virtual share and one virtual wei make the first share cost a wei and keep the divisor above 0.
    function toShares(uint256 assets, uint256 totalAssets, uint256 totalShares)
        internal
        pure
        returns (uint256)
    {
        return assets * (totalShares + 1) / (totalAssets + 1);
    }

    /// @notice What `shares` of such a pool are worth: at most `totalAssets` for at most `totalShares`.
    function toAssets(uint256 shares, uint256 totalAssets, uint256 totalShares)
        internal
        pure
        returns (uint256)
    {
        return shares * (totalAssets + 1) / (totalShares + 1);
    }

    /// @notice Shares that `assets` buy in a pool that earns nothing, in which a share is never worth more than
    /// a wei: nothing can raise the price, so rounding costs at most a wei.
    function toExit(uint256 assets, uint256 totalAssets, uint256 totalShares)
        internal
        pure
        returns (uint256)
    {
        return totalShares <= totalAssets ? assets : assets * totalShares / totalAssets;
    }

    /// @notice What `shares` of such a pool are worth.
    function fromExit(uint256 shares, uint256 totalAssets, uint256 totalShares)
        internal
        pure
        returns (uint256)
    {
        return totalShares <= totalAssets ? shares : shares * totalAssets / totalShares;
    }

    /// @notice What of a batch of `totalShares`, bought for `totalAssets` together, belongs to `assets` of them.
    /// Taken one after another, the last takes what rounding left.
    function portion(uint256 assets, uint256 totalAssets, uint256 totalShares)
        internal
        pure
        returns (uint256)
    {
        return assets * totalShares / totalAssets;
    }

    /// @notice Whether so little is left per share that the shares are void: it keeps shares within 128 bits.
    function isSpent(uint256 totalAssets, uint256 totalShares) internal pure returns (bool) {
        return totalShares > totalAssets << SPENT_BITS;
    }
}
