// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { IndexedMerkle } from "src/libraries/IndexedMerkle.sol";
import { Records } from "src/libraries/Records.sol";
import { Dispute, State } from "src/types/DisputeTypes.sol";
import { ActionRecord, BatchHeader, RecordProof, StepLeaf, TokenLeaf } from "src/types/Records.sol";
import { Payout, Trees } from "./Trees.sol";
import { World } from "./World.sol";

/// @title An anchored action with one generation, and the moves of a jury dispute about it.
abstract contract Case is World {
    uint256 internal constant FEE = 1 ether;
    uint256 internal constant SLASH = 80 ether;
    uint32 internal constant TOKENS = 12;
    bytes32 internal constant SALT = keccak256("salt");

    BatchHeader internal header;
    ActionRecord internal record;
    StepLeaf internal step;
    StepLeaf internal toolStep;
    TokenLeaf[] internal leaves;
    ActionRecord internal neighbour;

    function setUp() public virtual override {
        super.setUp();
        _anchorCase(FEE);
    }

    /// @dev Two records; the first has a model call and a tool call.
    function _anchorCase(uint256 fee) internal {
        delete leaves;
        bytes32 prefix = keccak256("prompt");
        for (uint32 t; t < TOKENS; ++t) {
            leaves.push(TokenLeaf(t, prefix, 100 + t, -int32(1000 + 10 * t), keccak256("seed"), 0));
            prefix = keccak256(abi.encodePacked(prefix, uint32(100 + t)));
        }
        leaves.push(TokenLeaf(TOKENS, prefix, type(uint32).max, 0, keccak256("seed"), 1));
        step = StepLeaf({
            index: 0,
            kind: 0,
            assetId: 1,
            contentDigest: keccak256("adapter"),
            promptHash: keccak256("prompt"),
            generationRoot: Trees.root(_tokenLeaves()),
            count: TOKENS + 1,
            detailDigest: keccak256("detail")
        });
        toolStep = StepLeaf(1, 1, 0, 0, 0, 0, 0, keccak256("tool"));
        uint64 first = actionLog.nextNonce(agentId);
        record = _record(first, fee);
        record.stepsRoot = Trees.root(_stepLeaves());
        record.contentDigest = sha256(abi.encode(first));
        neighbour = _record(first + 1, fee);
        neighbour.contentDigest = sha256(abi.encode(first + 1));
        header = _header(_both(), _payouts(2 * fee));
        _pay(header.sum);
        _anchor(header);
    }

    function _commit(uint32 token_) internal returns (uint256) {
        return _commit(challenger, token_);
    }

    function _commit(address by, uint32 token_) internal returns (uint256) {
        bytes32 evidence =
            keccak256(abi.encode(by, SALT, Records.structHash(record), uint16(0), uint32(token_)));
        vm.prank(by);
        return disputes.commitChallenge(header, record.nonce, evidence);
    }

    function _reveal(uint256 id, uint32 token_) internal {
        _reveal(challenger, id, token_);
    }

    function _reveal(address by, uint256 id, uint32 token_) internal {
        if (block.number <= disputes.dispute(id).frozenBlock) vm.roll(block.number + 1);
        RecordProof memory recordProof = Trees.recordProof(_both(), 0);
        bytes32[] memory stepProof = Trees.proof(_stepLeaves(), 0);
        bytes32[] memory tokenProof = Trees.proof(_tokenLeaves(), token_);
        vm.prank(by);
        disputes.revealChallenge(
            id, header, record, recordProof, step, stepProof, leaves[token_], tokenProof, SALT
        );
    }

    /// @dev Committed, revealed and drawn.
    function _drawn(uint32 token_) internal returns (uint256 id) {
        id = _commit(token_);
        _reveal(id, token_);
        _draw(id);
    }

    function _draw(uint256 id) internal {
        vm.roll(disputes.dispute(id).drawBlock + 1);
        vm.prank(stranger);
        disputes.draw(id);
    }

    function _commitVote(uint256 id, address juror, int32 token_, int32 probe) internal {
        _commitVote(id, juror, _list(token_, disputes.leavesOf(id).length), probe);
    }

    function _commitVote(uint256 id, address juror, int32[] memory tokens, int32 probe) internal {
        uint8 round = disputes.dispute(id).round;
        bytes32 commitment =
            keccak256(abi.encode(block.chainid, address(disputes), id, round, juror, tokens, probe, SALT));
        vm.prank(juror);
        disputes.commitVote(id, commitment);
    }

    function _revealVote(uint256 id, address juror, int32 token_, int32 probe) internal {
        _revealVote(id, juror, _list(token_, disputes.leavesOf(id).length), probe);
    }

    function _revealVote(uint256 id, address juror, int32[] memory tokens, int32 probe) internal {
        vm.prank(juror);
        disputes.revealVote(id, tokens, probe, SALT);
    }

    /// @dev Votes of the first `tokens.length` committee members, the rest silent; then the ruling, and the outcome
    /// if nobody appeals.
    function _vote(uint256 id, int32[] memory tokens, int32[] memory probes) internal {
        _rule(id, tokens, probes);
        _finish(id);
    }

    /// @dev `count` equal votes.
    function _voteAll(uint256 id, uint256 count, int32 token_, int32 probe) internal {
        _vote(id, _list(token_, count), _list(probe, count));
    }

    /// @dev Votes and what follows from them at once.
    function _rule(uint256 id, int32[] memory tokens, int32[] memory probes) internal {
        address[] memory members = disputes.committee(id);
        for (uint256 i; i < tokens.length; ++i) {
            _commitVote(id, members[i], tokens[i], probes[i]);
        }
        if (tokens.length < members.length) vm.warp(disputes.dispute(id).commitBy + 1);
        for (uint256 i; i < tokens.length; ++i) {
            _revealVote(id, members[i], tokens[i], probes[i]);
        }
        if (tokens.length < members.length) vm.warp(disputes.dispute(id).revealBy + 1);
        disputes.resolve(id);
    }

    /// @dev `count` equal votes of which `liars` say `lie` for the token.
    function _ruleSplit(uint256 id, uint256 count, int32 truth, uint256 liars, int32 lie) internal {
        int32[] memory tokens = _list(truth, count);
        for (uint256 i; i < liars; ++i) {
            tokens[i] = lie;
        }
        _rule(id, tokens, _list(-80_000, count));
    }

    function _appeal(uint256 id, address by) internal {
        vm.prank(by);
        disputes.appeal(id);
    }

    /// @dev Nobody appeals.
    function _finish(uint256 id) internal {
        Dispute memory d = disputes.dispute(id);
        if (d.state != State.Ruled) return;
        vm.warp(d.appealBy + 1);
        disputes.resolve(id);
    }

    function _settleAll(uint256 id) internal {
        for (uint8 tier; tier <= disputes.dispute(id).tier; ++tier) {
            if (!disputes.rulingOf(id, tier).settled) disputes.settle(id, tier);
        }
    }

    function _list(int32 value, uint256 n) internal pure returns (int32[] memory values) {
        values = new int32[](n);
        for (uint256 i; i < n; ++i) {
            values[i] = value;
        }
    }

    function _both() internal view returns (ActionRecord[] memory records) {
        records = new ActionRecord[](2);
        (records[0], records[1]) = (record, neighbour);
    }

    function _stepLeaves() internal view returns (bytes32[] memory hashes) {
        hashes = new bytes32[](2);
        hashes[0] = IndexedMerkle.leafOf(abi.encode(step));
        hashes[1] = IndexedMerkle.leafOf(abi.encode(toolStep));
    }

    function _tokenLeaves() internal view returns (bytes32[] memory hashes) {
        hashes = new bytes32[](leaves.length);
        for (uint256 i; i < hashes.length; ++i) {
            hashes[i] = IndexedMerkle.leafOf(abi.encode(leaves[i]));
        }
    }
}
