// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { IJuryVoting } from "../interfaces/IDisputes.sol";
import { IRandomness } from "../interfaces/IRandomness.sol";
import { Dispute, DisputeTerms, State, Vote } from "../types/DisputeTypes.sol";
import { JuryBase } from "./JuryBase.sol";

/// @title What a committee does: it is drawn, commits, reveals.
abstract contract JuryVoting is JuryBase, IJuryVoting {
    int32 private constant MIN_LOGPROB = -1_000_000;

    /// @notice What draws are decided by.
    IRandomness public immutable randomness;

    constructor(IRandomness randomness_) {
        randomness = randomness_;
    }

    /// @inheritdoc IJuryVoting
    function draw(uint256 id) external {
        Dispute storage d = _requireState(id, State.Open);
        require(block.number > d.drawBlock, TooEarly(d.drawBlock + 1));
        bytes32 seed = keccak256(abi.encode(randomness.at(d.drawBlock), id, d.round));

        DisputeTerms memory terms = _terms[id];
        uint256 size = _committeeSize(d.tier);
        address[] memory drawn = vault.drawJurors(uint256(seed), d.frozenBlock, size, _parties(id, d));
        for (uint256 i; i < size; ++i) {
            Vote storage vote = _votes[id][d.round][drawn[i]];
            vote.locked = uint128(vault.lockJuror(drawn[i], terms.nonRevealPenalty));
            vote.seated = true;
        }
        _committees[id][d.round] = drawn;
        d.state = State.Drawn;
        d.probe = uint32(uint256(keccak256(abi.encode(seed, "probe"))));
        d.commitBy = uint64(block.timestamp + terms.commitPeriod);
        d.revealBy = d.commitBy + terms.revealPeriod;
        emit Drawn(id, d.round, drawn, d.probe, d.commitBy, d.revealBy);
    }

    /// @inheritdoc IJuryVoting
    function commitVote(uint256 id, bytes32 commitment) external {
        Dispute storage d = _requireState(id, State.Drawn);
        require(block.timestamp <= d.commitBy, TooLate(d.commitBy));
        Vote storage vote = _votes[id][d.round][msg.sender];
        require(vote.seated, NotOnCommittee(msg.sender));
        require(vote.commitment == 0, AlreadyVoted(msg.sender));
        require(commitment != 0, VoteMismatch(msg.sender));
        vote.commitment = commitment;
        ++d.commits;
        emit VoteCommitted(id, d.round, msg.sender);
    }

    /// @inheritdoc IJuryVoting
    function revealVote(uint256 id, int32[] calldata tokenLogprobs, int32 probeLogprob, bytes32 salt)
        external
    {
        (Dispute storage d, Vote storage vote) = _requireReveal(id);
        bytes32 commitment = keccak256(
            abi.encode(
                block.chainid, address(this), id, d.round, msg.sender, tokenLogprobs, probeLogprob, salt
            )
        );
        uint256 leaves = tokenLogprobs.length;
        require(
            commitment == vote.commitment && !_isQuestion(d) && (leaves == 0 || leaves == _opened[id].length),
            VoteMismatch(msg.sender)
        );
        _requireLogprob(probeLogprob);
        for (uint256 i; i < leaves; ++i) {
            _requireLogprob(tokenLogprobs[i]);
        }
        vote.tokenLogprobs = tokenLogprobs;
        vote.probeLogprob = probeLogprob;
        emit VoteRevealed(id, d.round, msg.sender, tokenLogprobs, probeLogprob);
    }

    /// @inheritdoc IJuryVoting
    function revealAnswer(uint256 id, bytes32 answer, bytes32 probeAnswer, bytes32 salt) external {
        (Dispute storage d, Vote storage vote) = _requireReveal(id);
        bytes32 commitment = keccak256(
            abi.encode(block.chainid, address(this), id, d.round, msg.sender, answer, probeAnswer, salt)
        );
        require(commitment == vote.commitment && _isQuestion(d), VoteMismatch(msg.sender));
        vote.answer = answer;
        vote.probeAnswer = probeAnswer;
        emit AnswerRevealed(id, d.round, msg.sender, answer, probeAnswer);
    }

    /// @dev Counts the caller's vote, which must be what it committed.
    function _requireReveal(uint256 id) private returns (Dispute storage d, Vote storage vote) {
        d = _requireState(id, State.Drawn);
        require(block.timestamp <= d.revealBy, TooLate(d.revealBy));
        // nobody may see a vote while somebody may still commit one
        require(block.timestamp > d.commitBy || d.commits == _committeeSize(d.tier), TooEarly(d.commitBy + 1));
        vote = _votes[id][d.round][msg.sender];
        require(!vote.revealed, AlreadyVoted(msg.sender));
        vote.revealed = true;
        ++d.reveals;
    }

    function _requireLogprob(int32 logprob) private pure {
        require(logprob >= MIN_LOGPROB && logprob <= 0, BadLogprob(logprob));
    }
}
