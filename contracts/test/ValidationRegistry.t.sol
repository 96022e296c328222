// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { Test } from "forge-std/Test.sol";
import { AgentRegistry } from "src/AgentRegistry.sol";
import { ValidationRegistry } from "src/ValidationRegistry.sol";
import { IAgentObserver } from "src/interfaces/IAgentRegistry.sol";
import { IValidationRegistry } from "src/interfaces/IValidationRegistry.sol";

contract ValidationRegistryTest is Test {
    bytes32 private constant HASH = keccak256("request");

    AgentRegistry private agents;
    ValidationRegistry private registry;
    address private disputes = makeAddr("disputes");
    address private alice = makeAddr("alice");
    address private mallory = makeAddr("mallory");
    address private validator = makeAddr("validator");
    address private another = makeAddr("another validator");
    uint256 private agentId;
    uint256 private hostileId;

    function setUp() public {
        agents = new AgentRegistry(IAgentObserver(address(0)));
        registry = new ValidationRegistry(agents, disputes);
        vm.prank(alice);
        agentId = agents.register("ipfs://agent");
        vm.prank(mallory);
        hostileId = agents.register("ipfs://hostile");
    }

    function test_request_andResponse() public {
        assertEq(registry.getIdentityRegistry(), address(agents));
        vm.expectEmit(address(registry));
        emit IValidationRegistry.ValidationRequest(validator, agentId, "ipfs://request", HASH);
        _request(alice, validator, agentId, HASH);
        _checkStatus(HASH, validator, agentId, 0, "", block.timestamp);
        (bool answered,,,, uint256 since) = registry.getValidation(validator, agentId, HASH);
        assertFalse(answered);
        assertEq(since, block.timestamp);

        skip(1 hours);
        vm.expectEmit(address(registry));
        emit IValidationRegistry.ValidationResponse(
            validator, agentId, HASH, 80, "ipfs://response", keccak256("response"), "soft"
        );
        _respond(validator, HASH, 80, "soft");
        _checkStatus(HASH, validator, agentId, 80, "soft", block.timestamp);

        // the latest answer counts
        skip(1 hours);
        _respond(validator, HASH, 100, "hard");
        _checkStatus(HASH, validator, agentId, 100, "hard", block.timestamp);
        assertEq(registry.getAgentValidations(agentId), _one(HASH));
        assertEq(registry.getValidatorRequests(validator), _one(HASH));
    }

    function test_request_isForOwnerAndApproved() public {
        vm.expectRevert(abi.encodeWithSelector(IValidationRegistry.NotAuthorized.selector, agentId, mallory));
        _request(mallory, validator, agentId, HASH);
        vm.expectRevert(abi.encodeWithSignature("ERC721NonexistentToken(uint256)", 9));
        _request(alice, validator, 9, HASH);
        vm.prank(alice);
        agents.approve(mallory, agentId);
        _request(mallory, validator, agentId, HASH);
        vm.prank(alice);
        agents.setApprovalForAll(another, true);
        _request(another, validator, agentId, keccak256("second"));
        vm.prank(alice);
        agents.transferFrom(alice, another, agentId);
        vm.expectRevert(abi.encodeWithSelector(IValidationRegistry.NotAuthorized.selector, agentId, alice));
        _request(alice, validator, agentId, keccak256("third"));
    }

    function test_request_revertsOnBadInput() public {
        vm.expectRevert(IValidationRegistry.ZeroValidator.selector);
        _request(alice, address(0), agentId, HASH);
        vm.expectRevert(IValidationRegistry.VerdictsOnly.selector);
        _request(alice, disputes, agentId, HASH);
        _request(alice, validator, agentId, HASH);
        bytes32 key = registry.keyOf(validator, agentId, HASH);
        vm.expectRevert(abi.encodeWithSelector(IValidationRegistry.RequestExists.selector, key));
        _request(alice, validator, agentId, HASH);
    }

    function test_response_isTheValidators() public {
        vm.expectRevert(abi.encodeWithSelector(IValidationRegistry.UnknownRequest.selector, HASH));
        _respond(validator, HASH, 100, "");
        _request(alice, validator, agentId, HASH);
        bytes32 key = registry.keyOf(validator, agentId, HASH);
        vm.expectRevert(abi.encodeWithSelector(IValidationRegistry.NotValidator.selector, HASH, another));
        _respond(another, HASH, 100, "");
        vm.expectRevert(abi.encodeWithSelector(IValidationRegistry.NotValidator.selector, key, alice));
        _respond(alice, key, 100, "");
        vm.expectRevert(abi.encodeWithSelector(IValidationRegistry.BadResponse.selector, 101));
        _respond(validator, HASH, 101, "");
        _respond(validator, key, 0, "");
        (bool answered, uint8 response,,,) = registry.getValidation(validator, agentId, HASH);
        assertTrue(answered, "a failed check is an answer");
        assertEq(response, 0);
    }

    // --- squatting -------------------------------------------------------------------------------------------

    function test_squat_withAnotherValidatorChangesNothingForTheHonest() public {
        _request(mallory, mallory, hostileId, HASH);
        _respond(mallory, HASH, 1, "squatted");
        _request(alice, validator, agentId, HASH);
        // the validator answers by the bare hash of the event, and meets the one request made to it
        _respond(validator, HASH, 90, "");
        (, uint8 response,,,) = registry.getValidation(validator, agentId, HASH);
        assertEq(response, 90);
        (, response,,,) = registry.getValidation(mallory, hostileId, HASH);
        assertEq(response, 1);
        // to whom the bare hash belongs is not decided by who came first
        vm.expectRevert(abi.encodeWithSelector(IValidationRegistry.AmbiguousRequest.selector, HASH));
        registry.getValidationStatus(HASH);
        bytes32 key = registry.keyOf(validator, agentId, HASH);
        _checkStatus(key, validator, agentId, 90, "", block.timestamp);
        assertEq(registry.getAgentValidations(agentId), _one(key));
        assertEq(registry.getValidatorRequests(validator), _one(key));
    }

    function test_squat_withTheSameValidatorNeverTakesTheAnswer() public {
        _request(mallory, validator, hostileId, HASH);
        _request(alice, validator, agentId, HASH);
        vm.expectRevert(abi.encodeWithSelector(IValidationRegistry.AmbiguousRequest.selector, HASH));
        _respond(validator, HASH, 90, "");
        bytes32 key = registry.keyOf(validator, agentId, HASH);
        vm.expectEmit(address(registry));
        emit IValidationRegistry.ValidationResponse(
            validator, agentId, HASH, 90, "ipfs://response", keccak256("response"), ""
        );
        _respond(validator, key, 90, "");
        (bool answered,,,,) = registry.getValidation(validator, hostileId, HASH);
        assertFalse(answered, "the squatter got nothing");
        (uint64 count, uint8 average) = registry.getSummary(agentId, new address[](0), "");
        assertEq(count, 1);
        assertEq(average, 90);
    }

    function test_squat_onAKeyIsNoNameForTheRequest() public {
        bytes32 key = registry.keyOf(validator, agentId, HASH);
        _request(mallory, mallory, hostileId, key);
        _respond(mallory, key, 1, "squatted");
        _request(alice, validator, agentId, HASH);
        _respond(validator, key, 90, "");
        _checkStatus(key, validator, agentId, 90, "", block.timestamp);
        // and it does not put the honest answer into the squatter's list
        assertEq(registry.getAgentValidations(hostileId), _one(registry.keyOf(mallory, hostileId, key)));
        assertEq(registry.getAgentValidations(agentId), _one(HASH));
    }

    /// @dev Whoever uses a hash, in whatever order: each agent's request is made, answered and found by its key, and
    /// every name in a list finds an entry of that list.
    function testFuzz_keys_areIndependent(uint256 seed) public {
        bytes32[3] memory hashes =
            [HASH, registry.keyOf(validator, agentId, HASH), registry.keyOf(another, hostileId, HASH)];
        for (uint256 i; i < 12; ++i) {
            uint256 dice = uint256(keccak256(abi.encode(seed, i)));
            (address by, uint256 id) = dice % 2 == 0 ? (alice, agentId) : (mallory, hostileId);
            address to = (dice >> 8) % 2 == 0 ? validator : another;
            bytes32 hash = hashes[(dice >> 16) % 3];
            (,,,, uint256 since) = registry.getValidation(to, id, hash);
            if (since == 0) _request(by, to, id, hash);
            uint8 response = uint8((dice >> 24) % 101);
            _respond(to, registry.keyOf(to, id, hash), response, "");
            (bool answered, uint8 found,,,) = registry.getValidation(to, id, hash);
            assertTrue(answered);
            assertEq(found, response);
        }
        uint256[2] memory ids = [agentId, hostileId];
        for (uint256 i; i < 2; ++i) {
            bytes32[] memory names = registry.getAgentValidations(ids[i]);
            for (uint256 j; j < names.length; ++j) {
                (, uint256 id,,,,) = registry.getValidationStatus(names[j]);
                assertEq(id, ids[i]);
            }
        }
    }

    // --- verdicts --------------------------------------------------------------------------------------------

    function test_verdict_isRequestAndResponseInOne() public {
        vm.expectEmit(address(registry));
        emit IValidationRegistry.ValidationRequest(disputes, agentId, "", HASH);
        vm.expectEmit(address(registry));
        emit IValidationRegistry.ValidationResponse(
            disputes, agentId, HASH, 0, "ipfs://ruling", keccak256("ruling"), "output"
        );
        _verdict(HASH, 0);
        _checkStatus(HASH, disputes, agentId, 0, "output", block.timestamp);
        // an action may be ruled on again
        _verdict(HASH, 100);
        _checkStatus(HASH, disputes, agentId, 100, "output", block.timestamp);
        assertEq(registry.getAgentValidations(agentId), _one(HASH));

        vm.expectRevert(abi.encodeWithSelector(IValidationRegistry.OnlyDisputes.selector, alice));
        vm.prank(alice);
        registry.postVerdict(agentId, HASH, 100, "", 0, "");
        vm.expectRevert(abi.encodeWithSelector(IValidationRegistry.BadResponse.selector, 101));
        _verdict(HASH, 101);
    }

    function test_verdict_cannotBeStoppedAndOverwritesNobody() public {
        _request(alice, validator, agentId, HASH);
        _respond(validator, HASH, 90, "");
        _request(mallory, another, hostileId, HASH);
        vm.prank(alice);
        agents.transferFrom(alice, mallory, agentId);
        _verdict(HASH, 0);
        (, uint8 response,,,) = registry.getValidation(validator, agentId, HASH);
        assertEq(response, 90);
        bool answered;
        (answered, response,,,) = registry.getValidation(disputes, agentId, HASH);
        assertTrue(answered);
        assertEq(response, 0);
        address[] memory judges = new address[](1);
        judges[0] = disputes;
        (uint64 count, uint8 average) = registry.getSummary(agentId, judges, "output");
        assertEq(count, 1);
        assertEq(average, 0);
    }

    // --- summaries -------------------------------------------------------------------------------------------

    function test_summary_countsAnswersThatPassTheFilters() public {
        bytes32[3] memory hashes = [keccak256("1"), keccak256("2"), keccak256("3")];
        _request(alice, validator, agentId, hashes[0]);
        _request(alice, another, agentId, hashes[1]);
        _request(alice, another, agentId, hashes[2]);
        _respond(validator, hashes[0], 81, "speed");
        _respond(another, hashes[1], 100, "quality");
        address[] memory all;
        _checkSummary(all, "", 2, 90);
        _checkSummary(all, "quality", 1, 100);
        _checkSummary(all, "none", 0, 0);
        address[] memory judges = new address[](2);
        judges[0] = validator;
        judges[1] = validator;
        _checkSummary(judges, "", 1, 81);
        _checkSummary(judges, "quality", 0, 0);
    }

    function testFuzz_summary_isTheRoundedDownAverage(uint8[] calldata responses) public {
        uint256 sum;
        uint256 n = responses.length > 20 ? 20 : responses.length;
        for (uint256 i; i < n; ++i) {
            bytes32 hash = keccak256(abi.encode(i));
            _request(alice, validator, agentId, hash);
            _respond(validator, hash, responses[i] % 101, "");
            sum += responses[i] % 101;
        }
        _checkSummary(new address[](0), "", uint64(n), n == 0 ? 0 : uint8(sum / n));
    }

    function _request(address by, address to, uint256 id, bytes32 hash) private {
        vm.prank(by);
        registry.validationRequest(to, id, "ipfs://request", hash);
    }

    function _respond(address by, bytes32 hash, uint8 response, string memory tag) private {
        vm.prank(by);
        registry.validationResponse(hash, response, "ipfs://response", keccak256("response"), tag);
    }

    function _verdict(bytes32 hash, uint8 response) private {
        vm.prank(disputes);
        registry.postVerdict(agentId, hash, response, "ipfs://ruling", keccak256("ruling"), "output");
    }

    function _checkStatus(
        bytes32 given,
        address by,
        uint256 id,
        uint8 response,
        string memory tag,
        uint256 at
    ) private view {
        (address a, uint256 b, uint8 c,, string memory d, uint256 e) = registry.getValidationStatus(given);
        assertEq(a, by);
        assertEq(b, id);
        assertEq(c, response);
        assertEq(d, tag);
        assertEq(e, at);
    }

    function _checkSummary(address[] memory judges, string memory tag, uint64 count, uint8 average)
        private
        view
    {
        (uint64 n, uint8 mean) = registry.getSummary(agentId, judges, tag);
        assertEq(n, count);
        assertEq(mean, average);
    }

    function _one(bytes32 name) private pure returns (bytes32[] memory names) {
        names = new bytes32[](1);
        names[0] = name;
    }
}
