// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { Test } from "forge-std/Test.sol";
import { OpenToken } from "src/OpenToken.sol";
import { SponsoredAccount } from "src/SponsoredAccount.sol";
import { Call, ISponsoredAccount } from "src/interfaces/ISponsoredAccount.sol";

/// @title Full transactions, intrinsic gas and calldata included: FOUNDRY_PROFILE=gas forge test.
contract SponsoredGasTest is Test {
    OpenToken private token = new OpenToken();
    SponsoredAccount private code = new SponsoredAccount();
    address private user;
    uint256 private key;
    uint256 private nonce;

    function setUp() public {
        (user, key) = makeAddrAndKey("user");
        deal(address(token), user, 1000);
        deal(address(token), makeAddr("shop"), 1); // its balance's slot is in use, as in daily use
    }

    function test_gas_sponsored() public {
        vm.signAndAttachDelegation(address(code), key);
        _execute(1, "first, of 1 call");
        _execute(1, "1 call");
        _execute(4, "4 calls");
        assertEq(token.balanceOf(makeAddr("shop")), 7);
        vm.prank(user);
        token.transfer(makeAddr("shop"), 1);
        vm.snapshotGasLastCall("sponsored", "the call unsponsored");
    }

    function _execute(uint256 count, string memory name) private {
        Call[] memory calls = new Call[](count);
        for (uint256 i; i < count; ++i) {
            calls[i] = Call(address(token), 0, abi.encodeCall(token.transfer, (makeAddr("shop"), 1)));
        }
        uint256 until = block.timestamp + 600;
        bytes32 digest = _digest(calls, until);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        ISponsoredAccount(user).execute(calls, address(0), nonce++, until, abi.encodePacked(r, s, v));
        vm.snapshotGasLastCall("sponsored", name);
    }

    /// @dev As a wallet makes it: before its first batch the account has no code to ask.
    function _digest(Call[] memory calls, uint256 until) private view returns (bytes32) {
        bytes32[] memory hashes = new bytes32[](calls.length);
        for (uint256 i; i < calls.length; ++i) {
            hashes[i] = keccak256(
                abi.encode(
                    keccak256("Call(address target,uint256 value,bytes data)"),
                    calls[i].target,
                    calls[i].value,
                    keccak256(calls[i].data)
                )
            );
        }
        bytes32 batch = keccak256(
            abi.encode(
                keccak256(
                    "Batch(Call[] calls,address sponsor,uint256 nonce,uint256 deadline)Call(address target,uint256 value,bytes data)"
                ),
                keccak256(abi.encodePacked(hashes)),
                address(0),
                nonce,
                until
            )
        );
        bytes32 domain = keccak256(
            abi.encode(
                keccak256(
                    "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
                ),
                keccak256("OpenLedger SponsoredAccount"),
                keccak256("1"),
                block.chainid,
                user
            )
        );
        return keccak256(abi.encodePacked(hex"1901", domain, batch));
    }
}
