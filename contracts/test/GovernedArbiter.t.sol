// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { Curation } from "src/interfaces/IDatanetCuration.sol";
import { IGovernedArbiter } from "src/interfaces/IGovernedArbiter.sol";
import { Ballot } from "./utils/Ballot.sol";

/// @title Appeals decided by a vote, in time.
contract GovernedArbiterTest is Ballot {
    function test_aVoteOverturnsARejectionInTime() public {
        vm.startPrank(operator);
        uint256 datanet = assets.register(1, "rows", 0x71, new uint256[](0), "MIT", 0, "");
        curation.setOpen(datanet, true);
        vm.stopPrank();
        vm.startPrank(contributor);
        token.approve(address(curation), type(uint256).max);
        uint256 before = token.balanceOf(contributor);
        uint256 id = curation.contribute(datanet, "row", 0);
        vm.stopPrank();
        vm.prank(operator);
        curation.reject(id, "not on topic");
        vm.prank(contributor);
        curation.appeal(id, 0);
        // proposed a week late, and still in time
        vm.warp(block.timestamp + 7 days);
        _pass(address(arbiter), abi.encodeCall(IGovernedArbiter.rule, (1, true)));
        assertTrue(curation.contribution(id).state == Curation.Accepted);
        assertEq(token.balanceOf(contributor), before);
    }
}
