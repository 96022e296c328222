// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { LeafOpening } from "src/types/DisputeTypes.sol";
import { BatchCase } from "./utils/BatchCase.sol";

/// @title What judging a batch costs, 64 positions: FOUNDRY_PROFILE=gas forge test.
contract BatchGasTest is BatchCase {
    function test_gas_batch() public {
        vm.prank(challenger);
        uint256 id = disputes.challengeBatch(batch);
        vm.snapshotGasLastCall("batches", "challengeBatch");
        vm.roll(disputes.dispute(id).drawBlock + 1);
        disputes.drawLeaves(id);
        vm.snapshotGasLastCall("batches", "drawLeaves");
        for (uint256 position; position < 64; ++position) {
            LeafOpening memory o = _opening(id, position);
            disputes.openLeaf(id, position, o);
            if (_isLeaf(o)) vm.snapshotGasLastCall("batches", "openLeaf, a token");
            else if (o.padding) vm.snapshotGasLastCall("batches", "openLeaf, void");
        }
        disputes.closeLeaves(id);
        vm.snapshotGasLastCall("batches", "closeLeaves");
        _draw(id);
        _ruleWith(id, 4, LEAF_DELTA + 1);
        vm.snapshotGasLastCall("batches", "resolve, ruled by 5 over the leaves");
        vm.warp(disputes.dispute(id).appealBy + 1);
        disputes.resolve(id);
        vm.snapshotGasLastCall("batches", "resolve, convicted, 5 settled");
    }

    function test_gas_audit() public {
        _fundAudits(10 ether);
        disputes.requestAudit(batch);
        vm.snapshotGasLastCall("batches", "requestAudit, fund withdrawn from the pool");
    }
}
