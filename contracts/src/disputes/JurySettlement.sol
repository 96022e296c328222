// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { Math } from "@openzeppelin/contracts/utils/math/Math.sol";
import { IJuryRuling } from "../interfaces/IDisputes.sol";
import { Dispute, DisputeTerms, State, TierRuling, Vote } from "../types/DisputeTypes.sol";
import { Findings } from "./Findings.sol";

/// @title What jurors earn and lose.
abstract contract JurySettlement is Findings, IJuryRuling {
    /// @inheritdoc IJuryRuling
    /// @dev By the final ruling, so who outvoted the honest in a round overturned later loses, and cannot make the
    /// honest lose by lying about the probe as well.
    function settle(uint256 id, uint8 tier) public {
        Dispute storage d = _disputes[id];
        bool convicted = d.state == State.Convicted;
        require(convicted || d.state == State.Acquitted, WrongState(id, d.state));
        TierRuling storage ruling = _rulings[id][tier];
        require(tier <= d.tier && !ruling.settled, AlreadySettled(id, tier));
        ruling.settled = true;

        address[] memory jurors = _committees[id][ruling.round];
        bool[] memory right = _judge(id, ruling.round, jurors);
        uint256 pot = ruling.pot;
        d.held -= ruling.pot;
        uint256 reward = pot / jurors.length;
        (uint256 penalties, uint256 paid) = _settleJurors(id, ruling.round, jurors, right, reward);
        // fees that nobody earned: nobody profits from a conviction's or a case's, an acquittal's were the operator's
        // to have
        if (convicted || _isCase(d)) penalties += pot - paid;
        else _payAcquitted(d, pot - paid);
        _burn(penalties);
    }

    /// @dev What is left of an accuser's bond is the operator's; an audit had no accuser.
    function _payAcquitted(Dispute storage d, uint256 amount) internal {
        if (d.challenger == address(0)) _auditFund += amount;
        else _pay(d.operator, amount);
    }

    /// @dev Those who kept silent pay those who did not.
    function _settleSilence(uint256 id, Dispute storage d, DisputeTerms memory terms) internal {
        address[] memory jurors = _committees[id][d.round];
        bool[] memory revealed = new bool[](jurors.length);
        uint256 expected;
        for (uint256 i; i < jurors.length; ++i) {
            Vote storage vote = _votes[id][d.round][jurors[i]];
            revealed[i] = vote.revealed;
            if (!revealed[i]) expected += Math.min(vote.locked, terms.nonRevealPenalty);
        }
        uint256 reward = d.reveals == 0 ? 0 : Math.min(terms.jurorFee, expected / d.reveals);
        (uint256 penalties, uint256 paid) = _settleJurors(id, d.round, jurors, revealed, reward);
        _burn(penalties - paid);
    }

    /// @dev Unlocks every juror; takes the penalties first, so that rewards can be paid out of them.
    function _settleJurors(
        uint256 id,
        uint8 round,
        address[] memory jurors,
        bool[] memory right,
        uint256 reward
    ) private returns (uint256 penalties, uint256 paid) {
        DisputeTerms memory terms = _terms[id];
        for (uint256 i; i < jurors.length; ++i) {
            Vote storage vote = _votes[id][round][jurors[i]];
            uint256 penalty;
            if (!right[i]) penalty = vote.revealed ? terms.wrongVotePenalty : terms.nonRevealPenalty;
            penalty = vault.settleJuror(jurors[i], vote.locked, penalty);
            vote.locked = 0;
            penalties += penalty;
            emit JurorSettled(id, jurors[i], round, right[i] ? reward : 0, penalty);
        }
        for (uint256 i; i < jurors.length; ++i) {
            if (!right[i]) continue;
            paid += reward;
            _pay(jurors[i], reward);
        }
    }
}
