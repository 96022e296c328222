// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { LeafOpening } from "../types/DisputeTypes.sol";
import { BatchHeader, StepLeaf, TokenLeaf } from "../types/Records.sol";

/// @title Judging a batch by leaves drawn at random across it, on somebody's accusation or by a random audit.
/// @notice Small deviations, which a single chosen leaf does not convict by (honest noise could be harvested), show over
/// kLeaves drawn positions: position i stands for the record firstNonce + H(i, "record") mod count, its step
/// H(i, "step") mod 2^depth and that step's token H(i, "token") mod (count - 1), H(i, x) = keccak256(abi.encode(seed, i, x)).
/// Anyone opens positions; those that nobody opens count as deviating, for the operator can always open its own.
/// Positions without a replayable model call are void. The operator is convicted when at least m positions
/// deviate by more than leafDelta, m being the smallest number with C(k, m) / 1000^m <= falseConvictionRate.
interface IBatchIntake {
    /// @notice The batch is or was judged in dispute `id`.
    error BatchJudged(uint256 id);
    /// @notice An audit of the batch was asked for before.
    error AuditAsked(bytes32 headerHash);
    /// @notice The audit fund does not cover the committee's fees.
    error AuditFundShort(uint256 fund, uint256 needed);
    /// @notice Too few jurors, too little juror stake or too little stake of the operator; or slashed in full.
    error CannotBeJudged();
    /// @notice Positions are 0 to kLeaves - 1.
    error NoSuchPosition(uint256 position);
    /// @notice The position was opened before.
    error PositionShown(uint256 position);

    event BatchChallenged(
        uint256 indexed id,
        uint256 indexed agentId,
        bytes32 indexed headerHash,
        address challenger,
        uint256 bond,
        uint256 encumbered,
        uint64 drawBlock
    );
    event AuditRequested(
        uint256 indexed id, uint256 indexed agentId, bytes32 indexed headerHash, uint64 drawBlock
    );
    /// @notice The positions are fixed; they can be opened until `openBy`.
    event LeavesDrawn(uint256 indexed id, bytes32 seed, uint256 count, uint64 openBy);
    /// @notice Position `position` is number `leaf` of the leaves the committee judges.
    event LeafOpened(
        uint256 indexed id, uint256 position, uint256 leaf, uint64 nonce, StepLeaf step, TokenLeaf token
    );
    /// @notice Nothing can be replayed at the position.
    event PositionVoided(uint256 indexed id, uint256 position);
    event LeavesClosed(uint256 indexed id, uint256 opened, uint256 missing, uint256 threshold);

    /// @notice Accuses a whole batch, once, inside its window. Takes the larger of the first committee's fees (one for
    /// every eight leaves a juror) and its share of the slash at stake, which is a multiple of the batch's sum.
    function challengeBatch(BatchHeader calldata header) external returns (uint256 id);

    /// @notice Asks for a random audit of a batch, once, inside its window; free. After the draw block it takes place with
    /// probability auditRate, without an accuser and at the audit fund's cost. Anyone may ask.
    function requestAudit(BatchHeader calldata header) external returns (uint256 id);

    /// @notice Fixes the positions once the draw block is mined; ends an audit that is not selected. Anyone may call.
    function drawLeaves(uint256 id) external;

    /// @notice Opens a position, or shows that it is void. Anyone may call.
    function openLeaf(uint256 id, uint256 position, LeafOpening calldata opening) external;

    /// @notice Ends the opening once every position was shown or the time is over: towards a committee, or without one
    /// where what is missing convicts already ({IJuryRuling-resolve} then does) or too little is left to judge.
    function closeLeaves(uint256 id) external;
}
