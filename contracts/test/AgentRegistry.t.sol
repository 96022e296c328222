// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { IERC721 } from "@openzeppelin/contracts/token/ERC721/IERC721.sol";
import { AgentRegistry } from "src/AgentRegistry.sol";
import { IAgentObserver, IAgentRegistry } from "src/interfaces/IAgentRegistry.sol";
import { ContractWallet, YesMan } from "./utils/Receivers.sol";
import { World } from "./utils/World.sol";

contract AgentRegistryTest is World {
    /// @dev Selectors and topics of the reference ABI, as published with ERC-8004.
    function test_abi_matchesTheStandard() public pure {
        assertEq(bytes4(keccak256("register()")), bytes4(0x1aa3a008));
        assertEq(bytes4(keccak256("register(string)")), bytes4(0xf2c298be));
        assertEq(
            bytes4(keccak256("register(string,(string,bytes)[])")), bytes4(0x8ea42286), "register overload"
        );
        assertEq(IAgentRegistry.setAgentURI.selector, bytes4(keccak256("setAgentURI(uint256,string)")));
        assertEq(IAgentRegistry.setMetadata.selector, bytes4(keccak256("setMetadata(uint256,string,bytes)")));
        assertEq(
            IAgentRegistry.setAgentWallet.selector,
            bytes4(keccak256("setAgentWallet(uint256,address,uint256,bytes)"))
        );
        assertEq(IAgentRegistry.unsetAgentWallet.selector, bytes4(keccak256("unsetAgentWallet(uint256)")));
        assertEq(IAgentRegistry.getMetadata.selector, bytes4(keccak256("getMetadata(uint256,string)")));
        assertEq(IAgentRegistry.getAgentWallet.selector, bytes4(keccak256("getAgentWallet(uint256)")));
        assertEq(
            IAgentRegistry.isAuthorizedOrOwner.selector,
            bytes4(keccak256("isAuthorizedOrOwner(address,uint256)"))
        );
        assertEq(IAgentRegistry.Registered.selector, keccak256("Registered(uint256,string,address)"));
        assertEq(IAgentRegistry.MetadataSet.selector, keccak256("MetadataSet(uint256,string,string,bytes)"));
        assertEq(IAgentRegistry.URIUpdated.selector, keccak256("URIUpdated(uint256,string,address)"));
    }

    function test_register_idsStartAtOneAndOwnerIsTheWallet() public {
        assertEq(agentId, 1);
        assertEq(agents.ownerOf(1), operator);
        assertEq(agents.tokenURI(1), "ipfs://agent");
        assertEq(agents.getAgentWallet(1), operator);
        assertTrue(agents.supportsInterface(type(IERC721).interfaceId));
        vm.prank(stranger);
        assertEq(agents.register(), 2);
        assertEq(agents.tokenURI(2), "");
    }

    function test_register_withMetadata() public {
        IAgentRegistry.MetadataEntry[] memory entries = new IAgentRegistry.MetadataEntry[](2);
        entries[0] = IAgentRegistry.MetadataEntry("name", "oracle");
        entries[1] = IAgentRegistry.MetadataEntry("x402", hex"01");
        vm.startPrank(stranger);
        uint256 id = agents.register("ipfs://other", entries);
        assertEq(agents.getMetadata(id, "name"), "oracle");
        assertEq(agents.getMetadata(id, "x402"), hex"01");
        entries[1].metadataKey = "agentWallet";
        vm.expectRevert(IAgentRegistry.ReservedKey.selector);
        agents.register("ipfs://other", entries);
        vm.stopPrank();
    }

    function test_setters_areForOwnerAndApproved() public {
        bytes memory refusal =
            abi.encodeWithSelector(IAgentRegistry.NotAuthorized.selector, agentId, stranger);
        vm.startPrank(stranger);
        vm.expectRevert(refusal);
        agents.setAgentURI(agentId, "ipfs://stolen");
        vm.expectRevert(refusal);
        agents.setMetadata(agentId, "name", "stolen");
        vm.expectRevert(refusal);
        agents.unsetAgentWallet(agentId);
        vm.stopPrank();

        vm.prank(operator);
        agents.approve(stranger, agentId);
        vm.startPrank(stranger);
        agents.setAgentURI(agentId, "ipfs://new");
        agents.setMetadata(agentId, "name", "new");
        vm.expectRevert(IAgentRegistry.ReservedKey.selector);
        agents.setMetadata(agentId, "agentWallet", "new");
        vm.stopPrank();
        assertEq(agents.tokenURI(agentId), "ipfs://new");
        assertEq(agents.getMetadata(agentId, "name"), "new");
        assertTrue(agents.isAuthorizedOrOwner(stranger, agentId));
        assertFalse(agents.isAuthorizedOrOwner(client, agentId));
        vm.expectRevert(abi.encodeWithSignature("ERC721NonexistentToken(uint256)", 9));
        agents.isAuthorizedOrOwner(client, 9);
    }

    function test_wallet_needsItsOwnConsent() public {
        (address wallet, uint256 secret) = makeAddrAndKey("wallet");
        uint256 deadline = block.timestamp + 5 minutes;
        bytes memory signature = _consent(agentId, wallet, secret, operator, deadline);
        vm.startPrank(operator);
        vm.expectRevert(abi.encodeWithSelector(IAgentRegistry.InvalidWalletSignature.selector, client));
        agents.setAgentWallet(agentId, client, deadline, signature);
        vm.expectRevert(abi.encodeWithSelector(IAgentRegistry.BadDeadline.selector, deadline + 1));
        agents.setAgentWallet(agentId, wallet, deadline + 1, signature);
        vm.expectRevert(IAgentRegistry.ZeroWallet.selector);
        agents.setAgentWallet(agentId, address(0), deadline, signature);
        agents.setAgentWallet(agentId, wallet, deadline, signature);
        assertEq(agents.getAgentWallet(agentId), wallet);
        agents.unsetAgentWallet(agentId);
        assertEq(agents.getAgentWallet(agentId), address(0));
        vm.warp(deadline + 1);
        vm.expectRevert(abi.encodeWithSelector(IAgentRegistry.BadDeadline.selector, deadline));
        agents.setAgentWallet(agentId, wallet, deadline, signature);
        vm.stopPrank();
    }

    function test_wallet_consentIsForFiveMinutesAtMost() public {
        (address wallet, uint256 secret) = makeAddrAndKey("wallet");
        uint256[5] memory deadlines =
            [block.timestamp - 1, block.timestamp + 5 minutes + 1, 0, type(uint64).max, type(uint256).max];
        vm.startPrank(operator);
        for (uint256 i; i < deadlines.length; ++i) {
            bytes memory signature = _consent(agentId, wallet, secret, operator, deadlines[i]);
            vm.expectRevert(abi.encodeWithSelector(IAgentRegistry.BadDeadline.selector, deadlines[i]));
            agents.setAgentWallet(agentId, wallet, deadlines[i], signature);
        }
        uint256 deadline = block.timestamp;
        agents.setAgentWallet(
            agentId, wallet, deadline, _consent(agentId, wallet, secret, operator, deadline)
        );
        assertEq(agents.getAgentWallet(agentId), wallet);
    }

    function test_wallet_consentIsForOneRegistryOnOneChain() public {
        (address wallet, uint256 secret) = makeAddrAndKey("wallet");
        uint256 deadline = block.timestamp + 1 minutes;
        bytes32[3] memory domains = [
            _domain(block.chainid + 1, address(agents)),
            _domain(block.chainid, address(assets)),
            actionLog.domainSeparator()
        ];
        for (uint256 i; i < domains.length; ++i) {
            _refuse(wallet, deadline, _consentIn(domains[i], agentId, wallet, secret, operator, deadline));
        }
        // a fork of the chain is another chain
        bytes memory signature = _consent(agentId, wallet, secret, operator, deadline);
        vm.chainId(block.chainid + 1);
        _refuse(wallet, deadline, signature);
    }

    function test_wallet_consentIsForOneAgentOneOwnerAndOneDeadline() public {
        (address wallet, uint256 secret) = makeAddrAndKey("wallet");
        uint256 deadline = block.timestamp + 1 minutes;
        _refuse(wallet, deadline, _consent(agentId + 1, wallet, secret, operator, deadline));
        _refuse(wallet, deadline, _consent(agentId, wallet, secret, stranger, deadline));
        _refuse(wallet, deadline, _consent(agentId, wallet, secret, operator, deadline + 1));
        _refuse(wallet, deadline, _consent(agentId, client, secret, operator, deadline));
        bytes memory signature = _consent(agentId, wallet, secret, operator, deadline);
        vm.prank(operator);
        agents.setAgentWallet(agentId, wallet, deadline, signature);

        // replayed for the buyer: the wallet consented to the seller
        vm.prank(operator);
        agents.transferFrom(operator, stranger, agentId);
        vm.expectRevert(abi.encodeWithSelector(IAgentRegistry.InvalidWalletSignature.selector, wallet));
        vm.prank(stranger);
        agents.setAgentWallet(agentId, wallet, deadline, signature);
        assertEq(agents.getAgentWallet(agentId), address(0));
    }

    function test_wallet_malformedSignatures() public {
        (address wallet, uint256 secret) = makeAddrAndKey("wallet");
        uint256 deadline = block.timestamp + 1 minutes;
        bytes memory good = _consent(agentId, wallet, secret, operator, deadline);
        _refuse(wallet, deadline, "");
        _refuse(wallet, deadline, bytes.concat(good, hex"00"));
        bytes memory bad = bytes.concat(good);
        bad[64] = bytes1(uint8(good[64]) - 27);
        _refuse(wallet, deadline, bad);
        // the other signature of the same key (high s)
        (bytes32 r, bytes32 s) = abi.decode(good, (bytes32, bytes32));
        uint256 order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141;
        bytes1 flipped = good[64] == bytes1(uint8(27)) ? bytes1(uint8(28)) : bytes1(uint8(27));
        _refuse(wallet, deadline, abi.encodePacked(r, bytes32(order - uint256(s)), flipped));
    }

    function test_wallet_contractsConsentByErc1271() public {
        (address owner, uint256 secret) = makeAddrAndKey("wallet's owner");
        ContractWallet wallet = new ContractWallet(owner);
        uint256 deadline = block.timestamp + 1 minutes;
        bytes memory signature = _consent(agentId, address(wallet), secret, operator, deadline);
        vm.prank(operator);
        agents.setAgentWallet(agentId, address(wallet), deadline, signature);
        assertEq(agents.getAgentWallet(agentId), address(wallet));

        _refuse(address(wallet), deadline, _consent(agentId, address(wallet), 7, operator, deadline));
        // contracts that answer nothing, or something else, consent to nothing
        _refuse(address(token), deadline, signature);
        _refuse(address(new YesMan()), deadline, signature);
    }

    function test_wallet_delegatedByEip7702StillSignsItself() public {
        (address wallet, uint256 secret) = makeAddrAndKey("wallet");
        (address owner, uint256 ownerSecret) = makeAddrAndKey("wallet's owner");
        vm.signAndAttachDelegation(address(new ContractWallet(owner)), secret);
        uint256 deadline = block.timestamp + 5 minutes;
        bytes memory signature = _consent(agentId, wallet, secret, operator, deadline);
        vm.prank(operator);
        agents.setAgentWallet(agentId, wallet, deadline, signature);
        assertEq(wallet.code.length, 23, "the delegation");
        assertEq(agents.getAgentWallet(agentId), wallet);
        // the code that it runs is asked too, and here knows no owner: its storage is not the implementation's
        _refuse(wallet, deadline, _consent(agentId, wallet, ownerSecret, operator, deadline));
    }

    function test_register_byADelegatedAccount() public {
        (address account, uint256 secret) = makeAddrAndKey("account");
        vm.signAndAttachDelegation(address(new ContractWallet(account)), secret);
        vm.prank(account);
        uint256 id = agents.register("ipfs://delegated");
        assertEq(agents.ownerOf(id), account);
        assertGt(account.code.length, 0);
    }

    function test_transfer_clearsTheWallet() public {
        vm.prank(operator);
        agents.transferFrom(operator, stranger, agentId);
        assertEq(agents.getAgentWallet(agentId), address(0));
        assertEq(agents.getMetadata(agentId, "agentWallet"), "");
    }

    function test_observer_mayBeNobody() public {
        AgentRegistry alone = new AgentRegistry(IAgentObserver(address(0)));
        vm.startPrank(operator);
        uint256 id = alone.register();
        alone.transferFrom(operator, stranger, id);
        vm.stopPrank();
        assertEq(alone.ownerOf(id), stranger);
    }

    function _refuse(address wallet, uint256 deadline, bytes memory signature) private {
        vm.expectRevert(abi.encodeWithSelector(IAgentRegistry.InvalidWalletSignature.selector, wallet));
        vm.prank(operator);
        agents.setAgentWallet(agentId, wallet, deadline, signature);
    }
}
