// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { IERC721 } from "@openzeppelin/contracts/token/ERC721/IERC721.sol";
import { AgentRegistry } from "src/AgentRegistry.sol";
import { IAgentObserver, IAgentRegistry } from "src/interfaces/IAgentRegistry.sol";
import { World } from "./utils/World.sol";

contract AgentRegistryTest is World {
    bytes32 private constant WALLET_TYPEHASH =
        keccak256("AgentWalletSet(uint256 agentId,address newWallet,address owner,uint256 deadline)");

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
        bytes memory signature = _consent(wallet, secret, deadline);
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

    function test_wallet_delegatedByEip7702StillSignsItself() public {
        (address wallet, uint256 secret) = makeAddrAndKey("wallet");
        vm.etch(wallet, abi.encodePacked(hex"ef0100", address(token)));
        uint256 deadline = block.timestamp + 5 minutes;
        bytes memory signature = _consent(wallet, secret, deadline);
        vm.prank(operator);
        agents.setAgentWallet(agentId, wallet, deadline, signature);
        assertEq(agents.getAgentWallet(agentId), wallet);
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

    function _consent(address wallet, uint256 secret, uint256 deadline) private view returns (bytes memory) {
        (, string memory name, string memory version, uint256 chainId, address registry,,) =
            agents.eip712Domain();
        bytes32 domain = keccak256(
            abi.encode(
                keccak256(
                    "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
                ),
                keccak256(bytes(name)),
                keccak256(bytes(version)),
                chainId,
                registry
            )
        );
        bytes32 hash = keccak256(abi.encode(WALLET_TYPEHASH, agentId, wallet, operator, deadline));
        (uint8 v, bytes32 r, bytes32 s) =
            vm.sign(secret, keccak256(abi.encodePacked(hex"1901", domain, hash)));
        return abi.encodePacked(r, s, v);
    }
}
