// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { Answer } from "../libraries/Answer.sol";
import { Ruling } from "../libraries/Ruling.sol";
import { Dispute, DisputeTerms, Median, OpenedLeaf, Vote } from "../types/DisputeTypes.sol";
import { JuryBase } from "./JuryBase.sol";

/// @title What votes come to: a median for each leaf, an answer, or that nothing could be had; and who voted well.
abstract contract Findings is JuryBase {
    using Ruling for Median;

    /// @dev Keeps what the present round's votes come to.
    /// @return unavailable whether more than half of them could not get what they were to replay.
    /// @return middles for display; empty where there are no medians.
    function _find(uint256 id, Dispute storage d)
        internal
        returns (bool unavailable, int32[] memory middles)
    {
        if (_isQuestion(d)) {
            bytes32 answer = _majority(_answers(id, d), _questions[id].claimed);
            _questions[id].answer = answer;
            emit Answered(id, d.tier, d.round, answer);
            return (answer == Answer.UNAVAILABLE, middles);
        }
        (int32[][] memory votes, uint256 n) = _logprobs(id, d);
        delete _medians[id];
        unavailable = n < d.reveals - d.reveals / 2;
        if (!unavailable) middles = _findMedians(id, votes, n);
    }

    /// @dev Whether what was found convicts: another answer than was claimed, one leaf of an action, or as many of a
    /// batch as honest noise does not explain.
    function _isGuilty(uint256 id, Dispute storage d) internal view returns (bool) {
        if (_isCase(d)) return _questions[id].answer == Answer.ACCEPTED;
        if (_isQuestion(d)) return _questions[id].answer != _questions[id].claimed;
        uint256 off = _countOff(_offLeaves(id, d, _terms[id]));
        return _isBatch(d) ? off + _draws[id].missing >= _draws[id].threshold : off != 0;
    }

    /// @dev Which opened leaves deviate from the latest medians so far that they convict; all, where they could not
    /// be replayed.
    function _offLeaves(uint256 id, Dispute storage d, DisputeTerms memory terms)
        internal
        view
        returns (bool[] memory off)
    {
        uint256 delta = _isBatch(d) ? terms.leafDelta : terms.grossDelta;
        bool unavailable = _rulings[id][d.tier].unavailable;
        OpenedLeaf[] storage leaves = _opened[id];
        off = new bool[](leaves.length);
        for (uint256 i; i < off.length; ++i) {
            off[i] = unavailable || _medians[id][i].isFar(leaves[i].committedLogprob, delta);
        }
    }

    function _countOff(bool[] memory off) internal pure returns (uint256 count) {
        for (uint256 i; i < off.length; ++i) {
            if (off[i]) ++count;
        }
    }

    /// @dev Who of a round voted as the final ruling found. A vote is right when each logprob is near the median and
    /// the probe is near the median of the probes of its round's other such votes; an answer when it is the one
    /// found and its probe the most frequent among these.
    function _judge(uint256 id, uint8 round, address[] memory jurors)
        internal
        view
        returns (bool[] memory right)
    {
        Dispute storage d = _disputes[id];
        if (_isQuestion(d)) return _judgeAnswers(id, round, jurors);
        right = new bool[](jurors.length);
        bool unavailable = _rulings[id][d.tier].unavailable;
        uint256 tolerance = _terms[id].voteTolerance;
        Median[] memory truth = _medians[id];
        int32[] memory probes = new int32[](jurors.length);
        uint256 n;
        for (uint256 i; i < jurors.length; ++i) {
            Vote storage vote = _votes[id][round][jurors[i]];
            if (!vote.revealed) continue;
            right[i] =
                unavailable ? vote.tokenLogprobs.length == 0 : _agrees(vote.tokenLogprobs, truth, tolerance);
            if (right[i]) probes[n++] = vote.probeLogprob;
        }
        if (n == 0 || unavailable) return right;
        Median memory probe_ = Ruling.median(probes, n);
        for (uint256 i; i < jurors.length; ++i) {
            right[i] = right[i] && !probe_.isFar(_votes[id][round][jurors[i]].probeLogprob, tolerance);
        }
    }

    function _judgeAnswers(uint256 id, uint8 round, address[] memory jurors)
        private
        view
        returns (bool[] memory right)
    {
        uint256 n = jurors.length;
        bytes32 truth = _questions[id].answer;
        bytes32[] memory probes = new bytes32[](n);
        right = new bool[](n);
        for (uint256 i; i < n; ++i) {
            Vote storage vote = _votes[id][round][jurors[i]];
            right[i] = vote.revealed && vote.answer == truth;
            probes[i] = vote.probeAnswer;
        }
        uint256[] memory alike = new uint256[](n);
        uint256 most;
        for (uint256 i; i < n; ++i) {
            for (uint256 k; k < n; ++k) {
                if (right[i] && right[k] && probes[i] == probes[k]) ++alike[i];
            }
            if (alike[i] > most) most = alike[i];
        }
        for (uint256 i; i < n; ++i) {
            right[i] = right[i] && alike[i] == most;
        }
    }

    function _answers(uint256 id, Dispute storage d) private view returns (bytes32[] memory answers) {
        address[] memory jurors = _committees[id][d.round];
        answers = new bytes32[](d.reveals);
        uint256 n;
        for (uint256 i; i < jurors.length; ++i) {
            Vote storage vote = _votes[id][d.round][jurors[i]];
            if (vote.revealed) answers[n++] = vote.answer;
        }
    }

    /// @dev The first `n` are the votes of those who could replay.
    function _logprobs(uint256 id, Dispute storage d)
        private
        view
        returns (int32[][] memory votes, uint256 n)
    {
        address[] memory jurors = _committees[id][d.round];
        votes = new int32[][](d.reveals);
        for (uint256 i; i < jurors.length; ++i) {
            Vote storage vote = _votes[id][d.round][jurors[i]];
            if (vote.revealed && vote.tokenLogprobs.length != 0) votes[n++] = vote.tokenLogprobs;
        }
    }

    /// @dev The answer of more than half, else what was claimed.
    function _majority(bytes32[] memory answers, bytes32 claimed) private pure returns (bytes32) {
        for (uint256 i; i < answers.length; ++i) {
            uint256 alike;
            for (uint256 k; k < answers.length; ++k) {
                if (answers[i] == answers[k]) ++alike;
            }
            if (alike > answers.length / 2) return answers[i];
        }
        return claimed;
    }

    /// @dev One median for each leaf, of the first `n` votes.
    function _findMedians(uint256 id, int32[][] memory votes, uint256 n)
        private
        returns (int32[] memory middles)
    {
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

    function _agrees(int32[] memory vote, Median[] memory truth, uint256 tolerance)
        private
        pure
        returns (bool)
    {
        if (vote.length != truth.length) return false;
        for (uint256 i; i < truth.length; ++i) {
            if (truth[i].isFar(vote[i], tolerance)) return false;
        }
        return true;
    }
}
