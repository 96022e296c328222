// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { IDisputeErrors, IDisputeEvents } from "src/interfaces/IDisputes.sol";
import { IQuestionIntake } from "src/interfaces/IQuestionIntake.sol";
import { Claims, IRewardPool } from "src/interfaces/IRewardPool.sol";
import { Answer } from "src/libraries/Answer.sol";
import { Records } from "src/libraries/Records.sol";
import { Dispute, Fault, State } from "src/types/DisputeTypes.sol";
import { Param } from "src/types/Param.sol";
import { BatchHeader, Claim } from "src/types/Records.sol";
import { Payout, Trees } from "./utils/Trees.sol";
import { QuestionCase } from "./utils/QuestionCase.sol";

contract DisputesQuestionsTest is QuestionCase {
    uint256 private constant JURY_COST = 0.1 ether;
    /// @dev Eighty times the fees of the batch's two actions.
    uint256 private constant SHARES_SLASH = 160 ether;

    // --- payouts -----------------------------------------------------------------------------------------------

    function test_shares_convictionPaysWhatTheJuryFound() public {
        uint256 id = _openShares();
        assertEq(vault.positionOf(agentId, operator).claims, SHARES_SLASH);
        uint256 challengerBefore = token.balanceOf(challenger);
        uint256 bond = disputes.dispute(id).bond;
        _judgeAll(id, _rightAnswer());
        _assertState(id, State.Convicted);
        assertEq(vault.stakeOf(agentId), STAKE - SHARES_SLASH);
        assertEq(token.balanceOf(challenger), challengerBefore + bond + SHARES_SLASH * 3 / 10);
        assertEq(token.burned(), SHARES_SLASH * 7 / 10 - JURY_COST, "no client was harmed");
        assertEq(token.balanceOf(address(disputes)), 0);
        assertEq(disputes.settledOf(agentId, operator, record.nonce), 0, "the actions are slashed apart");

        _passWindow();
        bytes32 hash = Records.headerHash(header);
        vm.expectRevert(abi.encodeWithSelector(IRewardPool.ClaimsNotOpen.selector, hash, Claims.Awaited));
        _claimAnchored();
        bytes32 root = Trees.sumRoot(rightful).hash;
        vm.expectRevert(abi.encodeWithSelector(IRewardPool.NotTheAnswer.selector, hash));
        pool.showPayouts(hash, root, 2);
        vm.prank(stranger);
        pool.showPayouts(hash, root, 1);
        vm.expectRevert(abi.encodeWithSelector(IRewardPool.BadProof.selector, hash, 0));
        _claimAnchored();
        uint256 before = token.balanceOf(contributor);
        pool.claim(header, 0, contributor, _net(header.sum), Trees.sumProof(rightful, 0));
        assertEq(token.balanceOf(contributor), before + _net(header.sum));
        assertEq(pool.remaining(hash), 0);
        (Claims state, bytes32 found, uint32 count) = pool.payoutsOf(header);
        assertEq(uint8(state), uint8(Claims.Corrected));
        assertEq(found, root);
        assertEq(count, 1);
    }

    function test_shares_acquittalLetsTheAnchoredPayoutsBeClaimed() public {
        uint256 operatorBefore = token.balanceOf(operator);
        uint256 id = _openShares();
        uint256 bond = disputes.dispute(id).bond;
        _passWindow();
        bytes32 hash = Records.headerHash(header);
        vm.expectRevert(abi.encodeWithSelector(IRewardPool.ClaimsNotOpen.selector, hash, Claims.Frozen));
        _claimAnchored();
        _judgeAll(id, _claimedAnswer());
        _assertState(id, State.Acquitted);
        assertEq(token.balanceOf(operator), operatorBefore + bond - JURY_COST);
        assertEq(vault.stakeOf(agentId), STAKE);
        _claimAnchored();
    }

    function test_shares_answerThatNobodyCanShowDoesNotHoldTheMoneyForEver() public {
        uint256 id = _openShares();
        _judgeAll(id, keccak256("nonsense"));
        _assertState(id, State.Convicted);
        vm.warp(block.timestamp + 7 days + 1);
        _claimAnchored();
        bytes32 hash = Records.headerHash(header);
        vm.expectRevert(abi.encodeWithSelector(IRewardPool.ClaimsNotOpen.selector, hash, Claims.Awaited));
        pool.showPayouts(hash, Trees.sumRoot(rightful).hash, 1);
    }

    function test_shares_thatNobodyCanRecomputeConvictAndPayAsAnchored() public {
        uint256 id = _openShares();
        _judgeAll(id, Answer.UNAVAILABLE);
        _assertState(id, State.Convicted);
        assertTrue(disputes.rulingOf(id, 0).unavailable);
        _passWindow();
        _claimAnchored();
    }

    function test_shares_noQuorumVoidsAndThaws() public {
        uint256 before = token.balanceOf(challenger);
        uint256 id = _openShares();
        for (uint256 i; i < 2; ++i) {
            _draw(id);
            _answer(id, new bytes32[](0));
        }
        _assertState(id, State.Voided);
        assertEq(token.balanceOf(challenger), before);
        assertEq(vault.positionOf(agentId, operator).claims, 0);
        _passWindow();
        _claimAnchored();
        assertEq(token.balanceOf(address(disputes)), 0);
    }

    function test_shares_areJudgedOnce() public {
        uint256 second = _commitShares(stranger);
        uint256 id = _openShares();
        uint256 before = token.balanceOf(stranger);
        uint256 bond = disputes.dispute(second).bond;
        vm.prank(stranger);
        disputes.revealShares(second, header, SALT);
        _assertState(second, State.Voided);
        assertEq(token.balanceOf(stranger), before + bond);
        _judgeAll(id, _claimedAnswer());
        vm.warp(header.anchoredAt);
        id = _openShares();
        _assertState(id, State.Voided);
    }

    function test_shares_mustBeShownInsideTheWindow() public {
        uint256 until = actionLog.challengeableUntil(header);
        vm.warp(until);
        uint256 id = _commitShares(challenger);
        vm.warp(until + 1);
        vm.expectRevert(abi.encodeWithSelector(IDisputeErrors.TooLate.selector, until));
        vm.prank(challenger);
        disputes.revealShares(id, header, SALT);
        vm.warp(until);
        vm.prank(challenger);
        disputes.revealShares(id, header, SALT);
        _assertState(id, State.Open);
    }

    function test_shares_reveal_refusals() public {
        uint256 id = _commitShares(challenger);
        vm.expectRevert(abi.encodeWithSelector(IDisputeErrors.NotChallenger.selector, stranger));
        vm.prank(stranger);
        disputes.revealShares(id, header, SALT);
        vm.startPrank(challenger);
        vm.expectRevert(IDisputeErrors.EvidenceMismatch.selector);
        disputes.revealShares(id, header, "other salt");
        BatchHeader memory other = header;
        other.payoutCount = 9;
        vm.expectRevert(
            abi.encodeWithSelector(IDisputeErrors.UnknownBatch.selector, Records.headerHash(other))
        );
        disputes.revealShares(id, other, SALT);
        vm.stopPrank();
        // evidence about a token opens no question
        uint256 leaf = _commit(3);
        vm.roll(block.number + 1);
        vm.expectRevert(IDisputeErrors.EvidenceMismatch.selector);
        vm.prank(challenger);
        disputes.revealShares(leaf, header, SALT);
    }

    function test_shares_ofFreeActionsAreNotDisputed() public {
        _anchorCase(0);
        uint256 id = _commitShares(challenger);
        vm.expectRevert(IDisputeErrors.NotReplayable.selector);
        vm.prank(challenger);
        disputes.revealShares(id, header, SALT);
    }

    function test_shares_juryIsPaidForEvery64Records() public {
        (header,,) = _anchorMany(65, 0.001 ether);
        uint256 id = _openShares();
        assertEq(disputes.termsOf(id).jurorFee, 2 * JURY_COST / 5);
        assertEq(disputes.dispute(id).bond, 65 * 0.001 ether * 80 / 10);
    }

    function test_shares_onlyDisputesFreezesOrCorrects() public {
        bytes32 hash = Records.headerHash(header);
        bytes memory refusal = abi.encodeWithSelector(IRewardPool.OnlyDisputes.selector, address(this));
        vm.expectRevert(refusal);
        pool.freeze(hash);
        vm.expectRevert(refusal);
        pool.thaw(hash);
        vm.expectRevert(refusal);
        pool.correct(hash, PROBE);
        vm.expectRevert(abi.encodeWithSelector(IRewardPool.ClaimsNotOpen.selector, hash, Claims.Open));
        pool.showPayouts(hash, PROBE, 1);
    }

    // --- rulings -----------------------------------------------------------------------------------------------

    function test_ruling_isTheAnswerOfMoreThanHalfAndElseWhatWasClaimed() public {
        uint256 id = _openShares();
        _draw(id);
        bytes32[] memory answers = _answers(_claimedAnswer(), 5);
        (answers[0], answers[1], answers[2]) = (_rightAnswer(), _rightAnswer(), keccak256("another"));
        _answer(id, answers);
        assertEq(disputes.questionOf(id).answer, _claimedAnswer(), "two of five convict nobody");
        _finish(id);
        _assertState(id, State.Acquitted);
    }

    function test_fuzz_ruling_convictsOnlyByAMajorityForOneOtherAnswer(uint8[5] memory picks) public {
        uint256 id = _openShares();
        _draw(id);
        bytes32[3] memory choices = [_claimedAnswer(), _rightAnswer(), Answer.UNAVAILABLE];
        bytes32[] memory answers = new bytes32[](5);
        uint256[3] memory tally;
        for (uint256 i; i < 5; ++i) {
            answers[i] = choices[picks[i] % 3];
            ++tally[picks[i] % 3];
        }
        _answer(id, answers);
        _finish(id);
        bool guilty = tally[1] > 2 || tally[2] > 2;
        _assertState(id, guilty ? State.Convicted : State.Acquitted);
        assertEq(token.balanceOf(address(disputes)), 0);
    }

    function test_ruling_whoCopiesTheClaimFailsTheProbe() public {
        uint256 id = _openShares();
        _draw(id);
        address[] memory members = disputes.committee(id);
        uint256 before = token.balanceOf(members[0]);
        bytes32[] memory probes = _answers(PROBE, 5);
        probes[0] = keccak256("guessed");
        _answer(id, _answers(_claimedAnswer(), 5), probes);
        _finish(id);
        assertEq(token.balanceOf(members[0]), before, "no fee");
        assertEq(vault.jurorStake(members[0]), JUROR_STAKE - parameters.get(Param.WrongVotePenalty));
        assertEq(vault.jurorStake(members[1]), JUROR_STAKE);
    }

    function test_ruling_isOverturnedOnAppeal() public {
        for (uint256 i; i < 8; ++i) {
            _addJuror(string.concat("more", vm.toString(i)), JUROR_STAKE);
        }
        vm.roll(block.number + 1);
        uint256 id = _openShares();
        _draw(id);
        _answer(id, _answers(_claimedAnswer(), 5));
        address[] memory bribed = disputes.committee(id);
        uint256 before = token.balanceOf(stranger);
        _appeal(id, stranger);
        _draw(id);
        _answer(id, _answers(_rightAnswer(), 11));
        _finish(id);
        _assertState(id, State.Convicted);
        assertEq(token.balanceOf(stranger), before, "the appeal's bond is back");
        _settleAll(id);
        assertEq(token.balanceOf(address(disputes)), 0);
        for (uint256 i; i < 5; ++i) {
            assertLt(vault.jurorStake(bribed[i]), JUROR_STAKE, "who outvoted the truth loses");
        }
    }

    function test_vote_ofTheOtherKindIsNoVote() public {
        uint256 id = _openShares();
        _draw(id);
        address juror = disputes.committee(id)[0];
        _commitVote(id, juror, new int32[](0), 0);
        for (uint256 i = 1; i < 5; ++i) {
            _commitAnswer(id, disputes.committee(id)[i], _claimedAnswer(), PROBE);
        }
        vm.expectRevert(abi.encodeWithSelector(IDisputeErrors.VoteMismatch.selector, juror));
        _revealVote(id, juror, new int32[](0), 0);

        uint256 leaf = _drawn(3);
        juror = disputes.committee(leaf)[0];
        _commitAnswer(leaf, juror, PROBE, PROBE);
        vm.warp(disputes.dispute(leaf).commitBy + 1);
        vm.expectRevert(abi.encodeWithSelector(IDisputeErrors.VoteMismatch.selector, juror));
        vm.prank(juror);
        disputes.revealAnswer(leaf, PROBE, PROBE, SALT);
    }

    function test_question_isNotJoinedByLeaves() public {
        _anchorTraining();
        uint256 id = _openTraining();
        bytes32[] memory proof = Trees.proof(_trainingLeaves(), 0);
        vm.expectRevert(IDisputeErrors.NotReplayable.selector);
        vm.prank(stranger);
        disputes.joinChallenge(id, run, training, proof, leaves[0], proof);
    }

    // --- training ----------------------------------------------------------------------------------------------

    function test_training_convictsWhenAnotherAdapterComesOut() public {
        _anchorTraining();
        uint256 clientBefore = token.balanceOf(client);
        uint256 id = _openTraining();
        assertEq(disputes.questionOf(id).claimed, training.generationRoot);
        _judgeAll(id, keccak256("another adapter"));
        _assertState(id, State.Convicted);
        assertEq(uint8(disputes.dispute(id).fault), uint8(Fault.TrainingMismatch));
        assertEq(token.balanceOf(client), clientBefore + FEE, "who paid for the run is made whole");
        assertEq(disputes.settledOf(agentId, operator, run.nonce), SLASH);
        assertEq(token.balanceOf(address(disputes)), 0);
        uint256 again = _openTraining();
        _assertState(again, State.Voided);
    }

    function test_training_acquitsWhenTheSameAdapterComesOut() public {
        _anchorTraining();
        uint256 id = _openTraining();
        _judgeAll(id, training.generationRoot);
        _assertState(id, State.Acquitted);
        assertEq(vault.stakeOf(agentId), STAKE);
    }

    function test_training_whoseDataCannotBeHadConvicts() public {
        _anchorTraining();
        uint256 id = _openTraining();
        _judgeAll(id, Answer.UNAVAILABLE);
        _assertState(id, State.Convicted);
    }

    function test_training_reveal_refusals() public {
        _anchorTraining();
        training.kind = 0;
        run.stepsRoot = Trees.root(_trainingLeaves());
        run.nonce = actionLog.nextNonce(agentId);
        header = _header(_one(run), _payouts(FEE));
        _pay(FEE);
        _anchor(header);
        bytes32 evidence =
            keccak256(abi.encode(challenger, SALT, Records.structHash(run), uint16(0), "training"));
        vm.prank(challenger);
        uint256 id = disputes.commitChallenge(header, run.nonce, evidence);
        vm.expectRevert(abi.encodeWithSelector(IDisputeErrors.TooEarly.selector, block.number + 1));
        _revealTraining(id);
        vm.roll(block.number + 1);
        vm.expectRevert(IDisputeErrors.NotReplayable.selector);
        _revealTraining(id);
        training.generationRoot = "other";
        vm.expectRevert(abi.encodeWithSelector(IDisputeErrors.BadInclusion.selector, "step"));
        _revealTraining(id);
    }

    // --- what cannot be had ------------------------------------------------------------------------------------

    function test_unavailable_convictsWhenMoreThanHalfOfTheVotesSaySo() public {
        uint256 clientBefore = token.balanceOf(client);
        uint256 id = _drawn(3);
        address[] memory members = disputes.committee(id);
        for (uint256 i; i < 5; ++i) {
            _commitVote(id, members[i], i < 3 ? new int32[](0) : _list(-1030, 1), 0);
        }
        for (uint256 i; i < 5; ++i) {
            _revealVote(id, members[i], i < 3 ? new int32[](0) : _list(-1030, 1), 0);
        }
        disputes.resolve(id);
        _finish(id);
        _assertState(id, State.Convicted);
        assertEq(token.balanceOf(client), clientBefore + FEE);
        assertEq(vault.jurorStake(members[0]), JUROR_STAKE);
        assertLt(vault.jurorStake(members[4]), JUROR_STAKE, "says it had what nobody else could get");
        assertEq(token.balanceOf(address(disputes)), 0);
    }

    function test_unavailable_minorityIsOutvotedAndLoses() public {
        uint256 id = _drawn(3);
        address[] memory members = disputes.committee(id);
        for (uint256 i; i < 5; ++i) {
            _commitVote(id, members[i], i < 2 ? new int32[](0) : _list(-1030, 1), -80_000);
        }
        for (uint256 i; i < 5; ++i) {
            _revealVote(id, members[i], i < 2 ? new int32[](0) : _list(-1030, 1), -80_000);
        }
        disputes.resolve(id);
        _finish(id);
        _assertState(id, State.Acquitted);
        assertLt(vault.jurorStake(members[0]), JUROR_STAKE);
        assertEq(vault.jurorStake(members[4]), JUROR_STAKE);
    }

    function _claimAnchored() private {
        Payout[] memory payouts = _payouts(header.sum);
        pool.claim(header, 0, contributor, payouts[0].amount, Trees.sumProof(payouts, 0));
    }

    function _assertState(uint256 id, State expected) private view {
        assertEq(uint8(disputes.dispute(id).state), uint8(expected));
    }
}
