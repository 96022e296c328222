// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { Test } from "forge-std/Test.sol";
import { AgentRegistry } from "src/AgentRegistry.sol";
import { DelegationPool } from "src/DelegationPool.sol";
import { Parameters } from "src/Parameters.sol";
import { StakeVault } from "src/StakeVault.sol";
import { IActionLog } from "src/interfaces/IActionLog.sol";
import { IAgentObserver } from "src/interfaces/IAgentRegistry.sol";
import { DelegationPoolState, IDelegationPool } from "src/interfaces/IDelegationPool.sol";
import { IOpenToken } from "src/interfaces/IOpenToken.sol";
import { Position } from "src/interfaces/IStakeVault.sol";
import { HostileToken } from "./utils/HostileToken.sol";

/// @dev The vault and the pool over a token that re-enters on every movement. The attacker is the token itself: it
/// owns an agent, is a juror and a delegator, and re-enters every call from the middle of every other one.
contract ReentrancyTest is Test {
    StakeVault private vault;
    DelegationPool private delegations;
    HostileToken private token;
    AgentRegistry private agents;
    address private disputes = makeAddr("disputes");
    address private evil;
    uint256 private agentId;

    /// @dev The ActionLog's and the registry observer's part: nothing happens there.
    function onStakeChanged(uint256, address, uint256) external { }
    function onAgentTransferred(uint256) external { }

    function setUp() public {
        token = new HostileToken();
        evil = address(token);
        uint256 n = vm.getNonce(address(this));
        address poolAt = vm.computeCreateAddress(address(this), n + 3);
        Parameters parameters = new Parameters(address(this));
        agents = new AgentRegistry(IAgentObserver(address(this)));
        vault = new StakeVault(
            IOpenToken(address(token)),
            agents,
            parameters,
            IActionLog(address(this)),
            disputes,
            IDelegationPool(poolAt)
        );
        delegations = new DelegationPool(IOpenToken(address(token)), agents, parameters, address(vault));

        token.mint(evil, 10_000 ether);
        token.mint(address(this), 10_000 ether);
        token.approve(address(vault), type(uint256).max);
        token.approve(address(delegations), type(uint256).max);
        vm.startPrank(evil);
        token.approve(address(vault), type(uint256).max);
        token.approve(address(delegations), type(uint256).max);
        agentId = agents.register();
        vm.stopPrank();

        // somebody else's money, which must be there in the end
        delegations.delegate(agentId, evil, 500 ether);
        vm.startPrank(evil);
        vault.deposit(agentId, 1000 ether);
        vault.joinJury(500 ether);
        delegations.delegate(agentId, evil, 500 ether);
        vm.warp(block.timestamp + 1 days);
        // something of everything is due: exits of both kinds, income, pending
        vault.requestWithdraw(agentId, 100 ether);
        delegations.requestUndelegate(agentId, evil, 100 ether);
        vm.warp(block.timestamp + 14 days);
        delegations.setCommission(agentId, 0);
        delegations.delegate(agentId, evil, 50 ether);
        delegations.addReward(agentId, evil, 10 ether);
        delegations.setCommission(agentId, 5000);
        vm.warp(block.timestamp + 14 days);
        delegations.addReward(agentId, evil, 10 ether);
        delegations.delegate(agentId, evil, 50 ether);
        vm.stopPrank();
    }

    /// @dev Every pair of calls, the inner one before and after the outer's balances move.
    function test_noPairOfCallsTakesAnythingTwice() public {
        (address[] memory targets, bytes[] memory calls) = _calls();
        uint256 entered;
        uint256 snapshot = vm.snapshotState();
        for (uint256 outer; outer < calls.length; ++outer) {
            for (uint256 inner; inner < calls.length; ++inner) {
                for (uint256 before; before < 2; ++before) {
                    token.arm(targets[inner], calls[inner], before == 1);
                    vm.prank(evil);
                    (bool ok,) = targets[outer].call(calls[outer]);
                    assertTrue(ok);
                    entered += token.entered();
                    token.disarm();
                    _checkBooks();
                    vm.revertToState(snapshot);
                }
            }
        }
        // where a call is repeated from within itself there may be nothing left to take
        assertGt(entered, calls.length * calls.length, "the calls back do something");
    }

    function test_slashCannotBeEscapedFromWithin() public {
        (address[] memory targets, bytes[] memory calls) = _calls();
        uint256 snapshot = vm.snapshotState();
        for (uint256 inner; inner < calls.length; ++inner) {
            for (uint256 before; before < 2; ++before) {
                token.arm(targets[inner], calls[inner], before == 1);
                vm.prank(disputes);
                uint256 taken = vault.slash(agentId, evil, 5000 ether);
                assertGe(taken, 1000 ether, "all of the self-stake");
                assertEq(token.balanceOf(disputes), taken);
                token.disarm();
                _checkBooks();
                vm.revertToState(snapshot);
            }
        }
    }

    function _calls() private view returns (address[] memory targets, bytes[] memory calls) {
        targets = new address[](7);
        calls = new bytes[](7);
        for (uint256 i; i < 7; ++i) {
            targets[i] = i < 2 ? address(vault) : address(delegations);
        }
        calls[0] = abi.encodeCall(vault.deposit, (agentId, 7 ether));
        calls[1] = abi.encodeCall(vault.withdraw, (agentId));
        calls[2] = abi.encodeCall(delegations.delegate, (agentId, evil, 7 ether));
        calls[3] = abi.encodeCall(delegations.cancelDelegation, (agentId, evil));
        calls[4] = abi.encodeCall(delegations.withdrawDelegation, (agentId, evil));
        calls[5] = abi.encodeCall(delegations.addReward, (agentId, evil, 7 ether));
        calls[6] = abi.encodeCall(delegations.claimIncome, (agentId));
    }

    function _checkBooks() private view {
        Position memory p = vault.positionOf(agentId, evil);
        assertEq(
            token.balanceOf(address(vault)),
            uint256(p.active) + p.pending + vault.jurorStake(evil),
            "the vault holds what it owes"
        );
        DelegationPoolState memory d = delegations.delegationPoolOf(agentId, evil);
        assertEq(
            token.balanceOf(address(delegations)),
            uint256(d.activeAssets) + d.exitingAssets + d.pending + d.income,
            "the pool holds what it owes"
        );
        (, uint256 worth) = delegations.delegationOf(agentId, evil, address(this));
        assertGe(worth, 350 ether, "the other delegator lost the capped slash at most");
    }
}
