// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { Authorization } from "src/interfaces/ILicenseMarket.sol";
import { CurationWorld } from "./utils/CurationWorld.sol";
import { MarketWorld } from "./utils/MarketWorld.sol";

/// @title Full transactions of registry and market, intrinsic gas and calldata included.
contract MarketGasTest is MarketWorld {
    function test_gas_assets() public {
        uint256[] memory parents = _pair(datanet, model);
        vm.prank(alice);
        assets.register(1, keccak256("rows"), 0x71, new uint256[](0), "CC-BY-4.0", 250, "ipfs://rows");
        vm.snapshotGasLastCall("assets", "register, no parents");
        vm.prank(alice);
        assets.register(3, keccak256("lora"), 0x70, parents, "Apache-2.0", 250, "ipfs://lora");
        vm.snapshotGasLastCall("assets", "register, two parents");
        vm.prank(alice);
        assets.addVersion(datanet, keccak256("second"), 0x71);
        vm.snapshotGasLastCall("assets", "addVersion");
        vm.prank(alice);
        assets.tombstone(datanet);
        vm.snapshotGasLastCall("assets", "tombstone");
    }

    function test_gas_income() public {
        vm.prank(buyer);
        market.payAsset(adapter, 1 ether);
        vm.snapshotGasLastCall("market", "payAsset, first of an asset");
        market.distribute(adapter);
        vm.snapshotGasLastCall("market", "distribute, two parents, first");
        vm.prank(buyer);
        market.payAsset(adapter, 1 ether);
        market.distribute(adapter);
        vm.snapshotGasLastCall("market", "distribute, two parents");
        uint256[] memory parents = new uint256[](16);
        for (uint256 i; i < 16; ++i) {
            parents[i] = _asset(alice, 1, 500, new uint256[](0));
        }
        uint256 child = _asset(carol, 4, 0, parents);
        vm.prank(buyer);
        market.payAsset(child, 1 ether);
        market.distribute(child);
        vm.snapshotGasLastCall("market", "distribute, sixteen parents, first");
    }

    function test_gas_licences() public {
        vm.startPrank(alice);
        uint256 open = market.offer(datanet, keccak256("terms"), 1 ether, 30 days, 0, 0, true);
        vm.snapshotGasLastCall("market", "offer");
        uint256 private_ = market.offer(datanet, keccak256("terms"), 1 ether, 30 days, 1 days, 0, false);
        vm.stopPrank();
        vm.startPrank(buyer);
        market.buy(open, buyer, 1 ether); // the first income of the asset and the first cut
        market.buy(open, stranger, 1 ether);
        vm.snapshotGasLastCall("market", "buy");
        market.renew(1, 1 ether);
        vm.snapshotGasLastCall("market", "renew");
        market.transfer(1, carol);
        vm.snapshotGasLastCall("market", "transfer");
        uint256 granted = market.buy(private_, bob, 1 ether);
        vm.snapshotGasLastCall("market", "buy, key awaited");
        uint256 waiting = market.buy(private_, buyer, 1 ether);
        vm.stopPrank();
        vm.prank(alice);
        market.grantKey(granted, new bytes(113)); // an ephemeral key, a nonce, a wrapped 32-byte key and its tag
        vm.snapshotGasLastCall("market", "grantKey");
        vm.warp(block.timestamp + 1 days + 1);
        market.refund(waiting);
        vm.snapshotGasLastCall("market", "refund");
        market.collectCut();
        vm.snapshotGasLastCall("market", "collectCut");
    }

    function test_gas_authorization() public {
        (address payer, uint256 secret) = makeAddrAndKey("payer");
        _fund(payer, 1 ether);
        vm.prank(alice);
        uint256 offerId = market.offer(datanet, keccak256("terms"), 1 ether, 0, 0, 0, false);
        vm.prank(stranger);
        market.buy(offerId, stranger, 1 ether);
        Authorization memory a;
        (a.payer, a.value, a.validBefore) = (payer, 1 ether, block.timestamp + 1 hours);
        bytes32 typeHash = keccak256(
            "ReceiveWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
        );
        bytes32 nonce = market.authorizationNonce(offerId, payer, 0);
        bytes32 consent =
            keccak256(abi.encode(typeHash, payer, address(market), a.value, 0, a.validBefore, nonce));
        (a.v, a.r, a.s) =
            vm.sign(secret, keccak256(abi.encodePacked("\x19\x01", token.DOMAIN_SEPARATOR(), consent)));
        market.buyWithAuthorization(offerId, payer, a);
        vm.snapshotGasLastCall("market", "buyWithAuthorization");
    }
}

contract CurationGasTest is CurationWorld {
    function test_gas_curation() public {
        _accept(_contribute(ann, "first"));
        uint256 id = _contribute(ann, "row");
        vm.snapshotGasLastCall("curation", "contribute");
        _accept(id);
        vm.snapshotGasLastCall("curation", "accept");
        id = _contribute(ann, "bad row");
        _reject(id);
        vm.snapshotGasLastCall("curation", "reject");
        vm.prank(ann);
        curation.appeal(id, 0);
        vm.snapshotGasLastCall("curation", "appeal");
        vm.prank(governor);
        arbiter.rule(1, true);
        vm.snapshotGasLastCall("curation", "rule, accepted");
        id = _contribute(ann, "silence");
        vm.warp(block.timestamp + PERIOD + 1);
        curation.settle(id);
        vm.snapshotGasLastCall("curation", "settle, bond back");
        vm.prank(owner);
        curation.seal(datanet, keccak256("empty"));
        vm.snapshotGasLastCall("curation", "seal, three contributions");
    }
}
