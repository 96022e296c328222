// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { IDisputeErrors, IDisputeEvents } from "src/interfaces/IDisputes.sol";
import { Repayment } from "src/interfaces/IRewardPool.sol";
import { Records } from "src/libraries/Records.sol";
import { Demand, DemandState, Distribution } from "src/types/DisputeTypes.sol";
import { Param } from "src/types/Param.sol";
import {
    ActionRecord,
    AnchoredRecord,
    BatchHeader,
    Parent,
    Payment,
    StepLeaf,
    Ticket
} from "src/types/Records.sol";
import { Faults } from "./utils/Faults.sol";
import { Trees } from "./utils/Trees.sol";

/// @title Omission, undeclared model, data withheld.
contract DisputesDemandsTest is Faults {
    uint256 private constant BOND = 0.05 ether;

    // --- omission ----------------------------------------------------------------------------------------------

    function test_omission_anUnkeptTicketIsSlashedAndItsClientPaidBack() public {
        (Ticket memory ticket, Payment memory payment) = _promise(FEE);
        vm.warp(ticket.anchorBy + 1);
        uint256 bonded = token.balanceOf(challenger);
        uint256 id = _demand(ticket, payment);
        assertEq(token.balanceOf(challenger), bonded - BOND);
        assertEq(token.balanceOf(address(disputes)), BOND);
        assertEq(vault.positionOf(agentId, operator).claims, 80 ether);
        uint256 before = token.balanceOf(client);
        Distribution memory d = _enforce(id);
        assertEq(d.total, 80 ether);
        assertEq(d.toChallenger, 24 ether);
        assertEq(d.toClients, FEE);
        assertEq(d.burned, 55 ether);
        assertEq(token.balanceOf(client), before + FEE);
        assertEq(token.balanceOf(challenger), bonded + 24 ether);
        assertEq(token.balanceOf(address(disputes)), 0);
        assertEq(vault.positionOf(agentId, operator).claims, 0);
        vm.expectRevert(
            abi.encodeWithSelector(IDisputeErrors.DemandNotOpen.selector, id, DemandState.Enforced)
        );
        disputes.enforce(id);
    }

    function test_omission_aRecordAnchoredInTimeAnswers() public {
        (Ticket memory ticket, Payment memory payment) = _promise(FEE);
        AnchoredRecord memory shown = _anchorOne(_kept(ticket, FEE));
        vm.warp(ticket.anchorBy + 1);
        uint256 id = _demand(ticket, payment);
        uint256 before = token.balanceOf(stranger);
        vm.prank(stranger);
        disputes.answerWithRecord(id, ticket, shown);
        // whoever answers gets the bond
        assertEq(token.balanceOf(stranger), before + BOND);
        _expectUntouched(id);
        bytes memory sig = _signTicket(ticket);
        vm.expectRevert(abi.encodeWithSelector(IDisputeErrors.AlreadyDemanded.selector, id));
        disputes.demandOmission(ticket, sig, payment);
    }

    function test_omission_aFailedRecordOfANewerEpochAnswersToo() public {
        (Ticket memory ticket, Payment memory payment) = _promise(FEE);
        _rotate(operator);
        ActionRecord memory record = _kept(ticket, FEE);
        record.status = 2;
        vm.prank(operator);
        pool.refund(agentId, ticket.paymentId, client, FEE);
        AnchoredRecord memory shown = _anchorOne(record);
        vm.warp(ticket.anchorBy + 1);
        uint256 id = _demand(ticket, payment);
        disputes.answerWithRecord(id, ticket, shown);
        _expectUntouched(id);
    }

    function test_omission_aFailedRecordWithoutItsRefundDoesNotAnswer() public {
        (Ticket memory ticket, Payment memory payment) = _promise(FEE);
        ActionRecord memory record = _kept(ticket, FEE);
        record.status = 2;
        AnchoredRecord memory shown = _anchorOne(record);
        vm.warp(ticket.anchorBy + 1);
        uint256 id = _demand(ticket, payment);
        _expectNotAnAnswer();
        disputes.answerWithRecord(id, ticket, shown);
        assertEq(_enforce(id).total, 80 ether);
    }

    /// @dev What a metered action did not use is its client's.
    function test_omission_aMeteredRecordAnswersOnceTheRestIsBack() public {
        (Ticket memory ticket, Payment memory payment) = _promise(FEE);
        AnchoredRecord memory shown = _anchorOne(_kept(ticket, FEE / 4));
        vm.warp(ticket.anchorBy + 1);
        uint256 id = _demand(ticket, payment);
        _expectNotAnAnswer();
        disputes.answerWithRecord(id, ticket, shown);
        _repay(ticket.paymentId, client, uint96(FEE - FEE / 4), uint96(FEE / 4));
        disputes.answerWithRecord(id, ticket, shown);
        _expectUntouched(id);
        vm.expectRevert(IDisputeErrors.NoConflict.selector);
        disputes.proveRefundedCharge(shown);
    }

    function test_omission_aRestThatWentElsewhereDoesNotAnswer() public {
        (Ticket memory ticket, Payment memory payment) = _promise(FEE);
        AnchoredRecord memory shown = _anchorOne(_kept(ticket, FEE / 4));
        _repay(ticket.paymentId, operator, uint96(FEE - FEE / 4), uint96(FEE / 4));
        vm.warp(ticket.anchorBy + 1);
        uint256 id = _demand(ticket, payment);
        _expectNotAnAnswer();
        disputes.answerWithRecord(id, ticket, shown);
    }

    function test_omission_aRefundAnswers() public {
        (Ticket memory ticket, Payment memory payment) = _promise(FEE);
        vm.prank(operator);
        pool.refund(agentId, ticket.paymentId, client, FEE);
        vm.warp(ticket.anchorBy + 1);
        uint256 id = _demand(ticket, payment);
        disputes.answerWithRefund(id, ticket, payment);
        _expectUntouched(id);
    }

    function test_omission_lateOtherOrForeignRecordsDoNotAnswer() public {
        (Ticket memory ticket, Payment memory payment) = _promise(FEE);
        ActionRecord memory other = _kept(ticket, FEE);
        other.requestHash = keccak256("another request");
        AnchoredRecord memory shown = _anchorOne(other);
        vm.warp(ticket.anchorBy + 1);
        AnchoredRecord memory late = _anchorOne(_kept(ticket, FEE));
        uint256 id = _demand(ticket, payment);
        _expectNotAnAnswer();
        disputes.answerWithRecord(id, ticket, shown);
        _expectNotAnAnswer();
        disputes.answerWithRecord(id, ticket, late);
        late.header.anchoredAt -= 1;
        vm.expectPartialRevert(IDisputeErrors.UnknownBatch.selector);
        disputes.answerWithRecord(id, ticket, late);
        // nor another ticket's answer
        ticket.anchorBy += 1 hours;
        late.header.anchoredAt += 1;
        _expectNotAnAnswer();
        disputes.answerWithRecord(id, ticket, late);
    }

    function test_omission_tooSmallOrForeignRefundsDoNotAnswer() public {
        (Ticket memory ticket, Payment memory payment) = _promise(FEE);
        vm.prank(operator);
        pool.refund(agentId, ticket.paymentId, client, FEE - 1);
        vm.warp(ticket.anchorBy + 1);
        uint256 id = _demand(ticket, payment);
        _expectNotAnAnswer();
        disputes.answerWithRefund(id, ticket, payment);
        assertEq(_enforce(id).total, 80 ether);
    }

    function test_omission_aRefundToSomebodyElseDoesNotAnswer() public {
        (Ticket memory ticket, Payment memory payment) = _promise(FEE);
        vm.prank(operator);
        pool.refund(agentId, ticket.paymentId, operator, FEE);
        vm.warp(ticket.anchorBy + 1);
        uint256 id = _demand(ticket, payment);
        _expectNotAnAnswer();
        disputes.answerWithRefund(id, ticket, payment);
    }

    /// @dev A client that signs a second, larger authorization with the nonce of the one it spent wins nothing by it.
    function test_omission_anInflatedPaymentIsAnsweredByTheRealOne() public {
        (Ticket memory ticket, Payment memory payment) = _promise(FEE);
        vm.prank(operator);
        pool.refund(agentId, ticket.paymentId, client, FEE);
        Payment memory inflated = _authorize(1_000_000 ether, payment.authorizationNonce);
        vm.warp(ticket.anchorBy + 1);
        uint256 id = _demand(ticket, inflated);
        _expectNotAnAnswer();
        disputes.answerWithRefund(id, ticket, inflated);
        disputes.answerWithRefund(id, ticket, payment);
        _expectUntouched(id);
    }

    function test_omission_anInflatedPaymentIsCorrected() public {
        (Ticket memory ticket, Payment memory payment) = _promise(FEE);
        Payment memory inflated = _authorize(1_000_000 ether, payment.authorizationNonce);
        vm.warp(ticket.anchorBy + 1);
        uint256 id = _demand(ticket, inflated);
        _expectNotAnAnswer();
        disputes.correctOmission(id, ticket, inflated);
        disputes.correctOmission(id, ticket, payment);
        _expectNotAnAnswer();
        disputes.correctOmission(id, ticket, payment);
        Distribution memory d = _enforce(id);
        assertEq(d.total, 80 ether);
        assertEq(d.toClients, FEE);
    }

    function test_omission_revertsBeforeTheDeadlineAndAfterTheKeysLiability() public {
        (Ticket memory ticket, Payment memory payment) = _promise(FEE);
        bytes memory sig = _signTicket(ticket);
        vm.warp(ticket.anchorBy);
        vm.expectRevert(abi.encodeWithSelector(IDisputeErrors.TooEarly.selector, ticket.anchorBy + 1));
        disputes.demandOmission(ticket, sig, payment);
        _rotate(operator);
        uint256 until = actionLog.epochOf(agentId, ticket.epoch).liableUntil;
        vm.warp(until + 1);
        vm.expectRevert(abi.encodeWithSelector(IDisputeErrors.ProofExpired.selector, until));
        disputes.demandOmission(ticket, sig, payment);
        vm.warp(until);
        _demand(ticket, payment);
    }

    function test_omission_revertsOnForeignTickets() public {
        (Ticket memory ticket, Payment memory payment) = _promise(FEE);
        vm.warp(ticket.anchorBy + 1);
        bytes memory sig = _signTicket(ticket);
        ticket.requestHash = keccak256("another request");
        vm.expectPartialRevert(IDisputeErrors.BadSignature.selector);
        disputes.demandOmission(ticket, sig, payment);
        ticket.epoch = 99;
        vm.expectRevert(abi.encodeWithSelector(IDisputeErrors.UnknownEpoch.selector, agentId, 99));
        disputes.demandOmission(ticket, sig, payment);
    }

    function test_omission_revertsOnATicketOfAnotherChain() public {
        (Ticket memory ticket, Payment memory payment) = _promise(FEE);
        vm.warp(ticket.anchorBy + 1);
        vm.chainId(1);
        bytes memory sig = _signTicket(ticket);
        vm.chainId(31_337);
        vm.expectPartialRevert(IDisputeErrors.BadSignature.selector);
        disputes.demandOmission(ticket, sig, payment);
    }

    function test_omission_revertsOnPaymentsThatWereNotMade() public {
        Payment memory payment = _authorize(FEE, keccak256("unspent"));
        Ticket memory ticket = _ticket(payment);
        vm.warp(ticket.anchorBy + 1);
        _expectBadPayment(ticket, payment, "not spent");

        (ticket, payment) = _promise(FEE);
        vm.warp(ticket.anchorBy + 1);
        payment.value += 1;
        _expectBadPayment(ticket, payment, "not signed by the client");
        payment.value -= 1;
        payment.signature = hex"1234";
        _expectBadPayment(ticket, payment, "not signed by the client");
        payment.authorizationNonce = keccak256("another");
        _expectBadPayment(ticket, payment, "another payment");
        payment.authorizationNonce = keccak256("promise");
        // signed by somebody else, or to another address than the agent's escrow
        payment = _authorize(FEE, keccak256("promise"), recordSecret, pool.escrowOf(agentId));
        _expectBadPayment(ticket, payment, "not signed by the client");
        payment = _authorize(FEE, keccak256("promise"), clientSecret, stranger);
        _expectBadPayment(ticket, payment, "not signed by the client");
        // nobody is the signer of a malformed signature
        payment.client = address(0);
        ticket.paymentId = _paymentId(payment);
        _expectBadPayment(ticket, payment, "not signed by the client");
    }

    function test_omission_aSecondTicketForThePaymentDoesNotShieldTheFirst() public {
        (Ticket memory ticket, Payment memory payment) = _promise(FEE);
        Ticket memory own = ticket;
        own.requestHash = keccak256("made up");
        AnchoredRecord memory shown = _anchorOne(_kept(own, FEE));
        vm.warp(ticket.anchorBy + 1);
        uint256 id = _demand(own, payment);
        vm.prank(operator);
        disputes.answerWithRecord(id, own, shown);
        ticket.requestHash = keccak256("request");
        id = _demand(ticket, payment);
        assertEq(_enforce(id).total, 80 ether);
    }

    function test_omission_countsOncePerPayment() public {
        (Ticket memory ticket, Payment memory payment) = _promise(FEE);
        vm.warp(ticket.anchorBy + 1);
        uint256 first = _demand(ticket, payment);
        ticket.anchorBy -= 1;
        uint256 second = _demand(ticket, payment);
        vm.warp(block.timestamp + 12 hours + 1);
        uint256 before = token.balanceOf(challenger);
        assertEq(disputes.enforce(first).total, 80 ether);
        assertEq(disputes.enforce(second).total, 0);
        // the bond goes back all the same
        assertEq(token.balanceOf(challenger), before + 24 ether + 2 * BOND);
        ticket.anchorBy -= 1;
        bytes memory sig = _signTicket(ticket);
        vm.expectPartialRevert(IDisputeErrors.AlreadyConvicted.selector);
        disputes.demandOmission(ticket, sig, payment);
    }

    function test_fuzz_omission_anyUnkeptTicketSlashes(uint256 value, bool leaving, bool sold) public {
        value = bound(value, 0, 90_000 ether);
        (Ticket memory ticket, Payment memory payment) = _promise(value);
        vm.warp(ticket.anchorBy + 1);
        if (leaving) {
            vm.prank(operator);
            vault.requestWithdraw(agentId, STAKE);
        }
        uint256 id = _demand(ticket, payment);
        if (sold) _sell();
        Distribution memory d = _enforce(id);
        assertGe(d.total, 1 ether);
        assertLe(d.total, STAKE);
        assertGe(d.burned * 2, d.total);
        assertLe(d.toChallenger * 10, d.total * 3);
        assertEq(d.burned + d.toChallenger + d.toClients, d.total);
        assertEq(token.balanceOf(address(disputes)), 0);
    }

    function test_omission_anExitThatRipensMeanwhileIsHeld() public {
        vm.prank(operator);
        vault.requestWithdraw(agentId, STAKE - 20 ether);
        vm.warp(block.timestamp + 14 days - 2 hours);
        (Ticket memory ticket, Payment memory payment) = _promise(FEE);
        vm.warp(ticket.anchorBy + 1);
        uint256 id = _demand(ticket, payment);
        vm.warp(block.timestamp + 12 hours + 1);
        vm.prank(operator);
        vault.withdraw(agentId);
        assertEq(disputes.enforce(id).total, 80 ether);
    }

    // --- undeclared model --------------------------------------------------------------------------------------

    function test_model_undeclaredOnesAreSlashed() public {
        (AnchoredRecord memory shown, StepLeaf memory step) = _called(modelId + 7, keccak256("unknown"));
        uint256 id = _demandModel(shown, step);
        vm.expectRevert(abi.encodeWithSelector(IDisputeErrors.BadInclusion.selector, "model"));
        disputes.answerWithModel(id, epoch, step.assetId, step.contentDigest, 0, Trees.proof(manifest, 0));
        Distribution memory d = _enforce(id);
        assertEq(d.total, 80 ether);
        assertEq(d.toClients, FEE);
        assertEq(disputes.settledOf(agentId, operator, shown.nonce), 80 ether);
    }

    function test_model_declaredOnesAreShown() public {
        (AnchoredRecord memory shown, StepLeaf memory step) = _called(modelId, MODEL_DIGEST);
        uint256 id = _demandModel(shown, step);
        disputes.answerWithModel(id, epoch, modelId, MODEL_DIGEST, 0, Trees.proof(manifest, 0));
        _expectUntouched(id);
        uint256 until = block.timestamp + 24 hours;
        assertLt(until, disputes.challengeableUntil(shown.header, shown.nonce));
        vm.expectRevert(abi.encodeWithSelector(IDisputeErrors.AlreadyDemanded.selector, id));
        disputes.demandModel(shown, step, new bytes32[](0));
    }

    function test_model_aDatanetIsNoModel() public {
        (AnchoredRecord memory shown, StepLeaf memory step) = _called(datanetId, DATANET_DIGEST);
        uint256 id = _demandModel(shown, step);
        bytes32[] memory path = Trees.proof(manifest, 1);
        _expectNotAnAnswer();
        disputes.answerWithModel(id, epoch, datanetId, DATANET_DIGEST, 1, path);
        assertEq(_enforce(id).total, 80 ether);
    }

    function test_model_aDeclaredDigestThatTheAssetNeverHadIsNone() public {
        bytes32 invented = keccak256("invented");
        manifest[0] = Records.manifestLeaf(modelId, invented);
        _rotate(operator);
        (AnchoredRecord memory shown, StepLeaf memory step) = _called(modelId, invented);
        uint256 id = _demandModel(shown, step);
        bytes32[] memory path = Trees.proof(manifest, 0);
        _expectNotAnAnswer();
        disputes.answerWithModel(id, epoch, modelId, invented, 0, path);
    }

    function test_model_theManifestOfTheRecordsEpochCounts() public {
        StepLeaf memory step = _step(modelId, MODEL_DIGEST);
        ActionRecord memory record = _withStep(_record(0, FEE), step);
        bytes32[] memory path = Trees.proof(manifest, 0);
        uint32 signedIn = epoch;
        manifest[0] = keccak256("another manifest");
        _rotate(operator);
        AnchoredRecord memory shown = _anchorOne(record);
        uint256 id = _demandModel(shown, step);
        _expectNotAnAnswer();
        disputes.answerWithModel(id, epoch, modelId, MODEL_DIGEST, 0, path);
        disputes.answerWithModel(id, signedIn, modelId, MODEL_DIGEST, 0, path);
        _expectUntouched(id);
    }

    function test_model_onlyModelCallsInsideTheWindow() public {
        (AnchoredRecord memory shown, StepLeaf memory step) = _called(modelId, MODEL_DIGEST);
        step.kind = 1;
        vm.expectRevert(abi.encodeWithSelector(IDisputeErrors.BadInclusion.selector, "step"));
        disputes.demandModel(shown, step, new bytes32[](0));
        AnchoredRecord memory tool = _anchorOne(_withStep(_record(1, FEE), step));
        vm.expectRevert(IDisputeErrors.NotReplayable.selector);
        disputes.demandModel(tool, step, new bytes32[](0));
        step.kind = 0;
        uint256 until = actionLog.challengeableUntil(shown.header);
        vm.warp(until + 1);
        vm.expectRevert(abi.encodeWithSelector(IDisputeErrors.TooLate.selector, until));
        disputes.demandModel(shown, step, new bytes32[](0));
    }

    // --- data withheld -----------------------------------------------------------------------------------------

    function test_data_aWithheldRecordIsSlashed() public {
        (AnchoredRecord memory shown,) = _withContent("content");
        uint256 id = _demandData(shown, _noPath());
        _expectNotAnAnswer();
        disputes.answerWithBlock(id, "something else");
        Distribution memory d = _enforce(id);
        assertEq(d.total, 80 ether);
        assertEq(d.toClients, FEE);
    }

    function test_data_anAnswerShowsTheBlockAndExtendsTheWindow() public {
        (AnchoredRecord memory shown, bytes memory content) = _withContent("content");
        uint256 end = actionLog.challengeableUntil(shown.header);
        vm.warp(end);
        uint256 id = _demandData(shown, _noPath());
        vm.warp(end + 6 hours);
        vm.expectEmit(address(disputes));
        emit IDisputeEvents.BlockShown(id, sha256(content), content);
        vm.prank(stranger);
        disputes.answerWithBlock(id, content);
        _expectUntouched(id);
        assertEq(disputes.challengeableUntil(shown.header, shown.nonce), end + 30 hours);
        assertEq(disputes.challengeableUntil(shown.header, shown.nonce + 1), end);
        // in which a jury can be asked, but nothing more be demanded
        vm.prank(challenger);
        disputes.commitChallenge(shown.header, shown.nonce, keccak256("evidence"));
        vm.expectRevert(abi.encodeWithSelector(IDisputeErrors.TooLate.selector, end));
        disputes.demandBatchData(shown.header, _noPath());
        vm.warp(end + 30 hours + 1);
        vm.expectRevert(abi.encodeWithSelector(IDisputeErrors.TooLate.selector, end + 30 hours));
        disputes.commitChallenge(shown.header, shown.nonce, keccak256("evidence"));
    }

    function test_data_anAnswerExtendsTheWindowOfItsOwnNonce() public {
        _anchorMany(3, FEE);
        (AnchoredRecord memory shown, bytes memory content) = _withContent("content");
        uint256 end = actionLog.challengeableUntil(shown.header);
        vm.warp(end);
        uint256 id = _demandData(shown, _noPath());
        assertEq(disputes.demand(id).nonce, shown.nonce);
        disputes.answerWithBlock(id, content);
        assertEq(disputes.challengeableUntil(shown.header, shown.nonce), end + 1 days);
        assertEq(disputes.challengeableUntil(shown.header, 0), end);
    }

    function test_data_withheldBatchesAndManifestsAnswerForAllTheirFees() public {
        (BatchHeader memory h,,) = _anchorMany(3, FEE);
        vm.prank(challenger);
        uint256 id = disputes.demandBatchData(h, _noPath());
        assertEq(disputes.demand(id).subject, h.batchDigest);
        vm.prank(challenger);
        uint256 second = disputes.demandManifest(h, _noPath());
        assertEq(disputes.demand(second).subject, sha256(manifestBlock));
        vm.warp(block.timestamp + 12 hours + 1);
        assertEq(disputes.enforce(id).total, 240 ether);
        // one batch, one fault
        assertEq(disputes.enforce(second).total, 0);
    }

    function test_data_aBatchsAnswerExtendsTheWindowOfAllOfIt() public {
        (BatchHeader memory h,,) = _anchorMany(3, FEE);
        uint256 end = actionLog.challengeableUntil(h);
        vm.warp(end);
        vm.prank(challenger);
        uint256 id = disputes.demandManifest(h, _noPath());
        disputes.answerWithBlock(id, manifestBlock);
        assertEq(disputes.challengeableUntil(h, 0), end + 24 hours);
        assertEq(disputes.challengeableUntil(h, 2), end + 24 hours);
    }

    function test_data_aStepsBlock() public {
        StepLeaf memory step = _step(modelId, MODEL_DIGEST);
        bytes memory detail = _linksBlock(sha256("tokens"), 0x55);
        step.detailDigest = sha256(detail);
        AnchoredRecord memory shown = _anchorOne(_withStep(_record(0, FEE), step));
        vm.prank(challenger);
        uint256 id = disputes.demandStepData(shown, step, new bytes32[](0), _noPath());
        disputes.answerWithBlock(id, detail);
        vm.prank(challenger);
        id = disputes.demandStepData(shown, step, new bytes32[](0), _path(detail, 8));
        disputes.answerWithBlock(id, "tokens");
        _expectUntouched(id);
    }

    function test_data_aBlockBelowKnownOnes() public {
        bytes memory leaf = "chunk";
        bytes memory node = _linksBlock(sha256(leaf), 0x55);
        (AnchoredRecord memory shown, bytes memory content) = _withContent(_linksBlock(sha256(node), 0x71));
        Parent[] memory path = new Parent[](2);
        path[0] = Parent(content, 8);
        path[1] = Parent(node, 8);
        uint256 id = _demandData(shown, path);
        assertEq(disputes.demand(id).subject, sha256(leaf));
        disputes.answerWithBlock(id, leaf);
        _expectUntouched(id);
        // raw bytes lead nowhere, even where they look like a block
        path = new Parent[](3);
        path[0] = Parent(content, 8);
        path[1] = Parent(_linksBlock(sha256(node), 0x55), 8);
        path[2] = Parent(node, 8);
        (shown, content) = _withContent(_linksBlock(sha256(path[1].data), 0x71));
        path[0] = Parent(content, 8);
        vm.expectRevert(abi.encodeWithSelector(IDisputeErrors.BadInclusion.selector, "block"));
        disputes.demandRecordData(shown, path);
    }

    function test_data_bytesThatLookLikeALinkAreNone() public {
        // {"links": ["… a client's bytes …"]}
        bytes memory fake = bytes.concat(hex"a1656c696e6b73815829", _link(keccak256("nothing"), 0x71));
        (AnchoredRecord memory shown, bytes memory content) = _withContent(fake);
        _expectBadLink(shown, content, 10);
        // nor is one that a named field holds, or one after a number
        bytes32 digest = sha256("parent");
        (shown, content) = _withContent(bytes.concat(hex"a166706172656e74", _link(digest, 0x71)));
        _expectBadLink(shown, content, 8);
        (shown, content) = _withContent(bytes.concat(hex"8207", _link(digest, 0x71)));
        _expectBadLink(shown, content, 2);
        // nor one of another codec (a file), or beyond the end
        (shown, content) = _withContent(_linksBlock(digest, 0x70));
        _expectBadLink(shown, content, 8);
        (shown, content) = _withContent(_linksBlock(digest, 0x71));
        _expectBadLink(shown, content, 7);
        _expectBadLink(shown, content, 9);
        _expectBadLink(shown, content, 49);
        _expectBadLink(shown, content, type(uint16).max);
    }

    function test_data_blocksOfFourKilobytesAndNoMore() public {
        (AnchoredRecord memory shown, bytes memory content) = _withContent(new bytes(4096));
        uint256 id = _demandData(shown, _noPath());
        disputes.answerWithBlock(id, content);
        (shown, content) = _withContent(new bytes(4097));
        id = _demandData(shown, _noPath());
        _expectNotAnAnswer();
        disputes.answerWithBlock(id, content);
        // no parent may be larger either
        (shown, content) = _withContent(bytes.concat(_linksBlock(sha256("x"), 0x71), new bytes(4096)));
        vm.expectRevert(abi.encodeWithSelector(IDisputeErrors.BadInclusion.selector, "block"));
        disputes.demandRecordData(shown, _path(content, 8));
    }

    function test_data_isDemandedOnce() public {
        (AnchoredRecord memory shown, bytes memory content) = _withContent("content");
        uint256 id = _demandData(shown, _noPath());
        vm.expectRevert(abi.encodeWithSelector(IDisputeErrors.AlreadyDemanded.selector, id));
        disputes.demandRecordData(shown, _noPath());
        disputes.answerWithBlock(id, content);
        vm.expectRevert(abi.encodeWithSelector(IDisputeErrors.AlreadyDemanded.selector, id));
        disputes.demandRecordData(shown, _noPath());
        vm.expectRevert(
            abi.encodeWithSelector(IDisputeErrors.DemandNotOpen.selector, id, DemandState.Answered)
        );
        disputes.answerWithBlock(id, content);
    }

    function test_data_deadlines() public {
        (AnchoredRecord memory shown, bytes memory content) = _withContent("content");
        uint256 id = _demandData(shown, _noPath());
        uint256 by = disputes.demand(id).answerBy;
        assertEq(by, block.timestamp + 12 hours);
        vm.warp(by);
        vm.expectRevert(abi.encodeWithSelector(IDisputeErrors.TooEarly.selector, by + 1));
        disputes.enforce(id);
        vm.warp(by + 1);
        vm.expectRevert(abi.encodeWithSelector(IDisputeErrors.TooLate.selector, by));
        disputes.answerWithBlock(id, content);
        disputes.enforce(id);
    }

    function test_demands_bondsDoubleWithWhatIsOpenAndFallAgain() public {
        (BatchHeader memory h, ActionRecord[] memory records,) = _anchorMany(33, 0.1 ether);
        bytes32 hash = Records.headerHash(h);
        uint256 id;
        for (uint256 i; i < 16; ++i) {
            assertEq(disputes.demandBondFor(hash), BOND);
            id = _demandData(_shown(h, records, i), _noPath());
        }
        // an operator that fills the places with demands of its own keeps nobody out
        assertEq(disputes.demandBondFor(hash), 2 * BOND);
        for (uint256 i = 16; i < 32; ++i) {
            _demandData(_shown(h, records, i), _noPath());
        }
        assertEq(disputes.demandBondFor(hash), 4 * BOND);
        vm.warp(block.timestamp + 12 hours + 1);
        for (uint256 i = 1; i <= 32; ++i) {
            disputes.enforce(i);
        }
        assertEq(disputes.demandBondFor(hash), BOND);
        assertEq(token.balanceOf(address(disputes)), 0);
    }

    function test_demands_areUnknownByDefault() public {
        assertEq(uint8(disputes.demand(1).state), uint8(DemandState.None));
        vm.expectRevert(abi.encodeWithSelector(IDisputeErrors.DemandNotOpen.selector, 1, DemandState.None));
        disputes.enforce(1);
        vm.expectRevert(abi.encodeWithSelector(IDisputeErrors.DemandNotOpen.selector, 1, DemandState.None));
        disputes.answerWithBlock(1, "");
    }

    function test_demands_keepTheTermsTheyWereOpenedUnder() public {
        (AnchoredRecord memory shown,) = _withContent("content");
        uint256 id = _demandData(shown, _noPath());
        vm.startPrank(governor);
        parameters.set(Param.OutputSlash, 800);
        parameters.set(Param.DemandResponse, 6 hours);
        vm.stopPrank();
        vm.warp(block.timestamp + 6 hours + 1);
        vm.expectPartialRevert(IDisputeErrors.TooEarly.selector);
        disputes.enforce(id);
        assertEq(_enforce(id).total, 80 ether);
    }

    /// @dev The responder's promise: whatever is demanded of an honest history is answered.
    function test_fuzz_honestHistoriesAnswerEverything(uint256 seed) public {
        for (uint64 i; i < 4; ++i) {
            uint256 dice = uint256(keccak256(abi.encode(seed, i)));
            (Ticket memory ticket, Payment memory payment) =
                _promise(dice % 3 == 0 ? 0 : dice % 3 ether, bytes32(dice));
            StepLeaf memory step = _step(modelId, MODEL_DIGEST);
            ActionRecord memory record = _withStep(_kept(ticket, payment.value), step);
            record.status = uint8(1 + dice % 3);
            bytes memory content = abi.encodePacked("content", dice);
            record.contentDigest = sha256(content);
            bool refunded = record.status == 2 && payment.value != 0;
            if (refunded) {
                vm.prank(agents.ownerOf(agentId));
                pool.refund(agentId, ticket.paymentId, client, payment.value);
            }
            AnchoredRecord memory shown = _anchorOne(record);
            if (dice % 5 == 0) _rotate(agents.ownerOf(agentId));
            if (dice % 7 == 0 && agents.ownerOf(agentId) == operator) _sell();

            uint256 id = _demandModel(shown, step);
            bytes32[] memory path = Trees.proof(manifest, 0);
            disputes.answerWithModel(id, record.epoch, modelId, MODEL_DIGEST, 0, path);
            disputes.answerWithBlock(_demandData(shown, _noPath()), content);
            vm.prank(challenger);
            id = disputes.demandManifest(shown.header, _noPath());
            disputes.answerWithBlock(id, manifestBlock);
            vm.warp(ticket.anchorBy + 1);
            id = _demand(ticket, payment);
            if (refunded && dice % 2 == 0) disputes.answerWithRefund(id, ticket, payment);
            else disputes.answerWithRecord(id, ticket, shown);
        }
        assertEq(vault.positionOf(agentId, operator).active, STAKE);
        assertEq(vault.positionOf(agentId, operator).claims, 0);
        assertEq(token.balanceOf(address(disputes)), 0);
    }

    // -----------------------------------------------------------------------------------------------------------

    function _promise(uint256 value) private returns (Ticket memory ticket, Payment memory payment) {
        return _promise(value, keccak256("promise"));
    }

    function _promise(uint256 value, bytes32 nonce)
        private
        returns (Ticket memory ticket, Payment memory payment)
    {
        payment = _authorized(value, nonce);
        ticket = _ticket(payment);
    }

    function _repay(bytes32 paymentId, address to, uint96 amount, uint96 charged) private {
        Repayment[] memory given = new Repayment[](1);
        given[0] = Repayment(paymentId, to, amount, charged);
        vm.prank(operator);
        pool.repay(agentId, given);
    }

    function _demand(Ticket memory ticket, Payment memory payment) private returns (uint256) {
        bytes memory sig = _signTicket(ticket);
        vm.prank(challenger);
        return disputes.demandOmission(ticket, sig, payment);
    }

    function _demandModel(AnchoredRecord memory shown, StepLeaf memory step) private returns (uint256) {
        vm.prank(challenger);
        return disputes.demandModel(shown, step, new bytes32[](0));
    }

    function _demandData(AnchoredRecord memory shown, Parent[] memory path) private returns (uint256) {
        vm.prank(challenger);
        return disputes.demandRecordData(shown, path);
    }

    function _called(uint256 assetId, bytes32 digest)
        private
        returns (AnchoredRecord memory, StepLeaf memory step)
    {
        step = _step(assetId, digest);
        return (_anchorOne(_withStep(_record(actionLog.nextNonce(agentId), FEE), step)), step);
    }

    function _withContent(bytes memory content) private returns (AnchoredRecord memory, bytes memory) {
        ActionRecord memory record = _record(actionLog.nextNonce(agentId), FEE);
        record.contentDigest = sha256(content);
        return (_anchorOne(record), content);
    }

    function _enforce(uint256 id) private returns (Distribution memory) {
        vm.warp(disputes.demand(id).answerBy + 1);
        vm.prank(stranger);
        return disputes.enforce(id);
    }

    function _expectUntouched(uint256 id) private view {
        Demand memory d = disputes.demand(id);
        assertEq(uint8(d.state), uint8(DemandState.Answered));
        assertEq(d.bond + d.encumbered, 0);
        assertEq(vault.positionOf(agentId, operator).claims, 0);
        assertEq(vault.positionOf(agentId, operator).active, STAKE);
        assertEq(token.balanceOf(address(disputes)), 0);
    }

    function _expectNotAnAnswer() private {
        vm.expectRevert(IDisputeErrors.NotAnAnswer.selector);
    }

    function _expectBadLink(AnchoredRecord memory shown, bytes memory content, uint16 offset) private {
        vm.expectRevert(abi.encodeWithSelector(IDisputeErrors.BadInclusion.selector, "link"));
        disputes.demandRecordData(shown, _path(content, offset));
    }

    function _expectBadPayment(Ticket memory ticket, Payment memory payment, string memory why) private {
        bytes memory sig = _signTicket(ticket);
        vm.expectRevert(abi.encodeWithSelector(IDisputeErrors.BadPayment.selector, why));
        disputes.demandOmission(ticket, sig, payment);
    }
}
