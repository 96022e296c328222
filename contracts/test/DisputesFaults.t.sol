// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { IDisputeErrors } from "src/interfaces/IDisputes.sol";
import { Repayment } from "src/interfaces/IRewardPool.sol";
import { Records } from "src/libraries/Records.sol";
import { Distribution } from "src/types/DisputeTypes.sol";
import { ActionRecord, AnchoredRecord, BatchHeader, Claim, FixedSplit, SumNode } from "src/types/Records.sol";
import { Faults } from "./utils/Faults.sol";
import { Payout, Trees } from "./utils/Trees.sol";

/// @title Double payment, refunded charge, misdeclared record, broken fixed split.
contract DisputesFaultsTest is Faults {
    // --- double payment ----------------------------------------------------------------------------------------

    function test_doublePayment_slashesTheLaterCharge() public {
        (AnchoredRecord memory a, AnchoredRecord memory b) = _twice(FEE, FEE, 1);
        vm.prank(challenger);
        Distribution memory d = disputes.proveDoublePayment(a, b);
        assertEq(d.total, 80 ether);
        assertEq(d.toChallenger, 24 ether);
        assertEq(d.toClients, 0);
        assertEq(d.burned, 56 ether);
        assertEq(disputes.settledOf(agentId, operator, b.nonce), 80 ether);
        assertEq(disputes.settledOf(agentId, operator, a.nonce), 0);
        _expectConvicted(b.nonce);
        disputes.proveDoublePayment(a, b);
    }

    function test_doublePayment_acrossBatchesAndEpochsOfOneOperator() public {
        AnchoredRecord memory a = _anchorOne(_record(0, FEE));
        _rotate(operator);
        ActionRecord memory again = _record(1, FEE);
        again.paymentId = a.record.paymentId;
        AnchoredRecord memory b = _anchorOne(again);
        assertEq(disputes.proveDoublePayment(a, b).total, 80 ether);
    }

    function test_doublePayment_freeAndFailedActionsChargeNothing() public {
        (AnchoredRecord memory a, AnchoredRecord memory b) = _twice(FEE, 0, 1);
        _expectNoConflict();
        disputes.proveDoublePayment(a, b);
        (a, b) = _twice(0, FEE, 1);
        _expectNoConflict();
        disputes.proveDoublePayment(a, b);
        (a, b) = _twice(FEE, FEE, 2);
        _expectNoConflict();
        disputes.proveDoublePayment(a, b);
    }

    function test_doublePayment_revertsForOneRecordSwappedOnesAndOtherPayments() public {
        (AnchoredRecord memory a, AnchoredRecord memory b) = _twice(FEE, FEE, 1);
        _expectNoConflict();
        disputes.proveDoublePayment(a, a);
        _expectNoConflict();
        disputes.proveDoublePayment(b, a);
        AnchoredRecord memory c = _anchorOne(_record(2, FEE));
        _expectNoConflict();
        disputes.proveDoublePayment(a, c);
        // a record is only what was anchored
        c.record.paymentId = a.record.paymentId;
        _expectBadInclusion("record");
        disputes.proveDoublePayment(a, c);
    }

    function test_doublePayment_aBuyerIsNotFramedByItsSeller() public {
        AnchoredRecord memory a = _anchorOne(_record(0, FEE));
        _sell();
        ActionRecord memory again = _record(1, FEE);
        again.paymentId = a.record.paymentId;
        AnchoredRecord memory b = _anchorOne(again);
        _expectNoConflict();
        disputes.proveDoublePayment(a, b);
    }

    function test_doublePayment_reachesTheSellerWhoseStakeIsLeavingAndClaimed() public {
        (AnchoredRecord memory a, AnchoredRecord memory b) = _twice(FEE, FEE, 1);
        vm.prank(address(disputes));
        vault.encumber(agentId, operator, STAKE);
        vm.prank(operator);
        vault.requestWithdraw(agentId, STAKE);
        _sell();
        assertEq(disputes.proveDoublePayment(a, b).total, 80 ether);
        assertEq(vault.positionOf(agentId, operator).pending, STAKE - 80 ether);
    }

    // --- charged and refunded ----------------------------------------------------------------------------------

    function test_refundedCharge_slashesWhicheverCameFirst() public {
        _refund(_record(0, FEE).paymentId, FEE, operator);
        AnchoredRecord memory early = _anchorOne(_record(0, FEE));
        Distribution memory d = disputes.proveRefundedCharge(early);
        assertEq(d.total, 80 ether);
        assertEq(d.toClients, 0, "who was refunded is harmed no more");
        AnchoredRecord memory late = _anchorOne(_record(1, FEE));
        _expectNoConflict();
        disputes.proveRefundedCharge(late);
        _refund(late.record.paymentId, FEE, operator);
        assertEq(disputes.proveRefundedCharge(late).total, 80 ether);
        _expectConvicted(1);
        disputes.proveRefundedCharge(late);
    }

    function test_refundedCharge_aFailedActionIsRefundedAndChargesNothing() public {
        ActionRecord memory record = _record(0, FEE);
        record.status = 2;
        _refund(record.paymentId, FEE, operator);
        AnchoredRecord memory shown = _anchorOne(record);
        _expectNoConflict();
        disputes.proveRefundedCharge(shown);
    }

    function test_refundedCharge_aMeteredActionChargesWhatItLeft() public {
        AnchoredRecord memory shown = _anchorOne(_record(0, FEE));
        _repay(shown.record.paymentId, 1, uint96(FEE));
        _expectNoConflict();
        disputes.proveRefundedCharge(shown);
    }

    function test_refundedCharge_aMeteredActionThatChargesMoreThanItLeft() public {
        AnchoredRecord memory shown = _anchorOne(_record(0, FEE));
        _repay(shown.record.paymentId, 1, uint96(FEE) - 1);
        vm.prank(challenger);
        assertEq(disputes.proveRefundedCharge(shown).total, 80 ether);
    }

    function test_refundedCharge_aSellerIsNotFramedByItsBuyer() public {
        AnchoredRecord memory shown = _anchorOne(_record(0, FEE));
        _sell();
        _refund(shown.record.paymentId, FEE, stranger);
        _expectNoConflict();
        disputes.proveRefundedCharge(shown);
    }

    function test_refundedCharge_isOfOneAgent() public {
        AnchoredRecord memory shown = _anchorOne(_record(0, FEE));
        vm.startPrank(stranger);
        uint256 other = agents.register("ipfs://other");
        token.transfer(pool.escrowOf(other), FEE);
        pool.refund(other, shown.record.paymentId, client, FEE);
        vm.stopPrank();
        _expectNoConflict();
        disputes.proveRefundedCharge(shown);
    }

    // --- misdeclared -------------------------------------------------------------------------------------------

    function test_misdeclared_aFailedActionThatChargesPaysItsClientBack() public {
        ActionRecord memory record = _record(0, FEE);
        record.status = 2;
        AnchoredRecord memory shown = _anchorLeaf(record, 0, FEE);
        uint256 before = token.balanceOf(client);
        Distribution memory d = disputes.proveMisdeclared(shown);
        assertEq(d.total, 80 ether);
        assertEq(d.toClients, FEE);
        assertEq(token.balanceOf(client), before + FEE);
        _expectConvicted(0);
        disputes.proveMisdeclared(shown);
    }

    function test_misdeclared_chargingLessThanTheRecordSays() public {
        // what contributors would have been paid
        AnchoredRecord memory shown = _anchorLeaf(_record(0, FEE), 0, FEE / 2);
        Distribution memory d = disputes.proveMisdeclared(shown);
        assertEq(d.total, 80 ether);
        assertEq(d.toClients, 0);
    }

    function test_misdeclared_anotherNonceOrAgentThanItsPlace() public {
        assertEq(disputes.proveMisdeclared(_anchorLeaf(_record(7, FEE), 0, FEE)).total, 80 ether);
        ActionRecord memory record = _record(1, FEE);
        record.agentId = agentId + 1;
        assertEq(disputes.proveMisdeclared(_anchorLeaf(record, 1, FEE)).total, 80 ether);
    }

    function test_misdeclared_anAbsurdFeeTakesWhatIsThere() public {
        AnchoredRecord memory shown = _anchorLeaf(_record(0, type(uint256).max), 0, 0);
        assertEq(disputes.proveMisdeclared(shown).total, STAKE);
    }

    function test_fuzz_misdeclared_everyOtherChargeAndNoHonestOne(uint256 fee, uint256 charge, uint8 status)
        public
    {
        ActionRecord memory record = _record(0, fee);
        record.status = uint8(bound(status, 1, 3));
        if (record.status != 2) record.fee = bound(fee, 0, STAKE / 4);
        uint256 declared = Records.chargeOf(record);
        charge = bound(charge, 0, STAKE / 4);
        uint256 state = vm.snapshotState();
        AnchoredRecord memory shown = _anchorLeaf(record, 0, declared);
        _expectNoConflict();
        disputes.proveMisdeclared(shown);
        vm.revertToState(state);
        vm.assume(charge != declared);
        shown = _anchorLeaf(record, 0, charge);
        Distribution memory d = disputes.proveMisdeclared(shown);
        assertGt(d.total, 0);
        assertGe(d.burned * 2, d.total);
    }

    function test_misdeclared_aProofCannotLieAboutTheCharge() public {
        AnchoredRecord memory shown = _anchorOne(_record(0, FEE));
        shown.proof.charge = FEE - 1;
        _expectBadInclusion("record");
        disputes.proveMisdeclared(shown);
    }

    // --- fixed split -------------------------------------------------------------------------------------------

    function test_fixedSplit_anotherAccountIsPaid() public {
        Payout[] memory payouts = _honest(FEE);
        payouts[0].account = contributor;
        uint256 share = _net(FEE) / 10;
        Distribution memory d = _proveSplit(payouts, 0);
        assertEq(d.total, 80 * share);
        assertEq(d.toClients, share);
        assertEq(token.balanceOf(partner), share);
    }

    function test_fixedSplit_tooLittleIsPaid() public {
        Payout[] memory payouts = _honest(FEE);
        payouts[0].amount -= 0.04 ether;
        payouts[2].amount += 0.04 ether;
        Distribution memory d = _proveSplit(payouts, 0);
        assertEq(d.total, 80 * 0.04 ether);
        assertEq(token.balanceOf(partner), 0.04 ether);
    }

    function test_fixedSplit_aWeiLessForEveryRecordIsRounding() public {
        Payout[] memory payouts = _honest(FEE);
        payouts[0].amount -= 1;
        payouts[2].amount += 1;
        BatchHeader memory h = _anchorPayouts(payouts);
        bytes32[] memory path = Trees.proof(manifest, 2);
        Claim memory paid = _claim(payouts, 0);
        _expectNoConflict();
        disputes.proveFixedSplit(h, splits[0], 2, path, paid);
        payouts[0].amount -= 1;
        payouts[2].amount += 1;
        assertEq(_proveSplit(payouts, 0).toClients, 2);
    }

    function test_fixedSplit_aPayoutTreeTooSmallForTheShare() public {
        Payout[] memory payouts = new Payout[](1);
        payouts[0] = Payout(partner, _net(FEE));
        BatchHeader memory h = _anchorPayouts(payouts);
        bytes32[] memory path = Trees.proof(manifest, 3);
        Claim memory nothing;
        assertEq(disputes.proveFixedSplit(h, splits[1], 3, path, nothing).total, 80 * (_net(FEE) / 40));
    }

    function test_fixedSplit_everyShareIsAFaultOfItsOwnAndCountsOnce() public {
        Payout[] memory payouts = new Payout[](2);
        payouts[0] = Payout(contributor, _net(FEE) - 1);
        payouts[1] = Payout(contributor, 1);
        BatchHeader memory h = _anchorPayouts(payouts);
        bytes32[] memory path = Trees.proof(manifest, 2);
        Claim memory paid = _claim(payouts, 0);
        assertGt(disputes.proveFixedSplit(h, splits[0], 2, path, paid).total, 0);
        _expectConvicted(h.firstNonce);
        disputes.proveFixedSplit(h, splits[0], 2, path, paid);
        path = Trees.proof(manifest, 3);
        paid = _claim(payouts, 1);
        assertGt(disputes.proveFixedSplit(h, splits[1], 3, path, paid).total, 0);
        // nor is it counted for the action at the batch's first nonce
        assertEq(disputes.settledOf(agentId, operator, h.firstNonce), 0);
    }

    function test_fuzz_fixedSplit_honestPayoutsRoundedForEveryRecordNeverBreakIt(
        uint256[8] memory fees,
        uint8 count
    ) public {
        uint256 n = bound(count, 1, 8);
        ActionRecord[] memory records = new ActionRecord[](n);
        Payout[] memory payouts = new Payout[](3);
        (payouts[0].account, payouts[1].account, payouts[2].account) = (partner, app, contributor);
        uint256 sum;
        for (uint256 i; i < n; ++i) {
            records[i] = _record(uint64(i), bound(fees[i], 0, 30 ether));
            uint256 net = _net(records[i].fee);
            sum += records[i].fee;
            payouts[0].amount += net * 1000 / 10_000;
            payouts[1].amount += net * 250 / 10_000;
        }
        vm.assume(sum != 0);
        payouts[2].amount = _net(sum) - payouts[0].amount - payouts[1].amount;
        BatchHeader memory h = _header(records, payouts);
        _pay(h.sum);
        _anchor(h);
        for (uint32 i; i < 2; ++i) {
            bytes32[] memory path = Trees.proof(manifest, 2 + i);
            Claim memory paid = _claim(payouts, i);
            FixedSplit memory split = splits[i];
            _expectNoConflict();
            disputes.proveFixedSplit(h, split, 2 + i, path, paid);
        }
    }

    function test_fixedSplit_freeBatchesPayNoShare() public {
        AnchoredRecord memory shown = _anchorOne(_record(0, 0));
        bytes32[] memory path = Trees.proof(manifest, 2);
        Claim memory nothing;
        _expectNoConflict();
        disputes.proveFixedSplit(shown.header, splits[0], 2, path, nothing);
    }

    function test_fixedSplit_theManifestOfTheBatchsEpochCounts() public {
        // declared only after the batch was anchored
        AnchoredRecord memory shown = _anchorOne(_record(0, FEE));
        manifest[2] = Records.manifestLeaf(FixedSplit(0, stranger, 5000));
        _rotate(operator);
        bytes32[] memory path = Trees.proof(manifest, 2);
        Claim memory paid = _claim(_honest(FEE), 0);
        _expectBadInclusion("split");
        disputes.proveFixedSplit(shown.header, FixedSplit(0, stranger, 5000), 2, path, paid);
    }

    function test_fixedSplit_revertsOnMalformedProofs() public {
        AnchoredRecord memory shown = _anchorOne(_record(0, FEE));
        BatchHeader memory h = shown.header;
        bytes32[] memory path = Trees.proof(manifest, 2);
        Claim memory paid = _claim(_honest(FEE), 0);
        FixedSplit memory split = splits[0];

        _expectBadInclusion("split");
        disputes.proveFixedSplit(h, split, 3, path, paid);
        // no bit of the position may be left over
        _expectBadInclusion("split");
        disputes.proveFixedSplit(h, split, 2 + 4, path, paid);
        _expectBadInclusion("split");
        disputes.proveFixedSplit(h, split, 2, new bytes32[](0), paid);
        _expectBadInclusion("split");
        disputes.proveFixedSplit(h, split, 2, new bytes32[](17), paid);
        split.bps += 1;
        _expectBadInclusion("split");
        disputes.proveFixedSplit(h, split, 2, path, paid);
        split.bps -= 1;

        // another place's payout, and an amount that is not there
        Claim memory wrong = _claim(_honest(FEE), 1);
        _expectBadInclusion("payout");
        disputes.proveFixedSplit(h, split, 2, path, wrong);
        paid.amount -= 1;
        _expectBadInclusion("payout");
        disputes.proveFixedSplit(h, split, 2, path, paid);
        paid.amount += 1;
        SumNode[] memory proof = paid.proof;
        (proof[0], proof[1]) = (proof[1], proof[0]);
        _expectBadInclusion("payout");
        disputes.proveFixedSplit(h, split, 2, path, paid);

        h.sum += 1;
        vm.expectPartialRevert(IDisputeErrors.UnknownBatch.selector);
        disputes.proveFixedSplit(h, split, 2, path, paid);
    }

    // --- every proof -------------------------------------------------------------------------------------------

    function test_proofs_needAnAnchoredBatchAndStake() public {
        AnchoredRecord memory shown = _anchorLeaf(_record(7, FEE), 0, FEE);
        shown.header.anchoredAt += 1;
        vm.expectPartialRevert(IDisputeErrors.UnknownBatch.selector);
        disputes.proveMisdeclared(shown);
        shown.header.anchoredAt -= 1;
        vm.prank(operator);
        vault.requestWithdraw(agentId, STAKE);
        vm.warp(block.timestamp + 14 days);
        vm.prank(operator);
        vault.withdraw(agentId);
        vm.expectRevert(IDisputeErrors.NothingToSlash.selector);
        disputes.proveMisdeclared(shown);
    }

    /// @dev No history of an honest operator can be bent into a fault, whatever is shown of it.
    function test_fuzz_honestHistoriesAreNeverConvicted(uint256 seed) public {
        AnchoredRecord[] memory all = new AnchoredRecord[](6);
        for (uint64 i; i < 6; ++i) {
            uint256 dice = uint256(keccak256(abi.encode(seed, i)));
            ActionRecord memory record = _record(i, dice % 5 == 0 ? 0 : dice % 3 ether);
            record.status = uint8(1 + dice % 3);
            if (record.status == 2 && record.fee != 0) _refund(record.paymentId, record.fee, _owner());
            all[i] = _anchorOne(record);
            if (dice % 7 == 0) _rotate(_owner());
            if (dice % 11 == 0 && _owner() == operator) _sell();
        }
        for (uint256 i; i < 6; ++i) {
            _expectNoConflict();
            disputes.proveRefundedCharge(all[i]);
            _expectNoConflict();
            disputes.proveMisdeclared(all[i]);
            _expectNoConflict();
            disputes.proveDoublePayment(all[seed % 6], all[i]);
            Payout[] memory payouts = _honest(Records.chargeOf(all[i].record));
            Claim memory paid;
            if (payouts.length != 0) paid = _claim(payouts, 0);
            bytes32[] memory path = Trees.proof(manifest, 2);
            _expectNoConflict();
            disputes.proveFixedSplit(all[i].header, splits[0], 2, path, paid);
        }
        assertEq(vault.positionOf(agentId, operator).active, STAKE);
    }

    // -----------------------------------------------------------------------------------------------------------

    function _twice(uint256 feeA, uint256 feeB, uint8 statusB)
        private
        returns (AnchoredRecord memory a, AnchoredRecord memory b)
    {
        uint64 first = actionLog.nextNonce(agentId);
        ActionRecord[] memory records = new ActionRecord[](2);
        records[0] = _record(first, feeA);
        records[1] = _record(first + 1, feeB);
        records[1].paymentId = records[0].paymentId;
        records[1].status = statusB;
        BatchHeader memory h =
            _header(records, _honest(Records.chargeOf(records[0]) + Records.chargeOf(records[1])));
        _pay(h.sum);
        _anchor(h);
        return (_shown(h, records, 0), _shown(h, records, 1));
    }

    /// @dev A batch of one leaf that charges what it is told, whatever its record says.
    function _anchorLeaf(ActionRecord memory record, uint64 nonce, uint256 charge)
        private
        returns (AnchoredRecord memory shown)
    {
        shown.record = record;
        shown.nonce = nonce;
        shown.header = _header(_one(record), _honest(charge));
        shown.header.sum = charge;
        shown.proof.charge = charge;
        _pay(charge);
        _anchor(shown.header);
    }

    function _anchorPayouts(Payout[] memory payouts) private returns (BatchHeader memory h) {
        h = _header(_one(_record(0, FEE)), payouts);
        _pay(h.sum);
        _anchor(h);
    }

    function _proveSplit(Payout[] memory payouts, uint32 i) private returns (Distribution memory) {
        BatchHeader memory h = _anchorPayouts(payouts);
        bytes32[] memory path = Trees.proof(manifest, 2 + i);
        Claim memory paid = _claim(payouts, i);
        vm.prank(challenger);
        return disputes.proveFixedSplit(h, splits[i], 2 + i, path, paid);
    }

    function _refund(bytes32 paymentId, uint256 amount, address by) private {
        _pay(amount);
        vm.prank(by);
        pool.refund(agentId, paymentId, client, amount);
    }

    function _repay(bytes32 paymentId, uint96 amount, uint96 charged) private {
        _pay(amount);
        Repayment[] memory given = new Repayment[](1);
        given[0] = Repayment(paymentId, client, amount, charged);
        vm.prank(operator);
        pool.repay(agentId, given);
    }

    function _owner() private view returns (address) {
        return agents.ownerOf(agentId);
    }

    function _expectNoConflict() private {
        vm.expectRevert(IDisputeErrors.NoConflict.selector);
    }

    function _expectBadInclusion(string memory what) private {
        vm.expectRevert(abi.encodeWithSelector(IDisputeErrors.BadInclusion.selector, what));
    }

    function _expectConvicted(uint64 nonce) private {
        vm.expectRevert(
            abi.encodeWithSelector(IDisputeErrors.AlreadyConvicted.selector, agentId, operator, nonce)
        );
    }
}
