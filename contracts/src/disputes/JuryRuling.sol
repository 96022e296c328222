// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { Math } from "@openzeppelin/contracts/utils/math/Math.sol";
import { IJuryRuling } from "../interfaces/IDisputes.sol";
import { Ruling } from "../libraries/Ruling.sol";
import { Dispute, DisputeTerms, Distribution, State, Vote } from "../types/DisputeTypes.sol";
import { JuryBase } from "./JuryBase.sol";

/// @title From an open challenge to its outcome.
abstract contract JuryRuling is JuryBase, IJuryRuling {
    using Ruling for Ruling.Median;

    int32 private constant MIN_LOGPROB = -1_000_000;

    /// @dev A block's hash can be read for 256 blocks.
    uint256 private constant HASH_REACH = 256;

    /// @inheritdoc IJuryRuling
    function draw(uint256 id) external {
        Dispute storage d = _requireState(id, State.Open);
        require(block.number > d.drawBlock, TooEarly(d.drawBlock + 1));
        uint256 missed = (block.number - 1 - d.drawBlock) / HASH_REACH;
        bytes32 hash = blockhash(d.drawBlock + missed * HASH_REACH);
        bytes32 seed = keccak256(abi.encode(hash, id, d.round));

        DisputeTerms memory terms = _terms[id];
        address[] memory drawn = vault.drawJurors(uint256(seed), d.frozenBlock, COMMITTEE, _parties(d));
        for (uint256 i; i < COMMITTEE; ++i) {
            _locked[id][drawn[i]] = vault.lockJuror(drawn[i], terms.nonRevealPenalty);
        }
        _committees[id][d.round] = drawn;
        d.state = State.Drawn;
        d.probe = uint32(uint256(keccak256(abi.encode(seed, "probe"))));
        d.commitBy = uint64(block.timestamp + terms.commitPeriod);
        d.revealBy = d.commitBy + terms.revealPeriod;
        emit Drawn(id, d.round, drawn, d.probe, d.commitBy, d.revealBy);
    }

    /// @inheritdoc IJuryRuling
    function commitVote(uint256 id, bytes32 commitment) external {
        Dispute storage d = _requireState(id, State.Drawn);
        require(block.timestamp <= d.commitBy, TooLate(d.commitBy));
        require(_onCommittee(id, d.round, msg.sender), NotOnCommittee(msg.sender));
        Vote storage vote = _votes[id][d.round][msg.sender];
        require(vote.commitment == 0, AlreadyVoted(msg.sender));
        require(commitment != 0, VoteMismatch(msg.sender));
        vote.commitment = commitment;
        ++d.commits;
        emit VoteCommitted(id, d.round, msg.sender);
    }

    /// @inheritdoc IJuryRuling
    function revealVote(uint256 id, int32 tokenLogprob, int32 probeLogprob, bytes32 salt) external {
        Dispute storage d = _requireState(id, State.Drawn);
        require(block.timestamp <= d.revealBy, TooLate(d.revealBy));
        // nobody may see a vote while somebody may still commit one
        require(block.timestamp > d.commitBy || d.commits == COMMITTEE, TooEarly(d.commitBy + 1));
        Vote storage vote = _votes[id][d.round][msg.sender];
        require(!vote.revealed, AlreadyVoted(msg.sender));
        bytes32 commitment = keccak256(
            abi.encode(
                block.chainid, address(this), id, d.round, msg.sender, tokenLogprob, probeLogprob, salt
            )
        );
        require(commitment == vote.commitment, VoteMismatch(msg.sender));
        require(tokenLogprob >= MIN_LOGPROB && tokenLogprob <= 0, BadLogprob(tokenLogprob));
        require(probeLogprob >= MIN_LOGPROB && probeLogprob <= 0, BadLogprob(probeLogprob));
        vote.tokenLogprob = tokenLogprob;
        vote.probeLogprob = probeLogprob;
        vote.revealed = true;
        ++d.reveals;
        emit VoteRevealed(id, d.round, msg.sender, tokenLogprob, probeLogprob);
    }

    /// @inheritdoc IJuryRuling
    function resolve(uint256 id) external {
        Dispute storage d = _disputes[id];
        if (d.state == State.Committed) {
            require(block.timestamp > d.evidenceBy, TooEarly(d.evidenceBy + 1));
            return _forfeit(id, d);
        }
        require(d.state == State.Drawn, WrongState(id, d.state));
        require(block.timestamp > d.revealBy || d.reveals == COMMITTEE, TooEarly(d.revealBy + 1));
        if (d.reveals >= QUORUM) _rule(id, d);
        else _noQuorum(id, d);
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
        (Ruling.Median memory token_, Ruling.Median memory probe_) = _medians(id, d);
        bool convicted = token_.isFar(d.committedLogprob, terms.grossDelta);
        emit Ruled(id, d.round, token_.middle(), probe_.middle(), convicted);

        bool[] memory right = _judgeJurors(id, d, terms, token_, probe_);
        uint256 rightCount;
        for (uint256 i; i < COMMITTEE; ++i) {
            if (right[i]) ++rightCount;
        }
        uint256 toJury = convicted ? _convict(id, d, terms, rightCount) : _acquit(id, d, terms, rightCount);
        uint256 penalties = _settleJurors(id, d, terms, right, rightCount == 0 ? 0 : toJury / rightCount);
        _burn(penalties);
    }

    /// @dev CONVICTED: bond back; the slash to client, challenger, jury and fire.
    function _convict(uint256 id, Dispute storage d, DisputeTerms memory terms, uint256 jurors)
        private
        returns (uint256)
    {
        d.state = State.Convicted;
        uint256 due = Math.min(_due(terms, d.fee, d.agentId, d.operator, d.nonce), _releaseClaim(d));
        // where a proof took the slash meanwhile, the loser still pays for the jury
        uint256 taken = _take(d.agentId, d.operator, d.nonce, Math.max(due, terms.minSlash));
        Distribution memory paid =
            _distribute(taken, terms, d.challenger, [Harm(d.client, d.fee), Harm(address(0), 0)], jurors);
        emit Convicted(id, d.agentId, d.operator, d.nonce, d.fault, d.challenger, paid);
        _returnBond(d);
        return paid.toJury;
    }

    /// @dev ACQUITTED, of the opened leaf only: the bond pays the jury, then the agent's operator.
    function _acquit(uint256 id, Dispute storage d, DisputeTerms memory terms, uint256 jurors)
        private
        returns (uint256 toJury)
    {
        d.state = State.Acquitted;
        _releaseClaim(d);
        uint256 bond = d.bond;
        d.bond = 0;
        toJury = jurors * terms.jurorFee;
        emit Acquitted(id, d.agentId, d.nonce, toJury, bond - toJury);
        _pay(d.operator, bond - toJury);
    }

    /// @dev Those who kept silent pay those who did not; then a new committee, or nothing more.
    function _noQuorum(uint256 id, Dispute storage d) private {
        DisputeTerms memory terms = _terms[id];
        address[] storage jurors = _committees[id][d.round];
        bool[] memory revealed = new bool[](COMMITTEE);
        uint256 expected;
        for (uint256 i; i < COMMITTEE; ++i) {
            revealed[i] = _votes[id][d.round][jurors[i]].revealed;
            if (!revealed[i]) expected += Math.min(_locked[id][jurors[i]], terms.nonRevealPenalty);
        }
        uint256 reward = d.reveals == 0 ? 0 : Math.min(terms.jurorFee, expected / d.reveals);
        uint256 penalties = _settleJurors(id, d, terms, revealed, reward);
        _burn(penalties - reward * d.reveals);

        if (d.round == LAST_ROUND) {
            _releaseClaim(d);
            delete _leaves[_leafKey(d.headerHash, d.structHash, d.stepIndex, d.tokenIndex)];
            return _void(id, d, "no quorum");
        }
        ++d.round;
        d.commits = 0;
        d.reveals = 0;
        d.state = State.Open;
        d.drawBlock = uint64(block.number + terms.drawDelay);
        emit Redrawn(id, d.round, d.drawBlock);
    }

    /// @dev Unlocks every juror; takes the penalties first, so that rewards can be paid out of them.
    function _settleJurors(
        uint256 id,
        Dispute storage d,
        DisputeTerms memory terms,
        bool[] memory right,
        uint256 reward
    ) private returns (uint256 penalties) {
        address[] storage jurors = _committees[id][d.round];
        for (uint256 i; i < COMMITTEE; ++i) {
            address juror = jurors[i];
            uint256 penalty;
            if (!right[i]) {
                penalty =
                    _votes[id][d.round][juror].revealed ? terms.wrongVotePenalty : terms.nonRevealPenalty;
            }
            penalty = vault.settleJuror(juror, _locked[id][juror], penalty);
            delete _locked[id][juror];
            penalties += penalty;
            emit JurorSettled(id, juror, right[i] ? reward : 0, penalty);
        }
        for (uint256 i; i < COMMITTEE; ++i) {
            if (right[i]) _pay(jurors[i], reward);
        }
    }

    function _releaseClaim(Dispute storage d) private returns (uint256 claim) {
        claim = d.encumbered;
        d.encumbered = 0;
        vault.release(d.agentId, d.operator, claim);
    }

    function _medians(uint256 id, Dispute storage d)
        private
        view
        returns (Ruling.Median memory token_, Ruling.Median memory probe_)
    {
        address[] storage jurors = _committees[id][d.round];
        int256[] memory tokens = new int256[](d.reveals);
        int256[] memory probes = new int256[](d.reveals);
        uint256 n;
        for (uint256 i; i < COMMITTEE; ++i) {
            Vote storage vote = _votes[id][d.round][jurors[i]];
            if (!vote.revealed) continue;
            tokens[n] = vote.tokenLogprob;
            probes[n++] = vote.probeLogprob;
        }
        return (Ruling.median(tokens), Ruling.median(probes));
    }

    /// @dev Right is a revealed vote with both numbers near their medians.
    function _judgeJurors(
        uint256 id,
        Dispute storage d,
        DisputeTerms memory terms,
        Ruling.Median memory token_,
        Ruling.Median memory probe_
    ) private view returns (bool[] memory right) {
        address[] storage jurors = _committees[id][d.round];
        right = new bool[](COMMITTEE);
        for (uint256 i; i < COMMITTEE; ++i) {
            Vote storage vote = _votes[id][d.round][jurors[i]];
            right[i] = vote.revealed && !token_.isFar(vote.tokenLogprob, terms.voteTolerance)
                && !probe_.isFar(vote.probeLogprob, terms.voteTolerance);
        }
    }

    function _onCommittee(uint256 id, uint256 round, address account) private view returns (bool) {
        address[] storage jurors = _committees[id][round];
        for (uint256 i; i < jurors.length; ++i) {
            if (jurors[i] == account) return true;
        }
        return false;
    }
}
