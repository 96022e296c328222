// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { SafeERC20 } from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import { IJuryIntake } from "../interfaces/IDisputes.sol";
import { IOpenToken } from "../interfaces/IOpenToken.sol";
import { Records } from "../libraries/Records.sol";
import { Dispute, DisputeTerms, Fault, OpenedLeaf, State } from "../types/DisputeTypes.sol";
import { ActionRecord, BatchHeader, RecordProof, StepLeaf, TokenLeaf } from "../types/Records.sol";
import { JuryOpening } from "./JuryOpening.sol";

/// @title Challenges of an action's tokens: committed, shown, and joined.
abstract contract JuryIntake is JuryOpening, IJuryIntake {
    using SafeERC20 for IOpenToken;

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
        _requireCommitted(id, step, tokenLeaf, salt);
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
        require(_hasJoiners(d), NotReplayable());
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

    function _requireCommitted(uint256 id, StepLeaf calldata step, TokenLeaf calldata leaf, bytes32 salt)
        private
        view
    {
        Dispute storage d = _disputes[id];
        bytes32 evidence = keccak256(abi.encode(d.challenger, salt, d.structHash, step.index, leaf.t));
        require(evidence == d.evidenceHash, EvidenceMismatch());
    }

    function _open(uint256 id, ActionRecord calldata record, StepLeaf calldata step, TokenLeaf calldata leaf)
        private
    {
        Dispute storage d = _disputes[id];
        if (!_openFor(id, _leafKey(d.headerHash, d.structHash, step.index, leaf.t))) return;
        _opened[id].push(OpenedLeaf(d.challenger, step.index, leaf.t, leaf.logprob));
        emit ChallengeOpened(
            id,
            d.agentId,
            d.nonce,
            d.structHash,
            record.contentDigest,
            step,
            leaf,
            d.bond,
            d.encumbered,
            d.drawBlock
        );
    }
}
