// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { Ownable } from "@openzeppelin/contracts/access/Ownable.sol";
import { DatanetCuration } from "src/DatanetCuration.sol";
import {
    Contribution,
    Curation,
    CuratorRecord,
    ICurationArbiter,
    IDatanetCuration,
    SealedVersion
} from "src/interfaces/IDatanetCuration.sol";
import { IIntakeGuard } from "src/interfaces/IIntakeGuard.sol";
import { MerkleFrontier } from "src/libraries/MerkleFrontier.sol";
import { Param } from "src/types/Param.sol";
import { CurationWorld } from "./utils/CurationWorld.sol";
import { Trees } from "./utils/Trees.sol";

/// @dev Does what a hostile arbiter could: take a fee, refuse, rule at once, and call everything it may while asked.
contract HostileArbiter is ICurationArbiter {
    DatanetCuration public curation;
    uint256 public fee;
    bool public refuses;
    bool public reenters;
    bool public verdict;
    uint256 public succeeded;

    function set(DatanetCuration curation_, uint256 fee_, bool refuses_, bool reenters_, bool verdict_)
        external
    {
        (curation, fee, refuses, reenters, verdict) = (curation_, fee_, refuses_, reenters_, verdict_);
    }

    function openCase(uint256 id, uint256, bytes32, address, uint256) external returns (uint256) {
        require(!refuses, "no");
        if (!reenters) return 0;
        bytes[6] memory calls = [
            abi.encodeCall(curation.settle, (id)),
            abi.encodeCall(curation.appeal, (id, 0)),
            abi.encodeCall(curation.accept, (id, 0)),
            abi.encodeCall(curation.ruled, (id, verdict)),
            abi.encodeCall(curation.ruled, (id, true)),
            abi.encodeCall(curation.settle, (id))
        ];
        for (uint256 i; i < calls.length; ++i) {
            (bool ok,) = address(curation).call(calls[i]);
            if (ok) ++succeeded;
        }
        return type(uint256).max;
    }

    function rule(uint256 id, bool accepted) external {
        curation.ruled(id, accepted);
    }
}

contract Grower {
    using MerkleFrontier for MerkleFrontier.Frontier;

    MerkleFrontier.Frontier private tree;

    function append(bytes32 leaf) external returns (uint256) {
        return tree.append(leaf);
    }

    function root() external view returns (bytes32) {
        return tree.root();
    }
}

contract DatanetCurationTest is CurationWorld {
    function test_contribute_takesTheBond() public {
        vm.expectEmit();
        emit IDatanetCuration.Contributed(1, datanet, ann, "row", "cluster", BOND, block.timestamp + PERIOD);
        vm.prank(ann);
        uint256 id = curation.contribute(datanet, "row", "cluster");
        Contribution memory c = curation.contribution(id);
        assertEq(c.contentDigest, "row");
        assertEq(c.clusterKey, "cluster");
        assertEq(c.contributor, ann);
        assertEq(c.bond, BOND);
        assertEq(c.assetId, datanet);
        assertEq(c.until, block.timestamp + PERIOD);
        assertTrue(c.state == Curation.Pending);
        assertEq(token.balanceOf(address(curation)), BOND);
        assertEq(curation.contributionCount(), 1);
        assertTrue(curation.contribution(2).state == Curation.None);
    }

    function test_contribute_refusals() public {
        vm.startPrank(ann);
        vm.expectRevert(IDatanetCuration.ZeroDigest.selector);
        curation.contribute(datanet, 0, 0);
        vm.expectRevert(abi.encodeWithSelector(IDatanetCuration.NotOpen.selector, 99));
        curation.contribute(99, "row", 0);
        vm.stopPrank();
        vm.prank(owner);
        curation.setOpen(datanet, false);
        vm.expectRevert(abi.encodeWithSelector(IDatanetCuration.NotOpen.selector, datanet));
        _contribute(ann, "row");
        vm.startPrank(owner);
        curation.setOpen(datanet, true);
        assets.tombstone(datanet);
        vm.stopPrank();
        vm.expectRevert(abi.encodeWithSelector(IDatanetCuration.Tombstoned.selector, datanet));
        _contribute(ann, "row");
        vm.prank(makeAddr("poor"));
        vm.expectRevert();
        curation.contribute(datanet, "row", 0);
    }

    function test_contribute_notDuringAPause() public {
        uint256 id = _contribute(ann, "row");
        uint256 other = _contribute(ann, "other");
        address guardian = makeAddr("guardian");
        vm.prank(governor);
        parameters.setGuardian(guardian);
        vm.prank(guardian);
        parameters.pauseIntake(1 days);
        vm.expectRevert(abi.encodeWithSelector(IIntakeGuard.IntakePaused.selector, block.timestamp + 1 days));
        _contribute(ann, "third");
        _accept(id);
        _reject(other);
        vm.prank(ann);
        curation.appeal(other, 0);
    }

    function test_owner_onlyMayOpenAppointAndSeal() public {
        vm.startPrank(ann);
        bytes memory refused = abi.encodeWithSelector(IDatanetCuration.NotAuthorized.selector, datanet, ann);
        vm.expectRevert(refused);
        curation.setOpen(datanet, false);
        vm.expectRevert(refused);
        curation.setCurator(datanet, ann, true);
        vm.expectRevert(refused);
        curation.seal(datanet, "row");
        uint256 model = assets.register(2, "weights", 0x70, new uint256[](0), "MIT", 0, "");
        vm.expectRevert(abi.encodeWithSelector(IDatanetCuration.NotDatanet.selector, model));
        curation.setOpen(model, true);
    }

    function test_curators_areTheOwnersAndEndWithItsOwnership() public {
        assertTrue(curation.isCurator(datanet, curator));
        assertTrue(curation.isCurator(datanet, owner));
        assertFalse(curation.isCurator(datanet, ann));
        vm.prank(owner);
        assets.transferFrom(owner, ben, datanet);
        assertFalse(curation.isCurator(datanet, curator));
        assertFalse(curation.isCurator(datanet, owner));
        assertTrue(curation.isCurator(datanet, ben));
        vm.prank(ben);
        curation.setCurator(datanet, curator, true);
        assertTrue(curation.isCurator(datanet, curator));
        vm.prank(ben);
        curation.setCurator(datanet, curator, false);
        uint256 id = _contribute(ann, "row");
        vm.expectRevert(abi.encodeWithSelector(IDatanetCuration.NotCurator.selector, datanet, curator));
        _accept(id);
    }

    function test_accept_returnsTheBondAndCounts() public {
        uint256 id = _contribute(ann, "row");
        vm.warp(block.timestamp + PERIOD);
        vm.expectEmit();
        emit IDatanetCuration.ContributionAccepted(id, datanet, 0, "row", 0, id, curator);
        _accept(id);
        assertEq(token.balanceOf(ann), 100 ether);
        assertEq(curation.acceptedAs(datanet, "row"), id);
        (uint256 count, bytes32 root) = curation.acceptedRoot(datanet);
        assertEq(count, 1);
        assertEq(root, _leaf("row"));
        assertEq(curation.curatorRecord(curator).accepted, 1);
        vm.expectRevert(
            abi.encodeWithSelector(IDatanetCuration.WrongCuration.selector, id, Curation.Accepted)
        );
        _accept(id);
        vm.expectRevert(
            abi.encodeWithSelector(IDatanetCuration.WrongCuration.selector, id, Curation.Accepted)
        );
        curation.settle(id);
    }

    function test_verdicts_onlyInTime() public {
        uint256 id = _contribute(ann, "row");
        uint256 until = block.timestamp + PERIOD;
        vm.warp(until + 1);
        vm.expectRevert(abi.encodeWithSelector(IDatanetCuration.TooLate.selector, until));
        _accept(id);
        vm.expectRevert(abi.encodeWithSelector(IDatanetCuration.TooLate.selector, until));
        _reject(id);
        vm.expectRevert(abi.encodeWithSelector(IDatanetCuration.WrongCuration.selector, 9, Curation.None));
        _accept(9);
    }

    function test_silence_returnsTheBondAndIsRemembered() public {
        uint256 id = _contribute(ann, "row");
        uint256 until = block.timestamp + PERIOD;
        vm.warp(until);
        vm.expectRevert(abi.encodeWithSelector(IDatanetCuration.TooEarly.selector, until));
        curation.settle(id);
        vm.warp(until + 1);
        curation.settle(id); // anyone
        assertEq(token.balanceOf(ann), 100 ether);
        assertEq(curation.missedOf(datanet), 1);
        assertTrue(curation.contribution(id).state == Curation.Lapsed);
        uint256 again = _contribute(ann, "row"); // may be offered again
        _accept(again);
    }

    function test_identicalContent_firstAcceptedWins() public {
        uint256 first = _contribute(ann, "row");
        uint256 second = _contribute(ben, "row");
        _accept(second);
        bytes memory duplicate = abi.encodeWithSelector(IDatanetCuration.DuplicateContent.selector, second);
        vm.expectRevert(duplicate);
        _accept(first);
        vm.expectRevert(duplicate);
        _reject(first); // its bond must not be taken for it
        vm.expectRevert(duplicate);
        _contribute(ann, "row");
        curation.settle(first); // at once
        assertEq(token.balanceOf(ann), 100 ether);
        assertEq(curation.missedOf(datanet), 0);
    }

    function test_clusters_theFirstAcceptedIsTheHead() public {
        vm.prank(ann);
        uint256 a = curation.contribute(datanet, "a", "cluster");
        vm.prank(ben);
        uint256 b = curation.contribute(datanet, "b", "made up");
        vm.startPrank(curator);
        curation.accept(a, 0);
        vm.expectEmit();
        emit IDatanetCuration.ContributionAccepted(b, datanet, 1, "b", "cluster", a, curator);
        curation.accept(b, "cluster"); // the curator knows better
        vm.stopPrank();
        assertEq(curation.clusterHead(datanet, "cluster"), a);
        assertEq(curation.clusterHead(datanet, "made up"), 0);
        assertEq(curation.contribution(b).clusterKey, "cluster");
        assertEq(curation.clusterHead(datanet, 0), 0);
    }

    // --- rejection and appeal ----------------------------------------------------------------------------------

    function test_reject_burnsTheBondOnlyAfterTheAppealPeriod() public {
        uint256 id = _contribute(ann, "row");
        _reject(id);
        uint256 until = block.timestamp + APPEAL;
        assertEq(token.balanceOf(address(curation)), BOND);
        vm.warp(until);
        vm.expectRevert(abi.encodeWithSelector(IDatanetCuration.TooEarly.selector, until));
        curation.settle(id);
        vm.warp(until + 1);
        vm.expectRevert(abi.encodeWithSelector(IDatanetCuration.TooLate.selector, until));
        vm.prank(ann);
        curation.appeal(id, 0);
        curation.settle(id);
        assertEq(token.burned(), BOND);
        assertEq(token.balanceOf(address(curation)), 0);
        assertTrue(curation.contribution(id).state == Curation.Lost);
        assertEq(curation.curatorRecord(curator).rejected, 1);
    }

    function test_appeal_won() public {
        uint256 id = _appealed("row");
        assertEq(token.balanceOf(address(curation)), 2 * BOND);
        vm.prank(governor);
        arbiter.rule(1, true);
        assertEq(token.balanceOf(ann), 100 ether);
        assertEq(curation.acceptedAs(datanet, "row"), id);
        CuratorRecord memory r = curation.curatorRecord(curator);
        assertEq(r.rejected, 1);
        assertEq(r.overturned, 1);
        vm.expectRevert(
            abi.encodeWithSelector(IDatanetCuration.WrongCuration.selector, id, Curation.Accepted)
        );
        vm.prank(governor);
        arbiter.rule(1, false);
    }

    function test_appeal_lost() public {
        uint256 id = _appealed("row");
        vm.prank(governor);
        arbiter.rule(1, false);
        assertEq(token.balanceOf(ann), 100 ether - 2 * BOND);
        assertEq(token.burned(), 2 * BOND);
        assertTrue(curation.contribution(id).state == Curation.Lost);
        assertEq(curation.curatorRecord(curator).overturned, 0);
    }

    function test_appeal_unanswered_returnsBothBonds() public {
        uint256 id = _appealed("row");
        uint256 until = block.timestamp + RULING;
        vm.warp(until);
        vm.expectRevert(abi.encodeWithSelector(IDatanetCuration.TooEarly.selector, until));
        curation.settle(id);
        vm.warp(until + 1);
        vm.expectRevert(abi.encodeWithSelector(IDatanetCuration.TooLate.selector, until));
        vm.prank(governor);
        arbiter.rule(1, false);
        curation.settle(id);
        assertEq(token.balanceOf(ann), 100 ether);
        assertEq(curation.missedOf(datanet), 0, "not the curators' silence");
    }

    function test_appeal_wonTooLateForTheSameContent() public {
        uint256 id = _appealed("row");
        uint256 other = _contribute(ben, "row");
        _accept(other);
        vm.prank(governor);
        arbiter.rule(1, true);
        assertTrue(curation.contribution(id).state == Curation.Lapsed);
        assertEq(token.balanceOf(ann), 100 ether, "both bonds are back");
        assertEq(curation.acceptedAs(datanet, "row"), other);
    }

    function test_appeal_refusals() public {
        uint256 id = _contribute(ann, "row");
        vm.expectRevert(abi.encodeWithSelector(IDatanetCuration.WrongCuration.selector, id, Curation.Pending));
        vm.prank(ann);
        curation.appeal(id, 0);
        _reject(id);
        vm.expectRevert(abi.encodeWithSelector(IDatanetCuration.NotContributor.selector, id, ben));
        vm.prank(ben);
        curation.appeal(id, 0);
        vm.expectRevert(abi.encodeWithSelector(IDatanetCuration.OnlyArbiter.selector, governor));
        vm.prank(governor);
        curation.ruled(id, true);
        vm.startPrank(address(arbiter));
        vm.expectRevert(
            abi.encodeWithSelector(IDatanetCuration.WrongCuration.selector, id, Curation.Rejected)
        );
        curation.ruled(id, true);
        vm.stopPrank();
        vm.startPrank(ann);
        curation.appeal(id, 0);
        vm.expectRevert(
            abi.encodeWithSelector(IDatanetCuration.WrongCuration.selector, id, Curation.Appealed)
        );
        curation.appeal(id, 0);
    }

    function test_terms_areThoseOfTheContribution() public {
        uint256 id = _contribute(ann, "row");
        vm.startPrank(governor);
        parameters.set(Param.CurationBond, 5 ether);
        parameters.set(Param.CurationPeriod, 1 days);
        vm.stopPrank();
        vm.warp(block.timestamp + 2 days);
        _reject(id);
        vm.prank(ann);
        curation.appeal(id, 0);
        assertEq(token.balanceOf(address(curation)), 2 * BOND);
        vm.prank(governor);
        arbiter.rule(1, true);
        assertEq(token.balanceOf(ann), 100 ether);
    }

    // --- arbiters ----------------------------------------------------------------------------------------------

    function test_arbiter_thatReentersRulesOnceAndTakesNothing() public {
        HostileArbiter hostile = _hostile(0, false, true, false);
        _contribute(ben, "somebody else's bond");
        uint256 id = _contribute(ann, "row");
        _reject(id);
        vm.prank(ann);
        curation.appeal(id, 0);
        assertEq(hostile.succeeded(), 1, "one ruling");
        assertEq(token.burned(), 2 * BOND);
        assertEq(token.balanceOf(address(curation)), BOND, "the other bond is untouched");
        hostile.set(curation, 0, false, true, true);
        uint256 second = _contribute(ann, "second");
        _reject(second);
        vm.prank(ann);
        curation.appeal(second, 0);
        assertEq(hostile.succeeded(), 2);
        assertTrue(curation.contribution(second).state == Curation.Accepted);
        assertEq(token.balanceOf(ann), 100 ether - 2 * BOND);
    }

    function test_arbiter_thatNeverAnswersHoldsNothingForEver() public {
        _hostile(0, false, false, false);
        uint256 id = _contribute(ann, "row");
        _reject(id);
        vm.prank(ann);
        curation.appeal(id, 0);
        vm.warp(block.timestamp + RULING + 1);
        curation.settle(id);
        assertEq(token.balanceOf(ann), 100 ether);
    }

    function test_arbiter_feeIsWhatWasAgreedAndOnTopOfTheBonds() public {
        HostileArbiter hostile = _hostile(1 ether, false, false, false);
        uint256 id = _contribute(ann, "row");
        _reject(id);
        vm.startPrank(ann);
        vm.expectRevert(abi.encodeWithSelector(IDatanetCuration.FeeTooHigh.selector, 1 ether, 1 ether - 1));
        curation.appeal(id, 1 ether - 1);
        curation.appeal(id, 1 ether);
        vm.stopPrank();
        assertEq(token.balanceOf(address(hostile)), 1 ether);
        hostile.rule(id, true);
        assertEq(token.balanceOf(ann), 99 ether);
    }

    function test_arbiter_thatRefusesLeavesTheRejection() public {
        _hostile(0, true, false, false);
        uint256 id = _contribute(ann, "row");
        _reject(id);
        vm.expectRevert(bytes("no"));
        vm.prank(ann);
        curation.appeal(id, 0);
        assertTrue(curation.contribution(id).state == Curation.Rejected);
        vm.warp(block.timestamp + APPEAL + 1);
        curation.settle(id);
        assertEq(token.balanceOf(address(curation)), 0);
    }

    // --- versions ----------------------------------------------------------------------------------------------

    function test_seal_bindsAVersionToWhatWasAccepted() public {
        bytes32[] memory leaves = new bytes32[](5);
        for (uint256 i; i < 5; ++i) {
            bytes32 digest = keccak256(abi.encode(i));
            _accept(_contribute(ann, digest));
            leaves[i] = _leaf(digest);
        }
        vm.startPrank(owner);
        vm.expectRevert(
            abi.encodeWithSelector(IDatanetCuration.BadVersion.selector, datanet, bytes32("version"))
        );
        curation.seal(datanet, "version");
        uint32 version = assets.addVersion(datanet, "version", 0x71);
        SealedVersion memory made = curation.seal(datanet, "version");
        vm.stopPrank();
        assertEq(made.count, 5);
        assertEq(made.root, Trees.root(leaves));
        assertEq(curation.sealedVersion(datanet, version).root, made.root);
        _accept(_contribute(ann, "later"));
        for (uint256 i; i < 5; ++i) {
            bytes32 digest = keccak256(abi.encode(i));
            bytes32[] memory proof = Trees.proof(leaves, i);
            assertTrue(curation.inVersion(datanet, version, i, digest, proof));
            assertFalse(curation.inVersion(datanet, version, (i + 1) % 5, digest, proof));
            assertFalse(curation.inVersion(datanet, version, i, "later", proof));
            assertFalse(curation.inVersion(datanet, version + 1, i, digest, proof));
        }
        vm.expectRevert(
            abi.encodeWithSelector(IDatanetCuration.BadVersion.selector, datanet, bytes32("version"))
        );
        vm.prank(owner);
        curation.seal(datanet, "version");
    }

    function test_seal_needsSomethingAccepted() public {
        vm.expectRevert(abi.encodeWithSelector(IDatanetCuration.NothingAccepted.selector, datanet));
        vm.prank(owner);
        curation.seal(datanet, keccak256("empty"));
    }

    function testFuzz_frontier_isTheIndexedTree(uint8 count, bytes32 seed) public {
        Grower grower = new Grower();
        assertEq(grower.root(), 0);
        bytes32[] memory leaves = new bytes32[](bound(count, 1, 130));
        for (uint256 i; i < leaves.length; ++i) {
            leaves[i] = keccak256(abi.encode(seed, i));
            assertEq(grower.append(leaves[i]), i);
        }
        assertEq(grower.root(), Trees.root(leaves));
    }

    function test_frontier_everySmallSize() public {
        Grower grower = new Grower();
        for (uint256 n = 1; n <= 40; ++n) {
            grower.append(keccak256(abi.encode(n)));
            bytes32[] memory leaves = new bytes32[](n);
            for (uint256 i; i < n; ++i) {
                leaves[i] = keccak256(abi.encode(i + 1));
            }
            assertEq(grower.root(), Trees.root(leaves));
        }
    }

    function _appealed(bytes32 digest) private returns (uint256 id) {
        id = _contribute(ann, digest);
        _reject(id);
        vm.prank(ann);
        curation.appeal(id, 0);
    }

    function _hostile(uint256 fee, bool refuses, bool reenters, bool verdict)
        private
        returns (HostileArbiter hostile)
    {
        hostile = new HostileArbiter();
        curation = _curation(hostile);
        hostile.set(curation, fee, refuses, reenters, verdict);
        vm.startPrank(owner);
        curation.setOpen(datanet, true);
        curation.setCurator(datanet, curator, true);
        vm.stopPrank();
        vm.prank(ann);
        token.approve(address(curation), type(uint256).max);
        vm.prank(ben);
        token.approve(address(curation), type(uint256).max);
    }
}
