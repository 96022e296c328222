// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { Records } from "src/libraries/Records.sol";
import { ActionRecord, AnchorCall, BatchHeader, Claim, RecordProof, SumNode } from "src/types/Records.sol";
import { Payout, Trees } from "./utils/Trees.sol";
import { Case } from "./utils/Case.sol";

/// @title Full transactions, intrinsic gas and calldata included: FOUNDRY_PROFILE=gas forge test.
contract GasTest is Case {
    function test_gas_anchor() public {
        // the case's own batch was the first: nonce and open fees are no longer zero, as in daily use
        _anchorOf(1, "anchor, 1 action");
        _anchorOf(64, "anchor, 64 actions");
        _anchorOf(1024, "anchor, 1024 actions");
        _anchorOf(4096, "anchor, 4096 actions");
    }

    function test_gas_settlement() public {
        Payout[] memory payouts = new Payout[](64);
        for (uint256 i; i < 64; ++i) {
            payouts[i] = Payout(makeAddr(vm.toString(i)), _net(1 ether) / 64);
        }
        ActionRecord[] memory records = new ActionRecord[](1);
        records[0] = _record(2, 1 ether);
        BatchHeader memory h = _header(records, payouts);
        _pay(h.sum);
        _anchor(h);
        _passWindow();
        actionLog.finalize(header);
        vm.snapshotGasLastCall("settlement", "finalize, first of an agent (deploys the escrow)");
        actionLog.finalize(h);
        vm.snapshotGasLastCall("settlement", "finalize");
        SumNode[] memory proof = Trees.sumProof(payouts, 0);
        pool.claim(h, 0, payouts[0].account, payouts[0].amount, proof);
        vm.snapshotGasLastCall("settlement", "claim, first of 64");
        proof = Trees.sumProof(payouts, 33);
        pool.claim(h, 33, payouts[33].account, payouts[33].amount, proof);
        vm.snapshotGasLastCall("settlement", "claim, later of 64");
    }

    function test_gas_identity() public {
        vm.prank(operator);
        vault.deposit(agentId, 1 ether);
        vm.snapshotGasLastCall("stake", "deposit");
        vm.prank(operator);
        vault.requestWithdraw(agentId, 1 ether);
        vm.snapshotGasLastCall("stake", "requestWithdraw");
        vm.prank(stranger);
        vault.joinJury(100 ether);
        vm.snapshotGasLastCall("stake", "joinJury");
        _openEpoch(operator, makeAddr("next key"));
        vm.snapshotGasLastCall("stake", "openEpoch");
    }

    function test_gas_proofs() public {
        ActionRecord memory a = _record(7, FEE);
        ActionRecord memory b = _record(7, FEE);
        b.outputHash = keccak256("another output");
        bytes memory sigA = _sign(a);
        bytes memory sigB = _sign(b);
        vm.prank(challenger);
        disputes.proveEquivocation(a, sigA, b, sigB);
        vm.snapshotGasLastCall("disputes", "proveEquivocation");

        ActionRecord memory signed = _record(0, FEE);
        bytes32 anchored = Records.structHash(record);
        RecordProof memory proof = Trees.recordProof(_both(), 0);
        bytes memory sig = _sign(signed);
        vm.prank(challenger);
        disputes.proveAnchoredMismatch(header, signed, sig, anchored, proof);
        vm.snapshotGasLastCall("disputes", "proveAnchoredMismatch");
    }

    function _anchorOf(uint32 count, string memory name) private {
        uint256 sum = 0.001 ether * uint256(count);
        _pay(sum);
        AnchorCall memory call = AnchorCall({
            agentId: agentId,
            firstNonce: actionLog.nextNonce(agentId),
            count: count,
            recordRoot: keccak256(abi.encode("records", count)),
            payoutRoot: keccak256(abi.encode("payouts", count)),
            payoutCount: 12,
            sum: sum,
            epoch: epoch,
            batchDigest: keccak256(abi.encode("batch", count))
        });
        vm.prank(recordKey);
        actionLog.anchor(call);
        uint256 gas = vm.snapshotGasLastCall("anchor", name);
        assertLt(gas, 66_000);
        if (count == 4096) assertLe(gas, 16 * count);
    }
}
