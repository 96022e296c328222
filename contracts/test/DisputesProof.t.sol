// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { IDisputeErrors, IDisputeEvents } from "src/interfaces/IDisputes.sol";
import { Records } from "src/libraries/Records.sol";
import { Distribution, Fault } from "src/types/DisputeTypes.sol";
import { ActionRecord, BatchHeader, RecordProof } from "src/types/Records.sol";
import { Payout, Trees } from "./utils/Trees.sol";
import { World } from "./utils/World.sol";

contract DisputesProofTest is World {
    uint256 private constant FEE = 1 ether;

    function test_equivocation_slashesAtOnceAndPaysEveryPart() public {
        (ActionRecord memory a, ActionRecord memory b) = _conflict(7, FEE);
        uint256 before = token.balanceOf(challenger);
        uint256 clientBefore = token.balanceOf(client);
        Distribution memory d = _prove(a, b);
        assertEq(d.total, 80 ether);
        assertEq(d.toChallenger, 24 ether);
        assertEq(d.toClients, FEE);
        assertEq(d.toJury, 0);
        assertEq(d.burned, 55 ether);
        assertEq(token.balanceOf(challenger), before + 24 ether);
        assertEq(token.balanceOf(client), clientBefore + FEE);
        assertEq(token.burned(), 55 ether);
        assertEq(token.balanceOf(address(disputes)), 0);
        assertEq(vault.stakeOf(agentId), STAKE - 80 ether);
        assertEq(actionLog.coverageLeft(agentId), (STAKE - 80 ether) / 4);
    }

    function test_equivocation_saysWhoWasConvictedWithoutADispute() public {
        (ActionRecord memory a, ActionRecord memory b) = _conflict(7, FEE);
        Distribution memory d = Distribution(80 ether, 55 ether, 24 ether, FEE, 0);
        vm.expectEmit(address(disputes));
        emit IDisputeEvents.Convicted(0, agentId, operator, 7, Fault.Equivocation, challenger, d);
        _prove(a, b);
    }

    function test_equivocation_countsOnce() public {
        (ActionRecord memory a, ActionRecord memory b) = _conflict(7, FEE);
        _prove(a, b);
        _proveAgain(b, a);
    }

    function test_equivocation_cheapSelfConvictionDoesNotShieldADearOne() public {
        (ActionRecord memory a, ActionRecord memory b) = _conflict(7, 0);
        assertEq(_prove(a, b).total, 1 ether);
        b.fee = FEE;
        // the larger fault tops the slash up to its own size
        assertEq(_prove(a, b).total, 79 ether);
        _proveAgain(a, b);
    }

    function test_equivocation_paysBothHarmedClients() public {
        (ActionRecord memory a, ActionRecord memory b) = _conflict(7, FEE);
        b.client = stranger;
        uint256 before = token.balanceOf(stranger);
        assertEq(_prove(a, b).toClients, 2 * FEE);
        assertEq(token.balanceOf(stranger), before + FEE);
    }

    function test_fuzz_equivocation_anyTwoConflictingRecordsSlash(
        uint64 nonce,
        uint256 fee,
        bytes32 output,
        address payer
    ) public {
        ActionRecord memory a = _record(nonce, fee);
        ActionRecord memory b = _record(nonce, fee);
        b.outputHash = output;
        // neither an absurd fee nor a client that cannot be paid may make a record unslashable
        b.client = payer;
        vm.assume(output != a.outputHash);
        vm.assume(payer != address(disputes)); // what a record gives to Disputes stays there
        Distribution memory d = _prove(a, b);
        assertGt(d.total, 0);
        assertGe(d.burned * 2, d.total);
        assertLe(d.toChallenger * 10, d.total * 3);
        assertEq(d.burned + d.toChallenger + d.toClients + d.toJury, d.total);
        assertEq(vault.stakeOf(agentId), STAKE - d.total);
        assertEq(token.balanceOf(address(disputes)), 0);
    }

    function test_equivocation_reachesStakeThatIsLeaving() public {
        vm.prank(operator);
        vault.requestWithdraw(agentId, STAKE);
        (ActionRecord memory a, ActionRecord memory b) = _conflict(7, FEE);
        assertEq(_prove(a, b).total, 80 ether);
        assertEq(vault.positionOf(agentId, operator).pending, STAKE - 80 ether);
        vm.warp(block.timestamp + 14 days);
        uint256 before = token.balanceOf(operator);
        vm.prank(operator);
        vault.withdraw(agentId);
        assertEq(token.balanceOf(operator), before + STAKE - 80 ether);
    }

    function test_equivocation_acrossEpochsOfOneOperator() public {
        (address nextKey, uint256 nextSecret) = makeAddrAndKey("next key");
        ActionRecord memory a = _record(7, FEE);
        epoch = _openEpoch(operator, nextKey);
        ActionRecord memory b = _record(7, FEE);
        Distribution memory d = disputes.proveEquivocation(a, _sign(a), b, _sign(b, nextSecret));
        assertEq(d.total, 80 ether);
    }

    function test_equivocation_sellerAndBuyerDoNotContradictEachOther() public {
        ActionRecord memory a = _record(7, FEE);
        vm.prank(operator);
        agents.transferFrom(operator, stranger, agentId);
        vm.prank(stranger);
        vault.deposit(agentId, STAKE);
        (address nextKey, uint256 nextSecret) = makeAddrAndKey("next key");
        epoch = _openEpoch(stranger, nextKey);
        ActionRecord memory b = _record(7, FEE);
        bytes memory sigA = _sign(a);
        bytes memory sigB = _sign(b, nextSecret);
        vm.expectRevert(IDisputeErrors.NoConflict.selector);
        disputes.proveEquivocation(a, sigA, b, sigB);
    }

    function test_equivocation_sellersStakeAnswersAfterTheSale() public {
        (ActionRecord memory a, ActionRecord memory b) = _conflict(7, FEE);
        vm.startPrank(operator);
        agents.transferFrom(operator, stranger, agentId);
        vm.stopPrank();
        vm.prank(stranger);
        vault.deposit(agentId, STAKE);
        _prove(a, b);
        assertEq(vault.positionOf(agentId, operator).active, STAKE - 80 ether);
        assertEq(vault.positionOf(agentId, stranger).active, STAKE);
    }

    function test_equivocation_keyIsLiableUntilTheWithdrawalDelayAfterItsEpoch() public {
        (ActionRecord memory a, ActionRecord memory b) = _conflict(7, FEE);
        _openEpoch(operator, makeAddr("next key"));
        uint256 until = actionLog.epochOf(agentId, 1).liableUntil;
        assertEq(until, block.timestamp + 14 days);
        vm.warp(until + 1);
        bytes memory sigA = _sign(a);
        bytes memory sigB = _sign(b);
        vm.expectRevert(abi.encodeWithSelector(IDisputeErrors.ProofExpired.selector, until));
        disputes.proveEquivocation(a, sigA, b, sigB);
        vm.warp(until);
        assertEq(disputes.proveEquivocation(a, sigA, b, sigB).total, 80 ether);
    }

    function test_equivocation_revertsWithoutConflict() public {
        (ActionRecord memory a, ActionRecord memory b) = _conflict(7, FEE);
        bytes memory sigA = _sign(a);
        vm.expectRevert(IDisputeErrors.NoConflict.selector);
        disputes.proveEquivocation(a, sigA, a, sigA);
        b.nonce = 8;
        bytes memory sigB = _sign(b);
        vm.expectRevert(IDisputeErrors.NoConflict.selector);
        disputes.proveEquivocation(a, sigA, b, sigB);
        b.nonce = 7;
        b.agentId = agentId + 1;
        vm.expectRevert(IDisputeErrors.NoConflict.selector);
        disputes.proveEquivocation(a, sigA, b, sigB);
    }

    function test_equivocation_revertsOnForeignSignatures() public {
        (ActionRecord memory a, ActionRecord memory b) = _conflict(7, FEE);
        (address thief, uint256 secret) = makeAddrAndKey("thief");
        bytes memory sigA = _sign(a);
        bytes memory sigB = _sign(b, secret);
        vm.expectRevert(abi.encodeWithSelector(IDisputeErrors.BadSignature.selector, agentId, epoch, thief));
        disputes.proveEquivocation(a, sigA, b, sigB);
        vm.expectRevert(
            abi.encodeWithSelector(IDisputeErrors.BadSignature.selector, agentId, epoch, address(0))
        );
        disputes.proveEquivocation(a, sigA, b, hex"1234");
        b.epoch = 9;
        sigB = _sign(b);
        vm.expectRevert(abi.encodeWithSelector(IDisputeErrors.UnknownEpoch.selector, agentId, 9));
        disputes.proveEquivocation(a, sigA, b, sigB);
    }

    function test_equivocation_revertsWhenNothingIsStaked() public {
        vm.prank(operator);
        vault.requestWithdraw(agentId, STAKE);
        vm.warp(block.timestamp + 14 days);
        vm.prank(operator);
        vault.withdraw(agentId);
        (ActionRecord memory a, ActionRecord memory b) = _conflict(7, FEE);
        bytes memory sigA = _sign(a);
        bytes memory sigB = _sign(b);
        vm.expectRevert(IDisputeErrors.NothingToSlash.selector);
        disputes.proveEquivocation(a, sigA, b, sigB);
    }

    function test_mismatch_slashesAnAnchoredRecordThatWasNotSigned() public {
        (BatchHeader memory h, ActionRecord[] memory records,) = _anchorMany(5, FEE);
        ActionRecord memory signed = _record(3, FEE);
        signed.outputHash = keccak256("what the client got");
        bytes32 anchored = Records.structHash(records[3]);
        RecordProof memory proof = Trees.recordProof(records, 3);
        bytes memory sig = _sign(signed);
        vm.prank(challenger);
        Distribution memory d = disputes.proveAnchoredMismatch(h, signed, sig, anchored, proof);
        assertEq(d.total, 80 ether);
        assertEq(d.toClients, FEE);
        _expectConvicted(3);
        disputes.proveAnchoredMismatch(h, signed, sig, anchored, proof);
    }

    function test_mismatch_revertsForAnHonestRecord() public {
        (BatchHeader memory h, ActionRecord[] memory records,) = _anchorMany(5, FEE);
        RecordProof memory proof = Trees.recordProof(records, 3);
        bytes memory sig = _sign(records[3]);
        bytes32 anchored = Records.structHash(records[3]);
        vm.expectRevert(IDisputeErrors.NoConflict.selector);
        disputes.proveAnchoredMismatch(h, records[3], sig, anchored, proof);
        // a neighbour's hash cannot be passed off as the one at this nonce
        anchored = Records.structHash(records[2]);
        vm.expectRevert(abi.encodeWithSelector(IDisputeErrors.BadInclusion.selector, "record"));
        disputes.proveAnchoredMismatch(h, records[3], sig, anchored, proof);
        h.sum += 1;
        vm.expectRevert(
            abi.encodeWithSelector(IDisputeErrors.UnknownBatch.selector, keccak256(abi.encode(h)))
        );
        disputes.proveAnchoredMismatch(h, records[3], sig, anchored, proof);
    }

    function _conflict(uint64 nonce, uint256 fee)
        private
        view
        returns (ActionRecord memory a, ActionRecord memory b)
    {
        (a, b) = (_record(nonce, fee), _record(nonce, fee));
        b.outputHash = keccak256("another output");
    }

    function _prove(ActionRecord memory a, ActionRecord memory b) private returns (Distribution memory) {
        bytes memory sigA = _sign(a);
        bytes memory sigB = _sign(b);
        vm.prank(challenger);
        return disputes.proveEquivocation(a, sigA, b, sigB);
    }

    function _proveAgain(ActionRecord memory a, ActionRecord memory b) private {
        bytes memory sigA = _sign(a);
        bytes memory sigB = _sign(b);
        _expectConvicted(a.nonce);
        disputes.proveEquivocation(a, sigA, b, sigB);
    }

    function _expectConvicted(uint64 nonce) private {
        vm.expectRevert(
            abi.encodeWithSelector(IDisputeErrors.AlreadyConvicted.selector, agentId, operator, nonce)
        );
    }
}
