// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { IAgentRegistry } from "src/interfaces/IAgentRegistry.sol";
import { World } from "./utils/World.sol";

/// @title The three ERC-8004 registries: full transactions, intrinsic gas and calldata included.
contract RegistriesGasTest is World {
    string private constant URI = "ipfs://bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku";
    bytes32 private constant HASH = keccak256("request");

    address private validator = makeAddr("validator");

    function test_gas_identity() public {
        vm.startPrank(stranger);
        uint256 id = agents.register();
        vm.snapshotGasLastCall("registries", "register agent, no URI, first of its owner");
        agents.register(URI);
        vm.snapshotGasLastCall("registries", "register agent with URI");
        IAgentRegistry.MetadataEntry[] memory entries = new IAgentRegistry.MetadataEntry[](1);
        entries[0] = IAgentRegistry.MetadataEntry("name", "auditor");
        agents.register(URI, entries);
        vm.snapshotGasLastCall("registries", "register agent with URI and one metadata entry");
        agents.setAgentURI(id, URI);
        vm.snapshotGasLastCall("registries", "setAgentURI, first");
        (address wallet, uint256 secret) = makeAddrAndKey("wallet");
        uint256 deadline = block.timestamp + 5 minutes;
        agents.setAgentWallet(id, wallet, deadline, _consent(id, wallet, secret, stranger, deadline));
        vm.snapshotGasLastCall("registries", "setAgentWallet");
        vm.stopPrank();
    }

    function test_gas_firstAgent() public {
        vm.prank(contributor);
        agents.register(URI);
        vm.snapshotGasLastCall("registries", "register agent with URI, first of its owner");
    }

    function test_gas_reputation() public {
        vm.prank(client);
        reputation.giveFeedback(agentId, 87, 0, "starred", "", "", URI, 0);
        vm.snapshotGasLastCall("registries", "giveFeedback, first of a client");
        vm.prank(client);
        reputation.giveFeedback(agentId, 9977, 2, "uptime", "week", "", URI, 0);
        vm.snapshotGasLastCall("registries", "giveFeedback, two tags");
        vm.prank(client);
        reputation.revokeFeedback(agentId, 1);
        vm.snapshotGasLastCall("registries", "revokeFeedback");
        vm.prank(operator);
        reputation.appendResponse(agentId, client, 2, URI, 0);
        vm.snapshotGasLastCall("registries", "appendResponse");
    }

    function test_gas_validation() public {
        vm.prank(operator);
        validations.validationRequest(validator, agentId, URI, HASH);
        vm.snapshotGasLastCall("registries", "validationRequest, first of agent and validator");
        vm.prank(validator);
        validations.validationResponse(HASH, 100, URI, HASH, "replay");
        vm.snapshotGasLastCall("registries", "validationResponse");
        vm.prank(operator);
        validations.validationRequest(validator, agentId, URI, keccak256("second"));
        vm.snapshotGasLastCall("registries", "validationRequest");
        vm.prank(validator);
        validations.validationResponse(HASH, 90, URI, HASH, "replay");
        vm.snapshotGasLastCall("registries", "validationResponse, again");
    }

    function test_gas_squatted() public {
        vm.prank(stranger);
        uint256 id = agents.register();
        vm.prank(stranger);
        validations.validationRequest(validator, id, URI, HASH);
        vm.prank(operator);
        validations.validationRequest(validator, agentId, URI, HASH);
        vm.snapshotGasLastCall("registries", "validationRequest, hash used by another before");
        bytes32 key = validations.keyOf(validator, agentId, HASH);
        vm.prank(validator);
        validations.validationResponse(key, 100, URI, HASH, "replay");
        vm.snapshotGasLastCall("registries", "validationResponse by key");
    }

    function test_gas_verdict() public {
        vm.startPrank(address(disputes));
        validations.postVerdict(agentId, HASH, 0, URI, HASH, "output");
        validations.postVerdict(agentId, keccak256("second"), 0, URI, HASH, "output");
        vm.snapshotGasLastCall("registries", "postVerdict (called by Disputes)");
        vm.stopPrank();
    }
}
