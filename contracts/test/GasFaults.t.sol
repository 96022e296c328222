// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { Repayment } from "src/interfaces/IRewardPool.sol";
import {
    ActionRecord,
    AnchoredRecord,
    BatchHeader,
    Claim,
    FixedSplit,
    Parent,
    Payment,
    StepLeaf,
    Ticket
} from "src/types/Records.sol";
import { Faults } from "./utils/Faults.sol";
import { Payout, Trees } from "./utils/Trees.sol";

/// @title Proofs over anchored batches of 1,024 records, demands and answers: FOUNDRY_PROFILE=gas forge test.
contract FaultsGasTest is Faults {
    function test_gas_proofs() public {
        (BatchHeader memory h, ActionRecord[] memory records) = _anchorThousand();
        AnchoredRecord memory a = _shown(h, records, 3);
        AnchoredRecord memory b = _shown(h, records, 1000);
        vm.prank(challenger);
        disputes.proveDoublePayment(a, b);
        vm.snapshotGasLastCall("disputes", "proveDoublePayment, of 1024 records");

        _pay(FEE);
        vm.prank(operator);
        pool.refund(agentId, a.record.paymentId, client, FEE);
        vm.snapshotGasLastCall("settlement", "refund");
        Repayment[] memory given = new Repayment[](64);
        for (uint256 i; i < 64; ++i) {
            given[i] = Repayment(keccak256(abi.encode("metered", i)), client, uint96(FEE / 64), uint96(FEE));
        }
        _pay(FEE);
        vm.prank(operator);
        pool.repay(agentId, given);
        vm.snapshotGasLastCall("settlement", "repay, 64 payments");
        vm.prank(challenger);
        disputes.proveRefundedCharge(a);
        vm.snapshotGasLastCall("disputes", "proveRefundedCharge, of 1024 records");

        a = _shown(h, records, 4);
        assertEq(a.record.nonce, 1 << 40);
        vm.prank(challenger);
        disputes.proveMisdeclared(a);
        vm.snapshotGasLastCall("disputes", "proveMisdeclared, of 1024 records");

        Payout[] memory payouts = new Payout[](64);
        for (uint256 i; i < 64; ++i) {
            payouts[i] = Payout(contributor, _net(h.sum) / 64);
        }
        bytes32[] memory path = Trees.proof(manifest, 2);
        Claim memory paid = _claim(payouts, 0);
        FixedSplit memory split = splits[0];
        vm.prank(challenger);
        disputes.proveFixedSplit(h, split, 2, path, paid);
        vm.snapshotGasLastCall("disputes", "proveFixedSplit, of 64 payouts");
    }

    function test_gas_omission() public {
        Payment memory payment = _authorized(FEE, keccak256("kept"));
        Ticket memory ticket = _ticket(payment);
        AnchoredRecord memory shown = _anchorOne(_kept(ticket, FEE));
        Payment memory broken = _authorized(FEE, keccak256("broken"));
        Ticket memory unkept = _ticket(broken);
        vm.warp(ticket.anchorBy + 1);
        uint256 id = _demandOmission(unkept, broken);
        vm.snapshotGasLastCall("demands", "demandOmission");
        vm.warp(block.timestamp + 12 hours + 1);
        disputes.enforce(id);
        vm.snapshotGasLastCall("demands", "enforce");
        id = _demandOmission(ticket, payment);
        vm.prank(operator);
        disputes.answerWithRecord(id, ticket, shown);
        vm.snapshotGasLastCall("demands", "answerWithRecord");
    }

    function test_gas_refundAnswer() public {
        Payment memory payment = _authorized(FEE, keccak256("refunded"));
        Ticket memory ticket = _ticket(payment);
        vm.prank(operator);
        pool.refund(agentId, ticket.paymentId, client, FEE);
        vm.warp(ticket.anchorBy + 1);
        uint256 id = _demandOmission(ticket, payment);
        disputes.answerWithRefund(id, ticket, payment);
        vm.snapshotGasLastCall("demands", "answerWithRefund");
    }

    function test_gas_model() public {
        StepLeaf memory step = _step(modelId, MODEL_DIGEST);
        AnchoredRecord memory shown = _anchorOne(_withStep(_record(0, FEE), step));
        vm.prank(challenger);
        uint256 id = disputes.demandModel(shown, step, new bytes32[](0));
        vm.snapshotGasLastCall("demands", "demandModel");
        bytes32[] memory path = Trees.proof(manifest, 0);
        vm.prank(operator);
        disputes.answerWithModel(id, epoch, modelId, MODEL_DIGEST, 0, path);
        vm.snapshotGasLastCall("demands", "answerWithModel");
    }

    function test_gas_data() public {
        // 98 links, as many as fit a block, and the last one demanded
        bytes memory node = hex"a1656c696e6b739862";
        bytes memory chunk = new bytes(4096);
        for (uint256 i; i < chunk.length; ++i) {
            chunk[i] = bytes1(uint8(1 + i % 255));
        }
        for (uint256 i; i < 98; ++i) {
            node = bytes.concat(node, _link(i == 97 ? sha256(chunk) : keccak256(abi.encode(i)), 0x55));
        }
        ActionRecord memory record = _record(0, FEE);
        record.contentDigest = sha256(node);
        AnchoredRecord memory shown = _anchorOne(record);
        vm.prank(challenger);
        disputes.demandRecordData(shown, _noPath());
        vm.snapshotGasLastCall("demands", "demandRecordData");
        Parent[] memory path = _path(node, 9 + 97 * 41);
        vm.prank(challenger);
        uint256 id = disputes.demandRecordData(shown, path);
        vm.snapshotGasLastCall("demands", "demandRecordData, below a block of 98 links");
        vm.prank(operator);
        disputes.answerWithBlock(id, chunk);
        vm.snapshotGasLastCall("demands", "answerWithBlock, 4096 bytes");
        vm.prank(challenger);
        disputes.demandBatchData(shown.header, _noPath());
        vm.snapshotGasLastCall("demands", "demandBatchData");
        vm.prank(challenger);
        id = disputes.demandManifest(shown.header, _noPath());
        vm.snapshotGasLastCall("demands", "demandManifest");
        vm.prank(operator);
        disputes.answerWithBlock(id, manifestBlock);
        vm.snapshotGasLastCall("demands", "answerWithBlock, 1 byte");
    }

    function _demandOmission(Ticket memory ticket, Payment memory payment) private returns (uint256) {
        bytes memory sig = _signTicket(ticket);
        vm.prank(challenger);
        return disputes.demandOmission(ticket, sig, payment);
    }

    /// @dev 1,024 records: numbers 3 and 1000 charge one payment, number 4 misstates its nonce; no share is paid.
    function _anchorThousand() private returns (BatchHeader memory h, ActionRecord[] memory records) {
        uint256 fee = 0.1 ether;
        records = new ActionRecord[](1024);
        for (uint256 i; i < 1024; ++i) {
            records[i] = _record(uint64(i), fee);
        }
        records[1000].paymentId = records[3].paymentId;
        records[4].nonce = 1 << 40;
        Payout[] memory payouts = new Payout[](64);
        for (uint256 i; i < 64; ++i) {
            payouts[i] = Payout(contributor, _net(1024 * fee) / 64);
        }
        h = _header(records, payouts);
        _pay(h.sum);
        _anchor(h);
    }
}
