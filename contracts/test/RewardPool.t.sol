// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { IActionLog } from "src/interfaces/IActionLog.sol";
import { IRewardPool } from "src/interfaces/IRewardPool.sol";
import { ActionRecord, BatchHeader, SumNode } from "src/types/Records.sol";
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
        pool.claim(h, 0, contributor, 1.8 ether, proof);
        _passWindow();
        uint256 before = token.balanceOf(contributor);
        vm.prank(stranger);
        pool.claim(h, 0, contributor, 1.8 ether, proof);
        assertEq(token.balanceOf(contributor), before + 1.8 ether);
        assertTrue(actionLog.isFinal(hash));
        assertTrue(pool.isClaimed(hash, 0));
        assertFalse(pool.isClaimed(hash, 1));
        assertEq(pool.remaining(hash), 0.2 ether);
        vm.expectRevert(abi.encodeWithSelector(IRewardPool.AlreadyClaimed.selector, hash, 0));
        pool.claim(h, 0, contributor, 1.8 ether, proof);
        pool.claim(h, 1, treasury, 0.2 ether, Trees.sumProof(payouts, 1));
        assertEq(pool.remaining(hash), 0);
        assertEq(token.balanceOf(address(pool)), 0);
        assertEq(token.balanceOf(pool.escrowOf(agentId)), 0);
    }

    function test_claim_revertsForWrongAccountAmountOrPosition() public {
        (BatchHeader memory h,, Payout[] memory payouts) = _anchorMany(2, 1 ether);
        _passWindow();
        bytes32 hash = keccak256(abi.encode(h));
        SumNode[] memory proof = Trees.sumProof(payouts, 0);
        vm.expectRevert(abi.encodeWithSelector(IRewardPool.BadProof.selector, hash, 0));
        pool.claim(h, 0, stranger, 1.8 ether, proof);
        vm.expectRevert(abi.encodeWithSelector(IRewardPool.BadProof.selector, hash, 0));
        pool.claim(h, 0, contributor, 2 ether, proof);
        vm.expectRevert(abi.encodeWithSelector(IRewardPool.BadProof.selector, hash, 1));
        pool.claim(h, 1, contributor, 1.8 ether, proof);
        vm.expectRevert(abi.encodeWithSelector(IRewardPool.BadProof.selector, hash, 2));
        pool.claim(h, 2, contributor, 1.8 ether, proof);
        vm.expectRevert(IRewardPool.ZeroAccount.selector);
        pool.claim(h, 0, address(0), 1.8 ether, proof);
        h.sum += 1;
        vm.expectRevert(abi.encodeWithSelector(IActionLog.UnknownBatch.selector, keccak256(abi.encode(h))));
        pool.claim(h, 0, contributor, 1.8 ether, proof);
    }

    function test_fuzz_claim_everyPayoutIsPaidAndNothingMore(uint64[9] memory amounts, uint256 count) public {
        count = bound(count, 1, 9);
        Payout[] memory payouts = new Payout[](count);
        uint256 sum;
        for (uint256 i; i < count; ++i) {
            payouts[i] = Payout(makeAddr(vm.toString(i)), amounts[i]);
            sum += amounts[i];
        }
        vm.assume(sum != 0);
        ActionRecord[] memory records = new ActionRecord[](1);
        records[0] = _record(0, sum);
        BatchHeader memory h = _header(records, payouts);
        _pay(sum);
        _anchor(h);
        _passWindow();
        for (uint256 i; i < count; ++i) {
            pool.claim(h, uint32(i), payouts[i].account, payouts[i].amount, Trees.sumProof(payouts, i));
            assertEq(token.balanceOf(payouts[i].account), payouts[i].amount);
        }
        assertEq(token.balanceOf(address(pool)), 0);
        assertEq(pool.remaining(keccak256(abi.encode(h))), 0);
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

    function test_collect_revertsForOthers() public {
        vm.expectRevert(abi.encodeWithSelector(IRewardPool.OnlyActionLog.selector, operator));
        vm.prank(operator);
        pool.collect(agentId, keccak256("batch"), 1 ether);
    }

    function test_finalize_freeBatchesHaveNothingToClaim() public {
        (BatchHeader memory h,,) = _anchorMany(2, 0);
        _passWindow();
        actionLog.finalize(h);
        assertTrue(actionLog.isFinal(keccak256(abi.encode(h))));
        vm.expectRevert(abi.encodeWithSelector(IRewardPool.BadProof.selector, keccak256(abi.encode(h)), 0));
        pool.claim(h, 0, contributor, 0, new SumNode[](0));
    }
}
