// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { IDisputeErrors } from "src/interfaces/IDisputes.sol";
import { ActionRecord, StepLeaf, TokenLeaf } from "src/types/Records.sol";
import { OpenedLeaf, State } from "src/types/DisputeTypes.sol";
import { Case } from "./utils/Case.sol";
import { Trees } from "./utils/Trees.sol";

/// @title Several leaves of one action before one committee.
contract DisputesJoinTest is Case {
    uint256 private constant JURY_COST = 0.1 ether;
    uint256 private constant BOND = 8 ether;
    uint256 private constant REWARD = SLASH * 3 / 10;

    address private joiner = makeAddr("joiner");

    function setUp() public override {
        super.setUp();
        _fund(joiner, 1000 ether);
    }

    function test_join_takesTheSameBondAndAddsALeaf() public {
        uint256 id = _opened(3);
        uint256 before = token.balanceOf(joiner);
        _join(joiner, id, 5);
        assertEq(token.balanceOf(joiner), before - BOND);
        assertEq(disputes.dispute(id).bond, 2 * BOND);
        OpenedLeaf[] memory opened = disputes.leavesOf(id);
        assertEq(opened.length, 2);
        assertEq(opened[0].accuser, challenger);
        assertEq(opened[1].accuser, joiner);
        assertEq(opened[1].tokenIndex, 5);
        assertEq(opened[1].committedLogprob, leaves[5].logprob);
    }

    function test_join_leavesThatConvictShareTheReward() public {
        uint256 id = _opened(3);
        _join(joiner, id, 5);
        _join(stranger, id, 6);
        uint256[3] memory before =
            [token.balanceOf(challenger), token.balanceOf(joiner), token.balanceOf(stranger)];
        // tokens 3 and 5 are off, 6 is as committed
        _judge(id, leaves[3].logprob - 30_000, leaves[5].logprob - 30_000, leaves[6].logprob);
        assertEq(uint8(disputes.dispute(id).state), uint8(State.Convicted));
        // half for opening, a quarter for each of two leaves
        assertEq(token.balanceOf(challenger), before[0] + BOND + REWARD * 3 / 4);
        assertEq(token.balanceOf(joiner), before[1] + BOND + REWARD / 4);
        assertEq(token.balanceOf(stranger), before[2], "its bond is lost");
        assertEq(token.balanceOf(address(disputes)), 0);
        // burned: half of the slash, what client and jury left, and the lost bond
        assertEq(token.burned(), SLASH - REWARD - FEE - JURY_COST + BOND);
    }

    function test_join_convictsAloneWhenTheOpenersLeafDoesNot() public {
        uint256 id = _opened(3);
        _join(joiner, id, 5);
        _join(stranger, id, 6);
        uint256[2] memory before = [token.balanceOf(challenger), token.balanceOf(joiner)];
        _judge(id, leaves[3].logprob, leaves[5].logprob - 30_000, leaves[6].logprob);
        assertEq(uint8(disputes.dispute(id).state), uint8(State.Convicted));
        assertEq(token.balanceOf(challenger), before[0]);
        assertEq(token.balanceOf(joiner), before[1] + BOND + REWARD);
        assertEq(token.balanceOf(address(disputes)), 0);
    }

    function test_join_acquittalTakesEveryBond() public {
        uint256 id = _opened(3);
        _join(joiner, id, 5);
        _join(stranger, id, 6);
        uint256 before = token.balanceOf(operator);
        _judge(id, leaves[3].logprob, leaves[5].logprob, leaves[6].logprob);
        assertEq(uint8(disputes.dispute(id).state), uint8(State.Acquitted));
        assertEq(token.balanceOf(operator), before + 3 * BOND - JURY_COST);
        // each of them is judged for good, another leaf is not
        uint256 again = _commit(5);
        _reveal(again, 5);
        assertEq(uint8(disputes.dispute(again).state), uint8(State.Voided));
        again = _opened(7);
        assertEq(uint8(disputes.dispute(again).state), uint8(State.Open));
    }

    function test_join_selfAccusationOnInnocentLeavesShieldsNothing() public {
        // the operator's friend opens an innocent leaf; an honest joiner adds the guilty one
        uint256 id = _commit(stranger, 3);
        _reveal(stranger, id, 3);
        _join(joiner, id, 5);
        _draw(id);
        _judgeTwo(id, leaves[3].logprob, leaves[5].logprob - 30_000);
        assertEq(uint8(disputes.dispute(id).state), uint8(State.Convicted));
        assertEq(vault.stakeOf(agentId), STAKE - SLASH);
    }

    function test_join_voidGivesEveryBondBackAndFreesEveryLeaf() public {
        uint256 id = _opened(3);
        uint256[2] memory before = [token.balanceOf(challenger), token.balanceOf(joiner)];
        _join(joiner, id, 5);
        _draw(id);
        _voteAll(id, 0, 0, 0);
        _draw(id);
        _voteAll(id, 0, 0, 0);
        assertEq(uint8(disputes.dispute(id).state), uint8(State.Voided));
        assertEq(token.balanceOf(challenger), before[0] + BOND);
        assertEq(token.balanceOf(joiner), before[1]);
        id = _opened(5);
        assertEq(uint8(disputes.dispute(id).state), uint8(State.Open));
    }

    function test_join_revertsTwiceLateForeignOrTooMany() public {
        uint256 id = _opened(3);
        vm.expectRevert(abi.encodeWithSelector(IDisputeErrors.LeafJudged.selector, id));
        this.join(joiner, id, 3);
        vm.expectRevert(IDisputeErrors.NotReplayable.selector);
        this.join(joiner, id, TOKENS);
        ActionRecord memory mine = record;
        record = neighbour;
        vm.expectRevert(abi.encodeWithSelector(IDisputeErrors.BadInclusion.selector, "record"));
        this.join(joiner, id, 4);
        record = mine;
        for (uint32 k; k < 8; ++k) {
            if (k != 3) _join(joiner, id, k);
        }
        vm.expectRevert(abi.encodeWithSelector(IDisputeErrors.TooManyLeaves.selector, 8));
        this.join(joiner, id, 9);
        assertEq(disputes.dispute(id).bond, 8 * BOND);

        uint256 other = _opened(10);
        uint256 at = disputes.dispute(other).drawBlock;
        vm.roll(at + 1);
        vm.expectRevert(abi.encodeWithSelector(IDisputeErrors.TooLate.selector, at));
        this.join(joiner, other, 11);
        disputes.draw(other);
        vm.expectRevert(abi.encodeWithSelector(IDisputeErrors.WrongState.selector, other, State.Drawn));
        this.join(joiner, other, 11);
    }

    function test_join_jurorsThatJoinDoNotJudge() public {
        uint256 id = _opened(3);
        _join(jurors[0], id, 5);
        // five are left
        vm.expectRevert(abi.encodeWithSelector(IDisputeErrors.JuryTooSmall.selector, 4, 4 * JUROR_STAKE));
        this.join(jurors[1], id, 6);
        _draw(id);
        address[] memory members = disputes.committee(id);
        for (uint256 i; i < 5; ++i) {
            assertNotEq(members[i], jurors[0]);
        }
    }

    function test_join_voteNeedsANumberForEachLeaf() public {
        uint256 id = _opened(3);
        _join(joiner, id, 5);
        _draw(id);
        address[] memory members = disputes.committee(id);
        int32[] memory one = _list(-1000, 1);
        for (uint256 i; i < 5; ++i) {
            _commitVote(id, members[i], one, -80_000);
        }
        vm.expectRevert(abi.encodeWithSelector(IDisputeErrors.VoteMismatch.selector, members[0]));
        _revealVote(id, members[0], one, -80_000);
    }

    function test_join_settlesAlthoughEveryJurorIsFarFromSomeMedian() public {
        uint256 id = _opened(3);
        _join(joiner, id, 5);
        _draw(id);
        address[] memory members = disputes.committee(id);
        int32[][] memory votes = new int32[][](members.length);
        for (uint256 i; i < members.length; ++i) {
            // the third juror has the median of one leaf, the second that of the other, nobody both
            votes[i] = new int32[](2);
            votes[i][0] = leaves[3].logprob - 3000 * int32(int256(i));
            votes[i][1] = leaves[5].logprob - 3000 * int32(int256((i + 1) % members.length));
            _commitVote(id, members[i], votes[i], -80_000);
        }
        for (uint256 i; i < members.length; ++i) {
            _revealVote(id, members[i], votes[i], -80_000);
        }
        disputes.resolve(id);
        _finish(id);
        _settleAll(id);
        assertEq(uint8(disputes.dispute(id).state), uint8(State.Convicted));
        for (uint256 i; i < members.length; ++i) {
            assertLt(vault.jurorStake(members[i]), JUROR_STAKE);
        }
        assertEq(token.balanceOf(address(disputes)), 0);
    }

    function join(address by, uint256 id, uint32 token_) external {
        _join(by, id, token_);
    }

    function _opened(uint32 token_) private returns (uint256 id) {
        id = _commit(token_);
        _reveal(id, token_);
    }

    function _join(address by, uint256 id, uint32 token_) private {
        bytes32[] memory stepProof = Trees.proof(_stepLeaves(), 0);
        bytes32[] memory tokenProof = Trees.proof(_tokenLeaves(), token_);
        StepLeaf memory opened = step;
        TokenLeaf memory leaf = leaves[token_];
        ActionRecord memory r = record;
        vm.prank(by);
        disputes.joinChallenge(id, r, opened, stepProof, leaf, tokenProof);
    }

    function _judge(uint256 id, int32 a, int32 b, int32 c) private {
        _draw(id);
        int32[] memory votes = new int32[](3);
        (votes[0], votes[1], votes[2]) = (a, b, c);
        _ruleLeaves(id, votes);
    }

    function _judgeTwo(uint256 id, int32 a, int32 b) private {
        int32[] memory votes = new int32[](2);
        (votes[0], votes[1]) = (a, b);
        _ruleLeaves(id, votes);
    }

    function _ruleLeaves(uint256 id, int32[] memory votes) private {
        address[] memory members = disputes.committee(id);
        for (uint256 i; i < members.length; ++i) {
            _commitVote(id, members[i], votes, -80_000);
        }
        for (uint256 i; i < members.length; ++i) {
            _revealVote(id, members[i], votes, -80_000);
        }
        disputes.resolve(id);
        _finish(id);
    }
}
