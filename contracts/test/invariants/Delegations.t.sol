// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { Test } from "forge-std/Test.sol";
import { DelegationHandler } from "./DelegationHandler.sol";

/// @dev Delegations keep their books, whatever order of calls; in the end everyone leaves and nothing stays.
/// That shares fall by slashes only, that exits shrink no slash, and that coming and going within a period never pays is
/// looked at by the handler around every call.
contract DelegationInvariants is Test {
    DelegationHandler private handler;

    function setUp() public {
        handler = new DelegationHandler();
        handler.setUp();
        targetContract(address(handler));
        bytes4[] memory selectors = new bytes4[](17);
        selectors[0] = DelegationHandler.delegate.selector;
        selectors[1] = DelegationHandler.cancel.selector;
        selectors[2] = DelegationHandler.requestUndelegate.selector;
        selectors[3] = DelegationHandler.withdraw.selector;
        selectors[4] = DelegationHandler.hop.selector;
        selectors[5] = DelegationHandler.addReward.selector;
        selectors[6] = DelegationHandler.setCommission.selector;
        selectors[7] = DelegationHandler.claimIncome.selector;
        selectors[8] = DelegationHandler.sell.selector;
        selectors[9] = DelegationHandler.deposit.selector;
        selectors[10] = DelegationHandler.requestWithdraw.selector;
        selectors[11] = DelegationHandler.slash.selector;
        selectors[12] = DelegationHandler.ruin.selector;
        selectors[13] = DelegationHandler.pass.selector;
        selectors[14] = DelegationHandler.govern.selector;
        selectors[15] = DelegationHandler.donate.selector;
        selectors[16] = DelegationHandler.delegate.selector;
        targetSelector(FuzzSelector({ addr: address(handler), selectors: selectors }));
    }

    function invariant_delegationsKeepTheirBooks() public view {
        assertEq(handler.violation(), "");
        handler.checkBooks(handler.donations());
    }

    function afterInvariant() public {
        handler.drain(handler.donations());
    }

    /// @dev The invariants are worth what the handlers reach.
    function test_handlersReachEverything() public {
        for (uint256 seed; seed < 60; ++seed) {
            uint256 dice = uint256(keccak256(abi.encode(seed)));
            handler.delegate(dice, dice >> 8);
            if (dice % 3 == 0) handler.hop(dice, dice >> 4, dice % 2 == 0);
            if (dice % 5 == 0) try handler.cancel(dice, dice) { } catch { }
            handler.pass(dice);
            handler.addReward(dice, dice >> 16);
            handler.deposit(dice);
            try handler.slash(dice, dice >> 3) { } catch { }
            try handler.requestUndelegate(dice >> 5, dice >> 6, dice) { } catch { }
            try handler.withdraw(dice >> 7, dice >> 6) { } catch { }
            try handler.claimIncome(dice) { } catch { }
            if (dice % 20 == 0) handler.ruin(0);
            handler.donate(dice);
        }
        assertEq(handler.violation(), "");
        bytes32[9] memory all = [
            bytes32("delegated"),
            "cancelled",
            "asked back",
            "withdrawn",
            "hopped",
            "claimed",
            "delegators slashed",
            "void",
            "donated"
        ];
        for (uint256 i; i < all.length; ++i) {
            assertGt(handler.reached(all[i]), 0, string(abi.encodePacked(all[i])));
        }
        handler.checkBooks(handler.donations());
        handler.drain(handler.donations());
    }
}
