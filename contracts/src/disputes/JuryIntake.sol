// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { SafeERC20 } from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import { Math } from "@openzeppelin/contracts/utils/math/Math.sol";
import { SafeCast } from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import { IJuryIntake } from "../interfaces/IDisputes.sol";
import { IOpenToken } from "../interfaces/IOpenToken.sol";
import { Records } from "../libraries/Records.sol";
import { Position } from "../interfaces/IStakeVault.sol";
import { Dispute, DisputeTerms, Fault, OpenedLeaf, State } from "../types/DisputeTypes.sol";
import { ActionRecord, BatchHeader, RecordProof, StepLeaf, TokenLeaf } from "../types/Records.sol";
import { JuryBase } from "./JuryBase.sol";

/// @title From a committed challenge to an open one, and who joins it.
abstract contract JuryIntake is JuryBase, IJuryIntake {
    using SafeERC20 for IOpenToken;
    using SafeCast for uint256;

    uint8 private constant EXACT_TOLERANCE = 1;
    uint8 private constant MODEL_CALL = 0;
    /// @dev What a juror replays for its fee.
    uint256 private constant MAX_LEAVES = 8;

    /// @inheritdoc IJuryIntake
    function commitChallenge(BatchHeader calldata header, uint64 nonce, bytes32 evidenceHash)
        external
        returns (uint256 id)
    {
        bytes32 headerHash = Records.headerHash(header);
        require(actionLog.isAnchored(header), UnknownBatch(headerHash));
        require(
            nonce >= header.firstNonce && nonce - header.firstNonce < header.count, NonceNotInBatch(nonce)
        );
        uint256 until = _challengeableUntil(header, nonce);
        require(block.timestamp <= until, TooLate(until));

        id = ++_count;
        DisputeTerms memory terms = parameters.disputeTerms();
        _terms[id] = terms;
        Dispute storage d = _disputes[id];
        d.fault = Fault.OutputMismatch;
        d.state = State.Committed;
        d.nonce = nonce;
        d.challenger = msg.sender;
        d.operator = actionLog.epochOf(header.agentId, header.epoch).operator;
        d.agentId = header.agentId;
        d.headerHash = headerHash;
        d.evidenceHash = evidenceHash;
        d.bond = uint128(_juryCost(terms, 0));
        d.evidenceBy = uint64(block.timestamp + terms.evidenceReveal);
        d.frozenBlock = uint64(block.number);
        (uint256 stake, uint256 jurors) = vault.juryAt(block.number - 1, _parties(id, d));
        require(_juryServes(stake, jurors, terms), JuryTooSmall(jurors, stake));
        emit ChallengeCommitted(id, d.agentId, nonce, msg.sender, d.bond, d.evidenceBy);
        token.safeTransferFrom(msg.sender, address(this), d.bond);
    }

    /// @inheritdoc IJuryIntake
    /// @dev Cut into parts that take the arguments in their order, which keeps the stack within reach.
    function revealChallenge(
        uint256 id,
        BatchHeader calldata header,
        ActionRecord calldata record,
        RecordProof calldata recordProof,
        StepLeaf calldata step,
        bytes32[] calldata stepProof,
        TokenLeaf calldata tokenLeaf,
        bytes32[] calldata tokenProof,
        bytes32 salt
    ) external {
        _requireRevealable(id);
        _requireInBatch(id, header, record, recordProof);
        _requireLeaf(record, step, stepProof, tokenLeaf, tokenProof);
        _requireCommitted(id, record, step, tokenLeaf, salt);
        _open(id, record, step, tokenLeaf);
    }

    /// @inheritdoc IJuryIntake
    function joinChallenge(
        uint256 id,
        ActionRecord calldata record,
        StepLeaf calldata step,
        bytes32[] calldata stepProof,
        TokenLeaf calldata tokenLeaf,
        bytes32[] calldata tokenProof
    ) external {
        Dispute storage d = _requireState(id, State.Open);
        require(d.round == 0 && block.number <= d.drawBlock, TooLate(d.drawBlock));
        require(Records.structHash(record) == d.structHash, BadInclusion("record"));
        _requireLeaf(record, step, stepProof, tokenLeaf, tokenProof);
        _join(id, d, step, tokenLeaf);
    }

    function _join(uint256 id, Dispute storage d, StepLeaf calldata step, TokenLeaf calldata leaf) private {
        OpenedLeaf[] storage opened = _opened[id];
        uint256 n = opened.length;
        require(n < MAX_LEAVES, TooManyLeaves(n));
        bytes32 leafKey = _leafKey(d.headerHash, d.structHash, step.index, leaf.t);
        require(_leaves[leafKey] == 0, LeafJudged(_leaves[leafKey]));

        _leaves[leafKey] = id;
        opened.push(OpenedLeaf(msg.sender, step.index, leaf.t, leaf.logprob));
        (uint256 stake, uint256 jurors) = vault.juryAt(d.frozenBlock, _parties(id, d));
        require(_juryServes(stake, jurors, _terms[id]), JuryTooSmall(jurors, stake));
        // every leaf carries the same bond
        uint128 bond = d.bond / uint128(n);
        d.bond += bond;
        emit ChallengeJoined(id, n, msg.sender, step, leaf, bond);
        token.safeTransferFrom(msg.sender, address(this), bond);
    }

    function _requireRevealable(uint256 id) private view {
        Dispute storage d = _requireState(id, State.Committed);
        require(msg.sender == d.challenger, NotChallenger(msg.sender));
        require(block.timestamp <= d.evidenceBy, TooLate(d.evidenceBy));
        // who sees evidence in a pending reveal cannot commit to it and overtake
        require(block.number > d.frozenBlock, TooEarly(d.frozenBlock + 1));
    }

    function _requireInBatch(
        uint256 id,
        BatchHeader calldata header,
        ActionRecord calldata record,
        RecordProof calldata proof
    ) private {
        Dispute storage d = _disputes[id];
        bytes32 headerHash = Records.headerHash(header);
        require(headerHash == d.headerHash, UnknownBatch(headerHash));
        bytes32 structHash = Records.structHash(record);
        require(
            record.agentId == d.agentId && record.nonce == d.nonce
                && Records.inBatch(header, structHash, d.nonce, proof),
            BadInclusion("record")
        );
        d.structHash = structHash;
    }

    /// @dev A leaf that one replay can judge: a single leaf convicts on its logprob only, so not the end leaf,
    /// which has none.
    function _requireLeaf(
        ActionRecord calldata record,
        StepLeaf calldata step,
        bytes32[] calldata stepProof,
        TokenLeaf calldata leaf,
        bytes32[] calldata tokenProof
    ) private pure {
        require(Records.inSteps(record.stepsRoot, step, stepProof), BadInclusion("step"));
        require(Records.inGeneration(step, leaf, tokenProof), BadInclusion("token"));
        require(
            record.replayClass == EXACT_TOLERANCE && step.kind == MODEL_CALL && leaf.finish == 0,
            NotReplayable()
        );
    }

    function _requireCommitted(
        uint256 id,
        ActionRecord calldata record,
        StepLeaf calldata step,
        TokenLeaf calldata leaf,
        bytes32 salt
    ) private {
        Dispute storage d = _disputes[id];
        bytes32 evidence = keccak256(abi.encode(d.challenger, salt, d.structHash, step.index, leaf.t));
        require(evidence == d.evidenceHash, EvidenceMismatch());
        d.client = record.client;
        d.fee = record.fee;
    }

    /// @dev The challenger did its part: where no jury can or need decide, the bond goes back instead of a revert
    /// that would let the bond be forfeited.
    function _open(uint256 id, ActionRecord calldata record, StepLeaf calldata step, TokenLeaf calldata leaf)
        private
    {
        Dispute storage d = _disputes[id];
        DisputeTerms memory terms = _terms[id];
        bytes32 leafKey = _leafKey(d.headerHash, d.structHash, step.index, leaf.t);
        if (_leaves[leafKey] != 0) return _void(id, d, "leaf judged elsewhere");
        uint256 due = _due(terms, d.fee, d.agentId, d.operator, d.nonce);
        if (due == 0) return _void(id, d, "slashed in full");
        // the state before this block: nobody joins or leaves the set knowing of the opening
        d.frozenBlock = uint64(block.number - 1);
        (uint256 stake, uint256 jurors) = vault.juryAt(d.frozenBlock, _parties(id, d));
        if (!_juryServes(stake, jurors, terms)) return _void(id, d, "jury too small");
        Position memory p = vault.positionOf(d.agentId, d.operator);
        if (uint256(p.active) + p.pending < terms.minSlash) return _void(id, d, "too little stake");

        _leaves[leafKey] = id;
        _opened[id].push(OpenedLeaf(d.challenger, step.index, leaf.t, leaf.logprob));
        _awaitDraw(d, terms);
        // a jury decides about no more than half of what its pool stakes
        d.encumbered = vault.encumber(d.agentId, d.operator, Math.min(due, stake / 2)).toUint128();
        uint256 topUp = Math.saturatingSub(uint256(d.encumbered) * terms.bondBps / BPS, d.bond);
        d.bond += topUp.toUint128();
        _emitOpened(id, d, record.contentDigest, step, leaf);
        if (topUp != 0) token.safeTransferFrom(d.challenger, address(this), topUp);
    }

    function _emitOpened(
        uint256 id,
        Dispute storage d,
        bytes32 contentDigest,
        StepLeaf calldata step,
        TokenLeaf calldata leaf
    ) private {
        emit ChallengeOpened(
            id, d.agentId, d.nonce, d.structHash, contentDigest, step, leaf, d.bond, d.encumbered, d.drawBlock
        );
    }

    function _juryServes(uint256 stake, uint256 jurors, DisputeTerms memory terms)
        private
        pure
        returns (bool)
    {
        return jurors >= COMMITTEE && stake / 2 >= terms.minSlash;
    }
}
