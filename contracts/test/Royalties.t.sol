// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { IRoyalties } from "src/interfaces/IRoyalties.sol";
import { IAssetRegistry } from "src/interfaces/IAssetRegistry.sol";
import { MarketWorld } from "./utils/MarketWorld.sol";

contract RoyaltiesTest is MarketWorld {
    function test_distribute_oneLevelACall() public {
        _pay(adapter, 100 ether);
        assertEq(market.incomeOf(adapter), 100 ether);
        assertEq(market.distribute(adapter), 85 ether);
        assertEq(token.balanceOf(carol), 85 ether);
        assertEq(market.incomeOf(adapter), 0);
        assertEq(market.incomeOf(datanet), 10 ether);
        assertEq(market.incomeOf(model), 5 ether);
        assertEq(token.balanceOf(alice), 0, "the next level is another call");
        market.distribute(datanet);
        market.distribute(model);
        assertEq(token.balanceOf(alice), 10 ether);
        assertEq(token.balanceOf(bob), 5 ether);
        assertEq(token.balanceOf(address(market)), 0);
    }

    function test_distributeMany_paysAWholeLineage() public {
        _pay(adapter, 100 ether);
        uint256[] memory ids = new uint256[](4);
        (ids[0], ids[1], ids[2], ids[3]) = (adapter, datanet, model, 77);
        market.distributeMany(ids);
        assertEq(token.balanceOf(carol), 85 ether);
        assertEq(token.balanceOf(alice), 10 ether);
        assertEq(token.balanceOf(bob), 5 ether);
        market.distributeMany(ids); // nothing left is no error
    }

    function test_split_parentsThatAskForMoreThanEverythingShareIt() public {
        uint256 greedy = _asset(alice, 1, 10_000, new uint256[](0));
        uint256 modest = _asset(bob, 1, 5000, new uint256[](0));
        uint256 child = _asset(carol, 3, 0, _pair(greedy, modest));
        (uint256 toOwner, uint256[] memory parents, uint256[] memory toParents) = market.split(child, 100);
        assertEq(parents, _pair(greedy, modest));
        assertEq(toParents[0], 66);
        assertEq(toParents[1], 33);
        assertEq(toOwner, 1, "what rounding leaves is the owner's");
    }

    function test_split_extremes() public view {
        (uint256 toOwner,, uint256[] memory toParents) = market.split(adapter, 0);
        assertEq(toOwner + toParents[0] + toParents[1], 0);
        (toOwner,, toParents) = market.split(adapter, type(uint256).max);
        assertEq(toOwner + toParents[0] + toParents[1], type(uint256).max);
        (toOwner,, toParents) = market.split(adapter, 1);
        assertEq(toOwner, 1);
    }

    function testFuzz_split_everyWeiIsAccountedFor(uint16[16] memory bps, uint8 count, uint256 amount)
        public
    {
        uint256[] memory parents = new uint256[](bound(count, 0, 16));
        uint256 asked;
        for (uint256 i; i < parents.length; ++i) {
            bps[i] = uint16(bound(bps[i], 0, 10_000));
            asked += bps[i];
            parents[i] = _asset(alice, 1, bps[i], new uint256[](0));
        }
        uint256 child = _asset(carol, 4, 0, parents);
        (uint256 toOwner,, uint256[] memory toParents) = market.split(child, amount);
        uint256 sum = toOwner;
        for (uint256 i; i < parents.length; ++i) {
            sum += toParents[i];
            // nobody gets more than it asks, and nobody loses a whole wei of it
            uint256 whole = asked > 10_000 ? asked : 10_000;
            if (amount < 2 ** 240) {
                assertLe(toParents[i] * whole, amount * bps[i]);
                assertGt((toParents[i] + 1) * whole, amount * bps[i]);
            }
        }
        assertEq(sum, amount);
    }

    /// @dev The deepest and widest lineage there can be: a call stays one level.
    function test_distribute_isBoundedForEveryLineage() public {
        uint256 lowest = _wideLineage()[0];
        _pay(lowest, 1 ether);
        uint256 before = gasleft();
        market.distribute(lowest);
        assertLt(before - gasleft(), 800_000);
        assertEq(token.balanceOf(carol), 0.04 ether);
        uint256[] memory parents = assets.asset(lowest).parents;
        assertEq(parents.length, 16);
        for (uint256 i; i < 16; ++i) {
            assertEq(market.incomeOf(parents[i]), 0.06 ether);
        }
    }

    function test_income_goesToTheOwnerAtDistribution() public {
        _pay(adapter, 10 ether);
        vm.prank(carol);
        assets.transferFrom(carol, stranger, adapter);
        uint256 before = token.balanceOf(stranger);
        market.distribute(adapter);
        assertEq(
            token.balanceOf(stranger) - before, 8.5 ether, "the buyer has bought what was not distributed"
        );
        assertEq(token.balanceOf(carol), 0);
    }

    function test_tombstonedAssetsKeepEarning() public {
        vm.prank(alice);
        assets.tombstone(datanet);
        _pay(adapter, 10 ether);
        market.distribute(adapter);
        assertEq(market.incomeOf(datanet), 1 ether);
    }

    function test_reverts() public {
        vm.expectRevert(abi.encodeWithSelector(IRoyalties.NoIncome.selector, adapter));
        market.distribute(adapter);
        vm.startPrank(buyer);
        vm.expectRevert(abi.encodeWithSelector(IRoyalties.NoIncome.selector, adapter));
        market.payAsset(adapter, 0);
        vm.expectRevert(abi.encodeWithSelector(IRoyalties.UnknownAsset.selector, 99));
        market.payAsset(99, 1);
        vm.expectRevert();
        market.payAsset(adapter, type(uint256).max);
        vm.expectRevert(abi.encodeWithSelector(IAssetRegistry.UnknownAsset.selector, 99));
        market.split(99, 1);
    }

    /// @dev The same figures as Python's `split_income`: tests/vectors/royalties.json.
    function test_vectors() public {
        string memory json = vm.readFile("../tests/vectors/royalties.json");
        uint256 cases = vm.parseJsonUint(json, ".cases");
        assertGt(cases, 0);
        for (uint256 c; c < cases; ++c) {
            string memory at = string.concat(".case", vm.toString(c));
            uint256[] memory bps = vm.parseJsonUintArray(json, string.concat(at, ".royalties"));
            uint256[] memory parents = new uint256[](bps.length);
            for (uint256 i; i < bps.length; ++i) {
                parents[i] = _asset(alice, 1, uint16(bps[i]), new uint256[](0));
            }
            uint256 child = _asset(carol, 4, 0, parents);
            uint256 amount = vm.parseJsonUint(json, string.concat(at, ".amount"));
            (uint256 toOwner,, uint256[] memory toParents) = market.split(child, amount);
            assertEq(toOwner, vm.parseJsonUint(json, string.concat(at, ".toOwner")));
            assertEq(toParents, vm.parseJsonUintArray(json, string.concat(at, ".toParents")));
        }
    }

    function _pay(uint256 assetId, uint256 amount) private {
        vm.prank(buyer);
        market.payAsset(assetId, amount);
    }

    /// @dev Eight layers; every asset of a layer has the sixteen of the next as parents. Returns the lowest layer.
    function _wideLineage() private returns (uint256[] memory layer) {
        layer = new uint256[](16);
        for (uint256 depth; depth < 8; ++depth) {
            uint256[] memory next = new uint256[](16);
            for (uint256 i; i < 16; ++i) {
                next[i] = _asset(carol, 2, 600, depth == 0 ? new uint256[](0) : layer);
            }
            layer = next;
        }
    }
}
