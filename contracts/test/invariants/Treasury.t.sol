// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { Test } from "forge-std/Test.sol";
import { Treasury } from "src/Treasury.sol";
import { OpenToken } from "src/OpenToken.sol";
import { Grant } from "src/interfaces/ITreasury.sol";
import { World } from "../utils/World.sol";

/// @title Random donors, grantees and decisions of the timelock.
contract TreasuryHandler is World {
    uint256 public received;
    uint256 public paidAtOnce;
    address[3] private _grantees;
    uint256 private _now;

    function setUp() public override {
        super.setUp();
        _grantees = [makeAddr("first"), makeAddr("second"), makeAddr("third")];
        _now = block.timestamp;
        give(0, 500 ether);
    }

    function at() external view returns (Treasury, OpenToken) {
        return (openTreasury, token);
    }

    function give(uint256 how, uint256 amount) public {
        amount = bound(amount, 1, 1000 ether);
        received += amount;
        if (how % 2 == 0) {
            vm.deal(client, amount);
            vm.prank(client);
            (bool ok,) = address(openTreasury).call{ value: amount }("");
            assertTrue(ok);
        } else {
            _fund(client, amount);
            vm.prank(client);
            token.transfer(address(openTreasury), amount);
        }
    }

    function pay(uint256 who, uint256 amount) external {
        if (openTreasury.available() == 0) return;
        amount = bound(amount, 1, openTreasury.available());
        vm.prank(governor);
        openTreasury.pay(_grantees[who % 3], amount, "why");
        paidAtOnce += amount;
    }

    function grant(uint256 who, uint256 amount, uint256 start, uint256 duration) external {
        if (openTreasury.available() == 0) return;
        amount = bound(amount, 1, openTreasury.available());
        start = start % 4 == 0 ? 0 : bound(start, _now, _now + 30 days);
        vm.prank(governor);
        openTreasury.grant(_grantees[who % 3], amount, start, bound(duration, 1, 100 days), "why");
    }

    function stop(uint256 which) external {
        if (openTreasury.grants() == 0) return;
        uint256 id = which % openTreasury.grants() + 1;
        if (openTreasury.vested(id) == openTreasury.grantOf(id).total) return;
        vm.prank(governor);
        openTreasury.stop(id, "why");
    }

    function release(uint256 which) external {
        if (openTreasury.grants() == 0) return;
        uint256 id = which % openTreasury.grants() + 1;
        if (openTreasury.vested(id) == openTreasury.grantOf(id).paid) return;
        openTreasury.release(id);
    }

    function pass(uint256 time) external {
        _now += bound(time, 1, 30 days);
        vm.warp(_now);
    }

    function endOfTime() external {
        _now += 100_000 days;
        vm.warp(_now);
    }

    function payRest() external {
        uint256 rest = openTreasury.available();
        if (rest == 0) return;
        vm.prank(governor);
        openTreasury.pay(_grantees[0], rest, "the rest");
        paidAtOnce += rest;
    }
}

contract TreasuryInvariants is Test {
    TreasuryHandler private handler;
    Treasury private treasury;
    OpenToken private token;

    function setUp() public {
        handler = new TreasuryHandler();
        handler.setUp();
        (treasury, token) = handler.at();
        bytes4[] memory selectors = new bytes4[](6);
        selectors[0] = TreasuryHandler.give.selector;
        selectors[1] = TreasuryHandler.pay.selector;
        selectors[2] = TreasuryHandler.grant.selector;
        selectors[3] = TreasuryHandler.stop.selector;
        selectors[4] = TreasuryHandler.release.selector;
        selectors[5] = TreasuryHandler.pass.selector;
        targetContract(address(handler));
        targetSelector(FuzzSelector({ addr: address(handler), selectors: selectors }));
    }

    /// @dev What came in is what was paid, what is promised and what is free.
    function invariant_booksBalance() public view {
        (uint256 promised, uint256 released) = _grants();
        assertEq(treasury.promised(), promised, "promised is what grants are still owed");
        uint256 held = token.balanceOf(address(treasury)) + address(treasury).balance;
        assertGe(held, promised, "promises are covered");
        assertEq(treasury.available(), held - promised);
        assertEq(handler.received(), held + released + handler.paidAtOnce(), "nothing appears or is lost");
    }

    /// @dev In the end every grant is paid in full, and the rest can go to the last wei.
    function afterInvariant() public {
        handler.endOfTime();
        for (uint256 id = 1; id <= treasury.grants(); ++id) {
            if (treasury.vested(id) != treasury.grantOf(id).paid) treasury.release(id);
        }
        handler.payRest();
        assertEq(token.balanceOf(address(treasury)) + address(treasury).balance, 0);
        assertEq(treasury.promised(), 0);
        (, uint256 released) = _grants();
        assertEq(handler.received(), released + handler.paidAtOnce());
    }

    function _grants() private view returns (uint256 promised, uint256 released) {
        for (uint256 id = 1; id <= treasury.grants(); ++id) {
            Grant memory g = treasury.grantOf(id);
            assertLe(treasury.vested(id), g.total);
            assertLe(g.paid, treasury.vested(id));
            promised += g.total - g.paid;
            released += g.paid;
        }
    }
}
