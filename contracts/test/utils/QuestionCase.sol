// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { Records } from "src/libraries/Records.sol";
import { ActionRecord, StepLeaf } from "src/types/Records.sol";
import { IndexedMerkle } from "src/libraries/IndexedMerkle.sol";
import { Case } from "./Case.sol";
import { Payout, Trees } from "./Trees.sol";

/// @title Questions to a jury about the anchored case, and about a training run anchored after it.
abstract contract QuestionCase is Case {
    bytes32 internal constant PROBE = keccak256("what only a recomputation gives");

    /// @dev What the jury finds that the batch should have paid: all of it to the contributor.
    Payout[] internal rightful;
    StepLeaf internal training;
    ActionRecord internal run;

    function setUp() public virtual override {
        super.setUp();
        rightful.push(Payout(contributor, _net(header.sum)));
    }

    function _rightAnswer() internal view returns (bytes32) {
        return keccak256(abi.encode(Trees.sumRoot(rightful).hash, uint32(1)));
    }

    function _claimedAnswer() internal view returns (bytes32) {
        return keccak256(abi.encode(header.payoutRoot, header.payoutCount));
    }

    function _commitShares(address by) internal returns (uint256 id) {
        bytes32 evidence = keccak256(abi.encode(by, SALT, Records.headerHash(header), "shares"));
        vm.prank(by);
        id = disputes.commitChallenge(header, header.firstNonce, evidence);
        vm.roll(block.number + 1);
    }

    function _openShares() internal returns (uint256 id) {
        id = _commitShares(challenger);
        vm.prank(challenger);
        disputes.revealShares(id, header, SALT);
    }

    /// @dev A paid training run: its one step says which adapter came out.
    function _anchorTraining() internal {
        training = StepLeaf({
            index: 0,
            kind: 4,
            assetId: 1,
            contentDigest: keccak256("base"),
            promptHash: keccak256("recipe"),
            generationRoot: keccak256("adapter"),
            count: 0,
            detailDigest: keccak256("run")
        });
        run = _record(actionLog.nextNonce(agentId), FEE);
        run.stepsRoot = Trees.root(_trainingLeaves());
        run.contentDigest = sha256("training");
        header = _header(_one(run), _payouts(FEE));
        _pay(header.sum);
        _anchor(header);
    }

    function _openTraining() internal returns (uint256 id) {
        bytes32 structHash = Records.structHash(run);
        bytes32 evidence = keccak256(abi.encode(challenger, SALT, structHash, uint16(0), "training"));
        vm.prank(challenger);
        id = disputes.commitChallenge(header, run.nonce, evidence);
        vm.roll(block.number + 1);
        _revealTraining(id);
    }

    function _revealTraining(uint256 id) internal {
        vm.prank(challenger);
        disputes.revealTraining(
            id,
            header,
            run,
            Trees.recordProof(_one(run), 0),
            training,
            Trees.proof(_trainingLeaves(), 0),
            SALT
        );
    }

    /// @dev Answers of the first `answers.length` members, all with the same probe; then the ruling.
    function _answer(uint256 id, bytes32[] memory answers) internal {
        bytes32[] memory probes = new bytes32[](answers.length);
        for (uint256 i; i < probes.length; ++i) {
            probes[i] = PROBE;
        }
        _answer(id, answers, probes);
    }

    function _answer(uint256 id, bytes32[] memory answers, bytes32[] memory probes) internal {
        address[] memory members = disputes.committee(id);
        for (uint256 i; i < answers.length; ++i) {
            _commitAnswer(id, members[i], answers[i], probes[i]);
        }
        if (answers.length < members.length) vm.warp(disputes.dispute(id).commitBy + 1);
        for (uint256 i; i < answers.length; ++i) {
            vm.prank(members[i]);
            disputes.revealAnswer(id, answers[i], probes[i], SALT);
        }
        if (answers.length < members.length) vm.warp(disputes.dispute(id).revealBy + 1);
        disputes.resolve(id);
    }

    function _commitAnswer(uint256 id, address juror, bytes32 answer, bytes32 probe) internal {
        uint8 round = disputes.dispute(id).round;
        bytes32 commitment =
            keccak256(abi.encode(block.chainid, address(disputes), id, round, juror, answer, probe, SALT));
        vm.prank(juror);
        disputes.commitVote(id, commitment);
    }

    /// @dev Drawn, answered alike by all, and final.
    function _judgeAll(uint256 id, bytes32 answer) internal {
        _draw(id);
        _answer(id, _answers(answer, 5));
        _finish(id);
    }

    function _answers(bytes32 value, uint256 n) internal pure returns (bytes32[] memory values) {
        values = new bytes32[](n);
        for (uint256 i; i < n; ++i) {
            values[i] = value;
        }
    }

    function _one(ActionRecord memory one) internal pure returns (ActionRecord[] memory records) {
        records = new ActionRecord[](1);
        records[0] = one;
    }

    function _trainingLeaves() internal view returns (bytes32[] memory hashes) {
        hashes = new bytes32[](1);
        hashes[0] = IndexedMerkle.leafOf(abi.encode(training));
    }
}
