// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title Between a vote and its effect: OpenZeppelin's timelock with a delay that cannot become short.
/// @notice Eight days and more: longer than the longest challenge window, so that every batch anchored before a change was
/// queued is final before the change takes effect, and time for whoever disagrees to leave.
interface IOpenTimelock {
    /// @notice `delay` lies outside [`min`, `max`] seconds.
    error DelayOutOfBounds(uint256 delay, uint256 min, uint256 max);
}
