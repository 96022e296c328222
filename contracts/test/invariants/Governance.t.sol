// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { Test } from "forge-std/Test.sol";
import { IGovernor } from "@openzeppelin/contracts/governance/IGovernor.sol";
import { Param } from "src/types/Param.sol";
import { Ballot } from "../utils/Ballot.sol";

/// @title Random voters who wrap, unwrap, delegate, propose and vote; strangers who try what is due or not.
contract GovernanceHandler is Ballot {
    struct Made {
        uint256 id;
        uint256 proposedAt;
        Proposal proposal;
        uint256 value;
    }

    address[4] public voters;
    /// @dev What the last executed proposal set.
    uint256 public expected;
    uint256 public executed;
    bool public early;
    bool public unearned;

    Made[] private _made;
    uint256 private _now;

    function setUp() public override {
        super.setUp();
        voters = [whale, member, makeAddr("third voter"), makeAddr("fourth voter")];
        vm.deal(voters[2], 40_000_000 ether);
        vm.deal(voters[3], 1_000_000 ether);
        expected = parameters.get(Param.GrossDelta);
        _now = block.timestamp;
    }

    function wrap(uint256 who, uint256 amount) external {
        address voter = voters[who % 4];
        if (voter.balance == 0) return;
        vm.startPrank(voter);
        token.deposit{ value: bound(amount, 1, voter.balance) }();
        token.delegate(voter);
        vm.stopPrank();
    }

    function unwrap(uint256 who, uint256 amount) external {
        address voter = voters[who % 4];
        uint256 held = token.balanceOf(voter);
        if (held == 0) return;
        vm.prank(voter);
        token.withdraw(bound(amount, 1, held));
    }

    function propose(uint256 who, uint256 wanted) public {
        Made storage m = _made.push();
        m.value = bound(wanted, 100, 5000);
        m.proposal.targets.push(address(parameters));
        m.proposal.values.push(0);
        m.proposal.calls.push(abi.encodeCall(parameters.set, (Param.GrossDelta, m.value)));
        m.proposal.description = vm.toString(_made.length);
        m.proposedAt = _now;
        Proposal memory p = m.proposal;
        vm.prank(voters[who % 4]);
        m.id = openGovernor.propose(p.targets, p.values, p.calls, p.description);
    }

    function vote(uint256 who, uint256 which, uint8 support) external {
        if (_made.length == 0) return;
        // the latest are those open for votes
        uint256 index = _made.length - 1 - which % (_made.length < 3 ? _made.length : 3);
        vm.prank(voters[who % 4]);
        openGovernor.castVote(_made[index].id, support % 3);
    }

    function queue(uint256 which) external {
        if (_made.length == 0) return;
        _queue(_made[which % _made.length].proposal);
    }

    function execute(uint256 which) external {
        if (_made.length == 0) return;
        _run(which % _made.length);
    }

    /// @dev A whole vote, so that some runs get through.
    function legislate(uint256 wanted, uint256 support) external {
        propose(0, wanted);
        uint256 index = _made.length - 1;
        pass(1 days + 1);
        for (uint256 i; i < 4; ++i) {
            vm.prank(voters[i]);
            openGovernor.castVote(_made[index].id, (support >> i) % 4 == 0 ? 0 : 1);
        }
        pass(5 days + 1);
        if (openGovernor.state(_made[index].id) != IGovernor.ProposalState.Succeeded) return;
        _queue(_made[index].proposal);
        pass(8 days);
        _run(index);
    }

    function pass(uint256 time) public {
        _now += bound(time, 1, 8 days);
        vm.warp(_now);
    }

    function value() external view returns (uint256) {
        return parameters.get(Param.GrossDelta);
    }

    function owner() external view returns (address) {
        return parameters.owner();
    }

    function timelockAt() external view returns (address) {
        return address(timelock);
    }

    function _run(uint256 index) private {
        Made memory m = _made[index];
        _execute(m.proposal);
        ++executed;
        expected = m.value;
        (uint256 against, uint256 inFavour, uint256 abstaining) = openGovernor.proposalVotes(m.id);
        uint256 quorum = openGovernor.quorum(openGovernor.proposalSnapshot(m.id));
        if (inFavour <= against || inFavour + abstaining < quorum || quorum < 19_000_000 ether) {
            unearned = true;
        }
        if (_now < m.proposedAt + 14 days) early = true;
        if (openGovernor.state(m.id) != IGovernor.ProposalState.Executed) unearned = true;
    }
}

contract GovernanceInvariants is Test {
    GovernanceHandler private handler;

    function setUp() public {
        handler = new GovernanceHandler();
        handler.setUp();
        bytes4[] memory selectors = new bytes4[](8);
        selectors[0] = GovernanceHandler.wrap.selector;
        selectors[1] = GovernanceHandler.unwrap.selector;
        selectors[2] = GovernanceHandler.propose.selector;
        selectors[3] = GovernanceHandler.vote.selector;
        selectors[4] = GovernanceHandler.queue.selector;
        selectors[5] = GovernanceHandler.execute.selector;
        selectors[6] = GovernanceHandler.legislate.selector;
        selectors[7] = GovernanceHandler.pass.selector;
        targetContract(address(handler));
        targetSelector(FuzzSelector({ addr: address(handler), selectors: selectors }));
    }

    /// @dev A parameter is what the last earned proposal made it, and takes fourteen days from proposal to effect.
    function invariant_onlyEarnedProposalsChangeAnything() public view {
        assertEq(handler.value(), handler.expected());
        assertFalse(handler.early(), "nothing takes effect before delay, vote and timelock");
        assertFalse(handler.unearned(), "nothing takes effect without majority and quorum");
        assertEq(handler.owner(), handler.timelockAt());
    }

    function test_handlerGetsSomethingThrough() public {
        handler.legislate(3000, 1);
        assertEq(handler.executed(), 0, "the largest two voted against");
        handler.legislate(3000, 0xff);
        assertEq(handler.executed(), 1);
        assertEq(handler.value(), 3000);
    }
}
