// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { IBatchIntake } from "src/interfaces/IBatchIntake.sol";
import { IDisputeErrors } from "src/interfaces/IDisputes.sol";
import { BatchDraw, Dispute, LeafOpening, OpenedLeaf, State } from "src/types/DisputeTypes.sol";
import { Param } from "src/types/Param.sol";
import { BatchCase } from "./utils/BatchCase.sol";

/// @title Leaves drawn across a batch: who opens what, and when it convicts.
contract DisputesBatchTest is BatchCase {
    uint256 private constant JURY_COST = 5 * 8 * 0.02 ether;

    // --- whole flows -------------------------------------------------------------------------------------------

    function test_flow_honestNoiseAcquits() public {
        uint256 before = token.balanceOf(operator);
        uint256 paid = token.balanceOf(challenger);
        uint256 id = _judged();
        uint256 bond = disputes.dispute(id).bond;
        assertEq(bond, uint256(disputes.dispute(id).encumbered) / 10);
        assertEq(token.balanceOf(challenger), paid - bond);
        // three leaves of many are off: one less than it takes
        assertEq(disputes.leavesDrawn(id).threshold, 4);
        _ruleWith(id, 3, LEAF_DELTA + 1);
        _finish(id);
        assertEq(uint8(disputes.dispute(id).state), uint8(State.Acquitted));
        assertEq(token.balanceOf(operator), before + bond - JURY_COST);
        assertEq(token.balanceOf(address(disputes)), 0);
        assertEq(vault.stakeOf(agentId), STAKE);
    }

    function test_flow_driftConvicts() public {
        uint256 before = token.balanceOf(challenger);
        uint256 id = _judged();
        _ruleWith(id, 4, LEAF_DELTA + 1);
        assertTrue(disputes.rulingOf(id, 0).convicted);
        _finish(id);
        uint256 slash = STAKE - vault.stakeOf(agentId);
        assertEq(slash, 80 * batch.sum);
        assertEq(token.balanceOf(challenger), before + slash * 3 / 10);
        assertEq(token.balanceOf(address(disputes)), 0);
        assertEq(vault.positionOf(agentId, operator).claims, 0);
        (, uint8 response,,,) =
            validations.getValidation(address(disputes), agentId, keccak256(abi.encode(batch)));
        assertEq(response, 0);
    }

    function test_flow_deviationWithinLeafDeltaIsNone() public {
        uint256 id = _judged();
        _ruleWith(id, type(uint256).max, LEAF_DELTA);
        _finish(id);
        assertEq(uint8(disputes.dispute(id).state), uint8(State.Acquitted));
    }

    function test_flow_nobodyOpensAnythingConvictsWithoutAJury() public {
        uint256 before = token.balanceOf(challenger);
        uint256 id = _drawnBatch();
        uint256 by = disputes.dispute(id).evidenceBy;
        vm.expectRevert(abi.encodeWithSelector(IDisputeErrors.TooEarly.selector, by + 1));
        disputes.closeLeaves(id);
        vm.warp(by + 1);
        disputes.closeLeaves(id);
        assertEq(uint8(disputes.dispute(id).state), uint8(State.Ruled));
        vm.expectRevert(abi.encodeWithSelector(IDisputeErrors.TooLate.selector, 0));
        vm.prank(operator);
        disputes.appeal(id);
        disputes.resolve(id);
        assertEq(uint8(disputes.dispute(id).state), uint8(State.Convicted));
        uint256 slash = STAKE - vault.stakeOf(agentId);
        assertEq(token.balanceOf(challenger), before + slash * 3 / 10);
        assertEq(token.balanceOf(address(disputes)), 0);
        assertEq(token.burned(), slash - slash * 3 / 10, "no client and no jury to pay");
        vm.expectRevert(abi.encodeWithSelector(IDisputeErrors.AlreadySettled.selector, id, 0));
        disputes.settle(id, 0);
    }

    function test_flow_missingPositionsCountAsDeviating() public {
        uint256 id = _drawnBatch();
        // all but two model calls are opened
        _openAll(id, 2);
        vm.warp(disputes.dispute(id).evidenceBy + 1);
        disputes.closeLeaves(id);
        assertEq(disputes.leavesDrawn(id).missing, 2);
        _draw(id);
        _ruleWith(id, 2, LEAF_DELTA + 1);
        assertTrue(disputes.rulingOf(id, 0).convicted);
    }

    function test_flow_appealJudgesTheSameLeaves() public {
        for (uint256 i = 6; i < 14; ++i) {
            _addJuror(string.concat("juror", vm.toString(i)), JUROR_STAKE);
        }
        vm.roll(block.number + 1);
        uint256 id = _judged();
        _ruleWith(id, 4, LEAF_DELTA + 1);
        vm.prank(operator);
        disputes.appeal(id);
        _draw(id);
        assertEq(disputes.committee(id).length, 11);
        _ruleWith(id, 0, 0);
        _finish(id);
        _settleAll(id);
        assertEq(uint8(disputes.dispute(id).state), uint8(State.Acquitted));
        assertEq(token.balanceOf(address(disputes)), 0);
        assertEq(vault.stakeOf(agentId), STAKE);
    }

    function test_flow_noQuorumVoidsAndFreesTheBatch() public {
        uint256 before = token.balanceOf(challenger);
        uint256 id = _judged();
        _ruleSilent(id);
        _draw(id);
        _ruleSilent(id);
        assertEq(uint8(disputes.dispute(id).state), uint8(State.Voided));
        assertEq(token.balanceOf(challenger), before);
        assertEq(disputes.judgedIn(keccak256(abi.encode(batch))), 0);
        assertEq(vault.positionOf(agentId, operator).claims, 0);
        _challengeBatch();
    }

    function test_flow_acquittalBindsTheBatchButNoSingleLeaf() public {
        uint256 id = _judged();
        _ruleWith(id, 0, 0);
        _finish(id);
        vm.expectRevert(abi.encodeWithSelector(IBatchIntake.BatchJudged.selector, id));
        this.challengeBatch();
        // the case's own record, in another batch, and a leaf of this batch too
        record = records[0];
        header = batch;
        bytes32 evidence =
            keccak256(abi.encode(challenger, SALT, actionLog.structHashOf(record), uint16(0), uint32(3)));
        vm.prank(challenger);
        assertGt(disputes.commitChallenge(batch, record.nonce, evidence), id);
    }

    // --- opening -----------------------------------------------------------------------------------------------

    function test_open_everyPositionIsLeafOrVoid() public {
        uint256 id = _drawnBatch();
        _openAll(id, 0);
        BatchDraw memory drawn = disputes.leavesDrawn(id);
        OpenedLeaf[] memory opened = disputes.leavesOf(id);
        assertEq(drawn.voids + opened.length, 64);
        assertEq(drawn.shown, type(uint256).max >> 192);
        // records that fail or cannot be replayed, tools and padding
        assertGt(drawn.voids, 20);
        assertGt(opened.length, 5);
        // at once: nothing is left to open
        disputes.closeLeaves(id);
        assertEq(uint8(disputes.dispute(id).state), uint8(State.Open));
    }

    function test_open_refusesTwiceLateAndOutOfRange() public {
        uint256 id = _drawnBatch();
        uint256 position = _position(id, true);
        LeafOpening memory o = _opening(id, position);
        disputes.openLeaf(id, position, o);
        vm.expectRevert(abi.encodeWithSelector(IBatchIntake.PositionShown.selector, position));
        disputes.openLeaf(id, position, o);
        vm.expectRevert(abi.encodeWithSelector(IBatchIntake.NoSuchPosition.selector, 64));
        disputes.openLeaf(id, 64, o);
        uint256 by = disputes.dispute(id).evidenceBy;
        vm.warp(by + 1);
        vm.expectRevert(abi.encodeWithSelector(IDisputeErrors.TooLate.selector, by));
        disputes.openLeaf(id, position, o);
    }

    function test_open_refusesAnotherRecordStepOrToken() public {
        uint256 id = _drawnBatch();
        uint256 position = _position(id, true);
        LeafOpening memory o = _opening(id, position);
        o.record.fee += 1;
        vm.expectRevert(abi.encodeWithSelector(IDisputeErrors.BadInclusion.selector, "record"));
        disputes.openLeaf(id, position, o);

        o = _opening(id, position);
        (o.step, o.stepProof) = _stepAt(o.step.index == 0 ? 2 : 0);
        vm.expectRevert(abi.encodeWithSelector(IDisputeErrors.BadInclusion.selector, "step"));
        disputes.openLeaf(id, position, o);

        o = _opening(id, position);
        (o.leaf, o.tokenProof) = _tokenAt((o.leaf.t + 1) % TOKENS);
        vm.expectRevert(abi.encodeWithSelector(IDisputeErrors.BadInclusion.selector, "token"));
        disputes.openLeaf(id, position, o);
        o = _opening(id, position);
        o.leaf.logprob -= 1;
        vm.expectRevert(abi.encodeWithSelector(IDisputeErrors.BadInclusion.selector, "token"));
        disputes.openLeaf(id, position, o);

        o = _opening(id, position);
        o.header.sum += 1;
        vm.expectRevert(
            abi.encodeWithSelector(IDisputeErrors.UnknownBatch.selector, keccak256(abi.encode(o.header)))
        );
        disputes.openLeaf(id, position, o);
    }

    function test_open_stepsCannotBePassedOffAsPadding() public {
        uint256 id = _drawnBatch();
        uint256 position = _position(id, true);
        LeafOpening memory o = _opening(id, position);
        o.padding = true;
        vm.expectRevert(abi.encodeWithSelector(IDisputeErrors.BadInclusion.selector, "padding"));
        disputes.openLeaf(id, position, o);
    }

    function test_open_mostlyVoidIsNotJudged() public {
        // one replayable record among many that are not
        uint256 before = token.balanceOf(challenger);
        _anchorBatch(1, 63);
        uint256 id = _drawnBatch();
        _openAll(id, 0);
        BatchDraw memory drawn = disputes.leavesDrawn(id);
        if (64 - drawn.voids >= drawn.threshold) return;
        disputes.closeLeaves(id);
        assertEq(uint8(disputes.dispute(id).state), uint8(State.Voided));
        assertEq(token.balanceOf(challenger), before);
    }

    // --- who may, when -----------------------------------------------------------------------------------------

    function test_challenge_revertsTwiceLateUnknownOrWithoutJury() public {
        uint256 id = _challengeBatch();
        vm.expectRevert(abi.encodeWithSelector(IBatchIntake.BatchJudged.selector, id));
        this.challengeBatch();
        uint256 at = disputes.dispute(id).drawBlock;
        vm.roll(at);
        vm.expectRevert(abi.encodeWithSelector(IDisputeErrors.TooEarly.selector, at + 1));
        disputes.drawLeaves(id);
        _anchorBatch(4, 2);
        uint256 until = actionLog.challengeableUntil(batch);
        for (uint256 i; i < 2; ++i) {
            vm.prank(jurors[i]);
            vault.leaveJury();
        }
        vm.roll(block.number + 1);
        vm.expectRevert(IBatchIntake.CannotBeJudged.selector);
        this.challengeBatch();
        vm.warp(until + 1);
        vm.expectRevert(abi.encodeWithSelector(IDisputeErrors.TooLate.selector, until));
        this.challengeBatch();
        batch.sum += 1;
        vm.expectRevert(
            abi.encodeWithSelector(IDisputeErrors.UnknownBatch.selector, keccak256(abi.encode(batch)))
        );
        this.challengeBatch();
    }

    function test_challenge_isSlashedOnceForABatch() public {
        uint256 id = _drawnBatch();
        vm.warp(disputes.dispute(id).evidenceBy + 1);
        disputes.closeLeaves(id);
        disputes.resolve(id);
        assertEq(vault.stakeOf(agentId), STAKE - 80 * batch.sum);
        vm.expectRevert(abi.encodeWithSelector(IBatchIntake.BatchJudged.selector, id));
        this.challengeBatch();
    }

    /// @dev Whatever the votes, whatever was not opened: the books balance, and the count decides.
    /// forge-config: default.fuzz.runs = 24
    function test_fuzz_batch_followsTheCount(uint256 skip, uint256 off) public {
        uint256 id = _drawnBatch();
        skip = bound(skip, 0, 3);
        off = bound(off, 0, 8);
        _openAll(id, skip);
        vm.warp(disputes.dispute(id).evidenceBy + 1);
        disputes.closeLeaves(id);
        BatchDraw memory drawn = disputes.leavesDrawn(id);
        _draw(id);
        uint256 leavesCount = disputes.leavesOf(id).length;
        _ruleWith(id, off, LEAF_DELTA + 1);
        _finish(id);
        bool guilty = drawn.missing + (off < leavesCount ? off : leavesCount) >= drawn.threshold;
        assertEq(uint8(disputes.dispute(id).state), uint8(guilty ? State.Convicted : State.Acquitted));
        assertEq(token.balanceOf(address(disputes)), 0);
    }

    // --- audits ------------------------------------------------------------------------------------------------

    function test_audit_selectedIsPaidFromTheFund() public {
        _fundAudits(10 ether);
        uint256 id = _selectedAudit();
        assertEq(disputes.auditFund(), 10 ether - JURY_COST);
        assertEq(disputes.dispute(id).bond, JURY_COST);
        _openAll(id, 0);
        disputes.closeLeaves(id);
        _draw(id);
        uint256 before = token.balanceOf(operator);
        _ruleWith(id, 0, 0);
        _finish(id);
        assertEq(uint8(disputes.dispute(id).state), uint8(State.Acquitted));
        assertEq(token.balanceOf(operator), before, "an acquittal costs nobody and pays nobody but the jury");
        assertEq(disputes.auditFund(), 10 ether - JURY_COST);
        assertEq(token.balanceOf(address(disputes)), disputes.auditFund());
        assertEq(vault.stakeOf(agentId), STAKE);
    }

    function test_audit_convictionRefillsTheFund() public {
        _fundAudits(10 ether);
        uint256 id = _selectedAudit();
        _openAll(id, 0);
        disputes.closeLeaves(id);
        _draw(id);
        _ruleWith(id, 10, LEAF_DELTA + 1);
        _finish(id);
        uint256 slash = STAKE - vault.stakeOf(agentId);
        assertEq(slash, 80 * batch.sum);
        assertEq(disputes.auditFund(), 10 ether + slash * 3 / 10);
        assertEq(token.balanceOf(address(disputes)), disputes.auditFund());
    }

    function test_audit_notSelectedIsOverAndAnAccusationMayFollow() public {
        _fundAudits(10 ether);
        uint256 id = _requestAudit();
        vm.roll(disputes.dispute(id).drawBlock + 1);
        for (uint256 i; disputes.dispute(id).state == State.Seeding; ++i) {
            uint256 snapshot = vm.snapshotState();
            vm.setBlockhash(disputes.dispute(id).drawBlock, keccak256(abi.encode(i)));
            disputes.drawLeaves(id);
            if (disputes.dispute(id).state != State.Voided) vm.revertToState(snapshot);
        }
        assertEq(uint8(disputes.dispute(id).state), uint8(State.Voided));
        assertEq(disputes.auditFund(), 10 ether);
        assertEq(vault.positionOf(agentId, operator).claims, 0);
        vm.expectRevert(
            abi.encodeWithSelector(IBatchIntake.AuditAsked.selector, keccak256(abi.encode(batch)))
        );
        disputes.requestAudit(batch);
        _challengeBatch();
    }

    function test_audit_needsAFund() public {
        vm.expectRevert(abi.encodeWithSelector(IBatchIntake.AuditFundShort.selector, 0, JURY_COST));
        disputes.requestAudit(batch);
    }

    function test_audit_waitsForNobodyWhenAnAccuserCameFirst() public {
        _fundAudits(10 ether);
        vm.prank(governor);
        parameters.set(Param.AuditRate, 10_000);
        uint256 audit = _requestAudit();
        _challengeBatch();
        vm.roll(disputes.dispute(audit).drawBlock + 1);
        disputes.drawLeaves(audit);
        Dispute memory d = disputes.dispute(audit);
        assertEq(uint8(d.state), uint8(State.Voided));
        assertEq(disputes.auditFund(), 10 ether);
    }

    function challengeBatch() external returns (uint256) {
        return _challengeBatch();
    }
}
