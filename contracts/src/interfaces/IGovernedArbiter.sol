// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { ICurationArbiter } from "./IDatanetCuration.sol";

/// @title An arbiter whose owner, the governance, decides. It takes no fee.
interface IGovernedArbiter is ICurationArbiter {
    /// @notice Only the curation contract opens cases.
    error OnlyCuration(address caller);
    /// @notice No such case.
    error UnknownCase(uint256 caseId);

    event CaseOpened(
        uint256 indexed caseId,
        uint256 indexed contributionId,
        uint256 assetId,
        bytes32 contentDigest,
        address contributor,
        uint256 ruleBy
    );

    /// @notice Decides a case. Owner only; the curation contract refuses a second or late ruling.
    function rule(uint256 caseId, bool accepted) external;

    /// @notice The contribution a case is about.
    function contributionOf(uint256 caseId) external view returns (uint256);

    /// @notice Cases so far; they are numbered from 1.
    function caseCount() external view returns (uint256);
}
