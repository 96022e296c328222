// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { Ownable } from "@openzeppelin/contracts/access/Ownable.sol";
import { Ownable2Step } from "@openzeppelin/contracts/access/Ownable2Step.sol";
import { ICurationArbiter, IDatanetCuration } from "./interfaces/IDatanetCuration.sol";
import { IGovernedArbiter } from "./interfaces/IGovernedArbiter.sol";

/// @title Implements {IGovernedArbiter}.
contract GovernedArbiter is IGovernedArbiter, Ownable2Step {
    /// @notice Whose appeals are decided here.
    IDatanetCuration public immutable curation;

    /// @inheritdoc ICurationArbiter
    uint256 public constant fee = 0;
    /// @inheritdoc IGovernedArbiter
    uint256 public caseCount;
    /// @inheritdoc IGovernedArbiter
    mapping(uint256 caseId => uint256) public contributionOf;

    /// @param owner who rules: a timelock, once there is one.
    constructor(address owner, IDatanetCuration curation_) Ownable(owner) {
        curation = curation_;
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
        caseId = ++caseCount;
        contributionOf[caseId] = contributionId;
        emit CaseOpened(caseId, contributionId, assetId, contentDigest, contributor, ruleBy);
    }

    /// @inheritdoc IGovernedArbiter
    function rule(uint256 caseId, bool accepted) external onlyOwner {
        uint256 contributionId = contributionOf[caseId];
        require(contributionId != 0, UnknownCase(caseId));
        curation.ruled(contributionId, accepted);
    }
}
