// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { IDisputeErrors, IDisputeEvents } from "src/interfaces/IDisputes.sol";
import { Dispute, State, TierRuling } from "src/types/DisputeTypes.sol";
import { Param } from "src/types/Param.sol";
import { Case } from "./utils/Case.sol";

/// @title 5 jurors, then 11, then 23: who wins, who pays, and that every wei is accounted for.
contract DisputesAppealTest is Case {
    uint256 private constant FEE_OF_JUROR = 0.02 ether;
    uint256 private constant BOND = 8 ether;
    int32 private constant CLAIMED = -1030;
    int32 private constant TRUTH = CLAIMED - 30_000;

    address private appellant = makeAddr("appellant");

    function setUp() public override {
        super.setUp();
        for (uint256 i = 6; i < 30; ++i) {
            _addJuror(string.concat("juror", vm.toString(i)), JUROR_STAKE);
        }
        _fund(appellant, 1000 ether);
        vm.roll(block.number + 1);
    }

    // --- honest majorities win in the end ----------------------------------------------------------------------

    function test_appeal_overturnsABribedFirstRound() public {
        uint256 id = _drawn(3);
        address[] memory first = disputes.committee(id);
        uint256 before = token.balanceOf(appellant);
        _ruleSplit(id, 5, TRUTH, 3, CLAIMED);
        assertFalse(disputes.rulingOf(id, 0).convicted);
        uint256 bond = disputes.appealBond(id);
        assertEq(bond, 11 * FEE_OF_JUROR + BOND);
        _appeal(id, appellant);
        assertEq(token.balanceOf(appellant), before - bond);

        _draw(id);
        address[] memory second = disputes.committee(id);
        assertEq(second.length, 11);
        uint256[3] memory paid =
            [token.balanceOf(first[0]), token.balanceOf(first[4]), token.balanceOf(second[0])];
        _rule(id, _list(TRUTH, 11), _list(-50_000, 11));
        _finish(id);
        assertEq(uint8(disputes.dispute(id).state), uint8(State.Convicted));
        assertEq(vault.stakeOf(agentId), STAKE - SLASH);
        assertEq(token.balanceOf(appellant), before, "who was right to appeal has its bond back");

        _settleAll(id);
        uint256 sat = _isAmong(first[0], second) ? FEE_OF_JUROR : 0;
        assertEq(token.balanceOf(first[0]), paid[0] + sat, "the bribed earn nothing for it");
        assertEq(vault.jurorStake(first[0]), JUROR_STAKE - 1 ether, "and lose stake");
        sat = _isAmong(first[4], second) ? FEE_OF_JUROR : 0;
        assertEq(token.balanceOf(first[4]), paid[1] + FEE_OF_JUROR + sat, "the honest minority is paid");
        assertEq(vault.jurorStake(first[4]), JUROR_STAKE);
        _assertEmpty(id);
    }

    function test_appeal_honestMinorityDoesNotLoseToALieAboutTheProbe() public {
        uint256 id = _drawn(3);
        address[] memory first = disputes.committee(id);
        int32[] memory probes = _list(-80_000, 5);
        int32[] memory tokens = _list(TRUTH, 5);
        for (uint256 i; i < 3; ++i) {
            (tokens[i], probes[i]) = (CLAIMED, -20_000);
        }
        _rule(id, tokens, probes);
        _appeal(id, appellant);
        _draw(id);
        _rule(id, _list(TRUTH, 11), _list(-50_000, 11));
        _finish(id);
        _settleAll(id);
        for (uint256 i; i < 3; ++i) {
            assertEq(vault.jurorStake(first[i]), JUROR_STAKE - 1 ether);
        }
        assertEq(vault.jurorStake(first[3]), JUROR_STAKE);
        assertEq(vault.jurorStake(first[4]), JUROR_STAKE);
        _assertEmpty(id);
    }

    function test_appeal_twiceEndsWithTwentyThree() public {
        uint256 id = _drawn(3);
        _ruleSplit(id, 5, TRUTH, 3, CLAIMED);
        _appeal(id, appellant);
        _draw(id);
        _ruleSplit(id, 11, TRUTH, 6, CLAIMED);
        uint256 bond = disputes.appealBond(id);
        assertEq(bond, 23 * FEE_OF_JUROR + BOND);
        uint256 before = token.balanceOf(challenger);
        _appeal(id, challenger);
        _draw(id);
        assertEq(disputes.committee(id).length, 23);
        _ruleSplit(id, 23, TRUTH, 11, CLAIMED);
        // nobody to appeal to: final at once
        assertEq(uint8(disputes.dispute(id).state), uint8(State.Convicted));
        // bonds back, and the accuser's share
        assertEq(token.balanceOf(challenger), before + BOND + SLASH * 3 / 10);
        _settleAll(id);
        _assertEmpty(id);
    }

    function test_appeal_lostPaysTheLargerJuryAndTheAccuser() public {
        uint256 id = _drawn(3);
        _ruleSplit(id, 5, TRUTH, 0, 0);
        uint256 before = token.balanceOf(challenger);
        uint256 lost = token.balanceOf(appellant);
        _appeal(id, appellant);
        _draw(id);
        address[] memory second = disputes.committee(id);
        uint256 paid = token.balanceOf(second[5]);
        _ruleSplit(id, 11, TRUTH, 0, 0);
        _finish(id);
        assertEq(token.balanceOf(challenger), before + BOND + SLASH * 3 / 10 + BOND);
        assertEq(token.balanceOf(appellant), lost - BOND - 11 * FEE_OF_JUROR);
        disputes.settle(id, 1);
        assertEq(token.balanceOf(second[5]), paid + FEE_OF_JUROR);
        disputes.settle(id, 0);
        _assertEmpty(id);
    }

    function test_appeal_lostAgainstAnAcquittalGoesToTheOperator() public {
        uint256 id = _drawn(3);
        _ruleSplit(id, 5, CLAIMED, 0, 0);
        uint256 before = token.balanceOf(operator);
        _appeal(id, challenger);
        _draw(id);
        _ruleSplit(id, 11, CLAIMED, 0, 0);
        _finish(id);
        _settleAll(id);
        // the accuser's bond less the first jury, and the appeal's share
        assertEq(token.balanceOf(operator), before + BOND - 5 * FEE_OF_JUROR + BOND);
        assertEq(vault.stakeOf(agentId), STAKE);
        _assertEmpty(id);
    }

    function test_appeal_acquittedAfterAWrongConvictionThatTheBondPays() public {
        uint256 id = _drawn(3);
        _ruleSplit(id, 5, CLAIMED, 3, TRUTH);
        uint256 before = token.balanceOf(operator);
        _appeal(id, operator);
        _draw(id);
        _ruleSplit(id, 11, CLAIMED, 0, 0);
        _finish(id);
        _settleAll(id);
        // its bond back, the accuser's bond less both juries; three wrong jurors earned no fee
        assertEq(token.balanceOf(operator), before + BOND - (5 + 11 - 3) * FEE_OF_JUROR);
        assertEq(vault.stakeOf(agentId), STAKE);
        _assertEmpty(id);
    }

    function test_appeal_whatTheLoserCannotPayTheAppellantDoes() public {
        // a fee so small that the accuser's bond is the first jury's cost
        _anchorCase(0.001 ether);
        uint256 id = _drawn(3);
        _ruleSplit(id, 5, CLAIMED, 3, TRUTH);
        uint256 before = token.balanceOf(operator);
        uint256 bond = disputes.appealBond(id);
        assertEq(bond, 11 * FEE_OF_JUROR + 0.1 ether);
        _appeal(id, operator);
        _draw(id);
        address[] memory second = disputes.committee(id);
        uint256 paid = token.balanceOf(second[0]);
        _ruleSplit(id, 11, CLAIMED, 0, 0);
        _finish(id);
        disputes.settle(id, 1);
        assertEq(token.balanceOf(second[0]), paid + FEE_OF_JUROR, "the jury is paid whatever happens");
        assertEq(token.balanceOf(operator), before - 11 * FEE_OF_JUROR);
        disputes.settle(id, 0);
        // the fees of the first committee's wrong jurors
        assertEq(token.balanceOf(operator), before - 11 * FEE_OF_JUROR + 3 * FEE_OF_JUROR);
        _assertEmpty(id);
    }

    /// @dev Whatever three committees rule, whoever appeals: nothing is created, nothing stays behind.
    function test_fuzz_appeal_booksBalance(uint256 seed, uint256 fee) public {
        _anchorCase(bound(fee, 0, 10 ether));
        uint256 id = _drawn(3);
        uint256 tiers = seed % 3;
        uint256 supply = token.totalSupply() + token.burned();
        for (uint256 tier; tier <= tiers; ++tier) {
            uint256 size = disputes.committee(id).length;
            uint256 dice = uint256(keccak256(abi.encode(seed, tier)));
            _ruleSplit(id, size, TRUTH, dice % (size + 1), CLAIMED);
            if (tier == tiers) break;
            _appeal(id, (dice >> 8) % 2 == 0 ? appellant : operator);
            _draw(id);
        }
        _finish(id);
        bool convicted = disputes.rulingOf(id, uint8(tiers)).convicted;
        assertEq(uint8(disputes.dispute(id).state), uint8(convicted ? State.Convicted : State.Acquitted));
        if (!convicted) assertEq(vault.stakeOf(agentId), STAKE, "only a conviction slashes");
        _settleAll(id);
        _assertEmpty(id);
        assertEq(token.totalSupply() + token.burned(), supply);
    }

    // --- no quorum ---------------------------------------------------------------------------------------------

    function test_appeal_withoutQuorumTheEarlierRulingStands() public {
        uint256 id = _drawn(3);
        _ruleSplit(id, 5, TRUTH, 0, 0);
        uint256 before = token.balanceOf(appellant);
        uint256 bond = disputes.appealBond(id);
        _appeal(id, appellant);
        _draw(id);
        _ruleSplit(id, 5, CLAIMED, 0, 0); // five of eleven
        assertEq(uint8(disputes.dispute(id).state), uint8(State.Open));
        _draw(id);
        vm.expectEmit(address(disputes));
        emit IDisputeEvents.AppealClosed(id, 1, appellant, bond);
        _ruleSplit(id, 0, 0, 0, 0);
        Dispute memory d = disputes.dispute(id);
        assertEq(uint8(d.state), uint8(State.Convicted));
        assertEq(d.tier, 0);
        assertEq(d.round, 2);
        assertEq(token.balanceOf(appellant), before, "nobody lost the appeal");
        assertEq(vault.stakeOf(agentId), STAKE - SLASH);
        _settleAll(id);
        _assertEmpty(id);
    }

    // --- who may, when, for how much ---------------------------------------------------------------------------

    function test_appeal_revertsOutsideItsPeriod() public {
        uint256 id = _drawn(3);
        assertEq(disputes.appealBond(id), 0);
        vm.expectRevert(abi.encodeWithSelector(IDisputeErrors.WrongState.selector, id, State.Drawn));
        _appeal(id, appellant);
        _ruleSplit(id, 5, TRUTH, 0, 0);
        uint256 by = disputes.dispute(id).appealBy;
        assertEq(by, block.timestamp + parameters.get(Param.AppealPeriod));
        vm.expectRevert(abi.encodeWithSelector(IDisputeErrors.TooEarly.selector, by + 1));
        disputes.resolve(id);
        vm.warp(by + 1);
        vm.expectRevert(abi.encodeWithSelector(IDisputeErrors.TooLate.selector, by));
        _appeal(id, appellant);
        disputes.resolve(id);
        vm.expectRevert(abi.encodeWithSelector(IDisputeErrors.WrongState.selector, id, State.Convicted));
        _appeal(id, appellant);
    }

    function test_appeal_revertsWhenTheFrozenSetIsTooSmall() public {
        for (uint256 i; i < 20; ++i) {
            vm.prank(jurors[i]);
            vault.leaveJury();
        }
        vm.roll(block.number + 1);
        uint256 id = _drawn(3);
        _ruleSplit(id, 5, TRUTH, 0, 0);
        vm.expectRevert(abi.encodeWithSelector(IDisputeErrors.JuryTooSmall.selector, 10, 10 * JUROR_STAKE));
        _appeal(id, appellant);
    }

    function test_appeal_appellantDoesNotJudgeItsCase() public {
        uint256 id = _drawn(3);
        address juror = disputes.committee(id)[0];
        _ruleSplit(id, 5, CLAIMED, 3, TRUTH);
        _appeal(id, juror);
        _draw(id);
        assertFalse(_isAmong(juror, disputes.committee(id)));
    }

    function test_settle_isOnceATierAndOnlyWhenFinal() public {
        uint256 id = _drawn(3);
        vm.expectRevert(abi.encodeWithSelector(IDisputeErrors.WrongState.selector, id, State.Drawn));
        disputes.settle(id, 0);
        _ruleSplit(id, 5, TRUTH, 0, 0);
        _appeal(id, appellant);
        _draw(id);
        _ruleSplit(id, 11, TRUTH, 0, 0);
        vm.expectRevert(abi.encodeWithSelector(IDisputeErrors.WrongState.selector, id, State.Ruled));
        disputes.settle(id, 0);
        _finish(id);
        (, uint256 locked,) = vault.jurorOf(disputes.committeeAt(id, 0)[0]);
        assertGe(locked, 2 ether, "locked until settled");
        disputes.settle(id, 0);
        vm.expectRevert(abi.encodeWithSelector(IDisputeErrors.AlreadySettled.selector, id, 0));
        disputes.settle(id, 0);
        vm.expectRevert(abi.encodeWithSelector(IDisputeErrors.AlreadySettled.selector, id, 2));
        disputes.settle(id, 2);
        disputes.settle(id, 1);
        _assertEmpty(id);
    }

    function test_appeal_stakeStaysClaimedUntilTheEnd() public {
        vm.prank(operator);
        vault.requestWithdraw(agentId, STAKE);
        uint256 id = _drawn(3);
        _ruleSplit(id, 5, CLAIMED, 0, 0);
        _appeal(id, appellant);
        vm.warp(block.timestamp + 14 days);
        vm.prank(operator);
        vault.withdraw(agentId);
        assertEq(vault.positionOf(agentId, operator).pending, SLASH);
        _draw(id);
        _ruleSplit(id, 11, TRUTH, 0, 0);
        _finish(id);
        assertEq(vault.positionOf(agentId, operator).pending, 0);
    }

    function test_appeal_saysSo() public {
        uint256 id = _drawn(3);
        _ruleSplit(id, 5, TRUTH, 0, 0);
        uint256 bond = disputes.appealBond(id);
        vm.expectEmit(address(disputes));
        emit IDisputeEvents.Appealed(id, 1, appellant, bond, uint64(block.number + 4));
        _appeal(id, appellant);
        TierRuling memory ruling = disputes.rulingOf(id, 0);
        assertEq(ruling.appellant, appellant);
        assertEq(ruling.appealBond, bond);
        assertEq(disputes.dispute(id).held, bond);
        assertEq(disputes.committee(id).length, 0);
    }

    function _assertEmpty(uint256 id) private view {
        Dispute memory d = disputes.dispute(id);
        assertEq(uint256(d.bond) + d.held + d.encumbered, 0, "the dispute holds nothing");
        assertEq(token.balanceOf(address(disputes)), 0, "nor does the contract");
        for (uint256 i; i < jurors.length; ++i) {
            (, uint256 locked,) = vault.jurorOf(jurors[i]);
            assertEq(locked, 0, "no juror's stake is locked");
        }
    }

    function _isAmong(address account, address[] memory accounts) private pure returns (bool) {
        for (uint256 i; i < accounts.length; ++i) {
            if (accounts[i] == account) return true;
        }
        return false;
    }
}
