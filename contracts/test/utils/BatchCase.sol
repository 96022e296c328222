// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { IndexedMerkle } from "src/libraries/IndexedMerkle.sol";
import { LeafOpening, OpenedLeaf } from "src/types/DisputeTypes.sol";
import { Param } from "src/types/Param.sol";
import { ActionRecord, BatchHeader, StepLeaf, TokenLeaf } from "src/types/Records.sol";
import { Case } from "./Case.sol";
import { Trees } from "./Trees.sol";

/// @title A batch of replayable actions, each a model call, a tool call and another model call (so one leaf of its
/// tree is padding), and of actions that nobody can replay.
abstract contract BatchCase is Case {
    int32 internal constant LEAF_DELTA = 200;

    BatchHeader internal batch;
    ActionRecord[] internal records;

    function setUp() public virtual override {
        super.setUp();
        _anchorBatch(6, 2);
    }

    function _anchorBatch(uint256 replayable, uint256 others) internal {
        delete records;
        uint64 first = actionLog.nextNonce(agentId);
        for (uint256 i; i < replayable + others; ++i) {
            ActionRecord memory r = _record(uint64(first + i), 0.5 ether / (replayable + others));
            r.stepsRoot = Trees.root(_threeSteps());
            if (i >= replayable) (r.replayClass, r.status) = i % 2 == 0 ? (3, 1) : (1, 2);
            records.push(r);
        }
        batch = _header(records, _payouts(_charges()));
        _pay(batch.sum);
        _anchor(batch);
    }

    function _challengeBatch() internal returns (uint256 id) {
        vm.prank(challenger);
        id = disputes.challengeBatch(batch);
    }

    function _drawnBatch() internal returns (uint256 id) {
        id = _challengeBatch();
        vm.roll(disputes.dispute(id).drawBlock + 1);
        disputes.drawLeaves(id);
    }

    /// @dev Every position opened, and the committee drawn.
    function _judged() internal returns (uint256 id) {
        id = _drawnBatch();
        _openAll(id, 0);
        disputes.closeLeaves(id);
        _draw(id);
    }

    function _fundAudits(uint256 amount) internal {
        (address[] memory accounts, uint256[] memory amounts) = (new address[](1), new uint256[](1));
        (accounts[0], amounts[0]) = (address(disputes), amount);
        vm.startPrank(stranger);
        token.approve(address(pool), amount);
        pool.credit(accounts, amounts);
        vm.stopPrank();
    }

    function _requestAudit() internal returns (uint256) {
        vm.prank(stranger);
        return disputes.requestAudit(batch);
    }

    function _selectedAudit() internal returns (uint256 id) {
        vm.prank(governor);
        parameters.set(Param.AuditRate, 10_000);
        id = _requestAudit();
        vm.roll(disputes.dispute(id).drawBlock + 1);
        disputes.drawLeaves(id);
    }

    /// @dev Opens every position but the first `skip` that hold a model call.
    function _openAll(uint256 id, uint256 skip) internal {
        for (uint256 position; position < 64; ++position) {
            LeafOpening memory o = _opening(id, position);
            if (_isLeaf(o) && skip != 0) {
                --skip;
                continue;
            }
            disputes.openLeaf(id, position, o);
        }
    }

    /// @dev The first position with a model call, or without.
    function _position(uint256 id, bool leaf) internal view returns (uint256 position) {
        while (_isLeaf(_opening(id, position)) != leaf) ++position;
    }

    function _opening(uint256 id, uint256 position) internal view returns (LeafOpening memory o) {
        bytes32 seed = disputes.leavesDrawn(id).seed;
        uint256 which = _drawn(seed, position, "record") % records.length;
        o.header = batch;
        o.record = records[which];
        o.recordProof = Trees.recordProof(records, which);
        uint256 index = _drawn(seed, position, "step") % 4;
        o.padding = index == 3;
        (o.step, o.stepProof) = _stepAt(index);
        (o.leaf, o.tokenProof) = _tokenAt(uint32(_drawn(seed, position, "token") % TOKENS));
    }

    function _isLeaf(LeafOpening memory o) internal pure returns (bool) {
        return o.record.replayClass == 1 && o.record.status == 1 && !o.padding && o.step.kind == 0;
    }

    function _stepAt(uint256 index) internal view returns (StepLeaf memory one, bytes32[] memory proof) {
        one = index == 1 ? toolStep : step;
        if (index != 3) one.index = uint16(index);
        proof = Trees.proof(_threeSteps(), index);
    }

    function _tokenAt(uint32 t) internal view returns (TokenLeaf memory leaf, bytes32[] memory proof) {
        return (leaves[t], Trees.proof(_tokenLeaves(), t));
    }

    /// @dev Everybody votes what is committed, but for the first `off` leaves, which are `delta` away.
    function _ruleWith(uint256 id, uint256 off, int32 delta) internal {
        OpenedLeaf[] memory opened = disputes.leavesOf(id);
        int32[] memory votes = new int32[](opened.length);
        for (uint256 i; i < votes.length; ++i) {
            votes[i] = opened[i].committedLogprob - (i < off ? delta : int32(0));
        }
        address[] memory members = disputes.committee(id);
        for (uint256 i; i < members.length; ++i) {
            _commitVote(id, members[i], votes, -80_000);
        }
        for (uint256 i; i < members.length; ++i) {
            _revealVote(id, members[i], votes, -80_000);
        }
        disputes.resolve(id);
    }

    function _ruleSilent(uint256 id) internal {
        vm.warp(disputes.dispute(id).revealBy + 1);
        disputes.resolve(id);
    }

    function _threeSteps() internal view returns (bytes32[] memory hashes) {
        StepLeaf memory last = step;
        last.index = 2;
        hashes = new bytes32[](3);
        hashes[0] = IndexedMerkle.leafOf(abi.encode(step));
        hashes[1] = IndexedMerkle.leafOf(abi.encode(toolStep));
        hashes[2] = IndexedMerkle.leafOf(abi.encode(last));
    }

    function _drawn(bytes32 seed, uint256 position, string memory what) internal pure returns (uint256) {
        return uint256(keccak256(abi.encode(seed, position, what)));
    }

    function _charges() private view returns (uint256 sum) {
        for (uint256 i; i < records.length; ++i) {
            if (records[i].status != 2) sum += records[i].fee;
        }
    }
}
