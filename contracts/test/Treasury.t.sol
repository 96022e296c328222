// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { Ownable } from "@openzeppelin/contracts/access/Ownable.sol";
import { IERC721Errors } from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import { Grant, ITreasury } from "src/interfaces/ITreasury.sol";
import { World } from "./utils/World.sol";

contract TreasuryTest is World {
    string private constant WHY = "bafkreireason";
    uint256 private constant HELD = 1000 ether;

    address private grantee = makeAddr("grantee");

    function setUp() public override {
        super.setUp();
        _fund(stranger, HELD);
        vm.prank(stranger);
        token.transfer(address(openTreasury), HELD);
    }

    function test_pay_isForTheOwnerWithAReason() public {
        vm.prank(stranger);
        vm.expectRevert(abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, stranger));
        openTreasury.pay(stranger, 1, WHY);
        vm.expectEmit(address(openTreasury));
        emit ITreasury.Paid(grantee, 10 ether, WHY);
        vm.startPrank(governor);
        openTreasury.pay(grantee, 10 ether, WHY);
        vm.expectRevert(ITreasury.ReasonMissing.selector);
        openTreasury.pay(grantee, 10 ether, "");
        vm.expectRevert(ITreasury.ZeroAmount.selector);
        openTreasury.pay(grantee, 0, WHY);
        vm.expectRevert(abi.encodeWithSelector(ITreasury.BadAccount.selector, address(0)));
        openTreasury.pay(address(0), 1, WHY);
        vm.expectRevert(abi.encodeWithSelector(ITreasury.BadAccount.selector, address(openTreasury)));
        openTreasury.pay(address(openTreasury), 1, WHY);
        vm.expectRevert(
            abi.encodeWithSelector(ITreasury.TreasuryShort.selector, HELD - 10 ether, type(uint256).max)
        );
        openTreasury.pay(grantee, type(uint256).max, WHY);
        vm.stopPrank();
        assertEq(token.balanceOf(grantee), 10 ether);
    }

    function test_payAgent_paysWhoOwnsItNow() public {
        vm.prank(operator);
        agents.transferFrom(operator, grantee, agentId);
        vm.expectEmit(address(openTreasury));
        emit ITreasury.AgentPaid(agentId, grantee, 5 ether, WHY);
        vm.prank(governor);
        openTreasury.payAgent(agentId, 5 ether, WHY);
        assertEq(token.balanceOf(grantee), 5 ether);
        vm.prank(governor);
        vm.expectRevert(abi.encodeWithSelector(IERC721Errors.ERC721NonexistentToken.selector, 99));
        openTreasury.payAgent(99, 5 ether, WHY);
        vm.prank(operator);
        vm.expectRevert(abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, operator));
        openTreasury.payAgent(agentId, 5 ether, WHY);
    }

    function test_payAsset_paysWhoOwnsItNow() public {
        vm.prank(contributor);
        uint256 assetId = assets.register(1, keccak256("data"), 0x55, new uint256[](0), "CC0-1.0", 0, "");
        uint256 before = token.balanceOf(contributor);
        vm.expectEmit(address(openTreasury));
        emit ITreasury.AssetPaid(assetId, contributor, 5 ether, WHY);
        vm.prank(governor);
        openTreasury.payAsset(assetId, 5 ether, WHY);
        assertEq(token.balanceOf(contributor), before + 5 ether);
        vm.prank(contributor);
        vm.expectRevert(abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, contributor));
        openTreasury.payAsset(assetId, 5 ether, WHY);
    }

    function test_native_isWrappedAndSpendable() public {
        vm.deal(address(openTreasury), 50 ether);
        assertEq(openTreasury.available(), HELD + 50 ether);
        vm.prank(governor);
        openTreasury.pay(grantee, HELD + 50 ether, WHY);
        assertEq(token.balanceOf(grantee), HELD + 50 ether);
        vm.prank(stranger);
        (bool ok,) = address(openTreasury).call{ value: 0 }("");
        assertTrue(ok);
        openTreasury.wrap();
        assertEq(openTreasury.available(), 0);
    }

    function test_grant_vestsEvenly() public {
        uint256 start = block.timestamp + 10 days;
        vm.expectEmit(address(openTreasury));
        emit ITreasury.Granted(1, grantee, 100 ether, start, 100 days, WHY);
        uint256 id = _grant(100 ether, start, 100 days);
        assertEq(openTreasury.available(), HELD - 100 ether);
        vm.warp(start);
        vm.expectRevert(abi.encodeWithSelector(ITreasury.NothingVested.selector, id));
        openTreasury.release(id);
        vm.warp(start + 25 days);
        vm.prank(stranger);
        assertEq(openTreasury.release(id), 25 ether);
        vm.expectRevert(abi.encodeWithSelector(ITreasury.NothingVested.selector, id));
        openTreasury.release(id);
        vm.warp(start + 100 days);
        assertEq(openTreasury.release(id), 75 ether);
        assertEq(token.balanceOf(grantee), 100 ether);
        assertEq(openTreasury.promised(), 0);
        Grant memory g = openTreasury.grantOf(id);
        assertEq(g.paid, g.total);
        vm.prank(governor);
        vm.expectRevert(abi.encodeWithSelector(ITreasury.GrantOver.selector, id));
        openTreasury.stop(id, WHY);
    }

    function test_grant_startsNowByDefault() public {
        uint256 id = _grant(100 ether, 0, 1 days);
        assertEq(openTreasury.grantOf(id).start, block.timestamp);
    }

    function test_stop_leavesWhatHasVestedAndFreesTheRest() public {
        uint256 id = _grant(100 ether, 0, 100 days);
        vm.warp(block.timestamp + 10 days);
        openTreasury.release(id);
        vm.warp(block.timestamp + 30 days);
        vm.prank(stranger);
        vm.expectRevert(abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, stranger));
        openTreasury.stop(id, WHY);
        vm.expectEmit(address(openTreasury));
        emit ITreasury.GrantStopped(id, 40 ether, 60 ether, WHY);
        vm.prank(governor);
        openTreasury.stop(id, WHY);
        assertEq(openTreasury.promised(), 30 ether);
        assertEq(openTreasury.available(), HELD - 40 ether);
        vm.warp(block.timestamp + 90 days);
        assertEq(openTreasury.release(id), 30 ether);
        vm.prank(governor);
        vm.expectRevert(abi.encodeWithSelector(ITreasury.GrantOver.selector, id));
        openTreasury.stop(id, WHY);
    }

    function test_stop_beforeTheStartReturnsEverything() public {
        uint256 id = _grant(100 ether, block.timestamp + 1 days, 100 days);
        vm.prank(governor);
        openTreasury.stop(id, WHY);
        assertEq(openTreasury.available(), HELD);
        vm.warp(block.timestamp + 200 days);
        vm.expectRevert(abi.encodeWithSelector(ITreasury.NothingVested.selector, id));
        openTreasury.release(id);
    }

    function test_grant_refusesWhatCannotBeKept() public {
        _grant(HELD, 0, 1 days);
        vm.startPrank(governor);
        vm.expectRevert(abi.encodeWithSelector(ITreasury.TreasuryShort.selector, 0, 1));
        openTreasury.grant(grantee, 1, 0, 1 days, WHY);
        vm.expectRevert(abi.encodeWithSelector(ITreasury.TreasuryShort.selector, 0, 1));
        openTreasury.pay(grantee, 1, WHY);
        vm.stopPrank();
    }

    function test_grant_refusesBadTerms() public {
        uint256 soon = block.timestamp;
        _refusedTerms(soon, 0);
        _refusedTerms(soon, 3650 days + 1);
        _refusedTerms(soon + 1825 days + 1, 1 days);
        _refusedTerms(type(uint256).max, 1 days);
        vm.startPrank(governor);
        vm.expectRevert(ITreasury.ReasonMissing.selector);
        openTreasury.grant(grantee, 1 ether, 0, 1 days, "");
        vm.expectRevert(ITreasury.ZeroAmount.selector);
        openTreasury.grant(grantee, 0, 0, 1 days, WHY);
        vm.expectRevert(abi.encodeWithSelector(ITreasury.BadAccount.selector, address(0)));
        openTreasury.grant(address(0), 1 ether, 0, 1 days, WHY);
        vm.stopPrank();
        vm.expectRevert(abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, address(this)));
        openTreasury.grant(grantee, 1 ether, 0, 1 days, WHY);
    }

    function test_views_refuseUnknownGrants() public {
        uint256[3] memory bad = [uint256(0), 1, type(uint256).max];
        for (uint256 i; i < 3; ++i) {
            vm.expectRevert(abi.encodeWithSelector(ITreasury.UnknownGrant.selector, bad[i]));
            openTreasury.grantOf(bad[i]);
            vm.expectRevert(abi.encodeWithSelector(ITreasury.UnknownGrant.selector, bad[i]));
            openTreasury.release(bad[i]);
            vm.prank(governor);
            vm.expectRevert(abi.encodeWithSelector(ITreasury.UnknownGrant.selector, bad[i]));
            openTreasury.stop(bad[i], WHY);
        }
    }

    /// @dev However often it is released, and wherever it is stopped, to the wei.
    function test_fuzz_grant_paysExactlyWhatVested(
        uint256 amount,
        uint256 duration,
        uint256[4] memory waits,
        bool stopped
    ) public {
        amount = bound(amount, 1, HELD);
        duration = bound(duration, 1, 3650 days);
        uint256 id = _grant(amount, 0, duration);
        uint256 start = block.timestamp;
        uint256 at = start;
        for (uint256 i; i < waits.length; ++i) {
            at += bound(waits[i], 0, duration / 3 + 1);
            vm.warp(at);
            uint256 due = at - start >= duration ? amount : amount * (at - start) / duration;
            assertEq(openTreasury.vested(id), due);
            if (token.balanceOf(grantee) < due) openTreasury.release(id);
            assertEq(token.balanceOf(grantee), due);
        }
        if (stopped && at - start < duration && openTreasury.vested(id) < amount) {
            vm.prank(governor);
            openTreasury.stop(id, WHY);
            assertEq(openTreasury.promised(), 0);
            assertEq(openTreasury.available(), HELD - token.balanceOf(grantee));
        } else {
            vm.warp(start + duration);
            if (token.balanceOf(grantee) < amount) openTreasury.release(id);
            assertEq(token.balanceOf(grantee), amount);
        }
    }

    function _grant(uint256 amount, uint256 start, uint256 duration) private returns (uint256) {
        vm.prank(governor);
        return openTreasury.grant(grantee, amount, start, duration, WHY);
    }

    function _refusedTerms(uint256 start, uint256 duration) private {
        vm.prank(governor);
        vm.expectRevert(abi.encodeWithSelector(ITreasury.BadVesting.selector, start, duration));
        openTreasury.grant(grantee, 1 ether, start, duration, WHY);
    }
}
