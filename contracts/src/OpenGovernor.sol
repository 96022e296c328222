// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { Governor } from "@openzeppelin/contracts/governance/Governor.sol";
import { TimelockController } from "@openzeppelin/contracts/governance/TimelockController.sol";
import {
    GovernorCountingSimple
} from "@openzeppelin/contracts/governance/extensions/GovernorCountingSimple.sol";
import { GovernorSettings } from "@openzeppelin/contracts/governance/extensions/GovernorSettings.sol";
import {
    GovernorTimelockControl
} from "@openzeppelin/contracts/governance/extensions/GovernorTimelockControl.sol";
import { GovernorVotes } from "@openzeppelin/contracts/governance/extensions/GovernorVotes.sol";
import {
    GovernorVotesQuorumFraction
} from "@openzeppelin/contracts/governance/extensions/GovernorVotesQuorumFraction.sol";
import { IVotes } from "@openzeppelin/contracts/governance/utils/IVotes.sol";
import { Math } from "@openzeppelin/contracts/utils/math/Math.sol";
import { IOpenGovernor } from "./interfaces/IOpenGovernor.sol";
import { IOpenToken } from "./interfaces/IOpenToken.sol";

/// @title Implements {IOpenGovernor}.
contract OpenGovernor is
    IOpenGovernor,
    Governor,
    GovernorSettings,
    GovernorCountingSimple,
    GovernorVotes,
    GovernorVotesQuorumFraction,
    GovernorTimelockControl
{
    uint256 private constant BPS = 10_000;
    /// @dev All OPEN of the genesis; there is never more.
    uint256 private constant TOTAL_OPEN = 1_000_000_000 ether;
    uint256 private constant FLOOR_BPS = 200;

    mapping(uint256 snapshot => uint256) private _burnedBefore;

    constructor(IOpenToken token_, address payable timelock_)
        Governor("OpenGovernor")
        GovernorSettings(1 days, 5 days, 100_000 ether)
        GovernorVotes(IVotes(address(token_)))
        GovernorVotesQuorumFraction(1000)
        GovernorTimelockControl(TimelockController(timelock_))
    { }

    /// @notice Votes for and abstaining that a proposal with this snapshot needs, in wei.
    function quorum(uint256 timepoint)
        public
        view
        override(Governor, GovernorVotesQuorumFraction)
        returns (uint256)
    {
        return Math.max(super.quorum(timepoint), quorumFloor(timepoint));
    }

    /// @inheritdoc IOpenGovernor
    function quorumFloor(uint256 timepoint) public view returns (uint256) {
        return (TOTAL_OPEN - _burnedBefore[timepoint]) * FLOOR_BPS / BPS;
    }

    /// @notice The unit of {quorumNumerator}.
    function quorumDenominator() public pure override returns (uint256) {
        return BPS;
    }

    /// @notice Votes a proposer needs, in wei.
    function proposalThreshold() public view override(Governor, GovernorSettings) returns (uint256) {
        return super.proposalThreshold();
    }

    /// @notice Where a proposal stands.
    function state(uint256 proposalId)
        public
        view
        override(Governor, GovernorTimelockControl)
        returns (ProposalState)
    {
        return super.state(proposalId);
    }

    /// @notice Always: nothing happens but through the timelock.
    function proposalNeedsQueuing(uint256 proposalId)
        public
        view
        override(Governor, GovernorTimelockControl)
        returns (bool)
    {
        return super.proposalNeedsQueuing(proposalId);
    }

    function _propose(
        address[] memory targets,
        uint256[] memory values,
        bytes[] memory calldatas,
        string memory description,
        address proposer
    ) internal override returns (uint256 proposalId) {
        proposalId = super._propose(targets, values, calldatas, description, proposer);
        // fixed now: burning later must not turn a lost vote into a won one
        _burnedBefore[proposalSnapshot(proposalId)] = IOpenToken(address(token())).burned();
    }

    function _queueOperations(
        uint256 proposalId,
        address[] memory targets,
        uint256[] memory values,
        bytes[] memory calldatas,
        bytes32 descriptionHash
    ) internal override(Governor, GovernorTimelockControl) returns (uint48) {
        return super._queueOperations(proposalId, targets, values, calldatas, descriptionHash);
    }

    function _executeOperations(
        uint256 proposalId,
        address[] memory targets,
        uint256[] memory values,
        bytes[] memory calldatas,
        bytes32 descriptionHash
    ) internal override(Governor, GovernorTimelockControl) {
        super._executeOperations(proposalId, targets, values, calldatas, descriptionHash);
    }

    function _cancel(
        address[] memory targets,
        uint256[] memory values,
        bytes[] memory calldatas,
        bytes32 descriptionHash
    ) internal override(Governor, GovernorTimelockControl) returns (uint256) {
        return super._cancel(targets, values, calldatas, descriptionHash);
    }

    function _setVotingDelay(uint48 value) internal override {
        _require("votingDelay", value, 1 hours, 7 days);
        super._setVotingDelay(value);
    }

    function _setVotingPeriod(uint32 value) internal override {
        _require("votingPeriod", value, 3 days, 14 days);
        super._setVotingPeriod(value);
    }

    function _setProposalThreshold(uint256 value) internal override {
        _require("proposalThreshold", value, 1000 ether, 1_000_000 ether);
        super._setProposalThreshold(value);
    }

    function _updateQuorumNumerator(uint256 value) internal override {
        _require("quorumNumerator", value, 400, 3000);
        super._updateQuorumNumerator(value);
    }

    function _executor() internal view override(Governor, GovernorTimelockControl) returns (address) {
        return super._executor();
    }

    function _require(string memory setting, uint256 value, uint256 min, uint256 max) private pure {
        require(value >= min && value <= max, SettingOutOfBounds(setting, value, min, max));
    }
}
