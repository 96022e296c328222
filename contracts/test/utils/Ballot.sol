// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { IGovernor } from "@openzeppelin/contracts/governance/IGovernor.sol";
import { Case } from "./Case.sol";

/// @title A disputed case and voters: two who reach the quorum together, and the steps of a proposal.
abstract contract Ballot is Case {
    uint8 internal constant AGAINST = 0;
    uint8 internal constant FOR = 1;
    uint8 internal constant ABSTAIN = 2;

    struct Proposal {
        address[] targets;
        uint256[] values;
        bytes[] calls;
        string description;
    }

    address internal whale = makeAddr("whale");
    address internal member = makeAddr("member");

    function setUp() public virtual override {
        super.setUp();
        _voter(whale, 15_000_000 ether);
        _voter(member, 6_000_000 ether);
        vm.warp(block.timestamp + 1);
    }

    function _voter(address account, uint256 amount) internal {
        _fund(account, amount);
        vm.prank(account);
        token.delegate(account);
    }

    function _proposal(address target, bytes memory call) internal pure returns (Proposal memory p) {
        p.targets = new address[](1);
        p.values = new uint256[](1);
        p.calls = new bytes[](1);
        (p.targets[0], p.calls[0], p.description) = (target, call, "why");
    }

    function _propose(Proposal memory p) internal returns (uint256 id) {
        vm.prank(whale);
        id = openGovernor.propose(p.targets, p.values, p.calls, p.description);
    }

    function _openVote(uint256 id) internal {
        vm.warp(openGovernor.proposalSnapshot(id) + 1);
    }

    function _cast(uint256 id, address account, uint8 support) internal {
        vm.prank(account);
        openGovernor.castVote(id, support);
    }

    function _closeVote(uint256 id) internal {
        vm.warp(openGovernor.proposalDeadline(id) + 1);
    }

    /// @dev Proposed, voted for by both, queued, and due.
    function _ready(Proposal memory p) internal returns (uint256 id) {
        id = _propose(p);
        _openVote(id);
        _cast(id, whale, FOR);
        _cast(id, member, FOR);
        _closeVote(id);
        _queue(p);
        vm.warp(openGovernor.proposalEta(id));
    }

    function _queue(Proposal memory p) internal {
        openGovernor.queue(p.targets, p.values, p.calls, keccak256(bytes(p.description)));
    }

    function _execute(Proposal memory p) internal {
        openGovernor.execute(p.targets, p.values, p.calls, keccak256(bytes(p.description)));
    }

    function _pass(address target, bytes memory call) internal {
        Proposal memory p = _proposal(target, call);
        _ready(p);
        _execute(p);
    }

    function _assertState(uint256 id, IGovernor.ProposalState expected) internal view {
        assertEq(uint8(openGovernor.state(id)), uint8(expected));
    }
}
