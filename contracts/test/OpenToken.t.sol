// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { ERC3009 } from "@openzeppelin/contracts/token/ERC20/extensions/draft-ERC3009.sol";
import { Test } from "forge-std/Test.sol";
import { OpenToken } from "src/OpenToken.sol";
import { IOpenToken } from "src/interfaces/IOpenToken.sol";

contract Refuser {
    function unwrap(OpenToken token, uint256 amount) external {
        token.withdraw(amount);
    }
}

contract OpenTokenTest is Test {
    bytes32 private constant TRANSFER_TYPEHASH = keccak256(
        "TransferWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
    );
    bytes32 private constant PERMIT_TYPEHASH =
        keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");

    OpenToken private token;
    address private alice;
    uint256 private secret;
    address private bob = makeAddr("bob");

    function setUp() public {
        (alice, secret) = makeAddrAndKey("alice");
        token = new OpenToken();
        vm.deal(alice, 100 ether);
        vm.prank(alice);
        token.deposit{ value: 10 ether }();
    }

    function test_metadata() public view {
        assertEq(token.symbol(), "OPEN");
        assertEq(token.decimals(), 18);
        (, string memory name, string memory version,,,,) = token.eip712Domain();
        assertEq(name, "OPEN");
        assertEq(version, "1");
    }

    function test_fuzz_depositAndWithdraw_areOneToOne(uint96 amount) public {
        vm.deal(bob, amount);
        vm.startPrank(bob);
        (bool ok,) = address(token).call{ value: amount }("");
        assertTrue(ok);
        assertEq(token.balanceOf(bob), amount);
        assertEq(address(token).balance, token.totalSupply());
        token.withdraw(amount);
        assertEq(bob.balance, amount);
        assertEq(token.balanceOf(bob), 0);
    }

    function test_withdraw_revertsForReceiversThatRefuse() public {
        Refuser refuser = new Refuser();
        vm.prank(alice);
        token.transfer(address(refuser), 1 ether);
        vm.expectRevert(
            abi.encodeWithSelector(IOpenToken.NativeTransferFailed.selector, address(refuser), 1 ether)
        );
        refuser.unwrap(token, 1 ether);
    }

    function test_burn_destroysWrappedAndLocksNative() public {
        vm.prank(alice);
        token.burn(4 ether);
        assertEq(token.totalSupply(), 6 ether);
        assertEq(token.burned(), 4 ether);
        assertEq(address(token).balance, token.totalSupply() + token.burned());
    }

    function test_permit_setsTheAllowance() public {
        uint256 deadline = block.timestamp + 1;
        bytes32 hash = _digest(keccak256(abi.encode(PERMIT_TYPEHASH, alice, bob, 3 ether, 0, deadline)));
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(secret, hash);
        token.permit(alice, bob, 3 ether, deadline, v, r, s);
        assertEq(token.allowance(alice, bob), 3 ether);
        assertEq(token.nonces(alice), 1);
    }

    function test_authorization_movesOnce() public {
        bytes32 nonce = keccak256("authorization");
        uint256 until = block.timestamp + 60;
        bytes32 hash = _digest(keccak256(abi.encode(TRANSFER_TYPEHASH, alice, bob, 2 ether, 0, until, nonce)));
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(secret, hash);
        token.transferWithAuthorization(alice, bob, 2 ether, 0, until, nonce, v, r, s);
        assertEq(token.balanceOf(bob), 2 ether);
        assertTrue(token.authorizationState(alice, nonce));
        vm.expectRevert(abi.encodeWithSelector(ERC3009.ERC3009UsedAuthorization.selector, alice, nonce));
        token.transferWithAuthorization(alice, bob, 2 ether, 0, until, nonce, v, r, s);
    }

    function test_votes_followDelegation() public {
        vm.prank(alice);
        token.delegate(bob);
        assertEq(token.getVotes(bob), 10 ether);
        vm.prank(alice);
        token.burn(1 ether);
        assertEq(token.getVotes(bob), 9 ether);
    }

    function _digest(bytes32 structHash) private view returns (bytes32) {
        return keccak256(abi.encodePacked(hex"1901", token.DOMAIN_SEPARATOR(), structHash));
    }
}
