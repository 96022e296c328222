// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { SafeERC20 } from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import { Math } from "@openzeppelin/contracts/utils/math/Math.sol";
import { SafeCast } from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import { IJuryRuling } from "../interfaces/IDisputes.sol";
import { IOpenToken } from "../interfaces/IOpenToken.sol";
import { IValidationRegistry } from "../interfaces/IValidationRegistry.sol";
import { Answer } from "../libraries/Answer.sol";
import {
    Dispute,
    DisputeTerms,
    Distribution,
    Fault,
    OpenedLeaf,
    State,
    TierRuling
} from "../types/DisputeTypes.sol";
import { JurySettlement } from "./JurySettlement.sol";

/// @title From votes to rulings, appeals and the outcome.
///
/// Where a final ruling's money comes from and goes to:
///   the first committee   the slash, or the accusers' bonds
///   a later one, the appeal having been right: the same; what they cannot cover, the appellant's bond
///   a later one, the appeal having been wrong: its bond, whose rest goes to the other side
abstract contract JuryRuling is JurySettlement {
    using SafeERC20 for IOpenToken;
    using SafeCast for uint256;

    /// @dev What posting a verdict may use; it needs about half.
    uint256 private constant POST_GAS = 500_000;

    /// @notice Where verdicts are posted.
    IValidationRegistry public immutable validations;

    constructor(IValidationRegistry validations_) {
        validations = validations_;
    }

    /// @inheritdoc IJuryRuling
    function resolve(uint256 id) external {
        Dispute storage d = _disputes[id];
        if (d.state == State.Committed) {
            require(block.timestamp > d.evidenceBy, TooEarly(d.evidenceBy + 1));
            return _forfeit(id, d);
        }
        if (d.state == State.Ruled) {
            require(block.timestamp > d.appealBy, TooEarly(d.appealBy + 1));
            return _finish(id, d);
        }
        require(d.state == State.Drawn, WrongState(id, d.state));
        uint256 size = _committeeSize(d.tier);
        require(block.timestamp > d.revealBy || d.reveals == size, TooEarly(d.revealBy + 1));
        if (d.reveals > size / 2) _rule(id, d);
        else _noQuorum(id, d);
    }

    /// @inheritdoc IJuryRuling
    function appeal(uint256 id) external {
        Dispute storage d = _requireState(id, State.Ruled);
        require(block.timestamp <= d.appealBy, TooLate(d.appealBy));
        DisputeTerms memory terms = _terms[id];
        uint256 bond = _appealBond(terms, d);
        TierRuling storage ruling = _rulings[id][d.tier];
        ruling.appellant = msg.sender;
        ruling.appealBond = bond.toUint128();
        d.held += ruling.appealBond;
        ++d.tier;
        d.redrawn = false;
        (uint256 stake, uint256 jurors) = vault.juryAt(d.frozenBlock, _parties(id, d));
        require(jurors >= _committeeSize(d.tier), JuryTooSmall(jurors, stake));
        _nextRound(d, terms);
        emit Appealed(id, d.tier, msg.sender, bond, d.drawBlock);
        token.safeTransferFrom(msg.sender, address(this), bond);
    }

    function _forfeit(uint256 id, Dispute storage d) private {
        uint256 bond = d.bond;
        d.state = State.Forfeited;
        d.bond = 0;
        emit Forfeited(id, bond);
        _burn(bond);
    }

    function _rule(uint256 id, Dispute storage d) private {
        (bool unavailable, int32[] memory middles) = _find(id, d);
        TierRuling storage ruling = _rulings[id][d.tier];
        (ruling.round, ruling.unavailable) = (d.round, unavailable);
        bool convicted = _isGuilty(id, d);
        ruling.convicted = convicted;
        d.state = State.Ruled;
        d.appealBy = d.tier == LAST_TIER ? 0 : uint64(block.timestamp + _terms[id].appealPeriod);
        emit Ruled(id, d.tier, d.round, middles, convicted, d.appealBy);
        if (d.tier == LAST_TIER) _finish(id, d);
    }

    /// @dev Makes the ruling of the present tier the outcome.
    function _finish(uint256 id, Dispute storage d) private {
        DisputeTerms memory terms = _terms[id];
        bool convicted = _rulings[id][d.tier].convicted;
        (uint256 due, uint256 lost) = _appealsOf(id, d, terms, convicted);
        uint256 covered;
        if (_isCase(d)) covered = _decide(id, d, convicted, due, lost);
        else covered = convicted ? _convict(id, d, terms, due, lost) : _acquit(id, d, due, lost);

        uint256 part = Math.min(covered, _juryCost(terms, 0));
        _rulings[id][0].pot = uint128(part);
        d.held += uint128(part);
        covered -= part;
        for (uint256 tier; tier < d.tier; ++tier) {
            covered = _closeAppeal(id, d, tier, convicted, _juryCost(terms, tier + 1), covered);
        }
        if (d.fault == Fault.WrongShares) {
            _endFreeze(d, convicted ? _questions[id].answer : Answer.UNAVAILABLE);
        }
        if (!_isCase(d)) _post(id, d, convicted);
        // three committees in one transaction would be too many; one is not
        if (d.tier == 0 && !_rulings[id][0].settled) settle(id, 0);
    }

    /// @dev Nothing that goes wrong there may hold up a ruling; nor may whoever resolves make it go wrong by leaving
    /// too little gas.
    function _post(uint256 id, Dispute storage d, bool convicted) private {
        require(gasleft() > POST_GAS + POST_GAS / 32, GasTooLow(POST_GAS));
        (bool posted,) = address(validations).call{ gas: POST_GAS }(
            abi.encodeCall(
                IValidationRegistry.postVerdict,
                (
                    d.agentId,
                    d.structHash == 0 ? d.headerHash : d.structHash,
                    convicted ? 0 : 100,
                    "",
                    bytes32(id),
                    "jury"
                )
            )
        );
        if (!posted) emit VerdictNotPosted(id);
    }

    /// @return due what the loser owes: the first committee, and those that had to be asked to get it right.
    /// @return lost what wrong appeals leave to the other side.
    function _appealsOf(uint256 id, Dispute storage d, DisputeTerms memory terms, bool convicted)
        private
        view
        returns (uint256 due, uint256 lost)
    {
        // a batch that was not opened is convicted without a committee
        if (!_rulings[id][0].settled) due = _juryCost(terms, 0);
        for (uint256 tier; tier < d.tier; ++tier) {
            TierRuling storage ruling = _rulings[id][tier];
            uint256 cost = _juryCost(terms, tier + 1);
            if (ruling.convicted == convicted) lost += ruling.appealBond - cost;
            else due += cost;
        }
    }

    /// @dev Sets the next tier's pot aside, and returns the bond of an appeal that was right.
    function _closeAppeal(
        uint256 id,
        Dispute storage d,
        uint256 tier,
        bool convicted,
        uint256 cost,
        uint256 covered
    ) private returns (uint256) {
        TierRuling storage ruling = _rulings[id][tier];
        uint256 bond = ruling.appealBond;
        uint256 back;
        if (ruling.convicted != convicted) {
            uint256 part = Math.min(covered, cost);
            covered -= part;
            back = bond - (cost - part);
        }
        ruling.appealBond = 0;
        _rulings[id][tier + 1].pot = uint128(cost);
        d.held = d.held - uint128(bond) + uint128(cost);
        emit AppealClosed(id, uint8(tier + 1), ruling.appellant, back);
        _pay(ruling.appellant, back);
        return covered;
    }

    /// @dev CONVICTED: bonds back; the slash to client, accusers, juries and fire.
    function _convict(uint256 id, Dispute storage d, DisputeTerms memory terms, uint256 due, uint256 lost)
        private
        returns (uint256)
    {
        d.state = State.Convicted;
        uint256 owed = Math.min(_dueFor(terms, d.fee, _keyOf(d)), _releaseClaim(d));
        // where a proof took the slash meanwhile, the loser still pays for the jury
        uint256 taken = _takeFor(d.agentId, d.operator, _keyOf(d), Math.max(owed, terms.minSlash));
        Distribution memory paid =
            _distribute(taken, terms, address(0), [Harm(d.client, d.fee), Harm(address(0), 0)], due);
        emit Convicted(id, d.agentId, d.operator, d.nonce, d.fault, d.challenger, paid);
        _payAccusers(id, d, terms, paid.toChallenger + lost);
        return paid.toJury;
    }

    /// @dev Who opened the dispute has half of the reward if its own leaf convicts; all leaves that convict share
    /// the rest. The bonds of leaves that do not are burned.
    function _payAccusers(uint256 id, Dispute storage d, DisputeTerms memory terms, uint256 reward) private {
        if (!_hasJoiners(d)) {
            reward += d.bond;
            d.bond = 0;
            emit AccuserPaid(id, d.challenger, 0, reward);
            return _payAccuser(d, reward);
        }
        bool[] memory off = _offLeaves(id, d, terms);
        uint256 count = _countOff(off);
        uint256 bond = d.bond / off.length;
        d.bond = 0;
        uint256 opener = off[0] ? reward / 2 : 0;
        uint256 part = (reward - opener) / count;
        uint256 dust = reward - opener - part * count;
        uint256 burned;
        for (uint256 i; i < off.length; ++i) {
            address accuser = _opened[id][i].accuser;
            uint256 amount = off[i] ? bond + part + dust + opener : 0;
            if (off[i]) (dust, opener) = (0, 0);
            else burned += bond;
            emit AccuserPaid(id, accuser, i, amount);
            _pay(accuser, amount);
        }
        _burn(burned);
    }

    /// @dev ACQUITTED, of the opened leaves only: the bonds pay the juries, then the agent's operator.
    function _acquit(uint256 id, Dispute storage d, uint256 due, uint256 lost)
        private
        returns (uint256 toJury)
    {
        d.state = State.Acquitted;
        _releaseClaim(d);
        uint256 bond = d.bond;
        d.bond = 0;
        toJury = Math.min(bond, due);
        emit Acquitted(id, d.agentId, d.nonce, toJury, bond - toJury + lost);
        _payAcquitted(d, bond - toJury);
        _pay(d.operator, lost);
    }

    /// @dev The appellant's fee pays the first committee, whatever it decides; nobody earns from a verdict.
    function _decide(uint256 id, Dispute storage d, bool accepted, uint256 due, uint256 lost)
        private
        returns (uint256 toJury)
    {
        d.state = accepted ? State.Convicted : State.Acquitted;
        uint256 fee = d.bond;
        d.bond = 0;
        toJury = Math.min(fee, due);
        emit CaseDecided(id, accepted);
        _burn(fee - toJury + lost);
    }

    /// @dev Payouts that a jury found are claimable instead of the anchored ones.
    function _endFreeze(Dispute storage d, bytes32 found) private {
        if (found == Answer.UNAVAILABLE) rewardPool.thaw(d.headerHash);
        else rewardPool.correct(d.headerHash, found);
    }

    /// @dev Those who kept silent pay those who did not; then a new committee, or what was ruled before, or nothing.
    function _noQuorum(uint256 id, Dispute storage d) private {
        DisputeTerms memory terms = _terms[id];
        _settleSilence(id, d, terms);
        if (!d.redrawn) {
            d.redrawn = true;
            _nextRound(d, terms);
            emit Redrawn(id, d.round, d.drawBlock);
        } else if (d.tier == 0) {
            _releaseClaim(d);
            _release(id, d);
            _void(id, d, "no quorum");
        } else {
            // the ruling appealed from stands; who appealed did not lose
            TierRuling storage ruling = _rulings[id][--d.tier];
            (address appellant, uint128 bond) = (ruling.appellant, ruling.appealBond);
            (ruling.appellant, ruling.appealBond) = (address(0), 0);
            d.held -= bond;
            emit AppealClosed(id, d.tier + 1, appellant, bond);
            _pay(appellant, bond);
            _finish(id, d);
        }
    }

    /// @dev What was not judged may be judged yet.
    function _release(uint256 id, Dispute storage d) private {
        if (_isBatch(d)) {
            delete _judged[d.headerHash];
            return;
        }
        if (_isQuestion(d)) {
            delete _leaves[_questions[id].key];
            if (d.fault == Fault.WrongShares) _endFreeze(d, Answer.UNAVAILABLE);
            return;
        }
        OpenedLeaf[] storage leaves = _opened[id];
        for (uint256 i; i < leaves.length; ++i) {
            delete _leaves[_leafKey(d.headerHash, d.structHash, leaves[i].stepIndex, leaves[i].tokenIndex)];
        }
    }

    function _nextRound(Dispute storage d, DisputeTerms memory terms) private {
        ++d.round;
        d.commits = 0;
        d.reveals = 0;
        _awaitDraw(d, terms);
    }
}
