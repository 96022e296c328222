// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { ICurationArbiter, IDatanetCuration } from "./interfaces/IDatanetCuration.sol";
import { IDisputes } from "./interfaces/IDisputes.sol";
import { IJuryArbiter } from "./interfaces/IJuryArbiter.sol";
import { IOpenToken } from "./interfaces/IOpenToken.sol";
import { State } from "./types/DisputeTypes.sol";

/// @title Implements {IJuryArbiter}.
/// @dev Holds a fee only between the two transfers of one call.
contract JuryArbiter is IJuryArbiter {
    /// @notice Whose juries decide.
    IDisputes public immutable disputes;
    /// @notice Whose appeals are decided here.
    IDatanetCuration public immutable curation;

    /// @inheritdoc IJuryArbiter
    mapping(uint256 caseId => uint256) public contributionOf;

    constructor(IOpenToken token_, IDisputes disputes_, IDatanetCuration curation_) {
        disputes = disputes_;
        curation = curation_;
        token_.approve(address(disputes_), type(uint256).max);
    }

    /// @inheritdoc ICurationArbiter
    function openCase(
        uint256 contributionId,
        uint256 assetId,
        bytes32 contentDigest,
        address contributor,
        uint256 ruleBy
    ) external returns (uint256 caseId) {
        require(msg.sender == address(curation), OnlyCuration(msg.sender));
        address curator = curation.contribution(contributionId).curator;
        caseId = disputes.ask(assetId, contentDigest, contributor, curator);
        contributionOf[caseId] = contributionId;
        emit CaseOpened(caseId, contributionId, assetId, contentDigest, contributor, ruleBy);
    }

    /// @inheritdoc IJuryArbiter
    function deliver(uint256 caseId) external {
        uint256 contributionId = contributionOf[caseId];
        require(contributionId != 0, UnknownCase(caseId));
        State state = disputes.dispute(caseId).state;
        require(state == State.Convicted || state == State.Acquitted, NotDecided(caseId, state));
        curation.ruled(contributionId, state == State.Convicted);
    }

    /// @inheritdoc ICurationArbiter
    function fee() external view returns (uint256 cost) {
        (cost,) = disputes.bondFor(0);
    }
}
