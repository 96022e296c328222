// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { IERC721 } from "@openzeppelin/contracts/token/ERC721/IERC721.sol";
import { Vm } from "forge-std/Vm.sol";
import { IActionLog } from "src/interfaces/IActionLog.sol";
import { Asset, IAssetRegistry } from "src/interfaces/IAssetRegistry.sol";
import { IAgentRegistry } from "src/interfaces/IAgentRegistry.sol";
import { Epoch } from "src/types/Records.sol";
import { Reentrant, Refusing } from "./utils/Receivers.sol";
import { World } from "./utils/World.sol";

/// @title Tokens that arrive at contracts which act before they say thank you.
contract ReentrancyTest is World {
    Reentrant private receiver;

    function setUp() public override {
        super.setUp();
        receiver = new Reentrant();
    }

    // --- registering an agent ----------------------------------------------------------------------------------

    function test_register_soldInsideTheMintStaysTheBuyers() public {
        uint256 id = agentId + 1;
        receiver.plan(
            address(agents), abi.encodeCall(IERC721.transferFrom, (address(receiver), stranger, id))
        );
        IAgentRegistry.MetadataEntry[] memory entries = new IAgentRegistry.MetadataEntry[](1);
        entries[0] = IAgentRegistry.MetadataEntry("name", "bought");
        vm.recordLogs();
        _register(entries);
        assertEq(agents.ownerOf(id), stranger);
        assertEq(agents.getAgentWallet(id), address(0));
        assertEq(agents.tokenURI(id), "ipfs://bought");
        assertEq(agents.getMetadata(id, "name"), "bought");
        assertEq(agents.balanceOf(address(receiver)), 0);
        assertEq(_walletByEvents(id), "", "who reads events only sees no wallet either");
    }

    function test_register_againInsideTheMint() public {
        receiver.plan(address(agents), abi.encodeWithSignature("register()"));
        _register(new IAgentRegistry.MetadataEntry[](0));
        assertEq(abi.decode(receiver.results(0), (uint256)), agentId + 2);
        assertEq(agents.ownerOf(agentId + 1), address(receiver));
        assertEq(agents.ownerOf(agentId + 2), address(receiver));
        assertEq(agents.tokenURI(agentId + 1), "ipfs://bought");
        assertEq(agents.tokenURI(agentId + 2), "");
        assertEq(receiver.received(), 2);
    }

    function test_register_walletSetInsideTheMintStays() public {
        uint256 id = agentId + 1;
        (address wallet, uint256 secret) = makeAddrAndKey("wallet");
        uint256 deadline = block.timestamp + 5 minutes;
        bytes memory consent = _consent(id, wallet, secret, address(receiver), deadline);
        receiver.plan(
            address(agents), abi.encodeCall(IAgentRegistry.setAgentWallet, (id, wallet, deadline, consent))
        );
        vm.recordLogs();
        _register(new IAgentRegistry.MetadataEntry[](0));
        assertEq(agents.getAgentWallet(id), wallet);
        assertEq(_walletByEvents(id), abi.encodePacked(wallet));
    }

    function test_register_refusedLeavesNothing() public {
        Refusing refusing = new Refusing();
        vm.expectRevert(Refusing.NoThanks.selector);
        refusing.run(address(agents), abi.encodeWithSignature("register()"));
        vm.expectRevert(Refusing.NoThanks.selector);
        refusing.run(address(assets), _assetCall("content"));
        vm.expectRevert(abi.encodeWithSignature("ERC721NonexistentToken(uint256)", agentId + 1));
        agents.ownerOf(agentId + 1);
        // a contract that is no receiver at all
        vm.expectRevert(abi.encodeWithSignature("ERC721InvalidReceiver(address)", address(token)));
        vm.prank(address(token));
        agents.register();
    }

    // --- buying one --------------------------------------------------------------------------------------------

    function test_transfer_buyerThatActsInsideFindsTheSaleDone() public {
        (address wallet, uint256 secret) = makeAddrAndKey("wallet");
        uint256 deadline = block.timestamp + 5 minutes;
        bytes memory consent = _consent(agentId, wallet, secret, address(receiver), deadline);
        receiver.plan(
            address(agents),
            abi.encodeCall(IAgentRegistry.setAgentWallet, (agentId, wallet, deadline, consent))
        );
        receiver.plan(address(agents), abi.encodeCall(IAgentRegistry.ownerOf, (agentId)));
        receiver.plan(address(actionLog), abi.encodeCall(IActionLog.epochOf, (agentId, epoch)));
        vm.prank(operator);
        agents.safeTransferFrom(operator, address(receiver), agentId);
        assertEq(abi.decode(receiver.results(1), (address)), address(receiver));
        Epoch memory closed = abi.decode(receiver.results(2), (Epoch));
        assertLe(closed.acceptUntil, block.timestamp, "the seller's epoch was closed before the call");
        assertEq(agents.getAgentWallet(agentId), wallet);
    }

    function test_transfer_backInsideTheTransferClosesAllTheSame() public {
        receiver.plan(
            address(agents), abi.encodeCall(IERC721.transferFrom, (address(receiver), operator, agentId))
        );
        vm.prank(operator);
        agents.safeTransferFrom(operator, address(receiver), agentId);
        assertEq(agents.ownerOf(agentId), operator);
        assertEq(agents.getAgentWallet(agentId), address(0));
        assertLe(actionLog.epochOf(agentId, epoch).acceptUntil, block.timestamp);
        assertEq(vault.positionOf(agentId, operator).active, STAKE);
        assertEq(vault.positionOf(agentId, address(receiver)).active, 0);
    }

    function test_transfer_buyerWithoutStakeOpensNoEpochInside() public {
        receiver.plan(
            address(actionLog),
            abi.encodeCall(IActionLog.openEpoch, (agentId, stranger, keccak256("m"), keccak256("r")))
        );
        vm.expectPartialRevert(IActionLog.SelfStakeTooLow.selector);
        vm.prank(operator);
        agents.safeTransferFrom(operator, address(receiver), agentId);
        assertEq(agents.ownerOf(agentId), operator);
    }

    // --- assets ------------------------------------------------------------------------------------------------

    function test_asset_soldAndVersionedInsideTheMint() public {
        receiver.plan(
            address(assets), abi.encodeCall(IAssetRegistry.addVersion, (1, keccak256("second"), 0x71))
        );
        receiver.plan(address(assets), _assetCall("other"));
        receiver.plan(address(assets), abi.encodeCall(IERC721.transferFrom, (address(receiver), stranger, 1)));
        bytes memory result = receiver.run(address(assets), _assetCall("content"));
        assertEq(abi.decode(result, (uint256)), 1);
        assertEq(assets.ownerOf(1), stranger);
        assertEq(assets.ownerOf(2), address(receiver));
        Asset memory a = assets.asset(1);
        assertEq(a.version, 2);
        assertEq(a.contentDigest, keccak256("second"));
        assertEq(assets.asset(2).contentDigest, keccak256("other"));
        assertEq(assets.asset(2).version, 1);
        assertEq(assets.versionOf(1, keccak256("content")), 1);
    }

    function _register(IAgentRegistry.MetadataEntry[] memory entries) private {
        receiver.run(
            address(agents),
            abi.encodeWithSignature("register(string,(string,bytes)[])", "ipfs://bought", entries)
        );
    }

    function _assetCall(string memory content) private pure returns (bytes memory) {
        uint256[] memory none;
        return
            abi.encodeCall(IAssetRegistry.register, (1, keccak256(bytes(content)), 0x71, none, "MIT", 0, ""));
    }

    /// @dev The wallet of an agent according to the recorded events.
    function _walletByEvents(uint256 id) private returns (bytes memory wallet) {
        Vm.Log[] memory logs = vm.getRecordedLogs();
        bool seen;
        for (uint256 i; i < logs.length; ++i) {
            if (logs[i].topics[0] != IAgentRegistry.MetadataSet.selector) continue;
            if (uint256(logs[i].topics[1]) != id) continue;
            (string memory key, bytes memory value) = abi.decode(logs[i].data, (string, bytes));
            if (keccak256(bytes(key)) != keccak256("agentWallet")) continue;
            (wallet, seen) = (value, true);
        }
        assertTrue(seen);
    }
}
