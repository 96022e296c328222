// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { State } from "../types/DisputeTypes.sol";
import { ICurationArbiter } from "./IDatanetCuration.sol";

/// @title Has appeals against curators decided by a jury.
/// @notice A case's number is its dispute's. The fee is the cost of a first committee; anyone may appeal from its ruling as
/// from any other. A case on which no committee votes is decided by nobody, and lapses.
interface IJuryArbiter is ICurationArbiter {
    /// @notice Only the curation contract opens cases.
    error OnlyCuration(address caller);
    /// @notice No such case.
    error UnknownCase(uint256 caseId);
    /// @notice The jury has not decided, or nobody did.
    error NotDecided(uint256 caseId, State state);

    event CaseOpened(
        uint256 indexed caseId,
        uint256 indexed contributionId,
        uint256 assetId,
        bytes32 contentDigest,
        address contributor,
        uint256 ruleBy
    );

    /// @notice Tells the curation contract what the jury decided. Anyone may call, once.
    function deliver(uint256 caseId) external;

    /// @notice The contribution a case is about.
    function contributionOf(uint256 caseId) external view returns (uint256);
}
