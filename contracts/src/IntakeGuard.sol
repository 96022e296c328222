// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { Ownable2Step } from "@openzeppelin/contracts/access/Ownable2Step.sol";
import { IIntakeGuard } from "./interfaces/IIntakeGuard.sol";

/// @title Implements {IIntakeGuard}.
abstract contract IntakeGuard is IIntakeGuard, Ownable2Step {
    uint256 private constant MAX_PAUSE = 14 days;

    /// @inheritdoc IIntakeGuard
    address public guardian;
    uint48 private _pausedUntil;
    uint48 private _readyAt;

    /// @inheritdoc IIntakeGuard
    function setGuardian(address guardian_) external onlyOwner {
        guardian = guardian_;
        _readyAt = 0;
        emit GuardianSet(guardian_);
    }

    /// @inheritdoc IIntakeGuard
    function pauseIntake(uint256 duration) external {
        require(msg.sender == guardian, OnlyGuardian(msg.sender));
        require(duration != 0 && duration <= MAX_PAUSE, BadPause(duration, MAX_PAUSE));
        require(block.timestamp >= _readyAt, GuardianResting(_readyAt));
        // a new guardian may not prolong its predecessor's pause either
        require(block.timestamp >= _pausedUntil, IntakePaused(_pausedUntil));
        _pausedUntil = uint48(block.timestamp + duration);
        _readyAt = uint48(block.timestamp + 2 * duration);
        emit IntakePausedUntil(msg.sender, _pausedUntil, _readyAt);
    }

    /// @inheritdoc IIntakeGuard
    function resumeIntake() external {
        if (msg.sender != guardian) _checkOwner();
        require(block.timestamp < _pausedUntil, IntakeNotPaused());
        _pausedUntil = uint48(block.timestamp);
        emit IntakeResumed(msg.sender);
    }

    /// @inheritdoc IIntakeGuard
    function requireIntakeOpen() external view {
        require(block.timestamp >= _pausedUntil, IntakePaused(_pausedUntil));
    }

    /// @inheritdoc IIntakeGuard
    function intakePausedUntil() external view returns (uint256) {
        return _pausedUntil;
    }

    /// @inheritdoc IIntakeGuard
    function guardianReadyAt() external view returns (uint256) {
        return _readyAt;
    }
}
