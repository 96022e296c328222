// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { SafeERC20 } from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import { Math } from "@openzeppelin/contracts/utils/math/Math.sol";
import { SafeCast } from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import { IBatchIntake } from "../interfaces/IBatchIntake.sol";
import { IOpenToken } from "../interfaces/IOpenToken.sol";
import { IRandomness } from "../interfaces/IRandomness.sol";
import { Position } from "../interfaces/IStakeVault.sol";
import { Drift } from "../libraries/Drift.sol";
import { IndexedMerkle } from "../libraries/IndexedMerkle.sol";
import { Records } from "../libraries/Records.sol";
import {
    BatchDraw,
    Dispute,
    DisputeTerms,
    Fault,
    LeafOpening,
    OpenedLeaf,
    State,
    TierRuling
} from "../types/DisputeTypes.sol";
import { BatchHeader } from "../types/Records.sol";
import { JuryBase } from "./JuryBase.sol";

/// @title A batch accused or audited as a whole: leaves drawn across it, opened by anyone, judged together.
abstract contract BatchIntake is JuryBase, IBatchIntake {
    using SafeERC20 for IOpenToken;
    using SafeCast for uint256;

    uint8 private constant EXACT_TOLERANCE = 1;
    uint8 private constant MODEL_CALL = 0;
    /// @dev Leaves a juror replays for one fee.
    uint256 private constant LEAVES_A_FEE = 8;
    /// @dev Steps of an action are counted in 16 bits.
    uint256 private constant MAX_DEPTH = 16;

    /// @notice What leaves are drawn by, and which audits take place.
    IRandomness public immutable beacon;

    constructor(IRandomness beacon_) {
        beacon = beacon_;
    }

    /// @inheritdoc IBatchIntake
    function challengeBatch(BatchHeader calldata header) external returns (uint256 id) {
        Dispute storage d;
        (id, d) = _begin(header, msg.sender);
        DisputeTerms memory terms = _terms[id];
        _judged[d.headerHash] = id;
        require(_claim(id, d, terms), CannotBeJudged());
        d.bond = Math.max(_juryCost(terms, 0), uint256(d.encumbered) * terms.bondBps / BPS).toUint128();
        emit BatchChallenged(id, d.agentId, d.headerHash, msg.sender, d.bond, d.encumbered, d.drawBlock);
        token.safeTransferFrom(msg.sender, address(this), d.bond);
    }

    /// @inheritdoc IBatchIntake
    function requestAudit(BatchHeader calldata header) external returns (uint256 id) {
        bytes32 headerHash = Records.headerHash(header);
        require(!_auditAsked[headerHash], AuditAsked(headerHash));
        _auditAsked[headerHash] = true;
        if (rewardPool.creditOf(address(this)) != 0) {
            _auditFund += rewardPool.withdrawCredit(address(this));
        }
        Dispute storage d;
        (id, d) = _begin(header, address(0));
        uint256 cost = _juryCost(_terms[id], 0);
        require(_auditFund >= cost, AuditFundShort(_auditFund, cost));
        emit AuditRequested(id, d.agentId, d.headerHash, d.drawBlock);
    }

    /// @inheritdoc IBatchIntake
    function drawLeaves(uint256 id) external {
        Dispute storage d = _requireState(id, State.Seeding);
        require(block.number > d.drawBlock, TooEarly(d.drawBlock + 1));
        DisputeTerms memory terms = _terms[id];
        bytes32 seed = keccak256(abi.encode(beacon.at(d.drawBlock), id, "leaves"));
        if (d.challenger == address(0)) {
            if (uint256(keccak256(abi.encode(seed))) % BPS >= terms.auditBps) {
                return _void(id, d, "not selected");
            }
            // somebody may have accused the batch since
            if (_judged[d.headerHash] != 0 || !_fund(id, d, terms)) return _void(id, d, "cannot be judged");
        }
        _draws[id].seed = seed;
        d.state = State.Opening;
        d.evidenceBy = uint64(block.timestamp + terms.evidenceReveal);
        emit LeavesDrawn(id, seed, terms.kLeaves, d.evidenceBy);
    }

    /// @inheritdoc IBatchIntake
    function openLeaf(uint256 id, uint256 position, LeafOpening calldata o) external {
        Dispute storage d = _requireState(id, State.Opening);
        require(block.timestamp <= d.evidenceBy, TooLate(d.evidenceBy));
        BatchDraw storage drawn = _draws[id];
        require(position < _terms[id].kLeaves, NoSuchPosition(position));
        require(drawn.shown >> position & 1 == 0, PositionShown(position));
        drawn.shown |= 1 << position;
        if (!_showRecord(d.headerHash, drawn.seed, position, o)) return _voidPosition(id, drawn, position);
        if (!_showStep(drawn.seed, position, o)) return _voidPosition(id, drawn, position);
        _showToken(drawn.seed, position, o);
        _opened[id].push(OpenedLeaf(address(0), o.step.index, o.leaf.t, o.leaf.logprob));
        emit LeafOpened(id, position, _opened[id].length - 1, o.record.nonce, o.step, o.leaf);
    }

    /// @inheritdoc IBatchIntake
    function closeLeaves(uint256 id) external {
        Dispute storage d = _requireState(id, State.Opening);
        BatchDraw storage drawn = _draws[id];
        DisputeTerms memory terms = _terms[id];
        uint256 opened = _opened[id].length;
        uint256 missing = terms.kLeaves - drawn.voids - opened;
        require(missing == 0 || block.timestamp > d.evidenceBy, TooEarly(d.evidenceBy + 1));
        drawn.missing = uint16(missing);
        if (missing + opened < drawn.threshold) {
            _releaseClaim(d);
            return _void(id, d, "too few leaves to judge");
        }
        emit LeavesClosed(id, opened, missing, drawn.threshold);
        // what nobody opened counts against the operator, who always could; no jury is needed to count
        if (missing < drawn.threshold) return _awaitDraw(d, terms);
        d.state = State.Ruled;
        d.appealBy = 0;
        _rulings[id][0] = TierRuling(0, true, true, address(0), 0, 0, false);
        emit Ruled(id, 0, 0, new int32[](0), true, 0);
    }

    function _begin(BatchHeader calldata header, address accuser)
        private
        returns (uint256 id, Dispute storage d)
    {
        bytes32 headerHash = Records.headerHash(header);
        require(actionLog.isAnchored(header), UnknownBatch(headerHash));
        uint256 until = _challengeableUntil(header, header.firstNonce);
        require(block.timestamp <= until, TooLate(until));
        require(_judged[headerHash] == 0, BatchJudged(_judged[headerHash]));

        id = ++_count;
        DisputeTerms memory terms = parameters.disputeTerms();
        // a fee is for as many leaves as a dispute about one action has at most
        terms.jurorFee = uint96(terms.jurorFee * Math.ceilDiv(terms.kLeaves, LEAVES_A_FEE));
        _terms[id] = terms;
        _draws[id].threshold = uint16(Drift.threshold(terms.kLeaves, terms.falseConvictionRate));
        d = _disputes[id];
        d.fault = Fault.BatchDrift;
        d.nonce = header.firstNonce;
        d.challenger = accuser;
        d.operator = actionLog.epochOf(header.agentId, header.epoch).operator;
        d.agentId = header.agentId;
        d.headerHash = headerHash;
        d.fee = header.sum;
        d.state = State.Seeding;
        d.drawBlock = uint64(block.number + terms.drawDelay);
        // nobody joins or leaves the set knowing of the opening
        d.frozenBlock = uint64(block.number - 1);
    }

    /// @dev Claims stake for the slash; false where no jury serves or there is nothing to slash.
    function _claim(uint256 id, Dispute storage d, DisputeTerms memory terms) private returns (bool) {
        (uint256 stake, uint256 jurors) = vault.juryAt(d.frozenBlock, _parties(id, d));
        Position memory p = vault.positionOf(d.agentId, d.operator);
        uint256 due = _dueFor(terms, d.fee, _keyOf(d));
        if (jurors < COMMITTEE || stake / 2 < terms.minSlash) return false;
        if (uint256(p.active) + p.pending < terms.minSlash || due == 0) return false;
        d.encumbered = vault.encumber(d.agentId, d.operator, Math.min(due, stake / 2)).toUint128();
        return true;
    }

    /// @dev The committee's fees come from the audit fund.
    function _fund(uint256 id, Dispute storage d, DisputeTerms memory terms) private returns (bool) {
        uint256 cost = _juryCost(terms, 0);
        if (_auditFund < cost || !_claim(id, d, terms)) return false;
        _judged[d.headerHash] = id;
        _auditFund -= cost;
        d.bond = cost.toUint128();
        return true;
    }

    /// @dev Whether the record drawn for the position has steps that a jury may replay.
    function _showRecord(bytes32 headerHash, bytes32 seed, uint256 position, LeafOpening calldata o)
        private
        pure
        returns (bool)
    {
        bytes32 hash = Records.headerHash(o.header);
        require(hash == headerHash, UnknownBatch(hash));
        uint64 nonce = uint64(o.header.firstNonce + _drawn(seed, position, "record") % o.header.count);
        require(
            Records.inBatch(o.header, Records.structHash(o.record), nonce, o.recordProof),
            BadInclusion("record")
        );
        // a record that names another nonce is a fault of its own, which needs no jury
        return o.record.replayClass == EXACT_TOLERANCE && o.record.status != Records.FAILED
            && o.record.stepsRoot != 0;
    }

    /// @dev Whether the step drawn for the position is a model call with tokens.
    function _showStep(bytes32 seed, uint256 position, LeafOpening calldata o) private pure returns (bool) {
        uint256 depth = o.stepProof.length;
        require(depth <= MAX_DEPTH, BadInclusion("step"));
        uint256 index = _drawn(seed, position, "step") % (1 << depth);
        // more than half of an honest tree's leaves are steps: padding cannot stand for those
        if (o.padding) {
            require(
                index > 1 << depth >> 1
                    && IndexedMerkle.climb(index, bytes32(0), o.stepProof) == o.record.stepsRoot,
                BadInclusion("padding")
            );
            return false;
        }
        require(
            o.step.index == index && Records.inSteps(o.record.stepsRoot, o.step, o.stepProof),
            BadInclusion("step")
        );
        return o.step.kind == MODEL_CALL && o.step.count > 1;
    }

    /// @dev The end leaf is not drawn; whatever calls itself one elsewhere cannot be opened.
    function _showToken(bytes32 seed, uint256 position, LeafOpening calldata o) private pure {
        uint256 t = _drawn(seed, position, "token") % (o.step.count - 1);
        require(
            o.leaf.t == t && o.leaf.finish == 0 && Records.inGeneration(o.step, o.leaf, o.tokenProof),
            BadInclusion("token")
        );
    }

    function _voidPosition(uint256 id, BatchDraw storage drawn, uint256 position) private {
        ++drawn.voids;
        emit PositionVoided(id, position);
    }

    function _drawn(bytes32 seed, uint256 position, string memory what) private pure returns (uint256) {
        return uint256(keccak256(abi.encode(seed, position, what)));
    }
}
