// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { ActionRecord, BatchHeader, RecordProof, StepLeaf } from "../types/Records.sol";

/// @title What a jury recomputes as a whole, and answers by a digest: payouts, training runs, appeals of curation.
/// @notice The ruling is the answer of more than half of those who revealed, and else the one that was claimed: doubt
/// favours the accused. {Answer-UNAVAILABLE} says that what the answer follows from cannot be had, which an
/// operator must see to. Beside its answer each juror reveals a second digest, of something that follows from the
/// recomputation and from the probe, which was drawn after the committee froze; so copying what was claimed does not pay.
///
///   payouts     answer  keccak256(abi.encode(payoutRoot, payoutCount)) of the batch under its records' rule
///   training    answer  sha2-256 digest of the adapter's root block
///   curation    answer  {Answer-ACCEPTED} or {Answer-REJECTED}
interface IQuestionIntake {
    /// @notice Only the arbiter of curation asks a jury.
    error OnlyArbiter(address caller);

    /// @notice The batch's payouts are disputed: jurors recompute them. Nothing of the batch can be claimed meanwhile.
    event SharesDisputed(
        uint256 indexed id,
        uint256 indexed agentId,
        bytes32 indexed headerHash,
        address challenger,
        uint256 bond,
        uint256 encumbered,
        uint64 drawBlock
    );
    /// @notice A training run is disputed: jurors repeat it.
    event TrainingDisputed(
        uint256 indexed id,
        uint256 indexed agentId,
        uint64 indexed nonce,
        bytes32 structHash,
        bytes32 contentDigest,
        StepLeaf step,
        uint256 bond,
        uint256 encumbered,
        uint64 drawBlock
    );
    /// @notice A contributor asks whether its content belongs into the datanet.
    event CaseAsked(
        uint256 indexed id,
        uint256 indexed assetId,
        bytes32 indexed contentDigest,
        address contributor,
        address curator,
        uint64 drawBlock
    );

    /// @notice Shows that a committed challenge accuses the batch's payouts. Takes place inside the window, so that
    /// nothing has been claimed. Jurors have one fee for every 64 records.
    /// Ends as Voided like {IJuryIntake-revealChallenge}. When the jury finds other payouts, these are claimable
    /// instead ({IRewardPool-showPayouts}).
    /// The committed evidence is keccak256(abi.encode(challenger, salt, headerHash, "shares")).
    function revealShares(uint256 id, BatchHeader calldata header, bytes32 salt) external;

    /// @notice Shows that a committed challenge accuses a training run.
    /// The committed evidence is keccak256(abi.encode(challenger, salt, structHash, stepIndex, "training")).
    function revealTraining(
        uint256 id,
        BatchHeader calldata header,
        ActionRecord calldata record,
        RecordProof calldata recordProof,
        StepLeaf calldata step,
        bytes32[] calldata stepProof,
        bytes32 salt
    ) external;

    /// @notice Asks whether content belongs into a datanet, at the cost of a first committee. Arbiter only.
    /// Convicted means accepted. Neither contributor nor curator is drawn.
    function ask(uint256 assetId, bytes32 contentDigest, address contributor, address curator)
        external
        returns (uint256 id);
}
