// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { Records } from "src/libraries/Records.sol";
import { QuestionCase } from "./utils/QuestionCase.sol";
import { Trees } from "./utils/Trees.sol";

/// @title What questions to a jury cost: FOUNDRY_PROFILE=gas forge test.
contract QuestionsGasTest is QuestionCase {
    function test_gas_shares() public {
        uint256 id = _commitShares(challenger);
        vm.prank(challenger);
        disputes.revealShares(id, header, SALT);
        vm.snapshotGasLastCall("questions", "revealShares");
        _draw(id);
        address[] memory members = disputes.committee(id);
        for (uint256 i; i < 5; ++i) {
            _commitAnswer(id, members[i], _rightAnswer(), PROBE);
        }
        for (uint256 i; i < 5; ++i) {
            vm.prank(members[i]);
            disputes.revealAnswer(id, _rightAnswer(), PROBE, SALT);
        }
        vm.snapshotGasLastCall("questions", "revealAnswer");
        disputes.resolve(id);
        vm.snapshotGasLastCall("questions", "resolve, ruled by 5");
        vm.warp(disputes.dispute(id).appealBy + 1);
        disputes.resolve(id);
        vm.snapshotGasLastCall("questions", "resolve, payouts corrected, 5 settled");
        pool.showPayouts(Records.headerHash(header), Trees.sumRoot(rightful).hash, 1);
        vm.snapshotGasLastCall("questions", "showPayouts");
    }

    function test_gas_training() public {
        _anchorTraining();
        _openTraining();
        vm.snapshotGasLastCall("questions", "revealTraining");
    }

    function test_gas_case() public {
        uint256 fee = arbiter.fee();
        vm.prank(client);
        token.transfer(address(arbiter), fee);
        vm.prank(address(arbiter));
        disputes.ask(1, keccak256("row"), contributor, app);
        vm.snapshotGasLastCall("questions", "ask");
    }
}
