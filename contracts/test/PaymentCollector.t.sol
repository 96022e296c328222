// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { IERC20Errors } from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import { ERC3009 } from "@openzeppelin/contracts/token/ERC20/extensions/draft-ERC3009.sol";
import { Test } from "forge-std/Test.sol";
import { OpenToken } from "src/OpenToken.sol";
import { PaymentCollector } from "src/PaymentCollector.sol";
import { Authorization } from "src/interfaces/IPaymentCollector.sol";

contract PaymentCollectorTest is Test {
    bytes32 private constant TRANSFER_TYPEHASH = keccak256(
        "TransferWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
    );
    uint256 private constant HELD = 1000;

    OpenToken private token;
    PaymentCollector private collector;
    address private escrow = makeAddr("escrow");

    function setUp() public {
        token = new OpenToken();
        collector = new PaymentCollector(token);
        vm.warp(1_000_000);
    }

    function test_fuzz_everyPaymentThatTheTokenTakesIsMoved_whateverIsBesideIt(uint256 wrong) public {
        Authorization[] memory payments = new Authorization[](8);
        uint256 paid;
        for (uint256 i; i < payments.length; ++i) {
            payments[i] = _signed(i, HELD);
            if (wrong >> i & 1 == 0) paid += HELD;
            else payments[i].value = HELD - 1; // not what was signed
        }
        bytes[] memory refusals = collector.collect(payments);
        assertEq(token.balanceOf(escrow), paid);
        assertEq(token.balanceOf(address(collector)), 0);
        for (uint256 i; i < payments.length; ++i) {
            bool moved = wrong >> i & 1 == 0;
            assertEq(refusals[i].length == 0, moved);
            assertEq(token.authorizationState(payments[i].from, payments[i].nonce), moved);
            assertEq(token.balanceOf(payments[i].from), moved ? 0 : HELD);
        }
    }

    function test_refusalsAreTheTokensOwnErrors() public {
        Authorization[] memory payments = new Authorization[](4);
        payments[0] = _signed(0, HELD);
        payments[1] = payments[0]; // the same again
        payments[2] = _signed(2, HELD + 1);
        payments[3] = _signed(3, HELD);
        payments[3].validBefore -= 1;
        bytes[] memory refusals = collector.collect(payments);
        assertEq(refusals[0], "");
        assertEq(
            refusals[1],
            abi.encodeWithSelector(
                ERC3009.ERC3009UsedAuthorization.selector, payments[0].from, payments[0].nonce
            )
        );
        assertEq(
            refusals[2],
            abi.encodeWithSelector(
                IERC20Errors.ERC20InsufficientBalance.selector, payments[2].from, HELD, HELD + 1
            )
        );
        assertEq(refusals[3], abi.encodeWithSelector(ERC3009.ERC3009InvalidSignature.selector));
        assertEq(token.balanceOf(escrow), HELD);
    }

    function test_lateIsRefused() public {
        Authorization[] memory payments = new Authorization[](1);
        payments[0] = _signed(0, HELD);
        vm.warp(payments[0].validBefore);
        assertEq(bytes4(collector.collect(payments)[0]), ERC3009.ERC3009InvalidAuthorizationTime.selector);
    }

    function test_nothingToCollectIsNoError() public {
        assertEq(collector.collect(new Authorization[](0)).length, 0);
    }

    /// @dev By a payer of its own, who holds HELD.
    function _signed(uint256 i, uint256 value) private returns (Authorization memory p) {
        (address payer, uint256 secret) = makeAddrAndKey(vm.toString(i));
        vm.deal(payer, HELD);
        vm.prank(payer);
        token.deposit{ value: HELD }();
        p.from = payer;
        p.to = escrow;
        p.value = value;
        p.validBefore = block.timestamp + 60;
        p.nonce = keccak256(abi.encode(i));
        bytes32 fields = keccak256(
            abi.encode(TRANSFER_TYPEHASH, p.from, p.to, p.value, p.validAfter, p.validBefore, p.nonce)
        );
        (p.v, p.r, p.s) =
            vm.sign(secret, keccak256(abi.encodePacked(hex"1901", token.DOMAIN_SEPARATOR(), fields)));
    }
}
