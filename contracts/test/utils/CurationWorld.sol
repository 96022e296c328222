// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { Test } from "forge-std/Test.sol";
import { AssetRegistry } from "src/AssetRegistry.sol";
import { DatanetCuration } from "src/DatanetCuration.sol";
import { OpenToken } from "src/OpenToken.sol";
import { Parameters } from "src/Parameters.sol";
import { ICurationArbiter } from "src/interfaces/IDatanetCuration.sol";
import { IndexedMerkle } from "src/libraries/IndexedMerkle.sol";
import { PlainArbiter } from "./PlainArbiter.sol";

/// @title An open datanet with an owner and a curator, two contributors, and an arbiter.
abstract contract CurationWorld is Test {
    uint256 internal constant BOND = 0.1 ether;
    uint256 internal constant PERIOD = 3 days;
    uint256 internal constant APPEAL = 1 days;
    uint256 internal constant RULING = 30 days;

    OpenToken internal token;
    Parameters internal parameters;
    AssetRegistry internal assets;
    DatanetCuration internal curation;
    PlainArbiter internal arbiter;

    address internal owner = makeAddr("owner");
    address internal curator = makeAddr("curator");
    address internal ann = makeAddr("ann");
    address internal ben = makeAddr("ben");
    address internal governor = makeAddr("governor");
    uint256 internal datanet;

    function setUp() public virtual {
        token = new OpenToken();
        parameters = new Parameters(governor);
        assets = new AssetRegistry(parameters);
        address curationAt = vm.computeCreateAddress(address(this), vm.getNonce(address(this)) + 1);
        arbiter = new PlainArbiter(governor, DatanetCuration(curationAt));
        curation = _curation(arbiter);
        assertEq(address(curation), curationAt);
        vm.startPrank(owner);
        datanet = assets.register(1, keccak256("empty"), 0x71, new uint256[](0), "CC-BY-4.0", 0, "");
        curation.setOpen(datanet, true);
        curation.setCurator(datanet, curator, true);
        vm.stopPrank();
        _fund(ann, 100 ether);
        _fund(ben, 100 ether);
    }

    function _curation(ICurationArbiter by) internal returns (DatanetCuration) {
        return new DatanetCuration(token, parameters, assets, by);
    }

    function _fund(address account, uint256 amount) internal {
        vm.deal(account, account.balance + amount);
        vm.startPrank(account);
        token.deposit{ value: amount }();
        token.approve(address(curation), type(uint256).max);
        vm.stopPrank();
    }

    function _contribute(address by, bytes32 digest) internal returns (uint256) {
        vm.prank(by);
        return curation.contribute(datanet, digest, 0);
    }

    function _accept(uint256 id) internal {
        vm.prank(curator);
        curation.accept(id, 0);
    }

    function _reject(uint256 id) internal {
        vm.prank(curator);
        curation.reject(id, "reason");
    }

    function _leaf(bytes32 digest) internal pure returns (bytes32) {
        return IndexedMerkle.leafOf(abi.encode(digest));
    }
}
