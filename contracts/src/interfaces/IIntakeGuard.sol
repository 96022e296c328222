// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title A guardian who can pause new intake for a while, and nothing else.
/// @notice Intake is what lets new money or new obligations in: stake, delegations, purchases, contributions, an
/// agent's first epoch. Exits, claims, refunds, key rotation, anchors, challenges and votes never ask here.
interface IIntakeGuard {
    /// @notice No new intake before `until`.
    error IntakePaused(uint256 until);
    /// @notice Nothing is paused.
    error IntakeNotPaused();
    /// @notice Only the guardian may call.
    error OnlyGuardian(address caller);
    /// @notice A pause lasts at least a second and at most `max`.
    error BadPause(uint256 duration, uint256 max);
    /// @notice The guardian may not pause again before `readyAt`.
    error GuardianResting(uint256 readyAt);

    /// @notice Governance appointed `guardian` (zero: nobody), who may pause at once.
    event GuardianSet(address indexed guardian);
    /// @notice The guardian paused intake.
    event IntakePausedUntil(address indexed guardian, uint256 until, uint256 readyAt);
    /// @notice `by` ended the pause early.
    event IntakeResumed(address indexed by);

    /// @notice Appoints the guardian and lets it pause at once, whatever its predecessor did. Owner only.
    function setGuardian(address guardian) external;

    /// @notice Pauses intake for `duration` seconds, at most fourteen days. Guardian only.
    /// After its end a guardian must rest as long as it lasted, so that intake is never paused for good, and so that
    /// governance has the time to dismiss a guardian before it pauses again.
    function pauseIntake(uint256 duration) external;

    /// @notice Ends a pause. Owner or guardian; the rest stays what it was.
    function resumeIntake() external;

    /// @notice Reverts with {IntakePaused} during a pause. Called by every function that lets something new in.
    function requireIntakeOpen() external view;

    /// @notice When the pause ends; in the past, or 0, while intake is open.
    function intakePausedUntil() external view returns (uint256);

    /// @notice When the guardian may pause again.
    function guardianReadyAt() external view returns (uint256);

    /// @notice Who may pause intake.
    function guardian() external view returns (address);
}
