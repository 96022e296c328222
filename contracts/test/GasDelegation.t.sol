// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { World } from "./utils/World.sol";

/// @title Full transactions of delegations, intrinsic gas and calldata included: FOUNDRY_PROFILE=gas forge test.
contract DelegationGasTest is World {
    function test_gas_delegation() public {
        vm.prank(client);
        delegations.delegate(agentId, operator, 10 ether);
        vm.snapshotGasLastCall("delegation", "delegate, first of a pool");
        vm.warp(block.timestamp + 1 days);
        vm.prank(contributor);
        delegations.delegate(agentId, operator, 10 ether);
        vm.snapshotGasLastCall("delegation", "delegate, with a batch that is due");
        vm.prank(stranger);
        delegations.delegate(agentId, operator, 10 ether);
        vm.snapshotGasLastCall("delegation", "delegate");
        vm.prank(stranger);
        delegations.cancelDelegation(agentId, operator);
        vm.snapshotGasLastCall("delegation", "cancelDelegation");
        vm.prank(operator);
        delegations.setCommission(agentId, 1000);
        vm.snapshotGasLastCall("delegation", "setCommission, an increase");
        vm.warp(block.timestamp + 14 days);
        vm.prank(challenger);
        delegations.addReward(agentId, operator, 1 ether);
        vm.prank(challenger);
        delegations.addReward(agentId, operator, 1 ether);
        vm.snapshotGasLastCall("delegation", "addReward");
        vm.prank(operator);
        delegations.claimIncome(agentId);
        vm.snapshotGasLastCall("delegation", "claimIncome");
        vm.prank(client);
        delegations.requestUndelegate(agentId, operator, 5 ether);
        vm.snapshotGasLastCall("delegation", "requestUndelegate");
        vm.prank(address(disputes));
        vault.slash(agentId, operator, STAKE / 2);
        vm.snapshotGasLastCall("stake", "slash, self-stake only");
        vm.prank(address(disputes));
        vault.slash(agentId, operator, STAKE);
        vm.snapshotGasLastCall("stake", "slash, delegations too");
        vm.warp(block.timestamp + 14 days);
        vm.prank(client);
        delegations.withdrawDelegation(agentId, operator);
        vm.snapshotGasLastCall("delegation", "withdrawDelegation");
    }
}
