// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { stdError } from "forge-std/Test.sol";
import { IActionLog } from "src/interfaces/IActionLog.sol";
import { IRewardPool, Repayment } from "src/interfaces/IRewardPool.sol";
import { Records } from "src/libraries/Records.sol";
import { Param } from "src/types/Param.sol";
import { ActionRecord, BatchHeader, Claim, SumNode } from "src/types/Records.sol";
import { Payout, Trees } from "./utils/Trees.sol";
import { World } from "./utils/World.sol";

contract RewardPoolTest is World {
    function test_escrow_addressIsKnownBeforeItExistsAndHoldsPayments() public {
        address escrow = pool.escrowOf(agentId);
        assertEq(escrow.code.length, 0);
        _pay(3 ether);
        vm.expectEmit(address(pool));
        emit IRewardPool.EscrowCreated(agentId, escrow);
        assertEq(pool.createEscrow(agentId), escrow);
        assertGt(escrow.code.length, 0);
        assertEq(pool.createEscrow(agentId), escrow);
        assertEq(token.balanceOf(escrow), 3 ether);
        assertEq(token.allowance(escrow, address(pool)), type(uint256).max);
        assertNotEq(escrow, pool.escrowOf(agentId + 1));
    }

    function test_claim_paysFinalBatchesOnceAndFinalisesThem() public {
        (BatchHeader memory h,, Payout[] memory payouts) = _anchorMany(2, 1 ether);
        bytes32 hash = keccak256(abi.encode(h));
        SumNode[] memory proof = Trees.sumProof(payouts, 0);
        uint256 until = actionLog.challengeableUntil(h);
        vm.expectRevert(abi.encodeWithSelector(IActionLog.WindowOpen.selector, until));
        pool.claim(h, 0, contributor, 1.674 ether, proof);
        _passWindow();
        uint256 before = token.balanceOf(contributor);
        vm.prank(stranger);
        pool.claim(h, 0, contributor, 1.674 ether, proof);
        assertEq(token.balanceOf(contributor), before + 1.674 ether);
        assertTrue(actionLog.isFinal(hash));
        assertTrue(pool.isClaimed(hash, 0));
        assertFalse(pool.isClaimed(hash, 1));
        assertEq(pool.remaining(hash), 0.186 ether);
        vm.expectRevert(abi.encodeWithSelector(IRewardPool.AlreadyClaimed.selector, hash, 0));
        pool.claim(h, 0, contributor, 1.674 ether, proof);
        pool.claim(h, 1, app, 0.186 ether, Trees.sumProof(payouts, 1));
        assertEq(pool.remaining(hash), 0);
        assertEq(token.balanceOf(address(pool)), 0.14 ether, "the cut");
        assertEq(token.balanceOf(pool.escrowOf(agentId)), 0);
    }

    function test_claim_revertsForWrongAccountAmountOrPosition() public {
        (BatchHeader memory h,, Payout[] memory payouts) = _anchorMany(2, 1 ether);
        _passWindow();
        bytes32 hash = keccak256(abi.encode(h));
        SumNode[] memory proof = Trees.sumProof(payouts, 0);
        vm.expectRevert(abi.encodeWithSelector(IRewardPool.BadProof.selector, hash, 0));
        pool.claim(h, 0, stranger, 1.674 ether, proof);
        vm.expectRevert(abi.encodeWithSelector(IRewardPool.BadProof.selector, hash, 0));
        pool.claim(h, 0, contributor, 2 ether, proof);
        vm.expectRevert(abi.encodeWithSelector(IRewardPool.BadProof.selector, hash, 1));
        pool.claim(h, 1, contributor, 1.674 ether, proof);
        vm.expectRevert(abi.encodeWithSelector(IRewardPool.BadProof.selector, hash, 2));
        pool.claim(h, 2, contributor, 1.674 ether, proof);
        vm.expectRevert(IRewardPool.ZeroAccount.selector);
        pool.claim(h, 0, address(0), 1.674 ether, proof);
        h.sum += 1;
        vm.expectRevert(abi.encodeWithSelector(IActionLog.UnknownBatch.selector, keccak256(abi.encode(h))));
        pool.claim(h, 0, contributor, 1.674 ether, proof);
    }

    function test_fuzz_claim_everyPayoutIsPaidAndNothingMore(uint64[9] memory amounts, uint256 count) public {
        count = bound(count, 1, 9);
        Payout[] memory payouts = new Payout[](count);
        uint256 sum;
        for (uint256 i; i < count; ++i) {
            payouts[i] = Payout(makeAddr(vm.toString(i)), amounts[i]);
            sum += amounts[i];
        }
        // what is charged so that the cut leaves this much
        uint256 fee = sum * 10_000 / 9300;
        while (_net(fee) < sum) ++fee;
        vm.assume(sum != 0 && _net(fee) == sum);
        ActionRecord[] memory records = new ActionRecord[](1);
        records[0] = _record(0, fee);
        BatchHeader memory h = _header(records, payouts);
        _pay(fee);
        _anchor(h);
        _passWindow();
        for (uint256 i; i < count; ++i) {
            pool.claim(h, uint32(i), payouts[i].account, payouts[i].amount, Trees.sumProof(payouts, i));
            assertEq(token.balanceOf(payouts[i].account), payouts[i].amount);
        }
        assertEq(token.balanceOf(address(pool)), pool.creditOf(treasury) + pool.creditOf(address(disputes)));
        assertEq(pool.remaining(keccak256(abi.encode(h))), 0);
    }

    function test_finalize_creditsTreasuryAndAuditsWithTheCut() public {
        (BatchHeader memory h,,) = _anchorMany(2, 1 ether);
        assertEq(actionLog.netOf(h), 1.86 ether);
        _passWindow();
        vm.expectEmit(address(pool));
        emit IRewardPool.Collected(agentId, keccak256(abi.encode(h)), 2 ether, 0.1 ether, 0.04 ether);
        actionLog.finalize(h);
        assertEq(pool.creditOf(treasury), 0.1 ether);
        assertEq(pool.creditOf(address(disputes)), 0.04 ether);
        vm.prank(stranger);
        assertEq(pool.withdrawCredit(treasury), 0.1 ether);
        assertEq(token.balanceOf(treasury), 0.1 ether);
        vm.expectRevert(abi.encodeWithSelector(IRewardPool.NothingCredited.selector, treasury));
        pool.withdrawCredit(treasury);
    }

    function test_finalize_anEpochKeepsTheCutItWasOpenedWith() public {
        vm.prank(governor);
        parameters.set(Param.ProtocolCut, 2000);
        (BatchHeader memory h,,) = _anchorMany(1, 1 ether);
        assertEq(actionLog.netOf(h), 0.93 ether);
        epoch = _openEpoch(operator, recordKey);
        h.epoch = epoch;
        assertEq(actionLog.netOf(h), 0.78 ether);
    }

    function test_fuzz_finalize_conservesEveryWei(uint96 fee) public {
        uint256 sum = bound(fee, 1, STAKE / 4);
        (BatchHeader memory h,,) = _anchorMany(1, sum);
        _passWindow();
        actionLog.finalize(h);
        uint256 claimable = pool.remaining(keccak256(abi.encode(h)));
        assertGt(claimable, 0);
        assertEq(claimable + pool.creditOf(treasury) + pool.creditOf(address(disputes)), sum);
        assertEq(token.balanceOf(address(pool)), sum);
    }

    function test_claimMany_paysFromMinPayoutAndAccruesBelow() public {
        (BatchHeader memory small,, Payout[] memory payouts) = _anchorMany(1, 0.06 ether);
        _passWindow();
        uint256 before = token.balanceOf(contributor);
        pool.claimMany(small, _claims(payouts));
        assertEq(token.balanceOf(contributor), before + payouts[0].amount, "50 finney: paid");
        assertEq(token.balanceOf(app), 0, "5.6 finney: accrued");
        assertEq(pool.creditOf(app), payouts[1].amount);
        (small,, payouts) = _anchorMany(1, 0.06 ether);
        _passWindow();
        pool.claimMany(small, _claims(payouts));
        assertEq(token.balanceOf(app), 2 * payouts[1].amount, "together they reach it");
        assertEq(pool.creditOf(app), 0);
        vm.expectRevert(
            abi.encodeWithSelector(IRewardPool.AlreadyClaimed.selector, keccak256(abi.encode(small)), 0)
        );
        pool.claimMany(small, _claims(payouts));
    }

    function test_claim_payoutsToDelegationsAreTheirRewards() public {
        vm.prank(stranger);
        delegations.delegate(agentId, operator, 10 ether);
        skip(2 days);
        ActionRecord[] memory records = new ActionRecord[](1);
        records[0] = _record(0, 1 ether);
        Payout[] memory payouts = new Payout[](2);
        payouts[0] = Payout(address(delegations), 0.5 ether);
        payouts[1] = Payout(app, _net(1 ether) - 0.5 ether);
        BatchHeader memory h = _header(records, payouts);
        _pay(1 ether);
        _anchor(h);
        // the seller's delegators earned it, whoever owns the agent meanwhile
        vm.prank(operator);
        agents.transferFrom(operator, client, agentId);
        _passWindow();
        uint256 snapshot = vm.snapshotState();
        pool.claim(h, 0, address(delegations), 0.5 ether, Trees.sumProof(payouts, 0));
        _assertRewarded(0.5 ether);
        vm.revertToState(snapshot);
        pool.claimMany(h, _claims(payouts));
        _assertRewarded(0.5 ether);
        assertEq(pool.creditOf(address(delegations)), 0);
    }

    function _assertRewarded(uint256 amount) private view {
        (, uint256 worth) = delegations.delegationOf(agentId, operator, stranger);
        assertApproxEqAbs(worth, 10 ether + amount, 1);
        assertEq(token.balanceOf(address(delegations)), 10 ether + amount);
    }

    function test_credit_takesTheSumAndRefusesMismatchAndZero() public {
        address[] memory accounts = new address[](2);
        uint256[] memory amounts = new uint256[](2);
        (accounts[0], accounts[1], amounts[0], amounts[1]) = (contributor, app, 3 ether, 4 ether);
        vm.startPrank(client);
        token.approve(address(pool), 7 ether);
        pool.credit(accounts, amounts);
        assertEq(pool.creditOf(app), 4 ether);
        assertEq(token.balanceOf(address(pool)), 7 ether);
        amounts[0] = type(uint256).max;
        vm.expectRevert(stdError.arithmeticError);
        pool.credit(accounts, amounts);
        accounts[0] = address(0);
        vm.expectRevert(IRewardPool.ZeroAccount.selector);
        pool.credit(accounts, amounts);
        vm.expectRevert(abi.encodeWithSelector(IRewardPool.LengthMismatch.selector, 2, 1));
        pool.credit(accounts, new uint256[](1));
    }

    function test_refund_returnsAPaymentOnce() public {
        _pay(2 ether);
        uint256 before = token.balanceOf(client);
        vm.prank(operator);
        pool.refund(agentId, keccak256("payment"), client, 1 ether);
        assertEq(token.balanceOf(client), before + 1 ether);
        assertTrue(pool.isRefunded(agentId, keccak256("payment")));
        vm.expectRevert(
            abi.encodeWithSelector(IRewardPool.AlreadyRefunded.selector, agentId, keccak256("payment"))
        );
        vm.prank(operator);
        pool.refund(agentId, keccak256("payment"), client, 1 ether);
        // the record key acts for the agent as well
        vm.prank(recordKey);
        pool.refund(agentId, keccak256("other payment"), client, 1 ether);
    }

    function test_refund_cannotTouchAnchoredFees() public {
        _anchorMany(1, 1 ether);
        _pay(0.5 ether);
        vm.startPrank(operator);
        vm.expectRevert(abi.encodeWithSelector(IRewardPool.EscrowShort.selector, 0.5 ether, 1 ether));
        pool.refund(agentId, keccak256("payment"), client, 1 ether);
        pool.refund(agentId, keccak256("payment"), client, 0.5 ether);
        vm.stopPrank();
    }

    function test_refund_revertsForStrangersAndZero() public {
        _pay(1 ether);
        vm.expectRevert(abi.encodeWithSelector(IRewardPool.NotAuthorized.selector, agentId, stranger));
        vm.prank(stranger);
        pool.refund(agentId, keccak256("payment"), stranger, 1 ether);
        vm.expectRevert(IRewardPool.ZeroAccount.selector);
        vm.prank(operator);
        pool.refund(agentId, keccak256("payment"), address(0), 1 ether);
    }

    function test_repay_givesBackWhatIsNotChargedOnce() public {
        _pay(6 ether);
        Repayment[] memory given = new Repayment[](2);
        given[0] = Repayment(keccak256("metered"), client, 1 ether, 2 ether);
        given[1] = Repayment(keccak256("failed"), stranger, 3 ether, 0);
        (uint256 clients, uint256 strangers) = (token.balanceOf(client), token.balanceOf(stranger));
        vm.prank(recordKey);
        pool.repay(agentId, given);
        assertEq(token.balanceOf(client), clients + 1 ether);
        assertEq(token.balanceOf(stranger), strangers + 3 ether);
        (address to, uint256 amount, address by, uint256 charged) =
            pool.refundOf(agentId, keccak256("metered"));
        assertEq(to, client);
        assertEq(by, operator);
        assertEq(amount, 1 ether);
        assertEq(charged, 2 ether);
        // whatever a copy says by then
        given[0].amount = 2 ether;
        vm.prank(operator);
        pool.repay(agentId, given);
        assertEq(token.balanceOf(client), clients + 1 ether);
        vm.expectRevert(
            abi.encodeWithSelector(IRewardPool.AlreadyRefunded.selector, agentId, keccak256("metered"))
        );
        vm.prank(operator);
        pool.refund(agentId, keccak256("metered"), client, 1 ether);
    }

    function test_repay_cannotTouchAnchoredFees() public {
        _anchorMany(1, 1 ether);
        _pay(2 ether);
        Repayment[] memory given = new Repayment[](2);
        given[0] = Repayment(keccak256("first"), client, 1.5 ether, 0);
        given[1] = Repayment(keccak256("second"), client, 1 ether, 0);
        vm.startPrank(operator);
        vm.expectRevert(abi.encodeWithSelector(IRewardPool.EscrowShort.selector, 2 ether, 2.5 ether));
        pool.repay(agentId, given);
        assertFalse(pool.isRefunded(agentId, keccak256("first")), "all or nothing");
        given[1].amount = 0.5 ether;
        pool.repay(agentId, given);
        vm.stopPrank();
    }

    function test_repay_revertsForStrangersAndZero() public {
        _pay(1 ether);
        Repayment[] memory given = new Repayment[](1);
        given[0] = Repayment(keccak256("payment"), address(0), 1 ether, 0);
        vm.expectRevert(abi.encodeWithSelector(IRewardPool.NotAuthorized.selector, agentId, stranger));
        vm.prank(stranger);
        pool.repay(agentId, given);
        vm.expectRevert(IRewardPool.ZeroAccount.selector);
        vm.prank(operator);
        pool.repay(agentId, given);
    }

    function test_collect_revertsForOthers() public {
        vm.expectRevert(abi.encodeWithSelector(IRewardPool.OnlyActionLog.selector, operator));
        vm.prank(operator);
        pool.collect(agentId, keccak256("batch"), 1 ether, 1 ether);
    }

    function test_finalize_freeBatchesHaveNothingToClaim() public {
        (BatchHeader memory h,,) = _anchorMany(2, 0);
        _passWindow();
        actionLog.finalize(h);
        assertTrue(actionLog.isFinal(keccak256(abi.encode(h))));
        vm.expectRevert(abi.encodeWithSelector(IActionLog.AlreadyFinal.selector, keccak256(abi.encode(h))));
        pool.claim(h, 0, contributor, 0, new SumNode[](0));
    }

    function test_failedActions_chargeNothingAndAreRefunded() public {
        ActionRecord[] memory records = new ActionRecord[](2);
        (records[0], records[1]) = (_record(0, 1 ether), _record(1, 1 ether));
        records[1].status = 2;
        BatchHeader memory h = _header(records, _payouts(1 ether));
        assertEq(h.sum, 1 ether);
        _pay(2 ether);
        _anchor(h);
        uint256 before = token.balanceOf(client);
        vm.prank(recordKey);
        pool.refund(agentId, records[1].paymentId, client, 1 ether);
        assertEq(token.balanceOf(client), before + 1 ether, "before the window is over");
        assertTrue(
            actionLog.verifyRecord(h, Records.structHash(records[1]), 1, Trees.recordProof(records, 1))
        );
    }

    function _claims(Payout[] memory payouts) private pure returns (Claim[] memory claims) {
        claims = new Claim[](payouts.length);
        for (uint32 i; i < claims.length; ++i) {
            claims[i] = Claim(i, payouts[i].account, payouts[i].amount, Trees.sumProof(payouts, i));
        }
    }
}
