// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { SafeERC20 } from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import { Math } from "@openzeppelin/contracts/utils/math/Math.sol";
import { IOpenToken } from "../interfaces/IOpenToken.sol";
import { IQuestionIntake } from "../interfaces/IQuestionIntake.sol";
import { Answer } from "../libraries/Answer.sol";
import { Records } from "../libraries/Records.sol";
import { Dispute, DisputeTerms, Fault, Question } from "../types/DisputeTypes.sol";
import { ActionRecord, BatchHeader, RecordProof, StepLeaf } from "../types/Records.sol";
import { JuryOpening } from "./JuryOpening.sol";

/// @title Questions to a jury: is what was claimed what one computes?
abstract contract QuestionIntake is JuryOpening, IQuestionIntake {
    using SafeERC20 for IOpenToken;

    uint8 private constant TRAINING = 4;
    /// @dev What a juror attributes again for one fee.
    uint256 private constant RECORDS_A_FEE = 64;

    /// @notice Who asks about contributions.
    address public immutable arbiter;

    constructor(address arbiter_) {
        arbiter = arbiter_;
    }

    /// @inheritdoc IQuestionIntake
    function revealShares(uint256 id, BatchHeader calldata header, bytes32 salt) external {
        _requireRevealable(id);
        Dispute storage d = _disputes[id];
        _requireHeader(d, header);
        _requireEvidence(d, keccak256(abi.encode(d.challenger, salt, d.headerHash, "shares")));
        // afterwards payouts may have been claimed; what demands extend is for replays only
        uint256 until = actionLog.challengeableUntil(header);
        require(block.timestamp <= until, TooLate(until));
        require(header.payoutCount != 0, NotReplayable());
        d.fault = Fault.WrongShares;
        d.nonce = header.firstNonce;
        d.fee = header.sum;
        DisputeTerms storage terms = _terms[id];
        uint256 fees = Math.ceilDiv(header.count, RECORDS_A_FEE);
        terms.jurorFee = uint96(Math.min(terms.jurorFee * fees, type(uint96).max));
        bytes32 claimed = keccak256(abi.encode(header.payoutRoot, header.payoutCount));
        if (!_ask(id, claimed, keccak256(abi.encode(d.headerHash, "shares")))) return;
        emit SharesDisputed(id, d.agentId, d.headerHash, d.challenger, d.bond, d.encumbered, d.drawBlock);
        rewardPool.freeze(d.headerHash);
    }

    /// @inheritdoc IQuestionIntake
    function revealTraining(
        uint256 id,
        BatchHeader calldata header,
        ActionRecord calldata record,
        RecordProof calldata recordProof,
        StepLeaf calldata step,
        bytes32[] calldata stepProof,
        bytes32 salt
    ) external {
        _requireRevealable(id);
        _requireInBatch(id, header, record, recordProof);
        require(Records.inSteps(record.stepsRoot, step, stepProof), BadInclusion("step"));
        require(record.replayClass == EXACT_TOLERANCE && step.kind == TRAINING, NotReplayable());
        Dispute storage d = _disputes[id];
        _requireEvidence(d, keccak256(abi.encode(d.challenger, salt, d.structHash, step.index, "training")));
        d.fault = Fault.TrainingMismatch;
        bytes32 key = keccak256(abi.encode(d.headerHash, d.structHash, step.index, "training"));
        if (!_ask(id, step.generationRoot, key)) return;
        _emitTraining(id, d, record.contentDigest, step);
    }

    /// @inheritdoc IQuestionIntake
    function ask(uint256 assetId, bytes32 contentDigest, address contributor, address curator)
        external
        returns (uint256 id)
    {
        require(msg.sender == arbiter, OnlyArbiter(msg.sender));
        id = ++_count;
        DisputeTerms memory terms = parameters.disputeTerms();
        _terms[id] = terms;
        _questions[id] = Question(Answer.REJECTED, 0, 0);
        Dispute storage d = _disputes[id];
        d.fault = Fault.CurationAppeal;
        (d.challenger, d.operator) = (contributor, curator);
        d.structHash = contentDigest;
        d.bond = uint128(_juryCost(terms, 0));
        d.frozenBlock = uint64(block.number - 1);
        (uint256 stake, uint256 jurors) = vault.juryAt(d.frozenBlock, _parties(id, d));
        require(jurors >= COMMITTEE, JuryTooSmall(jurors, stake));
        _awaitDraw(d, terms);
        emit CaseAsked(id, assetId, contentDigest, contributor, curator, d.drawBlock);
        token.safeTransferFrom(msg.sender, address(this), d.bond);
    }

    function _ask(uint256 id, bytes32 claimed, bytes32 key) private returns (bool) {
        _questions[id] = Question(claimed, 0, key);
        return _openFor(id, key);
    }

    function _requireEvidence(Dispute storage d, bytes32 evidence) private view {
        require(evidence == d.evidenceHash, EvidenceMismatch());
    }

    function _emitTraining(uint256 id, Dispute storage d, bytes32 contentDigest, StepLeaf calldata step)
        private
    {
        emit TrainingDisputed(
            id, d.agentId, d.nonce, d.structHash, contentDigest, step, d.bond, d.encumbered, d.drawBlock
        );
    }
}
