// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { TimelockController } from "@openzeppelin/contracts/governance/TimelockController.sol";
import { IOpenTimelock } from "./interfaces/IOpenTimelock.sol";

/// @title Implements {IOpenTimelock}.
contract OpenTimelock is IOpenTimelock, TimelockController {
    uint256 private constant MIN_DELAY = 8 days;
    uint256 private constant MAX_DELAY = 30 days;

    /// @dev Only `governor` proposes and cancels, anyone executes what is due, nobody administers but the timelock.
    constructor(address governor)
        TimelockController(MIN_DELAY, _one(governor), _one(address(0)), address(0))
    { }

    /// @notice Changes the delay for what is queued from then on. The timelock itself only.
    function updateDelay(uint256 newDelay) public override {
        require(
            newDelay >= MIN_DELAY && newDelay <= MAX_DELAY, DelayOutOfBounds(newDelay, MIN_DELAY, MAX_DELAY)
        );
        super.updateDelay(newDelay);
    }

    function _one(address account) private pure returns (address[] memory accounts) {
        accounts = new address[](1);
        accounts[0] = account;
    }
}
