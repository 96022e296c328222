// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { IActionLog } from "src/interfaces/IActionLog.sol";
import { Records } from "src/libraries/Records.sol";
import { Param } from "src/types/Param.sol";
import { ActionRecord, AnchorCall, BatchHeader, Epoch, RecordProof, SumNode } from "src/types/Records.sol";
import { Payout, Trees } from "./utils/Trees.sol";
import { World } from "./utils/World.sol";

contract ActionLogTest is World {
    function test_openEpoch_storesKeyOperatorAndManifest() public view {
        Epoch memory e = actionLog.epochOf(agentId, epoch);
        assertEq(epoch, 1);
        assertEq(actionLog.currentEpoch(agentId), 1);
        assertEq(e.recordKey, recordKey);
        assertEq(e.operator, operator);
        assertEq(e.coverageBps, 2500);
        assertEq(e.acceptUntil, type(uint64).max);
        assertEq(e.manifestDigest, keccak256("manifest"));
        assertEq(actionLog.coverageLeft(agentId), STAKE / 4);
    }

    function test_openEpoch_revertsForStrangers() public {
        vm.expectRevert(abi.encodeWithSelector(IActionLog.NotAuthorized.selector, agentId, stranger));
        _openEpoch(stranger, recordKey);
    }

    function test_openEpoch_revertsWithoutStake() public {
        vm.startPrank(stranger);
        uint256 other = agents.register();
        vm.expectRevert(abi.encodeWithSelector(IActionLog.SelfStakeTooLow.selector, 0, 10 ether));
        actionLog.openEpoch(other, recordKey, 0, 0);
        vm.stopPrank();
    }

    function test_openEpoch_revertsForZeroKey() public {
        vm.expectRevert(IActionLog.ZeroRecordKey.selector);
        _openEpoch(operator, address(0));
    }

    function test_anchor_storesHeaderHashAndReserves() public {
        (BatchHeader memory h,,) = _anchorMany(3, 1 ether);
        assertEq(actionLog.headerHashAt(agentId, 0), keccak256(abi.encode(h)));
        assertTrue(actionLog.isAnchored(h));
        assertEq(actionLog.nextNonce(agentId), 3);
        assertEq(actionLog.openFees(agentId), 3 ether);
        assertEq(actionLog.coverageLeft(agentId), STAKE / 4 - 3 ether);
        h.anchoredAt += 1;
        assertFalse(actionLog.isAnchored(h));
    }

    function test_anchor_emitsEveryHeaderField() public {
        _pay(1 ether);
        ActionRecord[] memory records = new ActionRecord[](1);
        records[0] = _record(0, 1 ether);
        BatchHeader memory h = _header(records, _payouts(1 ether));
        vm.expectEmit(address(actionLog));
        emit IActionLog.Anchored(
            agentId, 0, 1, h.recordRoot, h.payoutRoot, 2, 1 ether, epoch, h.batchDigest, h.anchoredAt
        );
        _anchor(h);
    }

    function test_anchor_ownerMayAnchorToo() public {
        _pay(1 ether);
        ActionRecord[] memory records = new ActionRecord[](1);
        records[0] = _record(0, 1 ether);
        BatchHeader memory h = _header(records, _payouts(1 ether));
        vm.prank(operator);
        actionLog.anchor(_call(h));
        assertTrue(actionLog.isAnchored(h));
    }

    function test_anchor_revertsForStrangers() public {
        AnchorCall memory call = _plainCall();
        vm.expectRevert(abi.encodeWithSelector(IActionLog.NotAuthorized.selector, agentId, stranger));
        vm.prank(stranger);
        actionLog.anchor(call);
    }

    function test_anchor_revertsOnNonceGapAndReplay() public {
        AnchorCall memory call = _plainCall();
        call.firstNonce = 1;
        vm.expectRevert(abi.encodeWithSelector(IActionLog.NonceGap.selector, 1, 0));
        vm.prank(recordKey);
        actionLog.anchor(call);

        call.firstNonce = 0;
        vm.startPrank(recordKey);
        actionLog.anchor(call);
        vm.expectRevert(abi.encodeWithSelector(IActionLog.NonceGap.selector, 0, 1));
        actionLog.anchor(call);
        vm.stopPrank();
    }

    function test_anchor_revertsOnBadCountAndPayouts() public {
        AnchorCall memory call = _plainCall();
        vm.startPrank(recordKey);
        call.count = 0;
        vm.expectRevert(abi.encodeWithSelector(IActionLog.BadCount.selector, 0));
        actionLog.anchor(call);
        call.count = (1 << 20) + 1;
        vm.expectRevert(abi.encodeWithSelector(IActionLog.BadCount.selector, call.count));
        actionLog.anchor(call);
        call.count = 1;
        call.payoutCount = 1;
        vm.expectRevert(abi.encodeWithSelector(IActionLog.BadPayouts.selector, 1, 0));
        actionLog.anchor(call);
        call.payoutCount = 0;
        call.sum = 1;
        vm.expectRevert(abi.encodeWithSelector(IActionLog.BadPayouts.selector, 0, 1));
        actionLog.anchor(call);
        vm.stopPrank();
    }

    function test_anchor_revertsBeyondCoverage() public {
        _pay(STAKE);
        AnchorCall memory call = _plainCall();
        call.payoutCount = 1;
        call.sum = STAKE / 4 + 1;
        vm.expectRevert(
            abi.encodeWithSelector(IActionLog.CoverageExceeded.selector, STAKE / 4 + 1, STAKE / 4)
        );
        vm.prank(recordKey);
        actionLog.anchor(call);
        call.sum = STAKE / 4;
        vm.prank(recordKey);
        actionLog.anchor(call);
        assertEq(actionLog.coverageLeft(agentId), 0);
    }

    function test_anchor_revertsWithoutAnyStakeEvenForFreeActions() public {
        vm.prank(operator);
        vault.requestWithdraw(agentId, STAKE);
        vm.expectRevert(abi.encodeWithSelector(IActionLog.CoverageExceeded.selector, 0, 0));
        vm.prank(recordKey);
        actionLog.anchor(_plainCall());
    }

    function test_anchor_exitingStakeBacksNothing() public {
        vm.prank(operator);
        vault.requestWithdraw(agentId, STAKE / 2);
        assertEq(actionLog.coverageLeft(agentId), STAKE / 8);
        vm.prank(stranger);
        vault.deposit(agentId, STAKE);
        assertEq(actionLog.coverageLeft(agentId), STAKE * 3 / 8);
    }

    function test_anchor_revertsWhenEscrowIsShort() public {
        _pay(1 ether);
        AnchorCall memory call = _plainCall();
        call.payoutCount = 1;
        call.sum = 1 ether + 1;
        vm.expectRevert(abi.encodeWithSelector(IActionLog.EscrowShort.selector, 1 ether, 1 ether + 1));
        vm.prank(recordKey);
        actionLog.anchor(call);
    }

    function test_epoch_isAcceptedForTheLagAfterItsSuccessor() public {
        _openEpoch(operator, makeAddr("next key"));
        AnchorCall memory call = _plainCall();
        vm.warp(block.timestamp + 1 hours);
        vm.prank(recordKey);
        actionLog.anchor(call);
        vm.warp(block.timestamp + 1);
        call.firstNonce = 1;
        vm.expectRevert(abi.encodeWithSelector(IActionLog.EpochNotAccepted.selector, agentId, epoch));
        vm.prank(recordKey);
        actionLog.anchor(call);
    }

    function test_epoch_onlyTheNewestTwoAreAccepted() public {
        _openEpoch(operator, makeAddr("second"));
        _openEpoch(operator, makeAddr("third"));
        vm.expectRevert(abi.encodeWithSelector(IActionLog.EpochNotAccepted.selector, agentId, epoch));
        vm.prank(recordKey);
        actionLog.anchor(_plainCall());
    }

    function test_epoch_unknownIsRefused() public {
        AnchorCall memory call = _plainCall();
        call.epoch = 9;
        vm.expectRevert(abi.encodeWithSelector(IActionLog.EpochNotAccepted.selector, agentId, 9));
        vm.prank(operator);
        actionLog.anchor(call);
    }

    function test_transfer_closesEpochForGoodAndLeavesStakeWithTheSeller() public {
        vm.prank(operator);
        agents.transferFrom(operator, stranger, agentId);
        vm.expectRevert(abi.encodeWithSelector(IActionLog.EpochNotAccepted.selector, agentId, epoch));
        vm.prank(recordKey);
        actionLog.anchor(_plainCall());
        assertEq(actionLog.coverageLeft(agentId), 0);
        assertEq(vault.positionOf(agentId, operator).active, STAKE);
        assertEq(vault.stakeOf(agentId), 0);
        assertFalse(actionLog.isOperator(agentId, recordKey));

        vm.prank(stranger);
        vault.deposit(agentId, 40 ether);
        uint32 second = _openEpoch(stranger, makeAddr("buyer key"));
        assertEq(second, 2);
        assertEq(actionLog.coverageLeft(agentId), 10 ether);
        // the buyer's epoch does not reopen the seller's
        assertEq(actionLog.epochOf(agentId, epoch).acceptUntil, 0);
        // nor does the seller's stake back the buyer's anchors
        vm.prank(operator);
        vault.requestWithdraw(agentId, STAKE);
        assertEq(actionLog.coverageLeft(agentId), 10 ether);
    }

    function test_transfer_closesAnEpochStillWithinItsLag() public {
        _openEpoch(operator, makeAddr("second"));
        vm.prank(operator);
        agents.transferFrom(operator, stranger, agentId);
        vm.expectRevert(abi.encodeWithSelector(IActionLog.EpochNotAccepted.selector, agentId, epoch));
        vm.prank(recordKey);
        actionLog.anchor(_plainCall());
    }

    function test_finalize_movesTheSumAfterTheWindow() public {
        (BatchHeader memory h,,) = _anchorMany(2, 1 ether);
        uint256 until = actionLog.challengeableUntil(h);
        vm.expectRevert(abi.encodeWithSelector(IActionLog.WindowOpen.selector, until));
        actionLog.finalize(h);
        vm.warp(until);
        vm.expectRevert(abi.encodeWithSelector(IActionLog.WindowOpen.selector, until));
        actionLog.finalize(h);
        vm.warp(until + 1);
        vm.prank(stranger);
        actionLog.finalize(h);
        assertEq(actionLog.openFees(agentId), 0);
        assertEq(token.balanceOf(address(pool)), 2 ether);
        assertTrue(actionLog.isFinal(keccak256(abi.encode(h))));
        vm.expectRevert(abi.encodeWithSelector(IActionLog.AlreadyFinal.selector, keccak256(abi.encode(h))));
        actionLog.finalize(h);
    }

    function test_finalize_revertsForAnAlteredHeader() public {
        (BatchHeader memory h,,) = _anchorMany(1, 1 ether);
        _passWindow();
        h.sum = 0;
        vm.expectRevert(abi.encodeWithSelector(IActionLog.UnknownBatch.selector, keccak256(abi.encode(h))));
        actionLog.finalize(h);
    }

    function test_hooks_revertForOthers() public {
        vm.startPrank(stranger);
        vm.expectRevert(abi.encodeWithSelector(IActionLog.OnlyContract.selector, address(vault)));
        actionLog.onStakeChanged(agentId, operator, 1e30);
        vm.expectRevert(abi.encodeWithSelector(IActionLog.OnlyContract.selector, address(agents)));
        actionLog.onAgentTransferred(agentId);
        vm.stopPrank();
    }

    function test_fuzz_verifyRecord(uint256 count, uint256 index, uint256 other) public {
        count = bound(count, 1, 40);
        index = bound(index, 0, count - 1);
        other = bound(other, 0, count - 1);
        (BatchHeader memory h, ActionRecord[] memory records,) = _anchorMany(count, 0);
        bytes32 hash = Records.structHash(records[index]);
        RecordProof memory proof = Trees.recordProof(records, index);
        assertTrue(actionLog.verifyRecord(h, hash, uint64(index), proof));
        if (other != index) assertFalse(actionLog.verifyRecord(h, hash, uint64(other), proof));
        assertFalse(actionLog.verifyRecord(h, hash, uint64(index + count), proof));
        assertFalse(actionLog.verifyRecord(h, keccak256("other"), uint64(index), proof));
        ++proof.charge;
        assertFalse(actionLog.verifyRecord(h, hash, uint64(index), proof));
        --proof.charge;
        proof.path = new SumNode[](proof.path.length + 1);
        assertFalse(actionLog.verifyRecord(h, hash, uint64(index), proof));
    }

    function test_fuzz_noncesStayContiguous(uint8[8] memory counts) public {
        uint64 expected;
        for (uint256 i; i < counts.length; ++i) {
            uint256 count = bound(counts[i], 1, 20);
            (BatchHeader memory h,,) = _anchorMany(count, 0.01 ether);
            assertEq(h.firstNonce, expected);
            expected += uint64(count);
            assertEq(actionLog.nextNonce(agentId), expected);
        }
    }

    function test_coverageParameter_appliesFromTheNextEpoch() public {
        vm.prank(governor);
        parameters.set(Param.Coverage, 1000);
        assertEq(actionLog.coverageLeft(agentId), STAKE / 4);
        _openEpoch(operator, recordKey);
        assertEq(actionLog.coverageLeft(agentId), STAKE / 10);
    }

    /// @dev A call for one free action.
    function _plainCall() private view returns (AnchorCall memory call) {
        call.agentId = agentId;
        call.count = 1;
        call.recordRoot = keccak256("records");
        call.epoch = epoch;
    }
}
