// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { Math } from "@openzeppelin/contracts/utils/math/Math.sol";
import { Dispute, DisputeTerms, State, Vote } from "../types/DisputeTypes.sol";
import { DisputeBase } from "./DisputeBase.sol";

/// @title Storage of jury disputes, shared by {Disputes} and its modules.
abstract contract JuryBase is DisputeBase {
    uint256 internal constant COMMITTEE = 5;
    uint256 internal constant QUORUM = 3;
    /// @dev A committee that did not vote is replaced once.
    uint8 internal constant LAST_ROUND = 1;

    uint256 internal _count;
    mapping(uint256 id => Dispute) internal _disputes;
    mapping(uint256 id => DisputeTerms) internal _terms;
    mapping(uint256 id => mapping(uint256 round => address[])) internal _committees;
    mapping(uint256 id => mapping(uint256 round => mapping(address juror => Vote))) internal _votes;
    /// @dev Juror stake locked for the present round.
    mapping(uint256 id => mapping(address juror => uint256)) internal _locked;
    /// @dev The dispute in which a leaf is being or was judged.
    mapping(bytes32 leafKey => uint256 id) internal _leaves;

    function _requireState(uint256 id, State state) internal view returns (Dispute storage d) {
        d = _disputes[id];
        require(d.state == state, WrongState(id, d.state));
    }

    /// @dev Ends a dispute undecided: the bond goes back.
    function _void(uint256 id, Dispute storage d, string memory reason) internal {
        d.state = State.Voided;
        emit Voided(id, reason);
        _returnBond(d);
    }

    function _returnBond(Dispute storage d) internal {
        uint256 bond = d.bond;
        d.bond = 0;
        _pay(d.challenger, bond);
    }

    /// @dev The parties do not judge their own case.
    function _parties(Dispute storage d) internal view returns (address[] memory parties) {
        parties = new address[](2);
        parties[0] = d.challenger;
        parties[1] = d.operator;
    }

    function _bondFor(DisputeTerms memory terms, uint256 fee)
        internal
        pure
        returns (uint256 atCommit, uint256 total)
    {
        atCommit = _juryCost(terms);
        total = Math.max(atCommit, Math.saturatingMul(_target(terms, fee), terms.bondBps) / BPS);
    }

    function _juryCost(DisputeTerms memory terms) internal pure returns (uint256) {
        return COMMITTEE * terms.jurorFee;
    }

    function _leafKey(bytes32 headerHash, bytes32 structHash, uint16 step, uint32 token_)
        internal
        pure
        returns (bytes32)
    {
        return keccak256(abi.encode(headerHash, structHash, step, token_));
    }
}
