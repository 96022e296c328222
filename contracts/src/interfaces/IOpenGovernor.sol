// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title What OpenGovernor adds to OpenZeppelin's governor.
/// @notice One vote per wei of wrapped and delegated OPEN. A proposal waits {votingDelay}, is voted on for {votingPeriod},
/// needs more votes for than against, and a quorum of votes for and abstaining: the larger of a fraction of all
/// wrapped OPEN and of {quorumFloor}. Then the timelock.
interface IOpenGovernor {
    /// @notice `value` of `setting` lies outside [`min`, `max`].
    error SettingOutOfBounds(string setting, uint256 value, uint256 min, uint256 max);

    /// @notice Wei that a quorum has at least, at a proposal's snapshot: two per cent of all OPEN there is, native or
    /// wrapped, less what had been burned when it was proposed. Wrapping little cannot make it small.
    function quorumFloor(uint256 timepoint) external view returns (uint256);
}
