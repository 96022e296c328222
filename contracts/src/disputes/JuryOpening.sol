// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { SafeERC20 } from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import { Math } from "@openzeppelin/contracts/utils/math/Math.sol";
import { SafeCast } from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import { IOpenToken } from "../interfaces/IOpenToken.sol";
import { Position } from "../interfaces/IStakeVault.sol";
import { Records } from "../libraries/Records.sol";
import { Dispute, DisputeTerms, State } from "../types/DisputeTypes.sol";
import { ActionRecord, BatchHeader, RecordProof } from "../types/Records.sol";
import { JuryBase } from "./JuryBase.sol";

/// @title From a committed challenge to an open one, whatever it is about.
abstract contract JuryOpening is JuryBase {
    using SafeERC20 for IOpenToken;
    using SafeCast for uint256;

    uint8 internal constant EXACT_TOLERANCE = 1;

    function _requireRevealable(uint256 id) internal view {
        Dispute storage d = _requireState(id, State.Committed);
        require(msg.sender == d.challenger, NotChallenger(msg.sender));
        require(block.timestamp <= d.evidenceBy, TooLate(d.evidenceBy));
        // who sees evidence in a pending reveal cannot commit to it and overtake
        require(block.number > d.frozenBlock, TooEarly(d.frozenBlock + 1));
    }

    /// @dev That the record is the disputed one, which is remembered.
    function _requireInBatch(
        uint256 id,
        BatchHeader calldata header,
        ActionRecord calldata record,
        RecordProof calldata proof
    ) internal {
        Dispute storage d = _disputes[id];
        _requireHeader(d, header);
        bytes32 structHash = Records.structHash(record);
        require(
            record.agentId == d.agentId && record.nonce == d.nonce
                && Records.inBatch(header, structHash, d.nonce, proof),
            BadInclusion("record")
        );
        d.structHash = structHash;
        d.client = record.client;
        d.fee = record.fee;
    }

    function _requireHeader(Dispute storage d, BatchHeader calldata header) internal view {
        bytes32 headerHash = Records.headerHash(header);
        require(headerHash == d.headerHash, UnknownBatch(headerHash));
    }

    /// @dev Claims stake and awaits the draw. The challenger did its part: where no jury can or need decide, the bond
    /// goes back instead of a revert that would let the bond be forfeited; then the answer is false.
    /// @param key what is judged once only.
    function _openFor(uint256 id, bytes32 key) internal returns (bool) {
        Dispute storage d = _disputes[id];
        DisputeTerms memory terms = _terms[id];
        // the state before this block: nobody joins or leaves the set knowing of the opening
        d.frozenBlock = uint64(block.number - 1);
        uint256 due = _dueFor(terms, d.fee, _keyOf(d));
        (uint256 stake, string memory obstacle) = _judgeable(id, d, terms, key, due);
        if (bytes(obstacle).length != 0) {
            _void(id, d, obstacle);
            return false;
        }
        _leaves[key] = id;
        _awaitDraw(d, terms);
        // a jury decides about no more than half of what its pool stakes
        d.encumbered = vault.encumber(d.agentId, d.operator, Math.min(due, stake / 2)).toUint128();
        uint256 bond = Math.max(_juryCost(terms, 0), uint256(d.encumbered) * terms.bondBps / BPS);
        uint256 topUp = Math.saturatingSub(bond, d.bond);
        d.bond += topUp.toUint128();
        if (topUp != 0) token.safeTransferFrom(d.challenger, address(this), topUp);
        return true;
    }

    function _juryServes(uint256 stake, uint256 jurors, DisputeTerms memory terms)
        internal
        pure
        returns (bool)
    {
        return jurors >= COMMITTEE && stake / 2 >= terms.minSlash;
    }

    /// @return stake of the jury that would be drawn from.
    /// @return obstacle empty when nothing is in the way.
    function _judgeable(uint256 id, Dispute storage d, DisputeTerms memory terms, bytes32 key, uint256 due)
        private
        view
        returns (uint256 stake, string memory obstacle)
    {
        if (_leaves[key] != 0) return (0, "judged elsewhere");
        if (due == 0) return (0, "slashed in full");
        uint256 jurors;
        (stake, jurors) = vault.juryAt(d.frozenBlock, _parties(id, d));
        if (!_juryServes(stake, jurors, terms)) return (stake, "jury too small");
        Position memory p = vault.positionOf(d.agentId, d.operator);
        if (uint256(p.active) + p.pending < terms.minSlash) return (stake, "too little stake");
    }
}
