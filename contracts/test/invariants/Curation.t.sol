// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { Test } from "forge-std/Test.sol";
import { DatanetCuration } from "src/DatanetCuration.sol";
import { OpenToken } from "src/OpenToken.sol";
import { Contribution, Curation } from "src/interfaces/IDatanetCuration.sol";
import { Param } from "src/types/Param.sol";
import { CurationWorld } from "../utils/CurationWorld.sol";
import { Trees } from "../utils/Trees.sol";

/// @dev Contributors that copy each other, curators that decide or sleep, an arbiter that rules or does not.
contract CurationHandler is CurationWorld {
    bytes32[] public accepted;

    function world() external view returns (OpenToken, DatanetCuration, uint256) {
        return (token, curation, datanet);
    }

    function contribute(uint256 who, uint256 what, uint256 cluster) external {
        vm.prank(_contributor(who));
        curation.contribute(datanet, bytes32(bound(what, 1, 24)), bytes32(cluster % 4));
    }

    function accept(uint256 id, uint256 cluster) external {
        id = _pick(id, Curation.Pending);
        vm.prank(curator);
        curation.accept(id, bytes32(cluster % 4));
        accepted.push(curation.contribution(id).contentDigest);
    }

    function reject(uint256 id) external {
        id = _pick(id, Curation.Pending);
        vm.prank(curator);
        curation.reject(id, 0);
    }

    function appeal(uint256 id) external {
        id = _pick(id, Curation.Rejected);
        vm.prank(curation.contribution(id).contributor);
        curation.appeal(id, 0);
    }

    function rule(uint256 caseId, bool verdict) external {
        caseId = bound(caseId, 1, arbiter.caseCount());
        vm.prank(governor);
        arbiter.rule(caseId, verdict);
        Contribution memory c = curation.contribution(arbiter.contributionOf(caseId));
        if (c.state == Curation.Accepted) accepted.push(c.contentDigest);
    }

    function settle(uint256 id) external {
        curation.settle(_pick(id));
    }

    function setBond(uint256 bond) external {
        vm.prank(governor);
        parameters.set(Param.CurationBond, bound(bond, 0.0001 ether, 10 ether));
    }

    function pass(uint256 time) external {
        vm.warp(block.timestamp + bound(time, 1 hours, 4 days));
    }

    function acceptedDigests() external view returns (bytes32[] memory) {
        return accepted;
    }

    /// @dev What the contributors have, of the 200,000 they began with.
    function held() external view returns (uint256) {
        return token.balanceOf(ann) + token.balanceOf(ben);
    }

    function fund() external {
        _fund(ann, 99_900 ether);
        _fund(ben, 99_900 ether);
    }

    function _contributor(uint256 who) private view returns (address) {
        return who % 2 == 0 ? ann : ben;
    }

    function _pick(uint256 dice) private view returns (uint256) {
        return bound(dice, 1, curation.contributionCount());
    }

    /// @dev One in that state if there is any, from a random place on; any other one too, now and then.
    function _pick(uint256 dice, Curation state) private view returns (uint256 id) {
        uint256 count = curation.contributionCount();
        id = _pick(dice);
        if (dice % 8 == 0) return id;
        for (uint256 i; i < count; ++i) {
            uint256 other = 1 + (id + i) % count;
            if (curation.contribution(other).state == state) return other;
        }
    }
}

/// @title Bonds are held, back with their contributors or burned; the tree holds what was accepted; all can end.
contract CurationInvariants is Test {
    CurationHandler private handler;
    OpenToken private token;
    DatanetCuration private curation;
    uint256 private datanet;

    function setUp() public {
        handler = new CurationHandler();
        handler.setUp();
        handler.fund();
        (token, curation, datanet) = handler.world();
        bytes4[] memory selectors = new bytes4[](9);
        selectors[0] = CurationHandler.contribute.selector;
        selectors[1] = CurationHandler.accept.selector;
        selectors[2] = CurationHandler.reject.selector;
        selectors[3] = CurationHandler.appeal.selector;
        selectors[4] = CurationHandler.rule.selector;
        selectors[5] = CurationHandler.settle.selector;
        selectors[6] = CurationHandler.setBond.selector;
        selectors[7] = CurationHandler.pass.selector;
        selectors[8] = CurationHandler.contribute.selector; // twice as often as the rest
        targetContract(address(handler));
        targetSelector(FuzzSelector({ addr: address(handler), selectors: selectors }));
    }

    function invariant_bondsAreHeldReturnedOrBurned() public view {
        uint256 bonds;
        uint256 lost;
        for (uint256 id = 1; id <= curation.contributionCount(); ++id) {
            Contribution memory c = curation.contribution(id);
            if (c.state == Curation.Pending || c.state == Curation.Rejected) bonds += c.bond;
            if (c.state == Curation.Appealed) bonds += 2 * uint256(c.bond);
            if (c.state == Curation.Lost) ++lost;
            if (c.state == Curation.Accepted) {
                assertEq(curation.acceptedAs(datanet, c.contentDigest), id, "content is accepted once");
                if (c.clusterKey != 0) {
                    assertGt(curation.clusterHead(datanet, c.clusterKey), 0, "a cluster has a head");
                }
            }
        }
        assertEq(token.balanceOf(address(curation)), bonds, "the contract holds the bonds");
        assertEq(handler.held() + bonds + token.burned(), 200_000 ether, "nothing goes to anybody else");
        if (lost == 0) assertEq(token.burned(), 0, "only lost bonds are burned");
    }

    function invariant_theTreeHoldsWhatWasAccepted() public view {
        bytes32[] memory digests = handler.acceptedDigests();
        (uint256 count, bytes32 root) = curation.acceptedRoot(datanet);
        assertEq(count, digests.length);
        if (count == 0) return;
        bytes32[] memory leaves = new bytes32[](count);
        for (uint256 i; i < count; ++i) {
            leaves[i] = keccak256(bytes.concat(keccak256(abi.encode(digests[i]))));
        }
        assertEq(root, Trees.root(leaves));
    }

    function afterInvariant() public {
        vm.warp(block.timestamp + 31 days);
        for (uint256 id = 1; id <= curation.contributionCount(); ++id) {
            Curation state = curation.contribution(id).state;
            if (state == Curation.Pending || state == Curation.Rejected || state == Curation.Appealed) {
                curation.settle(id);
            }
        }
        assertEq(token.balanceOf(address(curation)), 0, "curation drained");
    }

    /// @dev The invariants are worth what the handlers reach.
    function test_handlersReachEveryState() public {
        for (uint256 seed; seed < 400; ++seed) {
            uint256 d = uint256(keccak256(abi.encode(seed)));
            try handler.contribute(d, d >> 8, d >> 16) { } catch { }
            try handler.reject(d >> 24) { } catch { }
            try handler.appeal(d >> 32) { } catch { }
            if (d % 3 == 0) try handler.rule(d >> 40, d % 2 == 0) { } catch { }
            if (d % 5 == 0) try handler.accept(d >> 48, d >> 56) { } catch { }
            try handler.settle(d >> 64) { } catch { }
            if (d % 7 == 0) handler.pass(d);
        }
        uint256 reached;
        for (uint256 id = 1; id <= curation.contributionCount(); ++id) {
            reached |= 1 << uint256(curation.contribution(id).state);
        }
        assertEq(reached, 126, "every state but None");
        invariant_bondsAreHeldReturnedOrBurned();
        invariant_theTreeHoldsWhatWasAccepted();
        afterInvariant();
    }
}
