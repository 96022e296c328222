// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { IERC1271 } from "@openzeppelin/contracts/interfaces/IERC1271.sol";
import { IERC20Errors } from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import { ERC721 } from "@openzeppelin/contracts/token/ERC721/ERC721.sol";
import { Address } from "@openzeppelin/contracts/utils/Address.sol";
import { ReentrancyGuardTransient } from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import { Test } from "forge-std/Test.sol";
import { OpenToken } from "src/OpenToken.sol";
import { SponsoredAccount } from "src/SponsoredAccount.sol";
import { Call, ISponsoredAccount } from "src/interfaces/ISponsoredAccount.sol";

/// @dev Submits another batch of the account while one of it runs.
contract Reenterer {
    bytes private batch;

    function prepare(bytes calldata batch_) external {
        batch = batch_;
    }

    function poke() external {
        Address.functionCall(msg.sender, batch);
    }
}

contract Deed is ERC721("Deed", "D") {
    function take() external {
        _safeMint(msg.sender, 1);
    }
}

contract SponsoredAccountTest is Test {
    uint256 private constant HELD = 1000;

    OpenToken private token = new OpenToken();
    SponsoredAccount private code = new SponsoredAccount();
    ISponsoredAccount private account;
    uint256 private key;
    address private sponsor = makeAddr("sponsor");
    address private stranger = makeAddr("stranger");
    address private shop = makeAddr("shop");
    uint256 private deadline = block.timestamp + 600;

    function setUp() public {
        address user;
        (user, key) = makeAddrAndKey("user");
        account = ISponsoredAccount(user);
        vm.signAndAttachDelegation(address(code), key);
        vm.prank(sponsor);
        (bool ok,) = user.call("");
        require(ok);
        deal(address(token), user, HELD);
    }

    function test_theCodeIsTheDelegates() public view {
        assertEq(address(account).code, abi.encodePacked(hex"ef0100", address(code)));
    }

    function test_fuzz_theSponsorCarriesOutWhatTheAccountSigned(uint256 approved, uint256 sent, uint32 left)
        public
    {
        sent = bound(sent, 0, HELD);
        Call[] memory calls = new Call[](2);
        calls[0] = Call(address(token), 0, abi.encodeCall(token.approve, (stranger, approved)));
        calls[1] = Call(address(token), 0, abi.encodeCall(token.transfer, (shop, sent)));
        deadline = block.timestamp + left;
        bytes memory signature = _sign(calls, sponsor, 0);
        vm.expectEmit(address(account));
        emit ISponsoredAccount.Executed(0, account.digestOf(calls, sponsor, 0, deadline));
        vm.prank(sponsor);
        account.execute(calls, sponsor, 0, deadline, signature);
        assertEq(token.allowance(address(account), stranger), approved);
        assertEq(token.balanceOf(shop), sent);
        assertEq(account.nextBatchNonce(), 1);
        assertEq(address(account).balance, 0);
    }

    function test_fuzz_onlyTheSponsorMaySubmit(address sender) public {
        vm.assume(sender != sponsor);
        Call[] memory calls = _transfer(1);
        bytes memory signature = _sign(calls, sponsor, 0);
        vm.expectRevert(abi.encodeWithSelector(ISponsoredAccount.NotSponsor.selector, sender, sponsor));
        vm.prank(sender);
        account.execute(calls, sponsor, 0, deadline, signature);
    }

    function test_fuzz_withoutASponsorAnyoneMaySubmit(address sender) public {
        Call[] memory calls = _transfer(1);
        bytes memory signature = _sign(calls, address(0), 0);
        vm.prank(sender);
        account.execute(calls, address(0), 0, deadline, signature);
        assertEq(token.balanceOf(shop), 1);
    }

    function test_aReplayIsRefused() public {
        Call[] memory calls = _transfer(1);
        bytes memory signature = _sign(calls, sponsor, 0);
        vm.startPrank(sponsor);
        account.execute(calls, sponsor, 0, deadline, signature);
        vm.expectRevert(abi.encodeWithSelector(ISponsoredAccount.BadBatchNonce.selector, 0, 1));
        account.execute(calls, sponsor, 0, deadline, signature);
        vm.expectPartialRevert(ISponsoredAccount.InvalidBatchSignature.selector); // under the next nonce
        account.execute(calls, sponsor, 1, deadline, signature);
        assertEq(token.balanceOf(shop), 1);
    }

    function test_theNonceOutlivesTheDelegation() public {
        Call[] memory calls = _transfer(1);
        bytes memory signature = _sign(calls, sponsor, 0);
        vm.prank(sponsor);
        account.execute(calls, sponsor, 0, deadline, signature);
        address other = address(new SponsoredAccount());
        for (uint256 i; i < 2; ++i) {
            vm.signAndAttachDelegation(i == 0 ? other : address(code), key);
            vm.expectRevert(abi.encodeWithSelector(ISponsoredAccount.BadBatchNonce.selector, 0, 1));
            vm.prank(sponsor);
            account.execute(calls, sponsor, 0, deadline, signature);
        }
    }

    function test_fuzz_nothingThatWasSignedCanBeChanged(uint256 seed) public {
        Call[] memory calls = _transfer(1);
        bytes memory signature = _sign(calls, address(0), 0);
        uint256 which = seed % 5;
        uint256 until = deadline;
        if (which == 0) calls[0].target = address(code);
        else if (which == 1) calls[0].value = 1 + seed / 5;
        else if (which == 2) calls[0].data = abi.encodeCall(token.transfer, (stranger, HELD));
        else if (which == 3) until += 1 + seed % 1000;
        else calls = new Call[](0);
        vm.expectPartialRevert(ISponsoredAccount.InvalidBatchSignature.selector);
        account.execute(calls, address(0), 0, until, signature);
    }

    function test_aBatchForAnotherSponsorIsRefused() public {
        Call[] memory calls = _transfer(1);
        bytes memory signature = _sign(calls, sponsor, 0);
        vm.expectPartialRevert(ISponsoredAccount.InvalidBatchSignature.selector);
        vm.prank(stranger);
        account.execute(calls, stranger, 0, deadline, signature);
        vm.expectPartialRevert(ISponsoredAccount.InvalidBatchSignature.selector);
        account.execute(calls, address(0), 0, deadline, signature);
    }

    function test_fuzz_aBatchOfAnotherChainIsRefused(uint64 chain) public {
        vm.assume(chain != 0 && chain != block.chainid);
        Call[] memory calls = _transfer(1);
        bytes memory signature = _sign(calls, sponsor, 0);
        vm.chainId(chain);
        vm.expectPartialRevert(ISponsoredAccount.InvalidBatchSignature.selector);
        vm.prank(sponsor);
        account.execute(calls, sponsor, 0, deadline, signature);
    }

    function test_fuzz_aBatchOfAnotherAccountIsRefused(uint256 otherKey) public {
        otherKey = boundPrivateKey(otherKey);
        vm.assume(otherKey != key);
        address other = vm.addr(otherKey);
        vm.etch(other, abi.encodePacked(hex"ef0100", address(code)));
        Call[] memory calls = _transfer(1);
        bytes memory signature = _sign(calls, sponsor, 0);
        vm.expectPartialRevert(ISponsoredAccount.InvalidBatchSignature.selector);
        vm.prank(sponsor);
        ISponsoredAccount(other).execute(calls, sponsor, 0, deadline, signature);
        // and one of this account that the other signed
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(otherKey, account.digestOf(calls, sponsor, 0, deadline));
        vm.expectRevert(abi.encodeWithSelector(ISponsoredAccount.InvalidBatchSignature.selector, other));
        vm.prank(sponsor);
        account.execute(calls, sponsor, 0, deadline, abi.encodePacked(r, s, v));
    }

    function test_theLastSecondCountsAndTheNextIsTooLate() public {
        Call[] memory calls = _transfer(1);
        bytes memory signature = _sign(calls, sponsor, 0);
        vm.warp(deadline + 1);
        vm.expectRevert(abi.encodeWithSelector(ISponsoredAccount.BatchExpired.selector, deadline));
        vm.prank(sponsor);
        account.execute(calls, sponsor, 0, deadline, signature);
        vm.warp(deadline);
        vm.prank(sponsor);
        account.execute(calls, sponsor, 0, deadline, signature);
    }

    function test_aCallThatFailsUndoesAllOfThemWithItsOwnError() public {
        Call[] memory calls = new Call[](2);
        calls[0] = _transfer(1)[0];
        calls[1] = _transfer(HELD)[0];
        bytes memory signature = _sign(calls, sponsor, 0);
        vm.expectRevert(
            abi.encodeWithSelector(
                IERC20Errors.ERC20InsufficientBalance.selector, address(account), HELD - 1, HELD
            )
        );
        vm.prank(sponsor);
        account.execute(calls, sponsor, 0, deadline, signature);
        assertEq(token.balanceOf(shop), 0);
        assertEq(account.nextBatchNonce(), 0);
    }

    function test_aCallOfNoContractFails() public {
        Call[] memory calls = _transfer(1);
        calls[0].target = shop;
        bytes memory signature = _sign(calls, sponsor, 0);
        vm.expectRevert(abi.encodeWithSelector(Address.AddressEmptyCode.selector, shop));
        vm.prank(sponsor);
        account.execute(calls, sponsor, 0, deadline, signature);
    }

    function test_noOtherBatchRunsWhileOneDoes() public {
        Reenterer other = new Reenterer();
        Call[] memory inner = _transfer(1);
        bytes memory batch =
            abi.encodeCall(account.execute, (inner, address(0), 1, deadline, _sign(inner, address(0), 1)));
        other.prepare(batch);
        Call[] memory calls = new Call[](1);
        calls[0] = Call(address(other), 0, abi.encodeCall(other.poke, ()));
        bytes memory signature = _sign(calls, sponsor, 0);
        vm.prank(sponsor);
        vm.expectRevert(ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector);
        account.execute(calls, sponsor, 0, deadline, signature);
        calls[0] = Call(address(account), 0, batch); // nor by a call to itself
        signature = _sign(calls, sponsor, 0);
        vm.prank(sponsor);
        vm.expectRevert(ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector);
        account.execute(calls, sponsor, 0, deadline, signature);
    }

    function test_fuzz_nativeCoinIsTakenAndSent(uint128 amount) public {
        vm.deal(stranger, amount);
        vm.prank(stranger);
        (bool ok,) = address(account).call{ value: amount }("");
        assertTrue(ok);
        assertEq(address(account).balance, amount);
        Call[] memory calls = new Call[](1);
        calls[0] = Call(shop, amount, "");
        bytes memory signature = _sign(calls, sponsor, 0);
        vm.prank(sponsor);
        account.execute(calls, sponsor, 0, deadline, signature);
        assertEq(shop.balance, amount);
    }

    function test_safelySentTokensAreTaken() public {
        Deed deed = new Deed();
        Call[] memory calls = new Call[](1);
        calls[0] = Call(address(deed), 0, abi.encodeCall(deed.take, ()));
        bytes memory signature = _sign(calls, sponsor, 0);
        vm.prank(sponsor);
        account.execute(calls, sponsor, 0, deadline, signature);
        assertEq(deed.ownerOf(1), address(account));
    }

    function test_fuzz_contractsStillTakeTheKeysSignatures(bytes32 digest, uint256 otherKey) public view {
        otherKey = boundPrivateKey(otherKey);
        vm.assume(otherKey != key);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        IERC1271 asked = IERC1271(address(account));
        assertEq(
            asked.isValidSignature(digest, abi.encodePacked(r, s, v)), IERC1271.isValidSignature.selector
        );
        (v, r, s) = vm.sign(otherKey, digest);
        assertEq(asked.isValidSignature(digest, abi.encodePacked(r, s, v)), bytes4(0xffffffff));
        assertEq(asked.isValidSignature(digest, hex"00"), bytes4(0xffffffff));
    }

    function test_theDelegateItselfIsNobodysAccount() public {
        Call[] memory calls = _transfer(1);
        bytes32 digest = code.digestOf(calls, address(0), 0, deadline);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        vm.expectPartialRevert(ISponsoredAccount.InvalidBatchSignature.selector);
        code.execute(calls, address(0), 0, deadline, abi.encodePacked(r, s, v));
    }

    function _transfer(uint256 amount) private view returns (Call[] memory calls) {
        calls = new Call[](1);
        calls[0] = Call(address(token), 0, abi.encodeCall(token.transfer, (shop, amount)));
    }

    function _sign(Call[] memory calls, address sponsor_, uint256 nonce) private view returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, account.digestOf(calls, sponsor_, nonce, deadline));
        return abi.encodePacked(r, s, v);
    }
}
