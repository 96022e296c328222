// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { Test } from "forge-std/Test.sol";
import { OpenToken } from "src/OpenToken.sol";
import { PaymentCollector } from "src/PaymentCollector.sol";
import { Authorization } from "src/interfaces/IPaymentCollector.sol";

/// @title Full transactions, intrinsic gas and calldata included: FOUNDRY_PROFILE=gas forge test.
contract PaymentsGasTest is Test {
    bytes32 private constant TRANSFER_TYPEHASH = keccak256(
        "TransferWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
    );

    OpenToken private token;
    PaymentCollector private collector;
    uint256 private made;

    function setUp() public {
        token = new OpenToken();
        collector = new PaymentCollector(token);
        collector.collect(_payments(1)); // the escrow has been paid before
    }

    function test_gas_payments() public {
        Authorization memory p = _payments(1)[0];
        token.transferWithAuthorization(
            p.from, p.to, p.value, p.validAfter, p.validBefore, p.nonce, p.v, p.r, p.s
        );
        vm.snapshotGasLastCall("payments", "alone");
        _collect(2, "together, 2");
        _collect(16, "together, 16");
        _collect(64, "together, 64");
    }

    function _collect(uint256 count, string memory name) private {
        Authorization[] memory payments = _payments(count);
        collector.collect(payments);
        vm.snapshotGasLastCall("payments", name);
        assertTrue(token.authorizationState(payments[count - 1].from, payments[count - 1].nonce));
    }

    /// @dev By one payer who has paid before, as in daily use.
    function _payments(uint256 count) private returns (Authorization[] memory payments) {
        (address payer, uint256 secret) = makeAddrAndKey("payer");
        vm.deal(payer, 1 ether);
        vm.prank(payer);
        token.deposit{ value: 1 ether }();
        payments = new Authorization[](count);
        for (uint256 i; i < count; ++i) {
            Authorization memory p = payments[i];
            p.from = payer;
            p.to = makeAddr("escrow");
            p.value = 1000;
            p.validBefore = type(uint32).max;
            p.nonce = keccak256(abi.encode(++made));
            bytes32 fields = keccak256(
                abi.encode(TRANSFER_TYPEHASH, p.from, p.to, p.value, p.validAfter, p.validBefore, p.nonce)
            );
            (p.v, p.r, p.s) =
                vm.sign(secret, keccak256(abi.encodePacked(hex"1901", token.DOMAIN_SEPARATOR(), fields)));
        }
    }
}
