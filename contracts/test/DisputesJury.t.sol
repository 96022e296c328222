// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { IDisputeErrors, IDisputeEvents } from "src/interfaces/IDisputes.sol";
import { IStakeVault } from "src/interfaces/IStakeVault.sol";
import { Dispute, State } from "src/types/DisputeTypes.sol";
import { Param } from "src/types/Param.sol";
import { RecordProof, TokenLeaf } from "src/types/Records.sol";
import { Trees } from "./utils/Trees.sol";
import { Case } from "./utils/Case.sol";

contract DisputesJuryTest is Case {
    uint256 private constant JURY_COST = 0.1 ether;
    uint256 private constant BOND = 8 ether;
    /// @dev What the record claims for token 3.
    int32 private constant CLAIMED = -1030;

    // --- whole flows -------------------------------------------------------------------------------------------

    function test_flow_juryConvictsAndEveryWeiIsAccountedFor() public {
        uint256 clientBefore = token.balanceOf(client);
        uint256 challengerBefore = token.balanceOf(challenger);
        uint256 supply = token.totalSupply();
        uint256 id = _drawn(3);
        assertEq(vault.positionOf(agentId, operator).claims, SLASH);
        address[] memory members = disputes.committee(id);
        uint256 jurorBefore = token.balanceOf(members[0]);
        _voteAll(id, 5, CLAIMED - 30_000, -80_000);

        assertEq(uint8(disputes.dispute(id).state), uint8(State.Convicted));
        assertEq(vault.stakeOf(agentId), STAKE - SLASH);
        assertEq(vault.positionOf(agentId, operator).claims, 0);
        assertEq(token.balanceOf(client), clientBefore + FEE);
        assertEq(token.balanceOf(challenger), challengerBefore + SLASH * 3 / 10);
        assertEq(token.balanceOf(members[0]), jurorBefore + JURY_COST / 5);
        // burned: half, and what client and jury left of the fifth part
        uint256 burned = SLASH / 2 + SLASH / 5 - FEE - JURY_COST;
        assertEq(token.burned(), burned);
        assertEq(token.totalSupply(), supply - burned);
        assertEq(token.balanceOf(address(disputes)), 0);
        assertEq(disputes.settledOf(agentId, operator, record.nonce), SLASH);
        _assertNoLocks(members);
    }

    function test_flow_juryAcquitsAndTheBondPaysJuryThenAgent() public {
        uint256 operatorBefore = token.balanceOf(operator);
        uint256 challengerBefore = token.balanceOf(challenger);
        uint256 id = _drawn(3);
        address[] memory members = disputes.committee(id);
        _voteAll(id, 5, CLAIMED + 12, -80_000);

        assertEq(uint8(disputes.dispute(id).state), uint8(State.Acquitted));
        assertEq(token.balanceOf(challenger), challengerBefore - BOND);
        assertEq(token.balanceOf(operator), operatorBefore + BOND - JURY_COST);
        assertEq(vault.stakeOf(agentId), STAKE);
        assertEq(vault.positionOf(agentId, operator).claims, 0);
        assertEq(token.balanceOf(address(disputes)), 0);
        assertEq(token.burned(), 0);
        _assertNoLocks(members);
    }

    function test_flow_noQuorumRedrawsThenVoids() public {
        uint256 challengerBefore = token.balanceOf(challenger);
        uint256 id = _drawn(3);
        address[] memory first = disputes.committee(id);
        uint256 revealer = token.balanceOf(first[0]);
        _voteAll(id, 2, CLAIMED, -80_000);
        Dispute memory d = disputes.dispute(id);
        assertEq(uint8(d.state), uint8(State.Open));
        assertEq(d.round, 1);
        // silent jurors pay those who voted, and the fire
        assertEq(token.balanceOf(first[0]), revealer + 0.02 ether);
        assertEq(vault.jurorStake(first[4]), JUROR_STAKE - 2 ether);
        assertEq(token.burned(), 3 * 2 ether - 2 * 0.02 ether);
        assertEq(vault.positionOf(agentId, operator).claims, SLASH);

        _draw(id);
        address[] memory second = disputes.committee(id);
        _voteAll(id, 0, 0, 0);
        assertEq(uint8(disputes.dispute(id).state), uint8(State.Voided));
        assertEq(token.balanceOf(challenger), challengerBefore);
        assertEq(vault.stakeOf(agentId), STAKE);
        assertEq(vault.positionOf(agentId, operator).claims, 0);
        assertEq(token.balanceOf(address(disputes)), 0);
        _assertNoLocks(second);
        // the leaf may be judged again
        id = _commit(3);
        _reveal(id, 3);
        assertEq(uint8(disputes.dispute(id).state), uint8(State.Open));
    }

    function test_flow_redrawnCommitteeConvicts() public {
        uint256 id = _drawn(3);
        _voteAll(id, 0, 0, 0);
        _draw(id);
        _voteAll(id, 5, CLAIMED - 30_000, -80_000);
        assertEq(uint8(disputes.dispute(id).state), uint8(State.Convicted));
        assertEq(vault.stakeOf(agentId), STAKE - SLASH);
    }

    function test_flow_exitRequestedBeforeTheChallengeDoesNotShrinkTheSlash() public {
        vm.prank(operator);
        vault.requestWithdraw(agentId, STAKE);
        uint256 id = _drawn(3);
        _voteAll(id, 5, CLAIMED - 30_000, -80_000);
        assertEq(vault.positionOf(agentId, operator).pending, STAKE - SLASH);
        vm.warp(block.timestamp + 14 days);
        uint256 before = token.balanceOf(operator);
        vm.prank(operator);
        vault.withdraw(agentId);
        assertEq(token.balanceOf(operator), before + STAKE - SLASH);
    }

    function test_flow_encumberedStakeCannotLeaveWhileTheDisputeIsOpen() public {
        vm.prank(operator);
        vault.requestWithdraw(agentId, STAKE);
        uint256 id = _drawn(3);
        vm.warp(block.timestamp + 14 days);
        vm.prank(operator);
        vault.withdraw(agentId);
        assertEq(vault.positionOf(agentId, operator).pending, SLASH);
        vm.expectRevert(IStakeVault.NothingToWithdraw.selector);
        vm.prank(operator);
        vault.withdraw(agentId);
        // nobody voted in time: redraw, and the second committee still finds the whole slash
        disputes.resolve(id);
        _draw(id);
        _voteAll(id, 5, CLAIMED - 30_000, -80_000);
        assertEq(vault.positionOf(agentId, operator).pending, 0);
        assertEq(disputes.settledOf(agentId, operator, record.nonce), SLASH);
    }

    function test_flow_friendlyDisputesDoNotShieldTheStake() public {
        // the operator's friend claims stake through another leaf of the same action first
        uint256 friendly = _commit(stranger, 5);
        _reveal(stranger, friendly, 5);
        uint256 id = _drawn(3);
        assertEq(vault.positionOf(agentId, operator).claims, 2 * SLASH);
        _voteAll(id, 5, CLAIMED - 30_000, -80_000);
        assertEq(vault.stakeOf(agentId), STAKE - SLASH);
    }

    function test_flow_convictionIsTerminalForTheAction() public {
        uint256 id = _drawn(3);
        _voteAll(id, 5, CLAIMED - 30_000, -80_000);
        uint256 other = _commit(stranger, 4);
        uint256 before = token.balanceOf(stranger);
        _reveal(stranger, other, 4);
        assertEq(uint8(disputes.dispute(other).state), uint8(State.Voided));
        assertEq(token.balanceOf(stranger), before + JURY_COST);
        assertEq(vault.stakeOf(agentId), STAKE - SLASH);
    }

    function test_flow_concurrentConvictionOnlyPaysForItsJury() public {
        uint256 first = _commit(3);
        uint256 second = _commit(stranger, 4);
        _reveal(first, 3);
        _reveal(stranger, second, 4);
        _draw(first);
        _draw(second);
        _rule(first, _list(CLAIMED - 30_000, 5), _list(-80_000, 5));
        _rule(second, _list(CLAIMED - 30_000, 5), _list(-80_000, 5));
        _finish(first);
        _finish(second);
        assertEq(vault.stakeOf(agentId), STAKE - SLASH - 1 ether);
        assertEq(vault.positionOf(agentId, operator).claims, 0);
        assertEq(token.balanceOf(address(disputes)), 0);
    }

    function test_flow_acquittalBindsOnlyTheOpenedLeaf() public {
        uint256 id = _drawn(3);
        _voteAll(id, 5, CLAIMED, -80_000);
        uint256 again = _commit(3);
        _reveal(again, 3);
        assertEq(uint8(disputes.dispute(again).state), uint8(State.Voided));
        uint256 other = _drawn(4);
        _voteAll(other, 5, CLAIMED - 30_000, -80_000);
        assertEq(uint8(disputes.dispute(other).state), uint8(State.Convicted));
    }

    // --- rulings -----------------------------------------------------------------------------------------------

    function test_ruling_grossDeltaIsExclusive() public {
        uint256 id = _drawn(3);
        _voteAll(id, 5, CLAIMED - 2500, -80_000);
        assertEq(uint8(disputes.dispute(id).state), uint8(State.Acquitted));
        id = _drawn(2);
        _voteAll(id, 5, -1020 - 2501, -80_000);
        assertEq(uint8(disputes.dispute(id).state), uint8(State.Convicted));
    }

    function test_ruling_wrongProbeLosesFeeAndPenalty() public {
        uint256 id = _drawn(3);
        address[] memory members = disputes.committee(id);
        int32[] memory tokens = new int32[](5);
        int32[] memory probes = new int32[](5);
        for (uint256 i; i < 5; ++i) {
            (tokens[i], probes[i]) = (CLAIMED, -80_000);
        }
        probes[2] = -60_000; // copied the record, guessed the probe
        uint256 lazy = token.balanceOf(members[2]);
        uint256 diligent = token.balanceOf(members[1]);
        _vote(id, tokens, probes);
        assertEq(token.balanceOf(members[2]), lazy);
        assertEq(vault.jurorStake(members[2]), JUROR_STAKE - 1 ether);
        assertEq(token.balanceOf(members[1]), diligent + 0.02 ether);
        assertEq(token.burned(), 1 ether);
    }

    function test_ruling_silenceCostsAtLeastAWrongVote() public {
        uint256 id = _drawn(3);
        address[] memory members = disputes.committee(id);
        _voteAll(id, 4, CLAIMED, -80_000);
        assertEq(uint8(disputes.dispute(id).state), uint8(State.Acquitted));
        assertEq(vault.jurorStake(members[4]), JUROR_STAKE - 2 ether);
        assertGe(parameters.get(Param.NonRevealPenalty), parameters.get(Param.WrongVotePenalty));
    }

    function test_ruling_minorityCannotConvict() public {
        uint256 id = _drawn(3);
        int32[] memory tokens = new int32[](5);
        int32[] memory probes = new int32[](5);
        for (uint256 i; i < 5; ++i) {
            (tokens[i], probes[i]) = (i < 2 ? CLAIMED - 30_000 : CLAIMED, int32(-80_000));
        }
        address[] memory members = disputes.committee(id);
        _vote(id, tokens, probes);
        assertEq(uint8(disputes.dispute(id).state), uint8(State.Acquitted));
        assertEq(vault.jurorStake(members[0]), JUROR_STAKE - 1 ether);
        assertEq(vault.jurorStake(members[4]), JUROR_STAKE);
    }

    function test_ruling_splitVoteOfFourFavoursTheAccusedAndPunishesNobodyInTheMiddle() public {
        uint256 id = _drawn(3);
        address[] memory members = disputes.committee(id);
        int32[] memory tokens = new int32[](4);
        int32[] memory probes = new int32[](4);
        for (uint256 i; i < 4; ++i) {
            (tokens[i], probes[i]) = (i < 2 ? CLAIMED - 30_000 : CLAIMED, int32(-80_000));
        }
        _vote(id, tokens, probes);
        assertEq(uint8(disputes.dispute(id).state), uint8(State.Acquitted));
        assertEq(vault.jurorStake(members[0]), JUROR_STAKE);
        assertEq(vault.jurorStake(members[3]), JUROR_STAKE);
    }

    function test_fuzz_ruling_followsTheMedian(int32[5] memory votes) public {
        int32[] memory tokens = new int32[](5);
        int32[] memory probes = new int32[](5);
        uint256 above;
        uint256 below;
        for (uint256 i; i < 5; ++i) {
            tokens[i] = int32(bound(votes[i], -6000, 0));
            probes[i] = -80_000;
            if (int256(tokens[i]) > CLAIMED + 2500) ++above;
            if (int256(tokens[i]) < CLAIMED - 2500) ++below;
        }
        uint256 id = _drawn(3);
        _vote(id, tokens, probes);
        bool convicted = above >= 3 || below >= 3;
        assertEq(uint8(disputes.dispute(id).state), uint8(convicted ? State.Convicted : State.Acquitted));
        assertEq(token.balanceOf(address(disputes)), 0);
    }

    // --- what others are told ----------------------------------------------------------------------------------

    function test_verdict_isPosted() public {
        uint256 id = _drawn(3);
        _voteAll(id, 5, CLAIMED, -80_000);
        bytes32 subject = disputes.dispute(id).structHash;
        (bool answered, uint8 response, bytes32 named, string memory tag,) =
            validations.getValidation(address(disputes), agentId, subject);
        assertTrue(answered);
        assertEq(response, 100);
        assertEq(uint256(named), id);
        assertEq(tag, "jury");
        id = _drawn(4);
        _voteAll(id, 5, CLAIMED - 30_000, -80_000);
        (, response, named,,) = validations.getValidation(address(disputes), agentId, subject);
        assertEq(response, 0);
        assertEq(uint256(named), id);
    }

    function test_verdict_thatCannotBePostedHoldsUpNothing() public {
        uint256 id = _drawn(3);
        _rule(id, _list(CLAIMED - 30_000, 5), _list(-80_000, 5));
        vm.warp(disputes.dispute(id).appealBy + 1);
        // a registry that burns all it is given
        vm.etch(address(validations), hex"fe");
        vm.expectEmit(address(disputes));
        emit IDisputeEvents.VerdictNotPosted(id);
        disputes.resolve(id);
        assertEq(uint8(disputes.dispute(id).state), uint8(State.Convicted));
        assertEq(token.balanceOf(address(disputes)), 0);
    }

    function test_verdict_cannotBeMadeToFailByLeavingTooLittleGas() public {
        uint256 id = _drawn(3);
        _rule(id, _list(CLAIMED - 30_000, 5), _list(-80_000, 5));
        vm.warp(disputes.dispute(id).appealBy + 1);
        vm.expectRevert(abi.encodeWithSelector(IDisputeErrors.GasTooLow.selector, 500_000));
        disputes.resolve{ gas: 530_000 }(id);
        disputes.resolve(id);
    }

    // --- committing and revealing evidence ---------------------------------------------------------------------

    function test_commit_takesTheJuryCostAndRevealTopsUp() public {
        uint256 before = token.balanceOf(challenger);
        (uint256 atCommit, uint256 total) = disputes.bondFor(FEE);
        assertEq(atCommit, JURY_COST);
        assertEq(total, BOND);
        uint256 id = _commit(3);
        assertEq(token.balanceOf(challenger), before - JURY_COST);
        _reveal(id, 3);
        assertEq(token.balanceOf(challenger), before - BOND);
        assertEq(disputes.dispute(id).bond, BOND);
    }

    function test_commit_revertsAfterTheWindow() public {
        uint256 until = actionLog.challengeableUntil(header);
        vm.warp(until);
        _commit(3);
        vm.warp(until + 1);
        vm.expectRevert(abi.encodeWithSelector(IDisputeErrors.TooLate.selector, until));
        vm.prank(challenger);
        disputes.commitChallenge(header, record.nonce, keccak256("evidence"));
    }

    function test_commit_revertsForUnknownBatchOrNonce() public {
        vm.startPrank(challenger);
        vm.expectRevert(abi.encodeWithSelector(IDisputeErrors.NonceNotInBatch.selector, 2));
        disputes.commitChallenge(header, 2, keccak256("evidence"));
        header.sum += 1;
        vm.expectRevert(
            abi.encodeWithSelector(IDisputeErrors.UnknownBatch.selector, keccak256(abi.encode(header)))
        );
        disputes.commitChallenge(header, 0, keccak256("evidence"));
        vm.stopPrank();
    }

    function test_commit_revertsWithoutFiveJurors() public {
        vm.prank(jurors[0]);
        vault.leaveJury();
        vm.prank(jurors[1]);
        vault.leaveJury();
        vm.roll(block.number + 1);
        vm.expectRevert(abi.encodeWithSelector(IDisputeErrors.JuryTooSmall.selector, 4, 4 * JUROR_STAKE));
        vm.prank(challenger);
        disputes.commitChallenge(header, 0, keccak256("evidence"));
    }

    function test_commit_partiesDoNotCountAsJurors() public {
        vm.prank(jurors[0]);
        vault.leaveJury();
        vm.prank(challenger);
        vault.joinJury(JUROR_STAKE);
        vm.roll(block.number + 1);
        // five others remain: fine for the challenger
        _commit(3);
        vm.prank(jurors[1]);
        vault.leaveJury();
        vm.roll(block.number + 1);
        vm.expectRevert(abi.encodeWithSelector(IDisputeErrors.JuryTooSmall.selector, 4, 4 * JUROR_STAKE));
        vm.prank(challenger);
        disputes.commitChallenge(header, 0, keccak256("evidence"));
    }

    function test_reveal_voidsWithBondBackWhenTheJuryShrank() public {
        uint256 before = token.balanceOf(challenger);
        uint256 id = _commit(3);
        for (uint256 i; i < 2; ++i) {
            vm.prank(jurors[i]);
            vault.leaveJury();
        }
        vm.roll(block.number + 1);
        _reveal(id, 3);
        assertEq(uint8(disputes.dispute(id).state), uint8(State.Voided));
        assertEq(token.balanceOf(challenger), before);
    }

    function test_reveal_slashIsCappedAtHalfThePoolsStake() public {
        _anchorCase(100 ether);
        uint256 id = _commit(3);
        _reveal(id, 3);
        // 80 fees would be 8,000, the position holds 1,000 and half the pool is 1,500
        assertEq(disputes.dispute(id).encumbered, STAKE);
        vm.prank(stranger);
        vault.deposit(agentId, 9000 ether);
        uint256 second = _commit(4);
        _reveal(second, 4);
        assertEq(disputes.dispute(second).encumbered, 6 * JUROR_STAKE / 2);
    }

    function test_forfeit_burnsTheBondOfUnshownEvidence() public {
        uint256 id = _commit(3);
        uint256 by = disputes.dispute(id).evidenceBy;
        vm.warp(by);
        vm.expectRevert(abi.encodeWithSelector(IDisputeErrors.TooEarly.selector, by + 1));
        disputes.resolve(id);
        vm.warp(by + 1);
        vm.prank(stranger);
        disputes.resolve(id);
        assertEq(uint8(disputes.dispute(id).state), uint8(State.Forfeited));
        assertEq(token.burned(), JURY_COST);
        vm.expectRevert(abi.encodeWithSelector(IDisputeErrors.WrongState.selector, id, State.Forfeited));
        disputes.resolve(id);
    }

    function test_reveal_theftInTheBlockOfTheRevealIsTooEarly() public {
        uint256 id = _commit(3);
        vm.roll(block.number + 1);
        // the thief saw the evidence in the pending reveal
        uint256 theft = _commit(stranger, 3);
        RecordProof memory recordProof = Trees.recordProof(_both(), 0);
        bytes32[] memory stepProof = Trees.proof(_stepLeaves(), 0);
        bytes32[] memory tokenProof = Trees.proof(_tokenLeaves(), 3);
        TokenLeaf memory leaf = leaves[3];
        vm.expectRevert(abi.encodeWithSelector(IDisputeErrors.TooEarly.selector, block.number + 1));
        vm.prank(stranger);
        disputes.revealChallenge(theft, header, record, recordProof, step, stepProof, leaf, tokenProof, SALT);
        _reveal(id, 3);
        assertEq(uint8(disputes.dispute(id).state), uint8(State.Open));
        _reveal(stranger, theft, 3);
        assertEq(uint8(disputes.dispute(theft).state), uint8(State.Voided));
    }

    function test_reveal_revertsForOthersLateOrAltered() public {
        uint256 id = _commit(3);
        vm.roll(block.number + 1);
        RecordProof memory recordProof = Trees.recordProof(_both(), 0);
        bytes32[] memory stepProof = Trees.proof(_stepLeaves(), 0);
        bytes32[] memory tokenProof = Trees.proof(_tokenLeaves(), 3);
        TokenLeaf memory leaf = leaves[3];

        vm.expectRevert(abi.encodeWithSelector(IDisputeErrors.NotChallenger.selector, stranger));
        vm.prank(stranger);
        disputes.revealChallenge(id, header, record, recordProof, step, stepProof, leaf, tokenProof, SALT);

        vm.startPrank(challenger);
        vm.expectRevert(IDisputeErrors.EvidenceMismatch.selector);
        disputes.revealChallenge(
            id, header, record, recordProof, step, stepProof, leaf, tokenProof, bytes32(0)
        );
        leaf.logprob = -1;
        vm.expectRevert(abi.encodeWithSelector(IDisputeErrors.BadInclusion.selector, "token"));
        disputes.revealChallenge(id, header, record, recordProof, step, stepProof, leaf, tokenProof, SALT);
        leaf.logprob = CLAIMED;
        vm.expectRevert(abi.encodeWithSelector(IDisputeErrors.BadInclusion.selector, "step"));
        disputes.revealChallenge(id, header, record, recordProof, toolStep, stepProof, leaf, tokenProof, SALT);
        vm.expectRevert(abi.encodeWithSelector(IDisputeErrors.BadInclusion.selector, "record"));
        disputes.revealChallenge(id, header, neighbour, recordProof, step, stepProof, leaf, tokenProof, SALT);
        // another leaf than the committed one
        tokenProof = Trees.proof(_tokenLeaves(), 4);
        leaf = leaves[4];
        vm.expectRevert(IDisputeErrors.EvidenceMismatch.selector);
        disputes.revealChallenge(id, header, record, recordProof, step, stepProof, leaf, tokenProof, SALT);
        uint256 by = disputes.dispute(id).evidenceBy;
        vm.warp(by + 1);
        vm.expectRevert(abi.encodeWithSelector(IDisputeErrors.TooLate.selector, by));
        disputes.revealChallenge(id, header, record, recordProof, step, stepProof, leaf, tokenProof, SALT);
        vm.stopPrank();
    }

    function test_reveal_endLeafIsNotForThisJury() public {
        uint256 id = _commit(TOKENS);
        vm.roll(block.number + 1);
        vm.expectRevert(IDisputeErrors.NotReplayable.selector);
        _revealRaw(id, TOKENS);
    }

    // --- draw and votes ----------------------------------------------------------------------------------------

    function test_draw_waitsForItsBlock() public {
        uint256 id = _commit(3);
        _reveal(id, 3);
        uint256 at = disputes.dispute(id).drawBlock;
        vm.roll(at);
        vm.expectRevert(abi.encodeWithSelector(IDisputeErrors.TooEarly.selector, at + 1));
        disputes.draw(id);
        vm.roll(at + 1);
        disputes.draw(id);
        vm.expectRevert(abi.encodeWithSelector(IDisputeErrors.WrongState.selector, id, State.Drawn));
        disputes.draw(id);
    }

    function test_draw_givesFiveDistinctJurorsAndLocksThem() public {
        uint256 id = _drawn(3);
        address[] memory members = disputes.committee(id);
        assertEq(members.length, 5);
        for (uint256 i; i < 5; ++i) {
            (, uint256 locked,) = vault.jurorOf(members[i]);
            assertEq(locked, 2 ether);
            for (uint256 j; j < i; ++j) {
                assertNotEq(members[i], members[j]);
            }
        }
        assertEq(disputes.probe(id), disputes.dispute(id).probe);
    }

    function test_draw_missedBlockHasAFixedSuccessor() public {
        uint256 id = _commit(3);
        _reveal(id, 3);
        uint256 at = disputes.dispute(id).drawBlock;
        uint256 snapshot = vm.snapshotState();
        vm.roll(at + 257);
        vm.setBlockhash(at + 256, keccak256("successor"));
        disputes.draw(id);
        uint32 probe = disputes.probe(id);
        vm.revertToState(snapshot);
        // whoever draws later in the next 256 blocks gets the same committee
        vm.roll(at + 512);
        vm.setBlockhash(at + 256, keccak256("successor"));
        disputes.draw(id);
        assertEq(disputes.probe(id), probe);
    }

    function test_draw_ignoresJurorsThatJoinAfterTheOpening() public {
        uint256 id = _commit(3);
        _reveal(id, 3);
        address whale = _addJuror("whale", 1_000_000 ether);
        _draw(id);
        address[] memory members = disputes.committee(id);
        for (uint256 i; i < 5; ++i) {
            assertNotEq(members[i], whale);
        }
    }

    function test_vote_copiedCommitmentNeverReveals() public {
        uint256 id = _drawn(3);
        address[] memory members = disputes.committee(id);
        _commitVote(id, members[0], CLAIMED, -80_000);
        bytes32 copied = disputes.voteOf(id, 0, members[0]).commitment;
        vm.prank(members[1]);
        disputes.commitVote(id, copied);
        vm.warp(disputes.dispute(id).commitBy + 1);
        _revealVote(id, members[0], CLAIMED, -80_000);
        vm.expectRevert(abi.encodeWithSelector(IDisputeErrors.VoteMismatch.selector, members[1]));
        vm.prank(members[1]);
        disputes.revealVote(id, _list(CLAIMED, 1), -80_000, SALT);
    }

    function test_vote_revertsForStrangersTwiceLateAndEarly() public {
        uint256 id = _drawn(3);
        address[] memory members = disputes.committee(id);
        Dispute memory d = disputes.dispute(id);
        vm.expectRevert(abi.encodeWithSelector(IDisputeErrors.NotOnCommittee.selector, stranger));
        vm.prank(stranger);
        disputes.commitVote(id, keccak256("vote"));

        _commitVote(id, members[0], CLAIMED, -80_000);
        vm.startPrank(members[0]);
        vm.expectRevert(abi.encodeWithSelector(IDisputeErrors.AlreadyVoted.selector, members[0]));
        disputes.commitVote(id, keccak256("another"));
        vm.expectRevert(abi.encodeWithSelector(IDisputeErrors.TooEarly.selector, d.commitBy + 1));
        disputes.revealVote(id, _list(CLAIMED, 1), -80_000, SALT);
        vm.warp(d.commitBy + 1);
        disputes.revealVote(id, _list(CLAIMED, 1), -80_000, SALT);
        vm.expectRevert(abi.encodeWithSelector(IDisputeErrors.AlreadyVoted.selector, members[0]));
        disputes.revealVote(id, _list(CLAIMED, 1), -80_000, SALT);
        vm.stopPrank();

        vm.expectRevert(abi.encodeWithSelector(IDisputeErrors.TooLate.selector, d.commitBy));
        vm.prank(members[1]);
        disputes.commitVote(id, keccak256("vote"));
        vm.expectRevert(abi.encodeWithSelector(IDisputeErrors.TooEarly.selector, d.revealBy + 1));
        disputes.resolve(id);
    }

    function test_vote_revertsForLogprobsThatAreNone() public {
        uint256 id = _drawn(3);
        address[] memory members = disputes.committee(id);
        for (uint256 i; i < 5; ++i) {
            _commitVote(id, members[i], i == 0 ? int32(1) : CLAIMED, i == 0 ? int32(0) : -1_000_001);
        }
        vm.expectRevert(abi.encodeWithSelector(IDisputeErrors.BadLogprob.selector, -1_000_001));
        _revealVote(id, members[1], _list(CLAIMED, 1), -1_000_001);
        vm.expectRevert(abi.encodeWithSelector(IDisputeErrors.BadLogprob.selector, 1));
        _revealVote(id, members[0], _list(1, 1), 0);
    }

    function test_rulings_codeAloneKnowsNoDispute() public {
        uint256 id = _drawn(3);
        address code = disputes.rulings();
        (bool ok,) = code.call(abi.encodeCall(disputes.resolve, (id)));
        assertFalse(ok);
        vm.expectEmit(true, false, false, false, address(disputes));
        emit IDisputeEvents.VoteCommitted(id, 0, disputes.committee(id)[0]);
        _commitVote(id, disputes.committee(id)[0], 0, 0);
    }

    function _revealRaw(uint256 id, uint32 token_) private {
        RecordProof memory recordProof = Trees.recordProof(_both(), 0);
        bytes32[] memory stepProof = Trees.proof(_stepLeaves(), 0);
        bytes32[] memory tokenProof = Trees.proof(_tokenLeaves(), token_);
        TokenLeaf memory leaf = leaves[token_];
        vm.prank(challenger);
        disputes.revealChallenge(id, header, record, recordProof, step, stepProof, leaf, tokenProof, SALT);
    }

    function _assertNoLocks(address[] memory members) private view {
        for (uint256 i; i < members.length; ++i) {
            (, uint256 locked,) = vault.jurorOf(members[i]);
            assertEq(locked, 0);
        }
    }
}
