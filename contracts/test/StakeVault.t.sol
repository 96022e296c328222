// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { Exit, IJurorPool, IStakeVault, Position } from "src/interfaces/IStakeVault.sol";
import { Param } from "src/types/Param.sol";
import { World } from "./utils/World.sol";

contract StakeVaultTest is World {
    address[] private nobody;

    function test_deposit_creditsTheOwnerWhoeverPays() public {
        vm.prank(stranger);
        vault.deposit(agentId, 5 ether);
        assertEq(vault.stakeOf(agentId), STAKE + 5 ether);
        assertEq(vault.positionOf(agentId, stranger).active, 0);
        assertEq(actionLog.coverageLeft(agentId), (STAKE + 5 ether) / 4);
    }

    function test_deposit_revertsForZeroAndUnknownAgents() public {
        vm.startPrank(operator);
        vm.expectRevert(IStakeVault.ZeroAmount.selector);
        vault.deposit(agentId, 0);
        vm.expectRevert(abi.encodeWithSignature("ERC721NonexistentToken(uint256)", 99));
        vault.deposit(99, 1 ether);
        vm.stopPrank();
    }

    function test_withdraw_paysAfterTheDelayOnly() public {
        vm.startPrank(operator);
        vault.requestWithdraw(agentId, 100 ether);
        vm.expectRevert(IStakeVault.NothingToWithdraw.selector);
        vault.withdraw(agentId);
        vm.warp(block.timestamp + 14 days - 1);
        vm.expectRevert(IStakeVault.NothingToWithdraw.selector);
        vault.withdraw(agentId);
        vm.warp(block.timestamp + 1);
        uint256 before = token.balanceOf(operator);
        assertEq(vault.withdraw(agentId), 100 ether);
        vm.stopPrank();
        assertEq(token.balanceOf(operator), before + 100 ether);
        assertEq(vault.exitsOf(agentId, operator).length, 0);
    }

    function test_withdraw_paysEachRequestAtItsOwnTime() public {
        vm.startPrank(operator);
        vault.requestWithdraw(agentId, 100 ether);
        vm.warp(block.timestamp + 3 days);
        vault.requestWithdraw(agentId, 50 ether);
        vm.warp(block.timestamp + 11 days);
        assertEq(vault.withdraw(agentId), 100 ether);
        vm.warp(block.timestamp + 3 days);
        assertEq(vault.withdraw(agentId), 50 ether);
        vm.stopPrank();
    }

    function test_withdraw_aShorterDelayDoesNotOvertakeAnEarlierRequest() public {
        vm.prank(governor);
        parameters.set(Param.WithdrawalDelay, 30 days);
        vm.prank(operator);
        vault.requestWithdraw(agentId, 1 ether);
        vm.prank(governor);
        parameters.set(Param.WithdrawalDelay, 14 days);
        vm.prank(operator);
        vault.requestWithdraw(agentId, 1 ether);
        Exit[] memory exits = vault.exitsOf(agentId, operator);
        assertEq(exits[1].readyAt, exits[0].readyAt);
    }

    function test_requestWithdraw_revertsBeyondActiveAndBeyondSixteen() public {
        vm.startPrank(operator);
        vm.expectRevert(abi.encodeWithSelector(IStakeVault.ExceedsActive.selector, STAKE + 1, STAKE));
        vault.requestWithdraw(agentId, STAKE + 1);
        for (uint256 i; i < 16; ++i) {
            vault.requestWithdraw(agentId, 1 ether);
        }
        vm.expectRevert(IStakeVault.TooManyExits.selector);
        vault.requestWithdraw(agentId, 1 ether);
        vm.stopPrank();
    }

    function test_requestWithdraw_nobodyElseCan() public {
        vm.expectRevert(abi.encodeWithSelector(IStakeVault.ExceedsActive.selector, 1, 0));
        vm.prank(stranger);
        vault.requestWithdraw(agentId, 1);
        // an approved operator is not the staker either
        vm.prank(operator);
        agents.setApprovalForAll(stranger, true);
        vm.expectRevert(abi.encodeWithSelector(IStakeVault.ExceedsActive.selector, 1, 0));
        vm.prank(stranger);
        vault.requestWithdraw(agentId, 1);
    }

    function test_disputesOnly_functionsRevertForEveryoneElse() public {
        address[3] memory callers = [stranger, operator, governor];
        for (uint256 i; i < 3; ++i) {
            bytes memory refusal = abi.encodeWithSelector(IJurorPool.OnlyDisputes.selector, callers[i]);
            vm.startPrank(callers[i]);
            vm.expectRevert(refusal);
            vault.encumber(agentId, operator, 1);
            vm.expectRevert(refusal);
            vault.release(agentId, operator, 1);
            vm.expectRevert(refusal);
            vault.slash(agentId, operator, 1);
            vm.expectRevert(refusal);
            vault.lockJuror(jurors[0], 1);
            vm.expectRevert(refusal);
            vault.settleJuror(jurors[0], 1, 1);
            vm.stopPrank();
        }
    }

    function test_encumber_capsAtThePositionAndRestrictsBacking() public {
        vm.startPrank(address(disputes));
        assertEq(vault.encumber(agentId, operator, 2 * STAKE), STAKE);
        assertEq(vault.backingOf(agentId, operator), 0);
        assertEq(actionLog.coverageLeft(agentId), 0);
        vault.release(agentId, operator, STAKE / 2);
        assertEq(vault.backingOf(agentId, operator), STAKE / 2);
        vm.expectRevert(abi.encodeWithSelector(IStakeVault.ExceedsClaims.selector, STAKE, STAKE / 2));
        vault.release(agentId, operator, STAKE);
        vm.stopPrank();
    }

    function test_fuzz_slash_takesActiveFirstThenTheOldestExits(uint96 exitA, uint96 exitB, uint96 amount)
        public
    {
        exitA = uint96(bound(exitA, 1, STAKE / 2));
        exitB = uint96(bound(exitB, 1, STAKE / 2));
        amount = uint96(bound(amount, 1, 2 * STAKE));
        vm.startPrank(operator);
        vault.requestWithdraw(agentId, exitA);
        vault.requestWithdraw(agentId, exitB);
        vm.stopPrank();
        vm.prank(address(disputes));
        uint256 taken = vault.slash(agentId, operator, amount);
        assertEq(taken, amount > STAKE ? STAKE : amount);
        Position memory p = vault.positionOf(agentId, operator);
        assertEq(uint256(p.active) + p.pending, STAKE - taken);
        if (p.active != 0) assertEq(p.pending, uint256(exitA) + exitB);
        Exit[] memory exits = vault.exitsOf(agentId, operator);
        uint256 waiting;
        for (uint256 i; i < exits.length; ++i) {
            waiting += exits[i].amount;
        }
        assertEq(waiting, p.pending);
        vm.warp(block.timestamp + 14 days);
        if (p.pending != 0) {
            vm.prank(operator);
            assertEq(vault.withdraw(agentId), p.pending);
        }
        assertEq(token.balanceOf(address(vault)), p.active + 6 * JUROR_STAKE);
    }

    // --- jurors ------------------------------------------------------------------------------------------------

    function test_joinJury_needsTheMinimum() public {
        vm.startPrank(stranger);
        vm.expectRevert(abi.encodeWithSelector(IJurorPool.JurorStakeTooLow.selector, 99 ether, 100 ether));
        vault.joinJury(99 ether);
        vault.joinJury(100 ether);
        vault.joinJury(1 ether);
        vm.stopPrank();
        assertEq(vault.jurorStake(stranger), 101 ether);
    }

    function test_leaveJury_stopsDrawsAtOnceAndPaysAfterTheDelay() public {
        address juror = jurors[0];
        vm.startPrank(juror);
        vault.leaveJury();
        vm.expectRevert(abi.encodeWithSelector(IJurorPool.JurorLeaving.selector, juror));
        vault.joinJury(100 ether);
        vm.expectRevert(abi.encodeWithSelector(IJurorPool.JurorLeaving.selector, juror));
        vault.leaveJury();
        vm.expectRevert(
            abi.encodeWithSelector(IJurorPool.JurorStakeLocked.selector, 0, block.timestamp + 14 days)
        );
        vault.withdrawJury();
        vm.roll(block.number + 1);
        (uint256 stake, uint256 count) = vault.juryAt(block.number - 1, nobody);
        assertEq(stake, 5 * JUROR_STAKE);
        assertEq(count, 5);
        vm.warp(block.timestamp + 14 days);
        uint256 before = token.balanceOf(juror);
        assertEq(vault.withdrawJury(), JUROR_STAKE);
        assertEq(token.balanceOf(juror), before + JUROR_STAKE);
        // back again, in the same place
        vault.joinJury(200 ether);
        vm.stopPrank();
        vm.roll(block.number + 1);
        (stake, count) = vault.juryAt(block.number - 1, nobody);
        assertEq(stake, 5 * JUROR_STAKE + 200 ether);
        assertEq(count, 6);
    }

    function test_jury_strangersCannotLeaveOrWithdraw() public {
        vm.startPrank(stranger);
        vm.expectRevert(abi.encodeWithSelector(IJurorPool.NotJuror.selector, stranger));
        vault.leaveJury();
        vm.expectRevert(abi.encodeWithSelector(IJurorPool.NotJuror.selector, stranger));
        vault.withdrawJury();
        vm.stopPrank();
    }

    function test_lockedJurorIsNotPaidAndPenaltyIsCappedByTheLock() public {
        address juror = jurors[0];
        vm.prank(address(disputes));
        assertEq(vault.lockJuror(juror, 2 ether), 2 ether);
        vm.prank(juror);
        vault.leaveJury();
        uint256 readyAt = block.timestamp + 14 days;
        vm.warp(readyAt);
        vm.expectRevert(abi.encodeWithSelector(IJurorPool.JurorStakeLocked.selector, 2 ether, readyAt));
        vm.prank(juror);
        vault.withdrawJury();
        vm.prank(address(disputes));
        assertEq(vault.settleJuror(juror, 2 ether, 5 ether), 2 ether);
        vm.prank(juror);
        assertEq(vault.withdrawJury(), JUROR_STAKE - 2 ether);
    }

    function test_penaltiesBelowHalfTheMinimumEndAJurorsDraws() public {
        vm.startPrank(address(disputes));
        uint256 locked = vault.lockJuror(jurors[0], JUROR_STAKE - 50 ether + 1);
        vault.settleJuror(jurors[0], locked, locked);
        vm.stopPrank();
        vm.roll(block.number + 1);
        (uint256 stake, uint256 count) = vault.juryAt(block.number - 1, nobody);
        assertEq(stake, 5 * JUROR_STAKE);
        assertEq(count, 5);
    }

    function test_fuzz_draw_isDistinctAndFromThePastSet(uint256 seed, uint8 extra) public {
        extra = uint8(bound(extra, 0, 20));
        for (uint256 i; i < extra; ++i) {
            _addJuror(string.concat("extra", vm.toString(i)), 100 ether + i * 1e18);
        }
        vm.roll(block.number + 1);
        uint256 frozen = block.number - 1;
        address late = _addJuror("late", 1_000_000 ether);
        vm.roll(block.number + 1);
        address[] memory drawn = vault.drawJurors(seed, frozen, 5, nobody);
        for (uint256 i; i < 5; ++i) {
            assertNotEq(drawn[i], late);
            assertGt(vault.jurorStake(drawn[i]), 0);
            for (uint256 j; j < i; ++j) {
                assertNotEq(drawn[i], drawn[j]);
            }
        }
    }

    function test_fuzz_draw_excludesAndExhausts(uint256 seed) public {
        address[] memory excluded = new address[](3);
        (excluded[0], excluded[1], excluded[2]) = (jurors[2], jurors[2], stranger);
        (uint256 stake, uint256 count) = vault.juryAt(block.number - 1, excluded);
        assertEq(stake, 5 * JUROR_STAKE);
        assertEq(count, 5);
        address[] memory drawn = vault.drawJurors(seed, block.number - 1, 5, excluded);
        for (uint256 i; i < 5; ++i) {
            assertNotEq(drawn[i], jurors[2]);
        }
        vm.expectRevert(abi.encodeWithSelector(IJurorPool.TooFewJurors.selector, 5, 6));
        vault.drawJurors(seed, block.number - 1, 6, excluded);
    }

    /// @dev A juror with half of all stake should be drawn first about half the time.
    function test_draw_followsTheStake() public {
        vm.prank(jurors[5]);
        vault.joinJury(0);
        address heavy = _addJuror("heavy", 6 * JUROR_STAKE);
        vm.roll(block.number + 1);
        uint256 first;
        for (uint256 seed; seed < 400; ++seed) {
            if (vault.drawJurors(seed, block.number - 1, 1, nobody)[0] == heavy) ++first;
        }
        assertGt(first, 150);
        assertLt(first, 250);
    }
}
