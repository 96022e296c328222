// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { Test } from "forge-std/Test.sol";
import { AssetRegistry } from "src/AssetRegistry.sol";
import { LicenseMarket } from "src/LicenseMarket.sol";
import { OpenToken } from "src/OpenToken.sol";
import { Parameters } from "src/Parameters.sol";

/// @title A market with a datanet of alice, a model of bob, an adapter of carol on both, and two buyers.
abstract contract MarketWorld is Test {
    OpenToken internal token;
    Parameters internal parameters;
    AssetRegistry internal assets;
    LicenseMarket internal market;

    address internal alice = makeAddr("alice");
    address internal bob = makeAddr("bob");
    address internal carol = makeAddr("carol");
    address internal buyer = makeAddr("buyer");
    address internal stranger = makeAddr("stranger");
    address internal treasury = makeAddr("treasury");
    address internal governor = makeAddr("governor");

    uint256 internal datanet;
    uint256 internal model;
    uint256 internal adapter;

    function setUp() public virtual {
        token = new OpenToken();
        parameters = new Parameters(governor);
        assets = new AssetRegistry(parameters);
        market = new LicenseMarket(token, parameters, assets, treasury);
        datanet = _asset(alice, 1, 1000, new uint256[](0));
        model = _asset(bob, 2, 500, new uint256[](0));
        adapter = _asset(carol, 3, 0, _pair(datanet, model));
        _fund(buyer, 1000 ether);
        _fund(stranger, 1000 ether);
    }

    function _asset(address owner, uint8 kind, uint16 bps, uint256[] memory parents)
        internal
        returns (uint256)
    {
        vm.prank(owner);
        return assets.register(kind, keccak256("content"), 0x71, parents, "CC-BY-4.0", bps, "");
    }

    function _pair(uint256 a, uint256 b) internal pure returns (uint256[] memory pair) {
        pair = new uint256[](2);
        (pair[0], pair[1]) = (a, b);
    }

    function _fund(address account, uint256 amount) internal {
        vm.deal(account, account.balance + amount);
        vm.startPrank(account);
        token.deposit{ value: amount }();
        token.approve(address(market), type(uint256).max);
        vm.stopPrank();
    }

    /// @dev What the owner of an asset gets of a price, after the protocol cut.
    function _net(uint256 price) internal pure returns (uint256) {
        return price - price * 500 / 10_000;
    }
}
