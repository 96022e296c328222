// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { Records } from "src/libraries/Records.sol";
import { ActionRecord, RecordProof, StepLeaf, TokenLeaf } from "src/types/Records.sol";
import { Trees } from "./utils/Trees.sol";
import { Case } from "./utils/Case.sol";

/// @title What disputes before juries cost: FOUNDRY_PROFILE=gas forge test.
contract JuryGasTest is Case {
    int32 private constant TRUTH = -40_000;

    function setUp() public override {
        super.setUp();
        for (uint256 i = 6; i < 40; ++i) {
            _addJuror(string.concat("juror", vm.toString(i)), JUROR_STAKE);
        }
        vm.roll(block.number + 1);
    }

    function test_gas_jury() public {
        uint256 id = _commitMeasured();
        vm.roll(block.number + 1);
        _revealMeasured(id);
        vm.roll(disputes.dispute(id).drawBlock + 1);
        disputes.draw(id);
        vm.snapshotGasLastCall("disputes", "draw, 5 jurors");
        _votes(id, TRUTH, 0);
        vm.snapshotGasLastCall("disputes", "revealVote");
        disputes.resolve(id);
        vm.snapshotGasLastCall("disputes", "resolve, ruled by 5");
        vm.warp(disputes.dispute(id).appealBy + 1);
        disputes.resolve(id);
        vm.snapshotGasLastCall("disputes", "resolve, convicted, 5 settled");
    }

    function test_gas_acquittal() public {
        uint256 id = _drawn(3);
        address[] memory members = disputes.committee(id);
        for (uint256 i; i < 3; ++i) {
            _commitVote(id, members[i], -1030, -80_000);
        }
        vm.snapshotGasLastCall("disputes", "commitVote");
        vm.warp(disputes.dispute(id).commitBy + 1);
        for (uint256 i; i < 3; ++i) {
            _revealVote(id, members[i], -1030, -80_000);
        }
        vm.warp(disputes.dispute(id).revealBy + 1);
        disputes.resolve(id);
        vm.warp(disputes.dispute(id).appealBy + 1);
        disputes.resolve(id);
        vm.snapshotGasLastCall("disputes", "resolve, acquitted, 5 settled, two penalised");
    }

    function test_gas_appeals() public {
        uint256 id = _drawn(3);
        _votes(id, TRUTH, 3);
        disputes.resolve(id);
        _appealMeasured(id, "appeal to 11");
        disputes.draw(id);
        vm.snapshotGasLastCall("disputes", "draw, 11 jurors");
        _votes(id, TRUTH, 6);
        disputes.resolve(id);
        vm.snapshotGasLastCall("disputes", "resolve, ruled by 11");
        _appealMeasured(id, "appeal to 23");
        disputes.draw(id);
        vm.snapshotGasLastCall("disputes", "draw, 23 jurors");
        _votes(id, TRUTH, 0);
        disputes.resolve(id);
        vm.snapshotGasLastCall("disputes", "resolve, ruled by 23, convicted");
        disputes.settle(id, 0);
        vm.snapshotGasLastCall("disputes", "settle 5, three penalised");
        disputes.settle(id, 1);
        vm.snapshotGasLastCall("disputes", "settle 11, six penalised");
        disputes.settle(id, 2);
        vm.snapshotGasLastCall("disputes", "settle 23");
    }

    function test_gas_join() public {
        uint256 id = _commit(3);
        _reveal(id, 3);
        bytes32[] memory stepProof = Trees.proof(_stepLeaves(), 0);
        bytes32[] memory tokenProof = Trees.proof(_tokenLeaves(), 5);
        StepLeaf memory opened = step;
        TokenLeaf memory leaf = leaves[5];
        ActionRecord memory r = record;
        vm.prank(stranger);
        disputes.joinChallenge(id, r, opened, stepProof, leaf, tokenProof);
        vm.snapshotGasLastCall("disputes", "joinChallenge");
    }

    function _votes(uint256 id, int32 truth, uint256 liars) private {
        address[] memory members = disputes.committee(id);
        for (uint256 i; i < members.length; ++i) {
            _commitVote(id, members[i], i < liars ? -1030 : truth, -80_000);
        }
        for (uint256 i; i < members.length; ++i) {
            _revealVote(id, members[i], i < liars ? -1030 : truth, -80_000);
        }
    }

    function _appealMeasured(uint256 id, string memory name) private {
        vm.prank(stranger);
        disputes.appeal(id);
        vm.snapshotGasLastCall("disputes", name);
        vm.roll(disputes.dispute(id).drawBlock + 1);
    }

    function _commitMeasured() private returns (uint256 id) {
        bytes32 evidence =
            keccak256(abi.encode(challenger, SALT, Records.structHash(record), uint16(0), uint32(3)));
        vm.prank(challenger);
        id = disputes.commitChallenge(header, record.nonce, evidence);
        vm.snapshotGasLastCall("disputes", "commitChallenge");
    }

    function _revealMeasured(uint256 id) private {
        RecordProof memory recordProof = Trees.recordProof(_both(), 0);
        bytes32[] memory stepProof = Trees.proof(_stepLeaves(), 0);
        bytes32[] memory tokenProof = Trees.proof(_tokenLeaves(), 3);
        TokenLeaf memory leaf = leaves[3];
        StepLeaf memory opened = step;
        vm.prank(challenger);
        disputes.revealChallenge(id, header, record, recordProof, opened, stepProof, leaf, tokenProof, SALT);
        vm.snapshotGasLastCall("disputes", "revealChallenge");
    }
}
