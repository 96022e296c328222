// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { Test } from "forge-std/Test.sol";
import { IERC721Receiver } from "@openzeppelin/contracts/token/ERC721/IERC721Receiver.sol";
import { AssetRegistry } from "src/AssetRegistry.sol";
import { Parameters } from "src/Parameters.sol";
import { Asset, IAssetRegistry } from "src/interfaces/IAssetRegistry.sol";
import { Param } from "src/types/Param.sol";

/// @dev Acts on its asset while it is still being minted.
contract EagerOwner is IERC721Receiver {
    AssetRegistry private immutable assets;
    uint256[] private none;

    constructor(AssetRegistry assets_) {
        assets = assets_;
    }

    function register() external returns (uint256) {
        return assets.register(1, keccak256("eager"), 0x71, none, "MIT", 0, "");
    }

    function onERC721Received(address, address, uint256 id, bytes calldata) external returns (bytes4) {
        if (assets.depthOf(id + 1) == 0 && id < 2) {
            assets.register(1, keccak256("inner"), 0x71, none, "MIT", 0, "");
        }
        assets.addVersion(id, keccak256("second"), 0x71);
        assets.tombstone(id);
        return IERC721Receiver.onERC721Received.selector;
    }
}

contract AssetRegistryTest is Test {
    AssetRegistry private assets;
    Parameters private parameters;
    uint256[] private none;
    address private alice = makeAddr("alice");
    address private bob = makeAddr("bob");

    function setUp() public {
        parameters = new Parameters(address(this));
        assets = new AssetRegistry(parameters);
        vm.startPrank(alice);
    }

    function test_register_storesEverything() public {
        uint256 data = _register(1, none);
        uint256 model = _register(2, none);
        uint256[] memory parents = new uint256[](2);
        (parents[0], parents[1]) = (model, data);
        uint256 adapter =
            assets.register(3, keccak256("adapter"), 0x70, parents, "Apache-2.0", 250, "ipfs://adapter");
        assertEq(data, 1);
        assertEq(adapter, 3);
        Asset memory a = assets.asset(adapter);
        assertEq(a.kind, 3);
        assertFalse(a.revoked);
        assertEq(a.codec, 0x70);
        assertEq(a.royaltyBps, 250);
        assertEq(a.version, 1);
        assertEq(a.contentDigest, keccak256("adapter"));
        assertEq(a.licence, "Apache-2.0");
        assertEq(a.uri, "ipfs://adapter");
        assertEq(a.parents, parents);
        assertEq(assets.ownerOf(adapter), alice);
        assertEq(assets.tokenURI(adapter), "ipfs://adapter");
        assertEq(assets.depthOf(adapter), 2);
        assertEq(assets.kindOf(adapter), 3);
        assertEq(assets.kindOf(9), 0);
        assertEq(assets.versionOf(adapter, keccak256("adapter")), 1);
        assertEq(assets.versionOf(data, keccak256("adapter")), 0);
    }

    function test_register_revertsOnBadInput() public {
        vm.expectRevert(abi.encodeWithSelector(IAssetRegistry.UnknownKind.selector, 0));
        _register(0, none);
        vm.expectRevert(abi.encodeWithSelector(IAssetRegistry.UnknownKind.selector, 5));
        _register(5, none);
        vm.expectRevert(IAssetRegistry.ZeroDigest.selector);
        assets.register(1, 0, 0x55, none, "MIT", 0, "");
        vm.expectRevert(abi.encodeWithSelector(IAssetRegistry.BadRoyalty.selector, 10_001));
        assets.register(1, keccak256("x"), 0x55, none, "MIT", 10_001, "");
        uint256[] memory parents = new uint256[](1);
        parents[0] = 7;
        vm.expectRevert(abi.encodeWithSelector(IAssetRegistry.UnknownParent.selector, 7));
        _register(1, parents);
    }

    function test_register_parentsAreDistinctAndAtMostSixteen() public {
        uint256[] memory parents = new uint256[](17);
        for (uint256 i; i < 17; ++i) {
            parents[i] = _register(1, none);
        }
        vm.expectRevert(abi.encodeWithSelector(IAssetRegistry.TooManyParents.selector, 17));
        _register(2, parents);
        assembly {
            mstore(parents, 16)
        }
        _register(2, parents);
        parents[15] = parents[0];
        vm.expectRevert(abi.encodeWithSelector(IAssetRegistry.DuplicateParent.selector, parents[0]));
        _register(2, parents);
    }

    function test_register_lineageIsAtMostEightDeep() public {
        uint256[] memory parents = new uint256[](1);
        parents[0] = _register(1, none);
        for (uint256 depth = 2; depth <= 8; ++depth) {
            parents[0] = _register(1, parents);
            assertEq(assets.depthOf(parents[0]), depth);
        }
        vm.expectRevert(abi.encodeWithSelector(IAssetRegistry.TooDeep.selector, 9));
        _register(1, parents);
    }

    function test_versions_countUpAndAreNeverRepeated() public {
        uint256 id = _register(1, none);
        assertEq(assets.addVersion(id, keccak256("second"), 0x71), 2);
        assertEq(assets.asset(id).contentDigest, keccak256("second"));
        assertEq(assets.asset(id).codec, 0x71);
        assertEq(assets.versionOf(id, keccak256("content")), 1);
        assertEq(assets.versionOf(id, keccak256("second")), 2);
        vm.expectRevert(
            abi.encodeWithSelector(IAssetRegistry.DuplicateVersion.selector, id, keccak256("content"))
        );
        assets.addVersion(id, keccak256("content"), 0x71);
        vm.expectRevert(IAssetRegistry.ZeroDigest.selector);
        assets.addVersion(id, 0, 0x71);
    }

    function test_tombstone_flagsForGood() public {
        uint256 id = _register(1, none);
        assets.tombstone(id);
        assertTrue(assets.asset(id).revoked);
        // everything stays readable
        assertEq(assets.versionOf(id, keccak256("content")), 1);
        vm.expectRevert(abi.encodeWithSelector(IAssetRegistry.Tombstoned.selector, id));
        assets.tombstone(id);
        vm.expectRevert(abi.encodeWithSelector(IAssetRegistry.Tombstoned.selector, id));
        assets.addVersion(id, keccak256("second"), 0x71);
    }

    function test_tombstone_bindsOnlyWhatComesAfterTheLag() public {
        uint256 id = _register(1, none);
        bytes32 digest = keccak256("content");
        assertTrue(assets.isUsable(id, digest, type(uint256).max));
        assertFalse(assets.isUsable(id, keccak256("other"), 0), "no version");
        assertFalse(assets.isUsable(9, digest, 0), "no asset");
        assertEq(assets.tombstonedAt(id), 0);
        vm.warp(block.timestamp + 5 days);
        uint256 at = block.timestamp;
        assets.tombstone(id);
        assertEq(assets.tombstonedAt(id), at);
        assertTrue(assets.isUsable(id, digest, at - 1 days));
        assertTrue(assets.isUsable(id, digest, at + 1 hours), "a ticket issued just before");
        assertFalse(assets.isUsable(id, digest, at + 1 hours + 1));
        // a later, shorter lag must not bind what was issued in good faith
        vm.stopPrank();
        parameters.set(Param.MaxAnchorLag, 5 minutes);
        assertTrue(assets.isUsable(id, digest, at + 1 hours));
    }

    function test_royaltiesOf_namesWhatEachParentAsks() public {
        uint256[] memory parents = new uint256[](2);
        parents[0] = assets.register(1, keccak256("a"), 0x71, none, "MIT", 250, "");
        parents[1] = assets.register(1, keccak256("b"), 0x71, none, "MIT", 10_000, "");
        uint256 child = _register(3, parents);
        (uint256[] memory ids, uint256[] memory bps) = assets.royaltiesOf(child);
        assertEq(ids, parents);
        assertEq(bps[0], 250);
        assertEq(bps[1], 10_000);
        (ids, bps) = assets.royaltiesOf(parents[0]);
        assertEq(ids.length + bps.length, 0);
        vm.expectRevert(abi.encodeWithSelector(IAssetRegistry.UnknownAsset.selector, 9));
        assets.royaltiesOf(9);
    }

    function test_register_aReceiverThatReentersFindsEverythingInPlace() public {
        EagerOwner eager = new EagerOwner(assets);
        uint256 id = eager.register();
        assertEq(id, 1);
        assertEq(assets.asset(1).contentDigest, keccak256("second"));
        assertTrue(assets.asset(1).revoked);
        assertEq(assets.versionOf(1, keccak256("eager")), 1);
        assertEq(assets.versionOf(2, keccak256("inner")), 1);
        assertEq(assets.ownerOf(2), address(eager));
    }

    function test_owner_onlyAndKnownOnly() public {
        uint256 id = _register(1, none);
        vm.stopPrank();
        vm.startPrank(bob);
        vm.expectRevert(abi.encodeWithSelector(IAssetRegistry.NotAuthorized.selector, id, bob));
        assets.addVersion(id, keccak256("second"), 0x71);
        vm.expectRevert(abi.encodeWithSelector(IAssetRegistry.NotAuthorized.selector, id, bob));
        assets.tombstone(id);
        vm.expectRevert(abi.encodeWithSelector(IAssetRegistry.UnknownAsset.selector, 9));
        assets.tombstone(9);
        vm.expectRevert(abi.encodeWithSelector(IAssetRegistry.UnknownAsset.selector, 9));
        assets.asset(9);
        vm.expectRevert(abi.encodeWithSelector(IAssetRegistry.UnknownAsset.selector, 9));
        assets.tokenURI(9);
    }

    function _register(uint8 kind, uint256[] memory parents) private returns (uint256) {
        return assets.register(kind, keccak256("content"), 0x71, parents, "CC-BY-4.0", 0, "");
    }
}
