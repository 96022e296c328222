// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { Context, DisputeBase } from "./disputes/DisputeBase.sol";
import { JuryBase } from "./disputes/JuryBase.sol";
import {
    IDemandResolver,
    IDisputes,
    IDisputeViews,
    IJuryIntake,
    IJuryRuling,
    IJuryVoting,
    IProofResolver
} from "./interfaces/IDisputes.sol";
import { IBatchIntake } from "./interfaces/IBatchIntake.sol";
import { IQuestionIntake } from "./interfaces/IQuestionIntake.sol";
import {
    BatchDraw,
    Demand,
    Dispute,
    DisputeTerms,
    Distribution,
    LeafOpening,
    OpenedLeaf,
    Question,
    State,
    TierRuling,
    Vote
} from "./types/DisputeTypes.sol";
import {
    ActionRecord,
    AnchoredRecord,
    BatchHeader,
    Claim,
    FixedSplit,
    Parent,
    Payment,
    RecordProof,
    StepLeaf,
    Ticket,
    TokenLeaf
} from "./types/Records.sol";

/// @notice The contracts whose code {Disputes} runs as its own.
struct Modules {
    address proofs;
    address demands;
    address intake;
    address votes;
    address rulings;
    address batches;
    address questions;
}

/// @title Implements {IDisputes}: storage, views, and modules of code over one ledger of what was taken.
/// @dev Invariant: the token balance is the sum of every dispute's `bond` and `held`, of every demand's `bond`, and
/// of the audit fund.
/// One contract's code may not exceed 24 KiB, so the modules are contracts of their own, fixed at deployment and
/// run by delegatecall. All of them inherit all their storage from JuryBase and declare none of their own.
contract Disputes is JuryBase, IDisputes {
    /// @notice Code of {IProofResolver}.
    address public immutable proofs;
    /// @notice Code of {IDemandResolver}.
    address public immutable demands;
    /// @notice Code of {IJuryIntake}.
    address public immutable intake;
    /// @notice Code of {IJuryVoting}.
    address public immutable votes;
    /// @notice Code of {IJuryRuling}.
    address public immutable rulings;
    /// @notice Code of {IBatchIntake}.
    address public immutable batches;
    /// @notice Code of {IQuestionIntake}.
    address public immutable questions;

    constructor(Context memory context, Modules memory modules) DisputeBase(context) {
        proofs = _code(modules.proofs);
        demands = _code(modules.demands);
        intake = _code(modules.intake);
        votes = _code(modules.votes);
        rulings = _code(modules.rulings);
        batches = _code(modules.batches);
        questions = _code(modules.questions);
    }

    /// @inheritdoc IProofResolver
    function proveEquivocation(ActionRecord calldata, bytes calldata, ActionRecord calldata, bytes calldata)
        external
        returns (Distribution memory)
    {
        _run(proofs);
    }

    /// @inheritdoc IProofResolver
    function proveAnchoredMismatch(
        BatchHeader calldata,
        ActionRecord calldata,
        bytes calldata,
        bytes32,
        RecordProof calldata
    ) external returns (Distribution memory) {
        _run(proofs);
    }

    /// @inheritdoc IProofResolver
    function proveDoublePayment(AnchoredRecord calldata, AnchoredRecord calldata)
        external
        returns (Distribution memory)
    {
        _run(proofs);
    }

    /// @inheritdoc IProofResolver
    function proveRefundedCharge(AnchoredRecord calldata) external returns (Distribution memory) {
        _run(proofs);
    }

    /// @inheritdoc IProofResolver
    function proveMisdeclared(AnchoredRecord calldata) external returns (Distribution memory) {
        _run(proofs);
    }

    /// @inheritdoc IProofResolver
    function proveFixedSplit(
        BatchHeader calldata,
        FixedSplit calldata,
        uint32,
        bytes32[] calldata,
        Claim calldata
    ) external returns (Distribution memory) {
        _run(proofs);
    }

    /// @inheritdoc IDemandResolver
    function demandOmission(Ticket calldata, bytes calldata, Payment calldata) external returns (uint256) {
        _run(demands);
    }

    /// @inheritdoc IDemandResolver
    function demandModel(AnchoredRecord calldata, StepLeaf calldata, bytes32[] calldata)
        external
        returns (uint256)
    {
        _run(demands);
    }

    /// @inheritdoc IDemandResolver
    function demandBatchData(BatchHeader calldata, Parent[] calldata) external returns (uint256) {
        _run(demands);
    }

    /// @inheritdoc IDemandResolver
    function demandManifest(BatchHeader calldata, Parent[] calldata) external returns (uint256) {
        _run(demands);
    }

    /// @inheritdoc IDemandResolver
    function demandRecordData(AnchoredRecord calldata, Parent[] calldata) external returns (uint256) {
        _run(demands);
    }

    /// @inheritdoc IDemandResolver
    function demandStepData(AnchoredRecord calldata, StepLeaf calldata, bytes32[] calldata, Parent[] calldata)
        external
        returns (uint256)
    {
        _run(demands);
    }

    /// @inheritdoc IDemandResolver
    function answerWithRecord(uint256, Ticket calldata, AnchoredRecord calldata) external {
        _run(demands);
    }

    /// @inheritdoc IDemandResolver
    function answerWithRefund(uint256, Ticket calldata, Payment calldata) external {
        _run(demands);
    }

    /// @inheritdoc IDemandResolver
    function correctOmission(uint256, Ticket calldata, Payment calldata) external {
        _run(demands);
    }

    /// @inheritdoc IDemandResolver
    function answerWithModel(uint256, uint32, uint256, bytes32, uint32, bytes32[] calldata) external {
        _run(demands);
    }

    /// @inheritdoc IDemandResolver
    function answerWithBlock(uint256, bytes calldata) external {
        _run(demands);
    }

    /// @inheritdoc IDemandResolver
    function enforce(uint256) external returns (Distribution memory) {
        _run(demands);
    }

    /// @inheritdoc IJuryIntake
    function commitChallenge(BatchHeader calldata, uint64, bytes32) external returns (uint256) {
        _run(intake);
    }

    /// @inheritdoc IJuryIntake
    function revealChallenge(
        uint256,
        BatchHeader calldata,
        ActionRecord calldata,
        RecordProof calldata,
        StepLeaf calldata,
        bytes32[] calldata,
        TokenLeaf calldata,
        bytes32[] calldata,
        bytes32
    ) external {
        _run(intake);
    }

    /// @inheritdoc IJuryIntake
    function joinChallenge(
        uint256,
        ActionRecord calldata,
        StepLeaf calldata,
        bytes32[] calldata,
        TokenLeaf calldata,
        bytes32[] calldata
    ) external {
        _run(intake);
    }

    /// @inheritdoc IJuryVoting
    function draw(uint256) external {
        _run(votes);
    }

    /// @inheritdoc IJuryVoting
    function commitVote(uint256, bytes32) external {
        _run(votes);
    }

    /// @inheritdoc IJuryVoting
    function revealVote(uint256, int32[] calldata, int32, bytes32) external {
        _run(votes);
    }

    /// @inheritdoc IJuryVoting
    function revealAnswer(uint256, bytes32, bytes32, bytes32) external {
        _run(votes);
    }

    /// @inheritdoc IJuryRuling
    function resolve(uint256) external {
        _run(rulings);
    }

    /// @inheritdoc IJuryRuling
    function appeal(uint256) external {
        _run(rulings);
    }

    /// @inheritdoc IJuryRuling
    function settle(uint256, uint8) external {
        _run(rulings);
    }

    /// @inheritdoc IBatchIntake
    function challengeBatch(BatchHeader calldata) external returns (uint256) {
        _run(batches);
    }

    /// @inheritdoc IBatchIntake
    function requestAudit(BatchHeader calldata) external returns (uint256) {
        _run(batches);
    }

    /// @inheritdoc IBatchIntake
    function drawLeaves(uint256) external {
        _run(batches);
    }

    /// @inheritdoc IBatchIntake
    function openLeaf(uint256, uint256, LeafOpening calldata) external {
        _run(batches);
    }

    /// @inheritdoc IBatchIntake
    function closeLeaves(uint256) external {
        _run(batches);
    }

    /// @inheritdoc IQuestionIntake
    function revealShares(uint256, BatchHeader calldata, bytes32) external {
        _run(questions);
    }

    /// @inheritdoc IQuestionIntake
    function revealTraining(
        uint256,
        BatchHeader calldata,
        ActionRecord calldata,
        RecordProof calldata,
        StepLeaf calldata,
        bytes32[] calldata,
        bytes32
    ) external {
        _run(questions);
    }

    /// @inheritdoc IQuestionIntake
    function ask(uint256, bytes32, address, address) external returns (uint256) {
        _run(questions);
    }

    /// @inheritdoc IDisputeViews
    function bondFor(uint256 fee) external view returns (uint256 atCommit, uint256 total) {
        return _bondFor(parameters.disputeTerms(), fee);
    }

    /// @inheritdoc IDisputeViews
    function dispute(uint256 id) external view returns (Dispute memory) {
        return _disputes[id];
    }

    /// @inheritdoc IDisputeViews
    function termsOf(uint256 id) external view returns (DisputeTerms memory) {
        return _terms[id];
    }

    /// @inheritdoc IDisputeViews
    function appealBond(uint256 id) external view returns (uint256) {
        Dispute storage d = _disputes[id];
        if (d.state != State.Ruled) return 0;
        return _appealBond(_terms[id], d);
    }

    /// @inheritdoc IDisputeViews
    function leavesOf(uint256 id) external view returns (OpenedLeaf[] memory) {
        return _opened[id];
    }

    /// @inheritdoc IDisputeViews
    function rulingOf(uint256 id, uint8 tier) external view returns (TierRuling memory) {
        return _rulings[id][tier];
    }

    /// @inheritdoc IDisputeViews
    function committeeAt(uint256 id, uint8 round) external view returns (address[] memory) {
        return _committees[id][round];
    }

    /// @inheritdoc IDisputeViews
    function committee(uint256 id) external view returns (address[] memory) {
        return _committees[id][_disputes[id].round];
    }

    /// @inheritdoc IDisputeViews
    function probe(uint256 id) external view returns (uint32) {
        return _disputes[id].probe;
    }

    /// @inheritdoc IDisputeViews
    function voteOf(uint256 id, uint8 round, address juror) external view returns (Vote memory) {
        return _votes[id][round][juror];
    }

    /// @inheritdoc IDisputeViews
    function leavesDrawn(uint256 id) external view returns (BatchDraw memory) {
        return _draws[id];
    }

    /// @inheritdoc IDisputeViews
    function questionOf(uint256 id) external view returns (Question memory) {
        return _questions[id];
    }

    /// @inheritdoc IDisputeViews
    function judgedIn(bytes32 headerHash) external view returns (uint256) {
        return _judged[headerHash];
    }

    /// @inheritdoc IDisputeViews
    function auditFund() external view returns (uint256) {
        return _auditFund;
    }

    /// @inheritdoc IDisputeViews
    function disputeCount() external view returns (uint256) {
        return _count;
    }

    /// @inheritdoc IDisputeViews
    function settledOf(uint256 agentId, address operator, uint64 nonce) external view returns (uint256) {
        return _settledOf(agentId, operator, nonce);
    }

    /// @inheritdoc IDisputeViews
    function demand(uint256 id) external view returns (Demand memory) {
        return _demands[id];
    }

    /// @inheritdoc IDisputeViews
    function demandCount() external view returns (uint256) {
        return _demandCount;
    }

    /// @inheritdoc IDisputeViews
    function demandBondFor(bytes32 headerHash) external view returns (uint256) {
        return _demandBond(headerHash);
    }

    /// @inheritdoc IDisputeViews
    function challengeableUntil(BatchHeader calldata header, uint64 nonce) external view returns (uint256) {
        return _challengeableUntil(header, nonce);
    }

    function _code(address module) private view returns (address) {
        require(module.code.length != 0, NoCode(module));
        return module;
    }

    /// @dev Runs the call's own bytes as the module's code and ends the call with what it answers.
    function _run(address module) private {
        (bool ok, bytes memory answer) = module.delegatecall(msg.data);
        assembly ("memory-safe") {
            let data := add(answer, 0x20)
            if ok { return(data, mload(answer)) }
            revert(data, mload(answer))
        }
    }
}
