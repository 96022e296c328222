// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @dev What an anchor reads and writes of an agent, in one slot:
///
///   255          160 159           64 63      40 39          0
///   |   backing    |    openFees     |   epoch  |  nextNonce  |
///
/// 2^40 actions and 2^24 epochs an agent are plenty; 2^96 wei is eighty times the supply.
type AgentState is uint256;

using AgentStateLib for AgentState global;

/// @title Packing of {AgentState}; setters truncate, callers check.
library AgentStateLib {
    uint256 private constant NONCE_MASK = (1 << 40) - 1;
    uint256 private constant EPOCH_MASK = (1 << 24) - 1;
    uint256 private constant WEI_MASK = (1 << 96) - 1;

    function nextNonce(AgentState self) internal pure returns (uint256) {
        return AgentState.unwrap(self) & NONCE_MASK;
    }

    function epoch(AgentState self) internal pure returns (uint32) {
        return uint32((AgentState.unwrap(self) >> 40) & EPOCH_MASK);
    }

    function openFees(AgentState self) internal pure returns (uint256) {
        return (AgentState.unwrap(self) >> 64) & WEI_MASK;
    }

    function backing(AgentState self) internal pure returns (uint256) {
        return AgentState.unwrap(self) >> 160;
    }

    function pack(uint256 nextNonce_, uint256 epoch_, uint256 openFees_, uint256 backing_)
        internal
        pure
        returns (AgentState)
    {
        return AgentState.wrap(
            (nextNonce_ & NONCE_MASK) | (epoch_ & EPOCH_MASK) << 40 | (openFees_ & WEI_MASK) << 64 | backing_
                << 160
        );
    }

    /// @notice The largest values that fit.
    function maxNonce() internal pure returns (uint256) {
        return NONCE_MASK;
    }

    function maxEpoch() internal pure returns (uint256) {
        return EPOCH_MASK;
    }

    function maxWei() internal pure returns (uint256) {
        return WEI_MASK;
    }
}
