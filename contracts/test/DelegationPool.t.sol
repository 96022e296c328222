// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {
    Delegation,
    DelegationExit,
    DelegationPoolState,
    IDelegationPool
} from "src/interfaces/IDelegationPool.sol";
import { IIntakeGuard } from "src/interfaces/IIntakeGuard.sol";
import { IStakeVault } from "src/interfaces/IStakeVault.sol";
import { Param } from "src/types/Param.sol";
import { World } from "./utils/World.sol";

contract DelegationPoolTest is World {
    uint256 private constant DELAY = 14 days;

    address private ann;
    address private bob;

    function setUp() public override {
        super.setUp();
        ann = client;
        bob = contributor;
    }

    // --- becoming active -----------------------------------------------------------------------------------

    function test_delegate_waitsForTheBoundaryThenCostsAWeiAShare() public {
        _delegate(ann, 10 ether);
        DelegationPoolState memory p = _pool();
        assertEq(p.pending, 10 ether);
        assertEq(p.activatesAt % 1 days, 0);
        assertGt(p.activatesAt, block.timestamp);
        assertLe(p.activatesAt, block.timestamp + 1 days);
        assertEq(p.activeAssets, 0);

        vm.warp(p.activatesAt - 1);
        assertEq(_pool().activeAssets, 0);
        vm.warp(p.activatesAt);
        p = _pool();
        assertEq(p.activeAssets, 10 ether);
        assertEq(p.activeShares, 10 ether);
        assertEq(p.pending, 0);
        (Delegation memory d, uint256 worth) = delegations.delegationOf(agentId, operator, ann);
        assertEq(d.shares, 10 ether);
        assertEq(d.pending, 0);
        assertEq(worth, 10 ether);
    }

    function test_delegate_oneBatchOnePrice() public {
        _activate(ann, 10 ether);
        _reward(10 ether);
        _delegate(bob, 8 ether);
        vm.warp(block.timestamp + 1 hours);
        _delegate(stranger, 4 ether);
        _boundary();
        // the first call after the boundary fixes the price for both
        _reward(12 ether);
        uint256 annWorth = _worth(ann);
        uint256 bobWorth = _worth(bob);
        assertApproxEqAbs(bobWorth, 2 * _worth(stranger), 2);
        assertApproxEqAbs(annWorth, 20 ether + 12 ether * 20 / uint256(32), 10);
        assertApproxEqAbs(bobWorth, 8 ether + 12 ether * 8 / uint256(32), 10);
        assertLe(annWorth + bobWorth + _worth(stranger), _pool().activeAssets);
    }

    function test_delegate_theLastOfABatchTakesWhatRoundingLeft() public {
        _activate(ann, 7 ether);
        _reward(3 ether + 1);
        _delegate(bob, 1 ether + 1);
        _delegate(stranger, 1 ether + 2);
        _boundary();
        _leave(bob);
        _leave(stranger);
        _leave(ann);
        assertEq(_pool().activeShares, 0, "no share is nobody's");
        assertEq(_pool().activeAssets, 0);
    }

    function test_delegate_aChangedPeriodBindsTheNextBatch() public {
        _delegate(ann, 1 ether);
        uint256 at = _pool().activatesAt;
        vm.prank(governor);
        parameters.set(Param.DelegationPeriod, 7 days);
        _delegate(bob, 1 ether);
        assertEq(_pool().activatesAt, at);
        vm.warp(at);
        _delegate(bob, 1 ether);
        assertEq(_pool().activatesAt % 7 days, 0);
        assertEq(_worth(ann), 1 ether);
        assertEq(_worth(bob), 1 ether);
    }

    function test_delegate_revertsForBadInput() public {
        uint256 least = delegations.MIN_DELEGATION();
        vm.startPrank(ann);
        vm.expectRevert(abi.encodeWithSelector(IDelegationPool.DelegationTooSmall.selector, 0, least));
        delegations.delegate(agentId, operator, 0);
        vm.expectRevert(abi.encodeWithSelector(IDelegationPool.DelegationTooSmall.selector, least - 1, least));
        delegations.delegate(agentId, operator, least - 1);
        vm.expectRevert(abi.encodeWithSelector(IDelegationPool.NotOperator.selector, agentId, ann));
        delegations.delegate(agentId, ann, 1 ether);
        vm.expectRevert(abi.encodeWithSignature("ERC721NonexistentToken(uint256)", 99));
        delegations.delegate(99, operator, 1 ether);
        vm.expectRevert(abi.encodeWithSelector(IDelegationPool.PoolFull.selector, 0));
        delegations.delegate(agentId, operator, type(uint256).max);
        vm.expectRevert(abi.encodeWithSelector(IDelegationPool.PoolFull.selector, 0));
        delegations.delegate(agentId, operator, type(uint96).max);
        uint256 held = token.balanceOf(ann);
        vm.expectRevert(
            abi.encodeWithSignature("ERC20InsufficientBalance(address,uint256,uint256)", ann, held, held + 1)
        );
        delegations.delegate(agentId, operator, held + 1);
        vm.stopPrank();
    }

    function test_delegate_pausedIntakeStopsNewMoneyOnly() public {
        _activate(ann, 10 ether);
        address guardian = makeAddr("guardian");
        vm.prank(governor);
        parameters.setGuardian(guardian);
        vm.prank(guardian);
        parameters.pauseIntake(1 days);
        vm.expectRevert(
            abi.encodeWithSelector(IIntakeGuard.IntakePaused.selector, parameters.intakePausedUntil())
        );
        vm.prank(bob);
        delegations.delegate(agentId, operator, 1 ether);
        _reward(1 ether);
        _leave(ann);
    }

    function test_cancelDelegation_givesPendingMoneyBack() public {
        _activate(ann, 5 ether);
        _delegate(ann, 3 ether);
        _delegate(bob, 2 ether);
        uint256 before = token.balanceOf(ann);
        vm.prank(ann);
        assertEq(delegations.cancelDelegation(agentId, operator), 3 ether);
        assertEq(token.balanceOf(ann), before + 3 ether);
        vm.expectRevert(IDelegationPool.NothingPending.selector);
        vm.prank(ann);
        delegations.cancelDelegation(agentId, operator);
        _boundary();
        vm.expectRevert(IDelegationPool.NothingPending.selector);
        vm.prank(bob);
        delegations.cancelDelegation(agentId, operator);
        assertEq(_worth(ann), 5 ether);
        assertEq(_worth(bob), 2 ether);
    }

    // --- rewards and commission --------------------------------------------------------------------------------

    function test_addReward_raisesThePriceLessCommission() public {
        vm.prank(operator);
        delegations.setCommission(agentId, 1000);
        _activate(ann, 30 ether);
        _activate(bob, 10 ether);
        _reward(4 ether);
        assertEq(_pool().income, 0.4 ether);
        assertApproxEqAbs(_worth(ann), 32.7 ether, 2);
        assertApproxEqAbs(_worth(bob), 10.9 ether, 2);
        uint256 before = token.balanceOf(operator);
        vm.prank(operator);
        assertEq(delegations.claimIncome(agentId), 0.4 ether);
        assertEq(token.balanceOf(operator), before + 0.4 ether);
        vm.expectRevert(IDelegationPool.NothingEarned.selector);
        vm.prank(operator);
        delegations.claimIncome(agentId);
    }

    function test_addReward_isTheOperatorsWhereNobodyIsActive() public {
        _reward(1 ether);
        _delegate(ann, 10 ether);
        _reward(2 ether);
        assertEq(_pool().income, 3 ether);
        assertEq(_worth(ann), 0);
        _boundary();
        assertEq(_worth(ann), 10 ether, "what was pending earned nothing");
        vm.expectRevert(IDelegationPool.ZeroAmount.selector);
        delegations.addReward(agentId, operator, 0);
        vm.expectRevert(abi.encodeWithSelector(IDelegationPool.PoolFull.selector, 10 ether));
        delegations.addReward(agentId, operator, type(uint256).max);
    }

    function test_addReward_tooFewSharesToShareWith() public {
        _activate(ann, 1 ether);
        vm.prank(ann);
        delegations.requestUndelegate(agentId, operator, 1 ether - 0.001 ether + 1);
        _reward(5 ether);
        assertEq(_pool().income, 5 ether);
    }

    function test_setCommission_risesAfterTheDelayFallsAtOnce() public {
        vm.startPrank(operator);
        delegations.setCommission(agentId, 2000);
        assertEq(_pool().commission, 2000, "at once while nobody delegates");
        vm.stopPrank();
        _delegate(ann, 10 ether);
        vm.startPrank(operator);
        delegations.setCommission(agentId, 3000);
        assertEq(_pool().commission, 2000);
        assertEq(_pool().nextCommission, 3000);
        uint256 due = block.timestamp + DELAY;
        assertEq(_pool().commissionAt, due);
        vm.warp(due - 1);
        assertEq(_pool().commission, 2000);
        vm.warp(due);
        assertEq(_pool().commission, 3000);
        assertEq(_pool().commissionAt, 0);
        // asking again starts the delay again; a decrease forgets what was asked
        delegations.setCommission(agentId, 4000);
        vm.warp(due + DELAY - 1);
        delegations.setCommission(agentId, 5000);
        vm.warp(due + DELAY + 1);
        assertEq(_pool().commission, 3000);
        delegations.setCommission(agentId, 100);
        assertEq(_pool().commission, 100);
        vm.warp(due + 3 * DELAY);
        assertEq(_pool().commission, 100);
        vm.expectRevert(abi.encodeWithSelector(IDelegationPool.CommissionTooHigh.selector, 5001, 5000));
        delegations.setCommission(agentId, 5001);
        vm.stopPrank();
    }

    function test_setCommission_aLoweredMaximumBindsAtOnce() public {
        vm.prank(operator);
        delegations.setCommission(agentId, 5000);
        _activate(ann, 10 ether);
        vm.prank(governor);
        parameters.set(Param.MaxCommission, 1000);
        _reward(10 ether);
        assertEq(_pool().income, 1 ether);
    }

    function test_setCommission_concernsTheCallersPoolOnly() public {
        vm.prank(stranger);
        delegations.setCommission(agentId, 5000);
        assertEq(_pool().commission, 0);
        assertEq(delegations.delegationPoolOf(agentId, stranger).commission, 5000);
    }

    // --- leaving -----------------------------------------------------------------------------------------------

    function test_requestUndelegate_earnsNoMoreAndIsPaidAfterTheDelay() public {
        _activate(ann, 10 ether);
        _activate(bob, 10 ether);
        vm.prank(ann);
        assertEq(delegations.requestUndelegate(agentId, operator, 4 ether), 4 ether);
        _reward(8 ether);
        (DelegationExit[] memory waiting, uint256[] memory worths) =
            delegations.delegationExitsOf(agentId, operator, ann);
        assertEq(waiting.length, 1);
        assertEq(worths[0], 4 ether);
        assertEq(waiting[0].readyAt, block.timestamp + DELAY);
        vm.warp(waiting[0].readyAt - 1);
        vm.expectRevert(IDelegationPool.NothingToWithdraw.selector);
        vm.prank(ann);
        delegations.withdrawDelegation(agentId, operator);
        vm.warp(waiting[0].readyAt);
        uint256 before = token.balanceOf(ann);
        vm.prank(ann);
        assertEq(delegations.withdrawDelegation(agentId, operator), 4 ether);
        assertEq(token.balanceOf(ann), before + 4 ether);
        assertApproxEqAbs(_worth(ann), 9 ether, 2);
    }

    function test_requestUndelegate_neverDueBeforeAnEarlierRequest() public {
        _activate(ann, 10 ether);
        vm.prank(governor);
        parameters.set(Param.WithdrawalDelay, 30 days);
        vm.prank(ann);
        delegations.requestUndelegate(agentId, operator, 1 ether);
        vm.prank(governor);
        parameters.set(Param.WithdrawalDelay, 14 days);
        vm.prank(ann);
        delegations.requestUndelegate(agentId, operator, 1 ether);
        (DelegationExit[] memory waiting,) = delegations.delegationExitsOf(agentId, operator, ann);
        assertEq(waiting[1].readyAt, waiting[0].readyAt);
        assertEq(waiting[0].readyAt, block.timestamp + 30 days);
    }

    function test_requestUndelegate_revertsForBadInput() public {
        _activate(ann, 10 ether);
        _delegate(ann, 1 ether);
        vm.startPrank(ann);
        vm.expectRevert(IDelegationPool.ZeroAmount.selector);
        delegations.requestUndelegate(agentId, operator, 0);
        bytes4 tooMany = IDelegationPool.ExceedsShares.selector;
        vm.expectRevert(abi.encodeWithSelector(tooMany, 10 ether + 1, 10 ether));
        delegations.requestUndelegate(agentId, operator, 10 ether + 1);
        vm.expectRevert(abi.encodeWithSelector(tooMany, type(uint256).max, 10 ether));
        delegations.requestUndelegate(agentId, operator, type(uint256).max);
        for (uint256 i; i < 16; ++i) {
            delegations.requestUndelegate(agentId, operator, 0.1 ether);
        }
        vm.expectRevert(IDelegationPool.TooManyExits.selector);
        delegations.requestUndelegate(agentId, operator, 0.1 ether);
        vm.warp(block.timestamp + DELAY);
        assertEq(delegations.withdrawDelegation(agentId, operator), 1.6 ether);
        delegations.requestUndelegate(agentId, operator, 0.1 ether);
        vm.stopPrank();
        vm.expectRevert(abi.encodeWithSelector(tooMany, 1, 0));
        vm.prank(bob);
        delegations.requestUndelegate(agentId, operator, 1);
        vm.expectRevert(IDelegationPool.NothingToWithdraw.selector);
        vm.prank(bob);
        delegations.withdrawDelegation(agentId, operator);
    }

    function test_sale_leavesTheSellersDelegatorsWithTheSeller() public {
        _activate(ann, 10 ether);
        vm.prank(operator);
        agents.transferFrom(operator, stranger, agentId);
        vm.expectRevert(abi.encodeWithSelector(IDelegationPool.NotOperator.selector, agentId, operator));
        vm.prank(ann);
        delegations.delegate(agentId, operator, 1 ether);
        vm.prank(bob);
        delegations.delegate(agentId, stranger, 10 ether);
        _boundary();
        vm.prank(stranger);
        vault.deposit(agentId, 10 ether);
        // the seller's fault
        _slash(operator, STAKE + 3 ether);
        assertEq(_worth(ann), 7 ether);
        (, uint256 worth) = delegations.delegationOf(agentId, stranger, bob);
        assertEq(worth, 10 ether);
        // the buyer's
        vm.prank(address(disputes));
        vault.slash(agentId, stranger, 12 ether);
        assertEq(_worth(ann), 7 ether);
        (, worth) = delegations.delegationOf(agentId, stranger, bob);
        assertEq(worth, 8 ether);
        _leave(ann);
    }

    // --- slashing ----------------------------------------------------------------------------------------------

    function test_slash_takesSelfStakeFirst() public {
        _activate(ann, 10 ether);
        vm.prank(operator);
        vault.requestWithdraw(agentId, STAKE / 2);
        assertEq(_slash(operator, STAKE), STAKE);
        assertEq(_worth(ann), 10 ether);
    }

    function test_slash_thenDelegationsInProportionUpToTheCap() public {
        _activate(ann, 60 ether);
        _activate(bob, 40 ether);
        vm.prank(bob);
        delegations.requestUndelegate(agentId, operator, 40 ether);
        _delegate(stranger, 100 ether);
        uint256 before = token.balanceOf(address(disputes));
        vm.expectEmit(address(vault));
        emit IStakeVault.StakeSlashed(agentId, operator, STAKE);
        vm.expectEmit(address(delegations));
        emit IDelegationPool.DelegationSlashed(agentId, operator, 12 ether, 8 ether);
        assertEq(_slash(operator, STAKE + 20 ether), STAKE + 20 ether);
        assertEq(token.balanceOf(address(disputes)), before + STAKE + 20 ether);
        assertEq(_worth(ann), 48 ether);
        (, uint256[] memory worths) = delegations.delegationExitsOf(agentId, operator, bob);
        assertEq(worths[0], 32 ether);
        assertEq(_pool().pending, 100 ether, "what is not active yet is not touched");

        vm.prank(operator);
        vault.deposit(agentId, 500 ether);
        assertEq(_slash(operator, 1000 ether), 500 ether + 24 ether, "at most 30 % of 80");
    }

    function test_slash_delegatorsNeverLoseMoreThanTheOperator() public {
        _activate(ann, 10_000 ether);
        _slash(operator, STAKE - 1 ether);
        assertEq(_slash(operator, 5000 ether), 2 ether, "one of each");
        assertEq(_worth(ann), 9999 ether);
        assertEq(_slash(operator, 5000 ether), 0, "an operator without stake");
    }

    function test_slash_whatIsDueIsLiableWhatIsPendingIsNot() public {
        _delegate(ann, 10 ether);
        _slash(operator, STAKE / 2 + 1);
        vm.warp(_pool().activatesAt);
        _slash(operator, STAKE);
        assertEq(_worth(ann), 7 ether, "nobody had to call for it to become active");
    }

    function test_slash_isTheVaultsOnly() public {
        address[4] memory callers = [stranger, operator, governor, address(disputes)];
        for (uint256 i; i < 4; ++i) {
            vm.expectRevert(abi.encodeWithSelector(IDelegationPool.OnlyVault.selector, callers[i]));
            vm.prank(callers[i]);
            delegations.slash(agentId, operator, 1, callers[i]);
        }
    }

    function test_fuzz_slash_leavingDoesNotShrinkIt(uint96 stake, uint96 leaving, uint96 amount, bool early)
        public
    {
        stake = uint96(bound(stake, 1 ether, 10_000 ether));
        leaving = uint96(bound(leaving, 1, stake));
        amount = uint96(bound(amount, 1, 2 * uint256(stake)));
        _activate(ann, stake);
        uint256 snapshot = vm.snapshotState();
        uint256 expected = _slash(operator, STAKE + amount);
        vm.revertToState(snapshot);
        if (early) {
            vm.prank(ann);
            delegations.requestUndelegate(agentId, operator, leaving);
        }
        vm.warp(block.timestamp + DELAY - 1);
        if (!early) {
            vm.prank(ann);
            delegations.requestUndelegate(agentId, operator, leaving);
        }
        assertEq(_slash(operator, STAKE + amount), expected);
    }

    /// @dev Slash after slash until shares are void; those who come later neither inherit nor lose anything.
    function test_slash_aSpentPoolBeginsAnew() public {
        vm.prank(governor);
        parameters.set(Param.DelegatorSlashCap, 5000);
        _activate(ann, 100 ether);
        vm.prank(bob);
        delegations.delegate(agentId, operator, 10 ether);
        _boundary();
        vm.prank(bob);
        delegations.requestUndelegate(agentId, operator, 10 ether);
        for (uint256 i; i < 40 && _pool().activeShares != 0; ++i) {
            vm.prank(stranger);
            vault.deposit(agentId, 100 ether);
            _slash(operator, 10_000 ether);
        }
        DelegationPoolState memory p = _pool();
        assertEq(p.activeShares, 0, "void");
        assertEq(p.activeAssets, 0);
        assertEq(p.activeSince, p.batches);
        assertEq(p.exitingShares, 0);
        assertEq(_worth(ann), 0);
        assertLt(p.income, 1e12, "what was left is next to nothing");

        _activate(stranger, 7 ether);
        assertEq(_worth(stranger), 7 ether);
        assertEq(_worth(ann), 0);
        vm.prank(bob);
        delegations.delegate(agentId, operator, 1 ether);
        _boundary();
        assertEq(_worth(bob), 1 ether);
        vm.expectRevert(abi.encodeWithSelector(IDelegationPool.ExceedsShares.selector, 1, 0));
        vm.prank(ann);
        delegations.requestUndelegate(agentId, operator, 1);
        // the void request pays nothing and blocks nothing
        _leave(bob);
        assertEq(token.balanceOf(bob), 100_000 ether - 10 ether);
    }

    /// @dev Money that was pending when the shares of its owner became void is its owner's.
    function test_slash_aSpentPoolLeavesPendingMoneyAlone() public {
        vm.prank(governor);
        parameters.set(Param.DelegatorSlashCap, 5000);
        _activate(ann, 100 ether);
        vm.prank(governor);
        parameters.set(Param.DelegationPeriod, 7 days);
        _delegate(ann, 5 ether);
        for (uint256 i; i < 40 && _pool().activeShares != 0; ++i) {
            vm.prank(stranger);
            vault.deposit(agentId, 100 ether);
            _slash(operator, 10_000 ether);
        }
        assertEq(_pool().pending, 5 ether);
        _boundary();
        (Delegation memory d, uint256 worth) = delegations.delegationOf(agentId, operator, ann);
        assertEq(d.shares, 5 ether);
        assertEq(worth, 5 ether);
        _leave(ann);
    }

    // --- what a share is worth ---------------------------------------------------------------------------------

    /// @dev A gift cannot make a later delegation round to nothing, and the giver gets nothing of it.
    function test_fuzz_inflation_firstDelegatorGainsNothing(uint96 gift, uint96 amount, uint96 keep) public {
        uint256 least = delegations.MIN_DELEGATION();
        gift = uint96(bound(gift, 1, 50_000 ether));
        amount = uint96(bound(amount, least, 50_000 ether));
        keep = uint96(bound(keep, 1, least));
        address attacker = stranger;
        uint256 before = token.balanceOf(attacker) + token.balanceOf(operator);
        _activate(attacker, least);
        vm.startPrank(attacker);
        delegations.addReward(agentId, operator, gift / 2 + 1);
        if (least != keep) delegations.requestUndelegate(agentId, operator, least - keep);
        delegations.addReward(agentId, operator, gift / 2 + 1);
        // sent without the pool knowing: changes nothing
        token.transfer(address(delegations), 1 ether);
        vm.stopPrank();
        _activate(ann, amount);
        assertGe(_worth(ann), amount - amount / 1e9 - 1e8, "the later delegator keeps what it gave");
        _leave(attacker);
        _leave(ann);
        vm.startPrank(operator);
        if (_pool().income != 0) delegations.claimIncome(agentId);
        vm.stopPrank();
        assertLe(
            token.balanceOf(attacker) + token.balanceOf(operator), before, "attacker and operator in one"
        );
    }

    function test_fuzz_samePeriodProfitIsNeverPositive(
        uint96 first,
        uint96 reward,
        uint96 amount,
        bool cancel
    ) public {
        first = uint96(bound(first, 0.001 ether, 10_000 ether));
        reward = uint96(bound(reward, 1, 10_000 ether));
        amount = uint96(bound(amount, 0.001 ether, 50_000 ether));
        _activate(ann, first);
        uint256 before = token.balanceOf(bob);
        _delegate(bob, amount);
        _reward(reward);
        if (cancel) {
            vm.prank(bob);
            delegations.cancelDelegation(agentId, operator);
        } else {
            _boundary();
            _leave(bob);
        }
        assertLe(token.balanceOf(bob), before, "rewards of the period are not for who came in it");
        assertGe(_worth(ann), first + uint256(reward) - reward / 1e14 - 10, "nor do they cost who was there");
    }

    function test_fuzz_delegateAndLeaveNeverProfits(uint96 first, uint96 reward, uint96 amount, uint8 rounds)
        public
    {
        first = uint96(bound(first, 0.001 ether, 10_000 ether));
        amount = uint96(bound(amount, 0.001 ether, 10_000 ether));
        _activate(ann, first);
        _reward(bound(reward, 1, 10_000 ether));
        uint256 annWorth = _worth(ann);
        uint256 before = token.balanceOf(bob);
        for (uint256 i; i < rounds % 4 + 1; ++i) {
            _activate(bob, amount);
            _leave(bob);
        }
        assertLe(token.balanceOf(bob), before);
        assertGe(_worth(ann), annWorth, "the price never falls");
    }

    function test_thousandDelegatorsCostTheSame() public {
        _activate(ann, 10 ether);
        _activate(ann, 10 ether);
        uint256[6] memory few = _costs();
        for (uint256 i; i < 1000; ++i) {
            address account = makeAddr(vm.toString(i));
            _fund(account, 1 ether);
            vm.prank(account);
            delegations.delegate(agentId, operator, 1 ether);
        }
        _boundary();
        uint256[6] memory many = _costs();
        for (uint256 i; i < 6; ++i) {
            assertApproxEqAbs(many[i], few[i], 5000, "no call looks at other delegators");
        }
        assertGt(_pool().activeAssets, 800 ether);
    }

    function test_everyoneLeaves_nothingStays() public {
        vm.prank(operator);
        delegations.setCommission(agentId, 777);
        _activate(ann, 3 ether + 1);
        _reward(1 ether + 7);
        _activate(bob, 2 ether + 3);
        _slash(operator, STAKE + 0.5 ether + 3);
        _reward(1 ether + 13);
        _leave(ann);
        _activate(stranger, 1 ether + 5);
        _leave(bob);
        _leave(stranger);
        vm.prank(operator);
        delegations.claimIncome(agentId);
        assertEq(token.balanceOf(address(delegations)), 0);
    }

    // --- helpers -----------------------------------------------------------------------------------------------

    function _pool() private view returns (DelegationPoolState memory) {
        return delegations.delegationPoolOf(agentId, operator);
    }

    function _worth(address who) private view returns (uint256 worth) {
        (, worth) = delegations.delegationOf(agentId, operator, who);
    }

    function _delegate(address who, uint256 amount) private {
        vm.prank(who);
        delegations.delegate(agentId, operator, amount);
    }

    function _boundary() private {
        vm.warp(block.timestamp + parameters.get(Param.DelegationPeriod));
    }

    function _activate(address who, uint256 amount) private {
        _delegate(who, amount);
        _boundary();
    }

    function _reward(uint256 amount) private {
        vm.prank(challenger);
        delegations.addReward(agentId, operator, amount);
    }

    /// @dev Everything of `who`, to the wei.
    function _leave(address who) private {
        (Delegation memory d,) = delegations.delegationOf(agentId, operator, who);
        vm.startPrank(who);
        if (d.pending != 0) delegations.cancelDelegation(agentId, operator);
        if (d.shares != 0) delegations.requestUndelegate(agentId, operator, d.shares);
        vm.warp(block.timestamp + DELAY);
        delegations.withdrawDelegation(agentId, operator);
        vm.stopPrank();
    }

    function _slash(address who, uint256 amount) private returns (uint256 taken) {
        vm.prank(address(disputes));
        taken = vault.slash(agentId, who, amount);
    }

    /// @dev Gas of each call, in a pool that has seen an activation.
    function _costs() private returns (uint256[6] memory gas) {
        uint256 snapshot = vm.snapshotState();
        vm.prank(bob);
        gas[0] =
            _gasOf(address(delegations), abi.encodeCall(delegations.delegate, (agentId, operator, 1 ether)));
        _boundary();
        vm.prank(challenger);
        gas[1] =
            _gasOf(address(delegations), abi.encodeCall(delegations.addReward, (agentId, operator, 1 ether)));
        vm.prank(ann);
        gas[2] = _gasOf(
            address(delegations), abi.encodeCall(delegations.requestUndelegate, (agentId, operator, 1 ether))
        );
        vm.prank(address(disputes));
        gas[3] = _gasOf(address(vault), abi.encodeCall(vault.slash, (agentId, operator, STAKE + 1 ether)));
        vm.warp(block.timestamp + DELAY);
        vm.prank(ann);
        gas[4] =
            _gasOf(address(delegations), abi.encodeCall(delegations.withdrawDelegation, (agentId, operator)));
        vm.prank(bob);
        gas[5] = _gasOf(
            address(delegations), abi.encodeCall(delegations.requestUndelegate, (agentId, operator, 1))
        );
        vm.revertToState(snapshot);
    }

    function _gasOf(address target, bytes memory data) private returns (uint256) {
        (bool ok,) = target.call(data);
        assertTrue(ok);
        return vm.lastCallGas().gasTotalUsed;
    }
}
