// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { Math } from "@openzeppelin/contracts/utils/math/Math.sol";
import { Records } from "../libraries/Records.sol";
import {
    BatchDraw,
    Demand,
    Dispute,
    DisputeTerms,
    Fault,
    Median,
    OpenedLeaf,
    Question,
    State,
    TierRuling,
    Vote
} from "../types/DisputeTypes.sol";
import { Param } from "../types/Param.sol";
import { BatchHeader } from "../types/Records.sol";
import { DisputeBase } from "./DisputeBase.sol";

/// @title Storage of demands and jury disputes, shared by {Disputes} and its modules.
abstract contract JuryBase is DisputeBase {
    /// @dev Jurors of the first committee.
    uint256 internal constant COMMITTEE = 5;
    /// @dev Two appeals: 5, 11, 23.
    uint8 internal constant LAST_TIER = 2;
    /// @dev Part of a batch's fault key; data withheld and fixed shares have others.
    uint256 private constant DRIFT = type(uint256).max - 1;
    uint256 private constant SHARES = type(uint256).max - 2;

    uint256 internal _count;
    mapping(uint256 id => Dispute) internal _disputes;
    mapping(uint256 id => DisputeTerms) internal _terms;
    mapping(uint256 id => OpenedLeaf[]) internal _opened;
    mapping(uint256 id => mapping(uint256 tier => TierRuling)) internal _rulings;
    /// @dev What the latest committee that ruled found, for each opened leaf.
    mapping(uint256 id => Median[]) internal _medians;
    mapping(uint256 id => mapping(uint256 round => address[])) internal _committees;
    mapping(uint256 id => mapping(uint256 round => mapping(address juror => Vote))) internal _votes;
    /// @dev The dispute in which a leaf is being or was judged.
    mapping(bytes32 leafKey => uint256 id) internal _leaves;

    uint256 internal _demandCount;
    mapping(uint256 id => Demand) internal _demands;
    /// @dev The demand that asks, or asked, for the same thing.
    mapping(bytes32 demandKey => uint256 id) internal _demanded;
    /// @dev Demands of a batch that are open.
    mapping(bytes32 headerHash => uint256) internal _openDemands;
    /// @dev Unix time until which answers extended a window: of a batch, or of one of its nonces.
    mapping(bytes32 windowKey => uint256) private _extendedUntil;

    /// @dev Last unix time at which a challenge of the action may be committed.
    function _challengeableUntil(BatchHeader calldata header, uint64 nonce) internal view returns (uint256) {
        bytes32 headerHash = Records.headerHash(header);
        return Math.max(
            actionLog.challengeableUntil(header),
            Math.max(_extendedUntil[headerHash], _extendedUntil[_windowKey(headerHash, nonce)])
        );
    }

    /// @dev What was shown late can be replayed late. The largest nonce stands for all of the batch.
    function _extend(bytes32 headerHash, uint64 nonce, uint256 until) internal {
        bytes32 key = nonce == type(uint64).max ? headerHash : _windowKey(headerHash, nonce);
        _extendedUntil[key] = Math.max(_extendedUntil[key], until);
    }

    /// @dev What the next demand of the batch costs: doubled for every `maxDemands` that are open.
    function _demandBond(bytes32 headerHash) internal view returns (uint256) {
        uint256 open = _openDemands[headerHash];
        uint256 doublings = open / parameters.get(Param.MaxDemands);
        // 2^32 times the largest bond is more than there is, and below 2^96
        require(doublings <= 32, TooManyDemands(open));
        return parameters.get(Param.DemandBond) << doublings;
    }

    mapping(uint256 id => BatchDraw) internal _draws;
    /// @dev The dispute in which a batch is being or was judged as a whole.
    mapping(bytes32 headerHash => uint256 id) internal _judged;
    mapping(bytes32 headerHash => bool) internal _auditAsked;
    /// @dev Wei held for random audits.
    uint256 internal _auditFund;
    mapping(uint256 id => Question) internal _questions;

    function _requireState(uint256 id, State state) internal view returns (Dispute storage d) {
        d = _disputes[id];
        require(d.state == state, WrongState(id, d.state));
    }

    /// @dev Ends a dispute undecided: bonds go back.
    function _void(uint256 id, Dispute storage d, string memory reason) internal {
        d.state = State.Voided;
        emit Voided(id, reason);
        uint256 bond = d.bond;
        d.bond = 0;
        OpenedLeaf[] storage leaves = _opened[id];
        uint256 n = leaves.length;
        if (!_hasJoiners(d) || n == 0) return _payAccuser(d, bond);
        for (uint256 i; i < n; ++i) {
            _pay(leaves[i].accuser, bond / n);
        }
    }

    /// @dev The parties do not judge their own case.
    function _parties(uint256 id, Dispute storage d) internal view returns (address[] memory parties) {
        OpenedLeaf[] storage leaves = _opened[id];
        uint256 n = _hasJoiners(d) ? leaves.length : 0;
        parties = new address[](2 + n + d.tier);
        parties[0] = d.challenger;
        parties[1] = d.operator;
        for (uint256 i; i < n; ++i) {
            parties[2 + i] = leaves[i].accuser;
        }
        for (uint256 tier; tier < d.tier; ++tier) {
            parties[2 + n + tier] = _rulings[id][tier].appellant;
        }
    }

    /// @dev A random audit has no accuser: what would be its accuser's is the audit fund's.
    function _payAccuser(Dispute storage d, uint256 amount) internal {
        if (d.challenger == address(0)) _auditFund += amount;
        else _pay(d.challenger, amount);
    }

    function _releaseClaim(Dispute storage d) internal returns (uint256 claim) {
        claim = d.encumbered;
        d.encumbered = 0;
        if (claim != 0) vault.release(d.agentId, d.operator, claim);
    }

    function _isBatch(Dispute storage d) internal view returns (bool) {
        return d.fault == Fault.BatchDrift;
    }

    /// @dev Answered by digests.
    function _isQuestion(Dispute storage d) internal view returns (bool) {
        return d.fault == Fault.WrongShares || d.fault == Fault.TrainingMismatch || _isCase(d);
    }

    /// @dev Nobody's stake answers for it.
    function _isCase(Dispute storage d) internal view returns (bool) {
        return d.fault == Fault.CurationAppeal;
    }

    /// @dev Every opened leaf has an accuser of its own.
    function _hasJoiners(Dispute storage d) internal view returns (bool) {
        return d.fault == Fault.OutputMismatch;
    }

    /// @dev What a slash is counted for.
    function _keyOf(Dispute storage d) internal view returns (bytes32) {
        if (_isBatch(d)) return _batchKey(d.headerHash, DRIFT);
        if (d.fault == Fault.WrongShares) return _batchKey(d.headerHash, SHARES);
        return _actionKey(d.agentId, d.operator, d.nonce);
    }

    /// @dev The next committee is drawn once its block is mined.
    function _awaitDraw(Dispute storage d, DisputeTerms memory terms) internal {
        d.state = State.Open;
        d.drawBlock = uint64(block.number + terms.drawDelay);
    }

    function _bondFor(DisputeTerms memory terms, uint256 fee)
        internal
        pure
        returns (uint256 atCommit, uint256 total)
    {
        atCommit = _juryCost(terms, 0);
        total = Math.max(atCommit, Math.saturatingMul(_target(terms, fee), terms.bondBps) / BPS);
    }

    /// @dev What an appeal from the present tier's ruling takes: the next committee's cost, and as much of the
    /// slash at stake as an accuser puts up.
    function _appealBond(DisputeTerms memory terms, Dispute storage d) internal view returns (uint256) {
        return _juryCost(terms, d.tier + 1) + uint256(d.encumbered) * terms.bondBps / BPS;
    }

    function _juryCost(DisputeTerms memory terms, uint256 tier) internal pure returns (uint256) {
        return _committeeSize(tier) * terms.jurorFee;
    }

    function _committeeSize(uint256 tier) internal pure returns (uint256) {
        return tier == 0 ? COMMITTEE : tier == 1 ? 11 : 23;
    }

    function _leafKey(bytes32 headerHash, bytes32 structHash, uint16 step, uint32 token_)
        internal
        pure
        returns (bytes32)
    {
        return keccak256(abi.encode(headerHash, structHash, step, token_));
    }

    function _windowKey(bytes32 headerHash, uint64 nonce) private pure returns (bytes32) {
        return keccak256(abi.encode(headerHash, nonce));
    }
}
