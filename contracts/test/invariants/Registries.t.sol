// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { Test } from "forge-std/Test.sol";
import { AgentRegistry } from "src/AgentRegistry.sol";
import { ReputationRegistry } from "src/ReputationRegistry.sol";
import { ValidationRegistry } from "src/ValidationRegistry.sol";
import { IAgentObserver } from "src/interfaces/IAgentRegistry.sol";

/// @title Owners, clients and validators who use each other's hashes and keys; what they did, kept apart.
contract RegistriesHandler is Test {
    struct Given {
        uint256 agentId;
        address client;
        int128 value;
        uint8 decimals;
        bool revoked;
        uint64 responses;
    }

    struct Asked {
        address validator;
        uint256 agentId;
        bytes32 hash;
        bool answered;
        uint8 response;
    }

    AgentRegistry public immutable agents;
    ReputationRegistry public immutable reputation;
    ValidationRegistry public immutable validations;
    address public immutable disputes = makeAddr("disputes");

    address[4] public people;
    Given[] private _given;
    Asked[] private _asked;
    mapping(uint256 agentId => mapping(address client => uint256[])) private _givenBy;
    mapping(bytes32 key => uint256 indexPlusOne) private _askedAt;
    bytes32[] private _hashes;

    /// @dev How often a bare hash was answered, and how often it was refused as ambiguous.
    uint256 public bare;
    uint256 public ambiguous;
    /// @dev Answered although ambiguous, or refused although clear. A failed assertion in a handler would be ignored.
    uint256 public wrong;

    constructor() {
        agents = new AgentRegistry(IAgentObserver(address(0)));
        reputation = new ReputationRegistry(agents);
        validations = new ValidationRegistry(agents, disputes);
        for (uint256 i; i < 4; ++i) {
            people[i] = makeAddr(string.concat("person", vm.toString(i)));
            vm.prank(people[i]);
            agents.register();
        }
        _hashes.push(keccak256("request"));
        _hashes.push(keccak256("another"));
    }

    function sell(uint256 id, uint256 to) external {
        id = 1 + id % 4;
        address owner = agents.ownerOf(id);
        vm.prank(owner);
        agents.transferFrom(owner, people[to % 4], id);
    }

    function give(uint256 who, uint256 id, int128 value, uint8 decimals) external {
        (address by, uint256 agentId) = (people[who % 4], 1 + id % 4);
        decimals %= 19;
        vm.prank(by);
        reputation.giveFeedback(agentId, value, decimals, "", "", "", "", 0);
        _givenBy[agentId][by].push(_given.length);
        _given.push(Given(agentId, by, value, decimals, false, 0));
    }

    function revoke(uint256 which) external {
        if (_given.length == 0) return;
        Given storage g = _given[which % _given.length];
        uint64 index = _indexOf(which % _given.length);
        vm.prank(g.client);
        reputation.revokeFeedback(g.agentId, index);
        g.revoked = true;
    }

    function respond(uint256 who, uint256 which) external {
        if (_given.length == 0) return;
        Given storage g = _given[which % _given.length];
        vm.prank(people[who % 4]);
        reputation.appendResponse(g.agentId, g.client, _indexOf(which % _given.length), "ipfs://x", 0);
        ++g.responses;
    }

    function request(uint256 validator, uint256 id, uint256 hash) external {
        address to = people[validator % 4];
        uint256 agentId = 1 + id % 4;
        bytes32 requestHash = _hashes[hash % _hashes.length];
        bytes32 key = validations.keyOf(to, agentId, requestHash);
        address owner = agents.ownerOf(agentId);
        vm.prank(owner);
        validations.validationRequest(to, agentId, "", requestHash);
        _askedAt[key] = _asked.length + 1;
        _asked.push(Asked(to, agentId, requestHash, false, 0));
        // somebody may choose this key, or one not used yet, as a hash
        if (_hashes.length < 8) {
            _hashes.push(key);
            _hashes.push(validations.keyOf(to, 1 + (id + 1) % 4, requestHash));
        }
    }

    function answerByKey(uint256 which, uint8 response) external {
        if (_asked.length == 0) return;
        Asked storage a = _asked[which % _asked.length];
        response %= 101;
        bytes32 key = validations.keyOf(a.validator, a.agentId, a.hash);
        vm.prank(a.validator);
        validations.validationResponse(key, response, "", 0, "");
        (a.answered, a.response) = (true, response);
    }

    /// @dev A validator answers a hash that it read in an event.
    function answerByHash(uint256 which, uint8 response) external {
        if (_asked.length == 0) return;
        Asked storage a = _asked[which % _asked.length];
        response %= 101;
        // a hash that is a key means the request under that key
        if (_askedAt[a.hash] != 0) return;
        uint256 others;
        for (uint256 i; i < _asked.length; ++i) {
            if (_asked[i].validator == a.validator && _asked[i].hash == a.hash) ++others;
        }
        vm.prank(a.validator);
        try validations.validationResponse(a.hash, response, "", 0, "") {
            if (others != 1) ++wrong;
            (a.answered, a.response) = (true, response);
            ++bare;
        } catch {
            if (others < 2) ++wrong;
            ++ambiguous;
        }
    }

    function verdict(uint256 id, uint256 hash, uint8 response) external {
        uint256 agentId = 1 + id % 4;
        bytes32 requestHash = _hashes[hash % _hashes.length];
        response %= 101;
        vm.prank(disputes);
        validations.postVerdict(agentId, requestHash, response, "", 0, "");
        bytes32 key = validations.keyOf(disputes, agentId, requestHash);
        if (_askedAt[key] == 0) {
            _asked.push();
            _askedAt[key] = _asked.length;
        }
        _asked[_askedAt[key] - 1] = Asked(disputes, agentId, requestHash, true, response);
    }

    function given() external view returns (Given[] memory) {
        return _given;
    }

    function asked() external view returns (Asked[] memory) {
        return _asked;
    }

    function everybody() external view returns (address[] memory all) {
        all = new address[](4);
        for (uint256 i; i < 4; ++i) {
            all[i] = people[i];
        }
    }

    function _indexOf(uint256 which) private view returns (uint64) {
        Given storage g = _given[which];
        uint256[] storage mine = _givenBy[g.agentId][g.client];
        for (uint64 i; i < mine.length; ++i) {
            if (mine[i] == which) return i + 1;
        }
        revert("not given");
    }
}

/// @title The registries say what was done, whatever anybody else did.
contract RegistriesInvariants is Test {
    RegistriesHandler private handler;

    function setUp() public {
        handler = new RegistriesHandler();
        targetContract(address(handler));
        bytes4[] memory selectors = new bytes4[](8);
        selectors[0] = RegistriesHandler.sell.selector;
        selectors[1] = RegistriesHandler.give.selector;
        selectors[2] = RegistriesHandler.revoke.selector;
        selectors[3] = RegistriesHandler.respond.selector;
        selectors[4] = RegistriesHandler.request.selector;
        selectors[5] = RegistriesHandler.answerByKey.selector;
        selectors[6] = RegistriesHandler.answerByHash.selector;
        selectors[7] = RegistriesHandler.verdict.selector;
        targetSelector(FuzzSelector(address(handler), selectors));
    }

    /// @dev The invariants are worth what the handler reaches.
    function test_handlerReachesBothAnswers() public {
        for (uint256 i; i < 40; ++i) {
            uint256 dice = uint256(keccak256(abi.encode(i)));
            try handler.request(dice, dice >> 8, dice >> 16) { } catch { }
            handler.answerByHash(dice >> 24, uint8(i));
            handler.verdict(dice >> 32, dice >> 40, uint8(i));
        }
        assertGt(handler.bare(), 0, "answered by a bare hash");
        assertGt(handler.ambiguous(), 0, "refused as ambiguous");
        invariant_validationsAreKeptApart();
        invariant_summariesAreTheRecomputedOnes();
    }

    function invariant_summariesAreTheRecomputedOnes() public view {
        RegistriesHandler.Given[] memory given = handler.given();
        address[] memory all = handler.everybody();
        for (uint256 agentId = 1; agentId <= 4; ++agentId) {
            int256 sum;
            uint64 count;
            uint64 responses;
            for (uint256 i; i < given.length; ++i) {
                if (given[i].agentId != agentId) continue;
                responses += given[i].responses;
                if (given[i].revoked) continue;
                ++count;
                sum += int256(given[i].value) * int256(10 ** (18 - given[i].decimals));
            }
            (uint64 n, int128 value, uint8 decimals) = handler.reputation().getSummary(agentId, all, "", "");
            assertEq(n, count, "count");
            if (count != 0) {
                assertEq(value, sum / int64(count) / int256(10 ** (18 - decimals)), "average");
            }
            (, uint64[] memory read,,,,,) =
                handler.reputation().readAllFeedback(agentId, new address[](0), "", "", false);
            assertEq(read.length, count, "read");
            assertEq(
                handler.reputation().getResponseCount(agentId, address(0), 0, new address[](0)),
                responses,
                "responses"
            );
        }
    }

    function invariant_validationsAreKeptApart() public view {
        assertEq(handler.wrong(), 0, "bare hashes");
        RegistriesHandler.Asked[] memory asked = handler.asked();
        ValidationRegistry registry = handler.validations();
        uint256[5] memory perAgent;
        uint256[5] memory answered;
        uint256[5] memory sum;
        for (uint256 i; i < asked.length; ++i) {
            RegistriesHandler.Asked memory a = asked[i];
            (bool done, uint8 response,,, uint256 since) =
                registry.getValidation(a.validator, a.agentId, a.hash);
            assertEq(done, a.answered, "answered");
            assertEq(response, a.response, "response");
            assertGt(since, 0, "known");
            ++perAgent[a.agentId];
            if (!a.answered) continue;
            ++answered[a.agentId];
            sum[a.agentId] += a.response;
        }
        for (uint256 agentId = 1; agentId <= 4; ++agentId) {
            bytes32[] memory names = registry.getAgentValidations(agentId);
            assertEq(names.length, perAgent[agentId], "listed");
            for (uint256 i; i < names.length; ++i) {
                (, uint256 id,,,,) = registry.getValidationStatus(names[i]);
                assertEq(id, agentId, "a listed name finds another agent's");
            }
            (uint64 count, uint8 average) = registry.getSummary(agentId, new address[](0), "");
            assertEq(count, answered[agentId], "counted");
            assertEq(average, count == 0 ? 0 : sum[agentId] / count, "average");
        }
    }
}
