// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { IAccessControl } from "@openzeppelin/contracts/access/IAccessControl.sol";
import { Ownable } from "@openzeppelin/contracts/access/Ownable.sol";
import { IGovernor } from "@openzeppelin/contracts/governance/IGovernor.sol";
import { TimelockController } from "@openzeppelin/contracts/governance/TimelockController.sol";
import { IOpenGovernor } from "src/interfaces/IOpenGovernor.sol";
import { IOpenTimelock } from "src/interfaces/IOpenTimelock.sol";
import { IParameters } from "src/interfaces/IParameters.sol";
import { Dispute, State } from "src/types/DisputeTypes.sol";
import { Param } from "src/types/Param.sol";
import { Ballot } from "./utils/Ballot.sol";

contract GovernanceTest is Ballot {
    uint256 private constant TOTAL = 1_000_000_000 ether;

    // -- who owns what -----------------------------------------------------------------------------

    function test_deployment_leavesNobodyInCharge() public {
        assertEq(parameters.owner(), address(timelock));
        assertEq(openTreasury.owner(), address(timelock));
        assertEq(directory.owner(), address(timelock));
        assertEq(parameters.pendingOwner(), address(0));
        address founder = makeAddr("founder");
        address[4] memory powerless = [founder, address(this), whale, address(0)];
        for (uint256 i; i < powerless.length; ++i) {
            assertFalse(timelock.hasRole(timelock.DEFAULT_ADMIN_ROLE(), powerless[i]));
            assertFalse(timelock.hasRole(timelock.PROPOSER_ROLE(), powerless[i]));
            assertFalse(timelock.hasRole(timelock.CANCELLER_ROLE(), powerless[i]));
        }
        assertTrue(timelock.hasRole(timelock.DEFAULT_ADMIN_ROLE(), address(timelock)));
        assertTrue(timelock.hasRole(timelock.PROPOSER_ROLE(), address(openGovernor)));
        assertTrue(timelock.hasRole(timelock.CANCELLER_ROLE(), address(openGovernor)));
        // anyone executes what is due
        assertTrue(timelock.hasRole(timelock.EXECUTOR_ROLE(), address(0)));
        assertEq(parameters.guardian(), address(0));

        bytes32 proposerRole = timelock.PROPOSER_ROLE();
        vm.prank(founder);
        vm.expectRevert(
            abi.encodeWithSelector(
                IAccessControl.AccessControlUnauthorizedAccount.selector, founder, bytes32(0)
            )
        );
        timelock.grantRole(proposerRole, founder);
        vm.prank(founder);
        vm.expectRevert(abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, founder));
        parameters.set(Param.GrossDelta, 3000);
    }

    function test_settings_areTheDocumentedOnes() public view {
        assertEq(openGovernor.votingDelay(), 1 days);
        assertEq(openGovernor.votingPeriod(), 5 days);
        assertEq(openGovernor.proposalThreshold(), 100_000 ether);
        assertEq(openGovernor.quorumNumerator(), 1000);
        assertEq(openGovernor.quorumDenominator(), 10_000);
        assertEq(openGovernor.CLOCK_MODE(), "mode=timestamp");
        assertEq(openGovernor.clock(), block.timestamp);
        assertEq(timelock.getMinDelay(), 8 days);
        (, uint256 longestWindow) = parameters.bounds(Param.ChallengeWindow);
        assertGt(timelock.getMinDelay(), longestWindow);
    }

    // -- a proposal's life -------------------------------------------------------------------------

    function test_proposal_changesAParameterThroughTheTimelock() public {
        Proposal memory p =
            _proposal(address(parameters), abi.encodeCall(IParameters.set, (Param.GrossDelta, 3000)));
        uint256 id = _propose(p);
        _assertState(id, IGovernor.ProposalState.Pending);
        _openVote(id);
        _assertState(id, IGovernor.ProposalState.Active);
        _cast(id, whale, FOR);
        _cast(id, member, ABSTAIN); // counts for the quorum
        vm.expectPartialRevert(IGovernor.GovernorUnexpectedProposalState.selector);
        _queue(p);
        _closeVote(id);
        _assertState(id, IGovernor.ProposalState.Succeeded);
        vm.expectRevert();
        _execute(p);
        _queue(p);
        _assertState(id, IGovernor.ProposalState.Queued);
        uint256 eta = openGovernor.proposalEta(id);
        assertEq(eta, block.timestamp + 8 days);
        vm.warp(eta - 1);
        vm.expectPartialRevert(TimelockController.TimelockUnexpectedOperationState.selector);
        _execute(p);
        assertEq(parameters.get(Param.GrossDelta), 2500);
        vm.warp(eta);
        vm.prank(stranger);
        _execute(p);
        _assertState(id, IGovernor.ProposalState.Executed);
        assertEq(parameters.get(Param.GrossDelta), 3000);
        vm.expectPartialRevert(IGovernor.GovernorUnexpectedProposalState.selector);
        _execute(p);
    }

    function test_proposal_outOfBoundsRevertsWhenExecuted() public {
        Proposal memory p =
            _proposal(address(parameters), abi.encodeCall(IParameters.set, (Param.BurnShare, 4999)));
        _ready(p);
        vm.expectRevert(
            abi.encodeWithSelector(IParameters.OutOfBounds.selector, Param.BurnShare, 4999, 5000, 10_000)
        );
        _execute(p);
        assertEq(parameters.get(Param.BurnShare), 5000);
    }

    function test_proposal_withMoreAgainstIsDefeated() public {
        Proposal memory p =
            _proposal(address(parameters), abi.encodeCall(IParameters.set, (Param.GrossDelta, 3000)));
        uint256 id = _propose(p);
        _openVote(id);
        _cast(id, whale, AGAINST);
        _cast(id, member, FOR);
        vm.prank(member);
        vm.expectPartialRevert(IGovernor.GovernorAlreadyCastVote.selector);
        openGovernor.castVote(id, FOR);
        _closeVote(id);
        _assertState(id, IGovernor.ProposalState.Defeated);
        vm.expectPartialRevert(IGovernor.GovernorUnexpectedProposalState.selector);
        _queue(p);
    }

    function test_propose_needsTheThresholdASecondBefore() public {
        Proposal memory p = _proposal(address(parameters), "");
        vm.prank(stranger);
        vm.expectRevert(
            abi.encodeWithSelector(
                IGovernor.GovernorInsufficientProposerVotes.selector, stranger, 0, 100_000 ether
            )
        );
        openGovernor.propose(p.targets, p.values, p.calls, p.description);
        _voter(stranger, 100_000 ether);
        vm.prank(stranger);
        vm.expectPartialRevert(IGovernor.GovernorInsufficientProposerVotes.selector);
        openGovernor.propose(p.targets, p.values, p.calls, p.description);
        vm.warp(block.timestamp + 1);
        vm.prank(stranger);
        openGovernor.propose(p.targets, p.values, p.calls, p.description);
    }

    function test_vote_countsWhatWasDelegatedAtTheSnapshot() public {
        uint256 id = _propose(_proposal(address(parameters), ""));
        _openVote(id);
        // bought after the snapshot, and sold after it
        vm.prank(whale);
        token.transfer(stranger, 15_000_000 ether);
        vm.prank(stranger);
        token.delegate(stranger);
        vm.warp(block.timestamp + 1);
        _cast(id, stranger, AGAINST);
        _cast(id, whale, FOR);
        (uint256 against, uint256 inFavour,) = openGovernor.proposalVotes(id);
        assertEq(against, 0);
        assertEq(inFavour, 15_000_000 ether);
    }

    function test_cancel_isForTheProposerBeforeTheVote() public {
        Proposal memory p = _proposal(address(parameters), "");
        uint256 id = _propose(p);
        bytes32 why = keccak256(bytes(p.description));
        vm.prank(member);
        vm.expectPartialRevert(IGovernor.GovernorUnableToCancel.selector);
        openGovernor.cancel(p.targets, p.values, p.calls, why);
        vm.prank(whale);
        openGovernor.cancel(p.targets, p.values, p.calls, why);
        _assertState(id, IGovernor.ProposalState.Canceled);
    }

    // -- quorum ------------------------------------------------------------------------------------

    function test_quorum_isNeverMetByATinyWrappedSupply() public {
        // all there is, one tenth short of the floor, in favour: still defeated
        _keepWrapped(18_000_000 ether);
        uint256 id = _propose(_proposal(address(parameters), ""));
        _openVote(id);
        _cast(id, whale, FOR);
        _cast(id, member, FOR);
        (, uint256 inFavour,) = openGovernor.proposalVotes(id);
        assertEq(inFavour, token.getPastTotalSupply(openGovernor.proposalSnapshot(id)) - _idle());
        assertGt(inFavour, _fractionOf(id));
        _closeVote(id);
        _assertState(id, IGovernor.ProposalState.Defeated);
    }

    function test_quorum_isTheFractionOnceMuchIsWrapped() public {
        _voter(stranger, 500_000_000 ether);
        vm.warp(block.timestamp + 1);
        uint256 id = _propose(_proposal(address(parameters), ""));
        _openVote(id);
        uint256 snapshot = openGovernor.proposalSnapshot(id);
        assertEq(openGovernor.quorum(snapshot), token.getPastTotalSupply(snapshot) / 10);
        assertGt(openGovernor.quorum(snapshot), openGovernor.quorumFloor(snapshot));
        _cast(id, whale, FOR);
        _cast(id, member, FOR);
        _closeVote(id);
        _assertState(id, IGovernor.ProposalState.Defeated);
    }

    function test_quorum_votesAgainstDoNotCount() public {
        uint256 id = _propose(_proposal(address(parameters), ""));
        _openVote(id);
        _cast(id, whale, FOR);
        _cast(id, member, AGAINST);
        _closeVote(id);
        // 15 of 21 million voted for it, and 20 million would be needed
        _assertState(id, IGovernor.ProposalState.Defeated);
    }

    function test_quorumFloor_leavesOutWhatWasBurnedBeforeTheProposal() public {
        assertEq(openGovernor.quorumFloor(block.timestamp), TOTAL / 50);
        vm.prank(member);
        token.burn(1_000_000 ether);
        uint256 id = _propose(_proposal(address(parameters), ""));
        uint256 floor = (TOTAL - 1_000_000 ether) / 50;
        assertEq(openGovernor.quorumFloor(openGovernor.proposalSnapshot(id)), floor);
        _openVote(id);
        vm.prank(member);
        token.burn(1_000_000 ether);
        assertEq(openGovernor.quorumFloor(openGovernor.proposalSnapshot(id)), floor);
    }

    function test_fuzz_quorum_isNeverBelowTwoPerCentOfAllOpen(uint256 wrapped, uint256 burned) public {
        wrapped = bound(wrapped, 0, TOTAL - 30_000_000 ether);
        burned = bound(burned, 0, wrapped);
        _fund(stranger, wrapped);
        vm.prank(stranger);
        token.burn(burned);
        uint256 id = _propose(_proposal(address(parameters), ""));
        _openVote(id);
        uint256 quorum = openGovernor.quorum(openGovernor.proposalSnapshot(id));
        assertGe(quorum, (TOTAL - burned) / 50);
        assertGe(quorum, _fractionOf(id));
        assertLe(quorum, TOTAL / 10);
    }

    // -- what governance may change about itself -----------------------------------------------------

    function test_settings_areBounded() public {
        _pass(address(openGovernor), abi.encodeCall(openGovernor.setVotingDelay, (2 days)));
        _pass(address(openGovernor), abi.encodeCall(openGovernor.setVotingPeriod, (7 days)));
        _pass(address(openGovernor), abi.encodeCall(openGovernor.setProposalThreshold, (200_000 ether)));
        _pass(address(openGovernor), abi.encodeCall(openGovernor.updateQuorumNumerator, (900)));
        assertEq(openGovernor.votingDelay(), 2 days);
        assertEq(openGovernor.votingPeriod(), 7 days);
        assertEq(openGovernor.proposalThreshold(), 200_000 ether);
        assertEq(openGovernor.quorumNumerator(), 900);

        for (uint256 i; i < 2; ++i) {
            uint256 value = i == 0 ? 1 hours - 1 : 7 days + 1;
            bytes memory call = abi.encodeCall(openGovernor.setVotingDelay, (uint48(value)));
            _refused(call, "votingDelay", value, 1 hours, 7 days);
            value = i == 0 ? 3 days - 1 : type(uint32).max;
            call = abi.encodeCall(openGovernor.setVotingPeriod, (uint32(value)));
            _refused(call, "votingPeriod", value, 3 days, 14 days);
            value = i == 0 ? 0 : type(uint256).max;
            call = abi.encodeCall(openGovernor.setProposalThreshold, (value));
            _refused(call, "proposalThreshold", value, 1000 ether, 1_000_000 ether);
            value = i == 0 ? 399 : 10_000;
            call = abi.encodeCall(openGovernor.updateQuorumNumerator, (value));
            _refused(call, "quorumNumerator", value, 400, 3000);
        }
        vm.prank(whale);
        vm.expectPartialRevert(IGovernor.GovernorOnlyExecutor.selector);
        openGovernor.setVotingDelay(2 days);
    }

    function test_timelockDelay_neverBecomesShort() public {
        uint256[3] memory bad = [uint256(0), 8 days - 1, 30 days + 1];
        for (uint256 i; i < 3; ++i) {
            vm.prank(governor);
            vm.expectRevert(
                abi.encodeWithSelector(IOpenTimelock.DelayOutOfBounds.selector, bad[i], 8 days, 30 days)
            );
            timelock.updateDelay(bad[i]);
        }
        vm.expectPartialRevert(TimelockController.TimelockUnauthorizedCaller.selector);
        timelock.updateDelay(10 days);
        _pass(address(timelock), abi.encodeCall(timelock.updateDelay, (10 days)));
        assertEq(timelock.getMinDelay(), 10 days);
    }

    /// @dev A proposal made when a pause begins can dismiss the guardian before it may pause again.
    function test_guardian_isDismissedBeforeItsNextPause() public {
        address guardian = makeAddr("guardian");
        _pass(address(parameters), abi.encodeCall(parameters.setGuardian, (guardian)));
        vm.prank(guardian);
        parameters.pauseIntake(14 days);
        uint256 readyAt = parameters.guardianReadyAt();
        Proposal memory p =
            _proposal(address(parameters), abi.encodeCall(parameters.setGuardian, (address(0))));
        p.description = "dismiss the guardian";
        _ready(p);
        _execute(p);
        assertLt(block.timestamp, readyAt);
        assertEq(parameters.guardian(), address(0));
    }

    // -- what a change does to what runs ---------------------------------------------------------------

    /// @dev Every number a dispute runs under was fixed when it was opened.
    function test_dispute_openedBeforeAChangeResolvesUnderItsSnapshot() public {
        uint256 id = _drawn(3);
        Dispute memory before = disputes.dispute(id);
        vm.startPrank(governor);
        parameters.set(Param.GrossDelta, 5000);
        parameters.set(Param.VoteTolerance, 100);
        parameters.set(Param.OutputSlash, 4000);
        parameters.set(Param.JurorFee, 0.001 ether);
        parameters.set(Param.ChallengerShare, 0);
        parameters.set(Param.BurnShare, 9000);
        parameters.set(Param.WithdrawalDelay, 60 days);
        parameters.set(Param.CommitPeriod, 48 hours);
        parameters.set(Param.RevealPeriod, 48 hours);
        parameters.set(Param.NonRevealPenalty, 50 ether);
        parameters.set(Param.WrongVotePenalty, 50 ether);
        vm.stopPrank();
        assertEq(keccak256(abi.encode(disputes.dispute(id))), keccak256(abi.encode(before)));

        // 0.3 nat off: gross by the old measure, not by the new one
        uint256 challengerHad = token.balanceOf(challenger);
        uint256 burned = token.burned();
        int32 seen = leaves[3].logprob - 3000;
        _voteAll(id, 5, seen, -80_000);
        Dispute memory d = disputes.dispute(id);
        assertEq(uint8(d.state), uint8(State.Convicted));
        assertEq(vault.stakeOf(agentId), STAKE - SLASH, "eighty fees, as at the opening");
        // bond back and the old share of thirty per cent
        assertEq(token.balanceOf(challenger), challengerHad + before.bond + SLASH * 3 / 10);
        assertGe(token.burned() - burned, SLASH / 2);
    }

    function test_dispute_penaltiesAreThoseOfItsSnapshot() public {
        uint256 id = _drawn(3);
        address[] memory members = disputes.committee(id);
        vm.prank(governor);
        parameters.set(Param.NonRevealPenalty, 80 ether);
        _voteAll(id, 3, leaves[3].logprob, -80_000);
        // two stayed silent
        for (uint256 i = 3; i < 5; ++i) {
            assertEq(vault.jurorStake(members[i]), JUROR_STAKE - 2 ether);
        }
    }

    function _refused(bytes memory call, string memory setting, uint256 value, uint256 min, uint256 max)
        private
    {
        Proposal memory p = _proposal(address(openGovernor), call);
        _ready(p);
        vm.expectRevert(
            abi.encodeWithSelector(IOpenGovernor.SettingOutOfBounds.selector, setting, value, min, max)
        );
        _execute(p);
    }

    function _fractionOf(uint256 id) private view returns (uint256) {
        return token.getPastTotalSupply(openGovernor.proposalSnapshot(id)) / 10;
    }

    /// @dev Leaves `amount` with the voters, who unwrap the rest.
    function _keepWrapped(uint256 amount) private {
        vm.prank(whale);
        token.withdraw(21_000_000 ether - amount);
    }

    /// @dev Wrapped by the world's parties, who do not vote.
    function _idle() private view returns (uint256) {
        return token.totalSupply() - token.getVotes(whale) - token.getVotes(member);
    }
}
