// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { Test } from "forge-std/Test.sol";
import { AgentRegistry } from "src/AgentRegistry.sol";
import { ReputationRegistry } from "src/ReputationRegistry.sol";
import { IAgentObserver } from "src/interfaces/IAgentRegistry.sol";
import { IReputationRegistry } from "src/interfaces/IReputationRegistry.sol";
import { ContractWallet } from "./utils/Receivers.sol";

contract ReputationRegistryTest is Test {
    AgentRegistry private agents;
    ReputationRegistry private registry;
    address private operator = makeAddr("operator");
    address private alice = makeAddr("alice");
    address private bob = makeAddr("bob");
    uint256 private agentId;

    function setUp() public {
        agents = new AgentRegistry(IAgentObserver(address(0)));
        registry = new ReputationRegistry(agents);
        vm.prank(operator);
        agentId = agents.register("ipfs://agent");
    }

    function test_feedback_isStoredNumberedAndEmitted() public {
        assertEq(registry.getIdentityRegistry(), address(agents));
        assertEq(registry.getLastIndex(agentId, alice), 0);
        vm.expectEmit(address(registry));
        emit IReputationRegistry.NewFeedback(
            agentId,
            alice,
            1,
            -32,
            1,
            "tradingYield",
            "tradingYield",
            "day",
            "https://agent.example/a",
            "ipfs://feedback",
            keccak256("feedback")
        );
        vm.prank(alice);
        registry.giveFeedback(
            agentId,
            -32,
            1,
            "tradingYield",
            "day",
            "https://agent.example/a",
            "ipfs://feedback",
            keccak256("feedback")
        );
        _give(alice, 9977, 2, "uptime", "");
        _give(bob, 1, 0, "", "");
        (int128 value, uint8 decimals, string memory tag1, string memory tag2, bool revoked) =
            registry.readFeedback(agentId, alice, 1);
        assertEq(value, -32);
        assertEq(decimals, 1);
        assertEq(tag1, "tradingYield");
        assertEq(tag2, "day");
        assertFalse(revoked);
        (value,,,,) = registry.readFeedback(agentId, alice, 2);
        assertEq(value, 9977);
        assertEq(registry.getLastIndex(agentId, alice), 2);
        assertEq(registry.getClients(agentId), _two(alice, bob));
    }

    function test_feedback_aboutOneselfIsRefused() public {
        _refuseSelf(operator);
        vm.prank(operator);
        agents.approve(alice, agentId);
        _refuseSelf(alice);
        vm.prank(operator);
        agents.setApprovalForAll(bob, true);
        _refuseSelf(bob);
        // a former owner is a stranger
        vm.prank(operator);
        agents.transferFrom(operator, alice, agentId);
        _give(operator, 1, 0, "", "");
        vm.expectRevert(abi.encodeWithSignature("ERC721NonexistentToken(uint256)", 9));
        vm.prank(alice);
        registry.giveFeedback(9, 1, 0, "", "", "", "", 0);
    }

    function test_feedback_fromContractsAndDelegatedAccounts() public {
        (address account, uint256 secret) = makeAddrAndKey("account");
        ContractWallet wallet = new ContractWallet(alice);
        vm.signAndAttachDelegation(address(wallet), secret);
        _give(account, 80, 0, "", "");
        _give(address(wallet), 90, 0, "", "");
        assertEq(registry.getClients(agentId), _two(account, address(wallet)));
        vm.prank(operator);
        agents.transferFrom(operator, account, agentId);
        _refuseSelf(account);
    }

    function test_feedback_valuesMayBeExtreme() public {
        _give(alice, type(int128).max, 18, "", "");
        _give(alice, type(int128).min, 0, "", "");
        (int128 value, uint8 decimals,,,) = registry.readFeedback(agentId, alice, 1);
        assertEq(value, type(int128).max);
        assertEq(decimals, 18);
        (value,,,,) = registry.readFeedback(agentId, alice, 2);
        assertEq(value, type(int128).min);
        vm.expectRevert(abi.encodeWithSelector(IReputationRegistry.TooManyDecimals.selector, 19));
        _give(alice, 1, 19, "", "");
        vm.expectRevert(abi.encodeWithSelector(IReputationRegistry.TooManyDecimals.selector, 255));
        _give(alice, 1, 255, "", "");
    }

    // --- revoking --------------------------------------------------------------------------------------------

    function test_revoke_isTheClientsOwnAndOnce() public {
        _give(alice, 10, 0, "", "");
        _give(alice, 20, 0, "", "");
        _unknown(bob, 1);
        vm.prank(bob);
        registry.revokeFeedback(agentId, 1);
        _unknown(alice, 0);
        vm.prank(alice);
        registry.revokeFeedback(agentId, 0);
        _unknown(alice, 3);
        vm.prank(alice);
        registry.revokeFeedback(agentId, 3);
        _unknown(alice, type(uint64).max);
        vm.prank(alice);
        registry.revokeFeedback(agentId, type(uint64).max);

        vm.expectEmit(address(registry));
        emit IReputationRegistry.FeedbackRevoked(agentId, alice, 1);
        vm.prank(alice);
        registry.revokeFeedback(agentId, 1);
        vm.expectRevert(
            abi.encodeWithSelector(IReputationRegistry.AlreadyRevoked.selector, agentId, alice, 1)
        );
        vm.prank(alice);
        registry.revokeFeedback(agentId, 1);

        // it stays readable, keeps its number, and leaves the summary
        (int128 value,,,, bool revoked) = registry.readFeedback(agentId, alice, 1);
        assertEq(value, 10);
        assertTrue(revoked);
        assertEq(registry.getLastIndex(agentId, alice), 2);
        _checkSummary(_one(alice), "", "", 1, 20, 0);
        (, uint64[] memory indexes,,,,,) = registry.readAllFeedback(agentId, _one(alice), "", "", false);
        assertEq(indexes.length, 1);
        assertEq(indexes[0], 2);
        bool[] memory states;
        (, indexes,,,,, states) = registry.readAllFeedback(agentId, _one(alice), "", "", true);
        assertEq(indexes.length, 2);
        assertTrue(states[0]);
        assertFalse(states[1]);
    }

    // --- responses -------------------------------------------------------------------------------------------

    function test_responses_areCountedByFeedbackClientAndResponder() public {
        _give(alice, 10, 0, "", "");
        _give(alice, 20, 0, "", "");
        _give(bob, 30, 0, "", "");
        vm.expectEmit(address(registry));
        emit IReputationRegistry.ResponseAppended(
            agentId, alice, 1, operator, "ipfs://refund", keccak256("refund")
        );
        vm.prank(operator);
        registry.appendResponse(agentId, alice, 1, "ipfs://refund", keccak256("refund"));
        _append(operator, alice, 1);
        _append(bob, alice, 2);
        _append(bob, bob, 1);
        vm.prank(alice);
        registry.revokeFeedback(agentId, 2);
        _append(operator, alice, 2);

        address[] memory all;
        assertEq(registry.getResponseCount(agentId, alice, 1, all), 2);
        assertEq(registry.getResponseCount(agentId, alice, 2, all), 2, "revoked feedback is still answered");
        assertEq(registry.getResponseCount(agentId, alice, 0, all), 4);
        assertEq(registry.getResponseCount(agentId, address(0), 0, all), 5);
        assertEq(registry.getResponseCount(agentId, address(0), 7, all), 5);
        assertEq(registry.getResponseCount(agentId, alice, 0, _one(operator)), 3);
        assertEq(registry.getResponseCount(agentId, address(0), 0, _one(bob)), 2);
        assertEq(registry.getResponseCount(agentId, address(0), 0, _two(bob, operator)), 5);
        assertEq(registry.getResponseCount(agentId, alice, 9, all), 0);
        assertEq(registry.getResponseCount(9, address(0), 0, all), 0);
    }

    function test_responses_revertOnBadInput() public {
        _give(alice, 10, 0, "", "");
        vm.expectRevert(IReputationRegistry.EmptyResponse.selector);
        registry.appendResponse(agentId, alice, 1, "", 0);
        _unknown(alice, 0);
        registry.appendResponse(agentId, alice, 0, "ipfs://x", 0);
        _unknown(alice, 2);
        registry.appendResponse(agentId, alice, 2, "ipfs://x", 0);
        _unknown(bob, 1);
        registry.appendResponse(agentId, bob, 1, "ipfs://x", 0);
        _unknown(bob, 1);
        registry.readFeedback(agentId, bob, 1);
        _unknown(alice, 0);
        registry.readFeedback(agentId, alice, 0);
    }

    // --- summaries -------------------------------------------------------------------------------------------

    function test_summary_averagesAtTheUsualDecimals() public {
        _give(alice, 9977, 2, "uptime", "week");
        _give(bob, 100, 0, "uptime", "day");
        _give(bob, 9900, 2, "uptime", "day");
        _give(bob, -50, 0, "starred", "");
        _checkSummary(_two(alice, bob), "uptime", "", 3, 9959, 2);
        _checkSummary(_two(alice, bob), "uptime", "day", 2, 99, 0); // equally frequent: the fewest decimals
        _checkSummary(_two(alice, bob), "", "week", 1, 9977, 2);
        _checkSummary(_one(bob), "starred", "", 1, -50, 0);
        _checkSummary(_one(alice), "starred", "", 0, 0, 0);
        _checkSummary(_one(operator), "", "", 0, 0, 0);
        vm.expectRevert(IReputationRegistry.NoClients.selector);
        registry.getSummary(agentId, new address[](0), "", "");
    }

    function test_summary_roundsTowardsZero() public {
        _give(alice, -1, 0, "", "");
        _give(alice, 0, 0, "", "");
        _checkSummary(_one(alice), "", "", 2, 0, 0);
        _give(bob, -7, 0, "", "");
        _give(bob, 0, 0, "", "");
        _checkSummary(_one(bob), "", "", 2, -3, 0);
    }

    /// @dev The usual decimals are 18, but the average has no place there: the reference wraps around.
    function test_summary_givesUpDecimalsThatDoNotFit() public {
        _give(alice, 0, 18, "", "");
        _give(alice, 0, 18, "", "");
        _give(alice, type(int128).max, 0, "", "");
        _checkSummary(_one(alice), "", "", 3, type(int128).max / 3, 0);
        _give(bob, 0, 18, "", "");
        _give(bob, 0, 18, "", "");
        _give(bob, -3e24, 0, "", "");
        _checkSummary(_one(bob), "", "", 3, -1e38, 14);
    }

    function test_summary_ofExtremes() public {
        _give(alice, type(int128).min, 0, "", "");
        _checkSummary(_one(alice), "", "", 1, type(int128).min, 0);
        _give(alice, type(int128).min, 0, "", "");
        _checkSummary(_one(alice), "", "", 2, type(int128).min, 0);
        _give(alice, type(int128).max, 0, "", "");
        _give(alice, type(int128).max, 0, "", "");
        _checkSummary(_one(alice), "", "", 4, 0, 0);
        _give(bob, type(int128).max, 18, "", "");
        _checkSummary(_one(bob), "", "", 1, type(int128).max, 18);
    }

    /// @dev One client named twice counts twice: the caller chose the weights.
    function test_summary_countsAClientAsOftenAsItIsNamed() public {
        _give(alice, 10, 0, "", "");
        _give(bob, 40, 0, "", "");
        address[] memory weighted = new address[](3);
        (weighted[0], weighted[1], weighted[2]) = (alice, alice, bob);
        _checkSummary(weighted, "", "", 3, 20, 0);
    }

    function testFuzz_summary_isTheRecomputedOne(int128[] calldata values, uint256 seed) public {
        uint256 n = values.length > 24 ? 24 : values.length;
        int256 sum;
        uint64 count;
        uint64[19] memory frequency;
        for (uint256 i; i < n; ++i) {
            uint256 dice = uint256(keccak256(abi.encode(seed, i)));
            uint8 decimals = uint8(dice % 19);
            _give(dice & 256 == 0 ? alice : bob, values[i], decimals, dice & 512 == 0 ? "a" : "b", "");
            if (dice & 1024 == 0) {
                address by = dice & 256 == 0 ? alice : bob;
                uint64 last = registry.getLastIndex(agentId, by);
                vm.prank(by);
                registry.revokeFeedback(agentId, last);
            } else if (dice & 512 == 0) {
                sum += int256(values[i]) * int256(10 ** (18 - decimals));
                ++count;
                ++frequency[decimals];
            }
        }
        (uint64 found, int128 value, uint8 at) = registry.getSummary(agentId, _two(alice, bob), "a", "");
        assertEq(found, count);
        if (count == 0) {
            assertEq(value, 0);
            return;
        }
        uint8 usual;
        for (uint8 d; d < 19; ++d) {
            if (frequency[d] > frequency[usual]) usual = d;
        }
        assertLe(at, usual);
        int256 mean = sum / int256(uint256(count));
        assertEq(value, mean / int256(10 ** (18 - at)));
        if (at != usual) {
            int256 finer = mean / int256(10 ** (17 - at));
            assertTrue(finer > type(int128).max || finer < type(int128).min, "given up without need");
        }
    }

    function test_readAll_filters() public {
        _give(alice, 1, 0, "x", "1");
        _give(bob, 2, 1, "x", "2");
        _give(alice, 3, 2, "y", "1");
        (
            address[] memory clients,
            uint64[] memory indexes,
            int128[] memory values,
            uint8[] memory decimals,
            string[] memory tag1s,
            string[] memory tag2s,
            bool[] memory revoked
        ) = registry.readAllFeedback(agentId, new address[](0), "", "", false);
        assertEq(clients.length, 3);
        assertEq(clients[1], alice);
        assertEq(clients[2], bob);
        assertEq(indexes[1], 2);
        assertEq(values[1], 3);
        assertEq(decimals[1], 2);
        assertEq(tag1s[1], "y");
        assertEq(tag2s[2], "2");
        assertFalse(revoked[2]);
        (,, values,,,,) = registry.readAllFeedback(agentId, new address[](0), "x", "", false);
        assertEq(values.length, 2);
        (,, values,,,,) = registry.readAllFeedback(agentId, _one(bob), "x", "1", false);
        assertEq(values.length, 0);
        (,, values,,,,) = registry.readAllFeedback(agentId, _one(bob), "", "2", false);
        assertEq(values.length, 1);
        (,, values,,,,) = registry.readAllFeedback(9, new address[](0), "", "", true);
        assertEq(values.length, 0);
    }

    function _give(address by, int128 value, uint8 decimals, string memory tag1, string memory tag2) private {
        vm.prank(by);
        registry.giveFeedback(agentId, value, decimals, tag1, tag2, "", "", 0);
    }

    function _append(address by, address to, uint64 index) private {
        vm.prank(by);
        registry.appendResponse(agentId, to, index, "ipfs://response", 0);
    }

    function _refuseSelf(address by) private {
        vm.expectRevert(abi.encodeWithSelector(IReputationRegistry.SelfFeedback.selector, agentId, by));
        _give(by, 100, 0, "", "");
    }

    function _unknown(address by, uint64 index) private {
        vm.expectRevert(
            abi.encodeWithSelector(IReputationRegistry.UnknownFeedback.selector, agentId, by, index)
        );
    }

    function _checkSummary(
        address[] memory by,
        string memory tag1,
        string memory tag2,
        uint64 count,
        int128 value,
        uint8 decimals
    ) private view {
        (uint64 n, int128 v, uint8 d) = registry.getSummary(agentId, by, tag1, tag2);
        assertEq(n, count, "count");
        assertEq(v, value, "value");
        assertEq(d, decimals, "decimals");
    }

    function _one(address a) private pure returns (address[] memory list) {
        list = new address[](1);
        list[0] = a;
    }

    function _two(address a, address b) private pure returns (address[] memory list) {
        list = new address[](2);
        (list[0], list[1]) = (a, b);
    }
}
