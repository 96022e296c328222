// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { SafeERC20 } from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import { Math } from "@openzeppelin/contracts/utils/math/Math.sol";
import { SafeCast } from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import { IJuryRuling } from "../interfaces/IDisputes.sol";
import { IOpenToken } from "../interfaces/IOpenToken.sol";
import { IValidationRegistry } from "../interfaces/IValidationRegistry.sol";
import { Ruling } from "../libraries/Ruling.sol";
import {
    Dispute,
    DisputeTerms,
    Distribution,
    Median,
    OpenedLeaf,
    State,
    TierRuling,
    Vote
} from "../types/DisputeTypes.sol";
import { JuryBase } from "./JuryBase.sol";

/// @title From votes to rulings, appeals and the outcome.
///
/// Where a final ruling's money comes from and goes to:
///   the first committee   the slash, or the accusers' bonds
///   a later one, the appeal having been right: the same; what they cannot cover, the appellant's bond
///   a later one, the appeal having been wrong: its bond, whose rest goes to the other side
abstract contract JuryRuling is JuryBase, IJuryRuling {
    using SafeERC20 for IOpenToken;
    using SafeCast for uint256;
    using Ruling for Median;

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

    /// @inheritdoc IJuryRuling
    /// @dev A vote is right when each logprob is near the final ruling's median and the probe is near the median
    /// of the probes of its round's other such votes. So who outvoted the honest in a round overturned later
    /// loses, and cannot make the honest lose by lying about the probe as well.
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
        // fees that nobody earned: nobody profits from a conviction's, an acquittal's were the operator's to have
        if (convicted) penalties += pot - paid;
        else _payAcquitted(d, pot - paid);
        _burn(penalties);
    }

    function _forfeit(uint256 id, Dispute storage d) private {
        uint256 bond = d.bond;
        d.state = State.Forfeited;
        d.bond = 0;
        emit Forfeited(id, bond);
        _burn(bond);
    }

    function _rule(uint256 id, Dispute storage d) private {
        DisputeTerms memory terms = _terms[id];
        int32[] memory middles = _findMedians(id, d);
        bool convicted = _isGuilty(id, d, _countOff(_offLeaves(id, d, terms)));
        _rulings[id][d.tier] = TierRuling(d.round, convicted, false, address(0), 0, 0);
        d.state = State.Ruled;
        d.appealBy = d.tier == LAST_TIER ? 0 : uint64(block.timestamp + terms.appealPeriod);
        emit Ruled(id, d.tier, d.round, middles, convicted, d.appealBy);
        if (d.tier == LAST_TIER) _finish(id, d);
    }

    /// @dev Makes the ruling of the present tier the outcome.
    function _finish(uint256 id, Dispute storage d) private {
        DisputeTerms memory terms = _terms[id];
        bool convicted = _rulings[id][d.tier].convicted;
        (uint256 due, uint256 lost) = _appealsOf(id, d, terms, convicted);
        uint256 covered = convicted ? _convict(id, d, terms, due, lost) : _acquit(id, d, due, lost);

        uint256 part = Math.min(covered, _juryCost(terms, 0));
        _rulings[id][0].pot = uint128(part);
        d.held += uint128(part);
        covered -= part;
        for (uint256 tier; tier < d.tier; ++tier) {
            covered = _closeAppeal(id, d, tier, convicted, _juryCost(terms, tier + 1), covered);
        }
        _post(id, d, convicted);
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
                    _isBatch(d) ? d.headerHash : d.structHash,
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
        if (_isBatch(d)) {
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

    /// @dev What is left of an accuser's bond is the operator's; an audit had no accuser.
    function _payAcquitted(Dispute storage d, uint256 amount) private {
        if (d.challenger == address(0)) _auditFund += amount;
        else _pay(d.operator, amount);
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
        OpenedLeaf[] storage leaves = _opened[id];
        for (uint256 i; i < leaves.length; ++i) {
            delete _leaves[_leafKey(d.headerHash, d.structHash, leaves[i].stepIndex, leaves[i].tokenIndex)];
        }
    }

    function _settleSilence(uint256 id, Dispute storage d, DisputeTerms memory terms) private {
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

    function _nextRound(Dispute storage d, DisputeTerms memory terms) private {
        ++d.round;
        d.commits = 0;
        d.reveals = 0;
        _awaitDraw(d, terms);
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

    /// @dev Keeps the medians of the present round's votes, one for each leaf.
    function _findMedians(uint256 id, Dispute storage d) private returns (int32[] memory middles) {
        address[] memory jurors = _committees[id][d.round];
        int32[][] memory votes = new int32[][](d.reveals);
        uint256 n;
        for (uint256 i; i < jurors.length; ++i) {
            Vote storage vote = _votes[id][d.round][jurors[i]];
            if (vote.revealed) votes[n++] = vote.tokenLogprobs;
        }
        delete _medians[id];
        int32[] memory values = new int32[](n);
        middles = new int32[](_opened[id].length);
        for (uint256 leaf; leaf < middles.length; ++leaf) {
            for (uint256 i; i < n; ++i) {
                values[i] = votes[i][leaf];
            }
            Median memory m = Ruling.median(values, n);
            _medians[id].push(m);
            middles[leaf] = m.middle();
        }
    }

    /// @dev Which opened leaves deviate from the latest medians so far that they convict.
    function _offLeaves(uint256 id, Dispute storage d, DisputeTerms memory terms)
        private
        view
        returns (bool[] memory off)
    {
        uint256 delta = _isBatch(d) ? terms.leafDelta : terms.grossDelta;
        OpenedLeaf[] storage leaves = _opened[id];
        off = new bool[](leaves.length);
        for (uint256 i; i < off.length; ++i) {
            Median memory m = _medians[id][i];
            off[i] = m.isFar(leaves[i].committedLogprob, delta);
        }
    }

    /// @dev One leaf of an action, or as many of a batch as honest noise does not explain.
    function _isGuilty(uint256 id, Dispute storage d, uint256 off) private view returns (bool) {
        return _isBatch(d) ? off + _draws[id].missing >= _draws[id].threshold : off != 0;
    }

    function _countOff(bool[] memory off) private pure returns (uint256 count) {
        for (uint256 i; i < off.length; ++i) {
            if (off[i]) ++count;
        }
    }

    function _judge(uint256 id, uint8 round, address[] memory jurors)
        private
        view
        returns (bool[] memory right)
    {
        uint256 tolerance = _terms[id].voteTolerance;
        Median[] memory truth = _medians[id];
        right = new bool[](jurors.length);
        int32[] memory probes = new int32[](jurors.length);
        uint256 n;
        for (uint256 i; i < jurors.length; ++i) {
            Vote storage vote = _votes[id][round][jurors[i]];
            right[i] = vote.revealed && _agrees(vote.tokenLogprobs, truth, tolerance);
            if (right[i]) probes[n++] = vote.probeLogprob;
        }
        if (n == 0) return right;
        Median memory probe_ = Ruling.median(probes, n);
        for (uint256 i; i < jurors.length; ++i) {
            right[i] = right[i] && !probe_.isFar(_votes[id][round][jurors[i]].probeLogprob, tolerance);
        }
    }

    function _agrees(int32[] memory vote, Median[] memory truth, uint256 tolerance)
        private
        pure
        returns (bool)
    {
        for (uint256 i; i < truth.length; ++i) {
            if (truth[i].isFar(vote[i], tolerance)) return false;
        }
        return true;
    }
}
