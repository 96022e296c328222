// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { Ownable } from "@openzeppelin/contracts/access/Ownable.sol";
import { IIntakeGuard } from "src/interfaces/IIntakeGuard.sol";
import { State } from "src/types/DisputeTypes.sol";
import { Case } from "./utils/Case.sol";
import { Payout, Trees } from "./utils/Trees.sol";

contract IntakeGuardTest is Case {
    address private guardian = makeAddr("guardian");

    function setUp() public override {
        super.setUp();
        vm.prank(governor);
        parameters.setGuardian(guardian);
    }

    function test_setGuardian_isForTheOwner() public {
        vm.expectRevert(abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, guardian));
        vm.prank(guardian);
        parameters.setGuardian(stranger);
        vm.expectEmit(address(parameters));
        emit IIntakeGuard.GuardianSet(stranger);
        vm.prank(governor);
        parameters.setGuardian(stranger);
        assertEq(parameters.guardian(), stranger);
        vm.prank(guardian);
        vm.expectRevert(abi.encodeWithSelector(IIntakeGuard.OnlyGuardian.selector, guardian));
        parameters.pauseIntake(1 days);
    }

    function test_pauseIntake_isForTheGuardianAndAtMostFourteenDays() public {
        vm.prank(governor);
        vm.expectRevert(abi.encodeWithSelector(IIntakeGuard.OnlyGuardian.selector, governor));
        parameters.pauseIntake(1 days);
        uint256[3] memory bad = [uint256(0), 14 days + 1, type(uint256).max];
        for (uint256 i; i < 3; ++i) {
            vm.prank(guardian);
            vm.expectRevert(abi.encodeWithSelector(IIntakeGuard.BadPause.selector, bad[i], 14 days));
            parameters.pauseIntake(bad[i]);
        }
        uint256 until = block.timestamp + 14 days;
        vm.expectEmit(address(parameters));
        emit IIntakeGuard.IntakePausedUntil(guardian, until, until + 14 days);
        _pause(14 days);
        assertEq(parameters.intakePausedUntil(), until);
        _expectPaused();
        parameters.requireIntakeOpen();
        vm.warp(until - 1);
        _expectPaused();
        parameters.requireIntakeOpen();
        vm.warp(until);
        parameters.requireIntakeOpen();
    }

    function test_pauseIntake_cannotBeProlonged() public {
        _pause(14 days);
        uint256 readyAt = parameters.guardianReadyAt();
        assertEq(readyAt, parameters.intakePausedUntil() + 14 days);
        uint256[3] memory early = [block.timestamp, parameters.intakePausedUntil(), readyAt - 1];
        for (uint256 i; i < 3; ++i) {
            vm.warp(early[i]);
            vm.prank(guardian);
            vm.expectRevert(abi.encodeWithSelector(IIntakeGuard.GuardianResting.selector, readyAt));
            parameters.pauseIntake(1);
        }
        vm.warp(readyAt);
        _pause(14 days);
    }

    function test_resumeIntake_isForOwnerAndGuardianAndKeepsTheRest() public {
        vm.prank(governor);
        vm.expectRevert(IIntakeGuard.IntakeNotPaused.selector);
        parameters.resumeIntake();
        _pause(10 days);
        vm.prank(stranger);
        vm.expectRevert(abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, stranger));
        parameters.resumeIntake();
        vm.expectEmit(address(parameters));
        emit IIntakeGuard.IntakeResumed(governor);
        vm.prank(governor);
        parameters.resumeIntake();
        parameters.requireIntakeOpen();
        uint256 readyAt = parameters.guardianReadyAt();
        assertEq(readyAt, block.timestamp + 20 days);
        vm.prank(guardian);
        vm.expectRevert(abi.encodeWithSelector(IIntakeGuard.GuardianResting.selector, readyAt));
        parameters.pauseIntake(1);

        vm.warp(readyAt);
        _pause(1 days);
        vm.prank(guardian);
        parameters.resumeIntake();
        parameters.requireIntakeOpen();
    }

    function test_setGuardian_endsTheRestButProlongsNoPause() public {
        _pause(14 days);
        vm.prank(governor);
        parameters.setGuardian(stranger);
        _expectPaused();
        vm.prank(stranger);
        parameters.pauseIntake(14 days);
        vm.warp(parameters.intakePausedUntil());
        vm.prank(stranger);
        parameters.pauseIntake(1);
    }

    /// @dev However a guardian times its pauses, they cover at most half of the time plus one pause.
    function test_fuzz_pauseIntake_isNeverForGood(uint256[16] memory durations, uint256[16] memory waits)
        public
    {
        uint256 start = block.timestamp;
        uint256 now_ = start;
        uint256 paused;
        for (uint256 i; i < durations.length; ++i) {
            uint256 duration = bound(durations[i], 1, 14 days);
            now_ += bound(waits[i], 0, 30 days);
            vm.warp(now_);
            vm.prank(guardian);
            try parameters.pauseIntake(duration) {
                paused += duration;
            } catch { }
            assertLe(parameters.intakePausedUntil(), now_ + 14 days);
            assertLe(2 * paused, now_ - start + 2 * 14 days);
        }
    }

    function test_paused_refusesDepositsJurorsAndFirstEpochs() public {
        vm.startPrank(operator);
        uint256 newcomer = agents.register("ipfs://newcomer");
        vault.deposit(newcomer, STAKE);
        vm.stopPrank();
        _pause(1 days);

        _expectPaused();
        vm.prank(operator);
        vault.deposit(agentId, 1 ether);
        _expectPaused();
        vm.prank(stranger);
        vault.joinJury(JUROR_STAKE);
        _expectPaused();
        vm.prank(operator);
        actionLog.openEpoch(newcomer, recordKey, keccak256("manifest"), keccak256("manifest root"));

        vm.warp(block.timestamp + 1 days);
        vm.prank(operator);
        actionLog.openEpoch(newcomer, recordKey, keccak256("manifest"), keccak256("manifest root"));
    }

    function test_paused_exitsClaimsRefundsAnchorsAndKeyRotationWork() public {
        _pause(14 days);
        _openEpoch(operator, recordKey);
        _anchorMany(1, FEE);

        _pay(FEE);
        vm.startPrank(operator);
        pool.refund(agentId, keccak256("unanchored"), client, FEE);
        vault.requestWithdraw(agentId, 1 ether);
        vm.stopPrank();
        vm.prank(jurors[0]);
        vault.leaveJury();

        Payout[] memory payouts = _payouts(2 * FEE);
        uint256 before = token.balanceOf(contributor);
        _passWindow();
        pool.claim(header, 0, payouts[0].account, payouts[0].amount, Trees.sumProof(payouts, 0));
        assertEq(token.balanceOf(contributor), before + payouts[0].amount);

        // paid out although the guardian pauses again as soon as it may
        vm.warp(parameters.guardianReadyAt());
        _pause(14 days);
        vm.prank(operator);
        assertEq(vault.withdraw(agentId), 1 ether);
        vm.prank(jurors[0]);
        assertEq(vault.withdrawJury(), JUROR_STAKE);
    }

    function test_paused_disputesRunToTheirEnd() public {
        _pause(14 days);
        uint256 id = _drawn(3);
        _voteAll(id, 5, -40_000, -80_000);
        assertEq(uint8(disputes.dispute(id).state), uint8(State.Convicted));
        assertEq(vault.stakeOf(agentId), STAKE - SLASH);
        assertGt(parameters.intakePausedUntil(), block.timestamp);
    }

    function _pause(uint256 duration) private {
        vm.prank(guardian);
        parameters.pauseIntake(duration);
    }

    function _expectPaused() private {
        uint256 until = parameters.intakePausedUntil();
        vm.expectRevert(abi.encodeWithSelector(IIntakeGuard.IntakePaused.selector, until));
    }
}
