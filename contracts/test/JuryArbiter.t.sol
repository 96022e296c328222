// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { Curation, IDatanetCuration } from "src/interfaces/IDatanetCuration.sol";
import { IDisputeErrors } from "src/interfaces/IDisputes.sol";
import { IJuryArbiter } from "src/interfaces/IJuryArbiter.sol";
import { IQuestionIntake } from "src/interfaces/IQuestionIntake.sol";
import { Answer } from "src/libraries/Answer.sol";
import { State } from "src/types/DisputeTypes.sol";
import { QuestionCase } from "./utils/QuestionCase.sol";

contract JuryArbiterTest is QuestionCase {
    bytes32 private constant ROW = keccak256("row");
    uint256 private constant BOND = 0.1 ether;

    uint256 private datanet;
    address private curator = makeAddr("curator");
    uint256 private fee;

    function setUp() public override {
        super.setUp();
        vm.startPrank(app);
        datanet = assets.register(1, keccak256("empty"), 0x71, new uint256[](0), "CC-BY-4.0", 0, "");
        curation.setOpen(datanet, true);
        curation.setCurator(datanet, curator, true);
        vm.stopPrank();
        vm.prank(contributor);
        token.approve(address(curation), type(uint256).max);
        fee = arbiter.fee();
    }

    function test_case_acceptedByAJury() public {
        uint256 before = token.balanceOf(contributor);
        (uint256 contribution, uint256 id) = _appealed();
        assertEq(token.balanceOf(contributor), before - 2 * BOND - fee);
        vm.expectRevert(abi.encodeWithSelector(IJuryArbiter.NotDecided.selector, id, State.Open));
        arbiter.deliver(id);
        _judgeAll(id, Answer.ACCEPTED);
        vm.prank(stranger);
        arbiter.deliver(id);
        assertTrue(curation.contribution(contribution).state == Curation.Accepted);
        assertEq(curation.acceptedAs(datanet, ROW), contribution);
        assertEq(curation.curatorRecord(curator).overturned, 1);
        assertEq(token.balanceOf(contributor), before - fee, "the fee is the jury's");
        assertEq(token.balanceOf(address(disputes)), 0);
        assertEq(token.balanceOf(address(arbiter)), 0);
        vm.expectRevert(
            abi.encodeWithSelector(IDatanetCuration.WrongCuration.selector, contribution, Curation.Accepted)
        );
        arbiter.deliver(id);
    }

    function test_case_rejectedByAJury() public {
        uint256 burned = token.burned();
        (uint256 contribution, uint256 id) = _appealed();
        _judgeAll(id, Answer.REJECTED);
        arbiter.deliver(id);
        assertTrue(curation.contribution(contribution).state == Curation.Lost);
        assertEq(token.burned(), burned + 2 * BOND);
    }

    function test_case_whoseContentCannotBeHadStaysRejected() public {
        (uint256 contribution, uint256 id) = _appealed();
        _judgeAll(id, Answer.UNAVAILABLE);
        arbiter.deliver(id);
        assertTrue(curation.contribution(contribution).state == Curation.Lost);
    }

    function test_case_thatNoJuryDecidesLapses() public {
        uint256 before = token.balanceOf(contributor);
        (uint256 contribution, uint256 id) = _appealed();
        for (uint256 i; i < 2; ++i) {
            _draw(id);
            _answer(id, new bytes32[](0));
        }
        assertTrue(disputes.dispute(id).state == State.Voided);
        vm.expectRevert(abi.encodeWithSelector(IJuryArbiter.NotDecided.selector, id, State.Voided));
        arbiter.deliver(id);
        vm.warp(curation.contribution(contribution).until + 1);
        curation.settle(contribution);
        assertEq(token.balanceOf(contributor), before, "bonds and fee are back");
        assertEq(token.balanceOf(address(disputes)), 0);
    }

    function test_case_feesThatNobodyEarnedAreBurned() public {
        (, uint256 id) = _appealed();
        _draw(id);
        uint256 burned = token.burned();
        uint256 curatorBefore = token.balanceOf(curator);
        bytes32[] memory probes = _answers(PROBE, 5);
        probes[0] = 0;
        _answer(id, _answers(Answer.REJECTED, 5), probes);
        _finish(id);
        assertEq(token.balanceOf(curator), curatorBefore, "a curator earns nothing by its verdict");
        assertGt(token.burned(), burned);
        assertEq(token.balanceOf(address(disputes)), 0);
    }

    function test_case_canBeAppealedAgain() public {
        for (uint256 i; i < 8; ++i) {
            _addJuror(string.concat("more", vm.toString(i)), JUROR_STAKE);
        }
        vm.roll(block.number + 1);
        (uint256 contribution, uint256 id) = _appealed();
        _draw(id);
        _answer(id, _answers(Answer.REJECTED, 5));
        _appeal(id, stranger);
        _draw(id);
        _answer(id, _answers(Answer.ACCEPTED, 11));
        _finish(id);
        arbiter.deliver(id);
        assertTrue(curation.contribution(contribution).state == Curation.Accepted);
        _settleAll(id);
        assertEq(token.balanceOf(address(disputes)), 0);
    }

    function test_case_partiesAreNotDrawn() public {
        vm.deal(curator, 3 ether);
        _fund(curator, 2 * JUROR_STAKE);
        vm.prank(curator);
        vault.joinJury(JUROR_STAKE);
        vm.roll(block.number + 1);
        (, uint256 id) = _appealed();
        _draw(id);
        address[] memory members = disputes.committee(id);
        for (uint256 i; i < members.length; ++i) {
            assertNotEq(members[i], curator);
            assertNotEq(members[i], contributor);
        }
    }

    function test_case_isRefusedWithoutAJury() public {
        for (uint256 i; i < 2; ++i) {
            vm.prank(jurors[i]);
            vault.leaveJury();
        }
        vm.roll(block.number + 1);
        uint256 contribution = _rejected();
        vm.expectRevert(abi.encodeWithSelector(IDisputeErrors.JuryTooSmall.selector, 4, 4 * JUROR_STAKE));
        vm.prank(contributor);
        curation.appeal(contribution, fee);
    }

    function test_case_refusals() public {
        vm.expectRevert(abi.encodeWithSelector(IJuryArbiter.OnlyCuration.selector, address(this)));
        arbiter.openCase(1, 1, ROW, contributor, 0);
        vm.expectRevert(abi.encodeWithSelector(IJuryArbiter.UnknownCase.selector, 7));
        arbiter.deliver(7);
        vm.expectRevert(abi.encodeWithSelector(IQuestionIntake.OnlyArbiter.selector, stranger));
        vm.prank(stranger);
        disputes.ask(datanet, ROW, contributor, curator);
    }

    function _rejected() private returns (uint256 contribution) {
        vm.prank(contributor);
        contribution = curation.contribute(datanet, ROW, 0);
        vm.prank(curator);
        curation.reject(contribution, "reason");
    }

    function _appealed() private returns (uint256 contribution, uint256 id) {
        contribution = _rejected();
        vm.prank(contributor);
        curation.appeal(contribution, fee);
        id = disputes.disputeCount();
        assertEq(arbiter.contributionOf(id), contribution);
    }
}
