// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { ShareMath } from "src/libraries/ShareMath.sol";

/// @dev Proved by Halmos (scripts/halmos) for all amounts of 96 bits and shares of 128, which is what the library is
/// for. Not decided in a minute, and left to fuzz tests: that parts of a batch never get more than the batch in sum,
/// that a withdrawal and a deposit of what it paid never profit.
contract ShareMathSymbolic {
    /// @notice Who deposits and leaves at once never gets more than was put in.
    function check_aDepositThenAWithdrawalNeverProfits(uint96 assets, uint96 total, uint128 shares)
        public
        pure
    {
        uint256 bought = ShareMath.toShares(assets, total, shares);
        assert(ShareMath.toAssets(bought, uint256(total) + assets, uint256(shares) + bought) <= assets);
    }

    /// @notice Shares are never worth more than they cost: each conversion rounds in favour of the pool.
    function check_sharesCostAtLeastTheirWorth(uint96 assets, uint96 total, uint128 shares) public pure {
        uint256 bought = ShareMath.toShares(assets, total, shares);
        assert(bought * (uint256(total) + 1) <= assets * (uint256(shares) + 1));
        assert(ShareMath.toAssets(bought, total, shares) <= assets);
    }

    /// @notice All shares with the virtual one are worth all the pool has with the virtual wei: as worth is monotone,
    /// no shares are worth more.
    function check_allSharesAreWorthThePool(uint96 total, uint128 shares) public pure {
        assert(ShareMath.toAssets(uint256(shares) + 1, total, shares) == uint256(total) + 1);
    }

    /// @notice More money buys no fewer shares.
    function check_sharesAreMonotone(uint96 less, uint96 more, uint96 total, uint128 shares) public pure {
        if (less > more) return;
        assert(ShareMath.toShares(less, total, shares) <= ShareMath.toShares(more, total, shares));
    }

    /// @notice More shares are worth no less.
    function check_worthIsMonotone(uint128 less, uint128 more, uint96 total, uint128 shares) public pure {
        if (less > more) return;
        assert(ShareMath.toAssets(less, total, shares) <= ShareMath.toAssets(more, total, shares));
    }

    /// @notice Leaving gives at most what was there.
    function check_leavingNeverProfits(uint96 assets, uint96 total, uint128 shares) public pure {
        if (total == 0) return;
        uint256 exiting = ShareMath.toExit(assets, total, shares);
        assert(ShareMath.fromExit(exiting, total, shares) <= assets);
    }

    /// @notice And at most a wei less.
    function check_leavingCostsAtMostAWei(uint96 assets, uint96 total, uint128 shares) public pure {
        if (total == 0) return;
        uint256 exiting = ShareMath.toExit(assets, total, shares);
        assert(ShareMath.fromExit(exiting, total, shares) + 1 >= assets);
    }

    /// @notice A larger part of a batch gets no fewer of its shares, and the whole batch gets them all.
    function check_portionsAreMonotone(uint96 less, uint96 more, uint96 total, uint128 shares) public pure {
        if (less > more || total == 0) return;
        assert(ShareMath.portion(less, total, shares) <= ShareMath.portion(more, total, shares));
        assert(ShareMath.portion(total, total, shares) == shares);
    }

    /// @notice A pool that is not spent has shares of less than 128 bits.
    function check_sharesOfAnUnspentPoolFit(uint96 total, uint256 shares) public pure {
        if (ShareMath.isSpent(total, shares)) return;
        assert(shares < 1 << 127);
    }
}
