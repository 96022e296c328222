// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { IParameters } from "src/interfaces/IParameters.sol";
import { Param } from "src/types/Param.sol";
import { Ballot } from "./utils/Ballot.sol";

/// @title Full transactions of a vote: FOUNDRY_PROFILE=gas forge test.
contract GovernanceGasTest is Ballot {
    function test_gas_proposal() public {
        Proposal memory p =
            _proposal(address(parameters), abi.encodeCall(IParameters.set, (Param.GrossDelta, 3000)));
        uint256 id = _propose(p);
        vm.snapshotGasLastCall("governance", "propose, one call");
        _openVote(id);
        _cast(id, whale, FOR);
        vm.snapshotGasLastCall("governance", "castVote, first of a proposal");
        _cast(id, member, FOR);
        vm.snapshotGasLastCall("governance", "castVote");
        _closeVote(id);
        _queue(p);
        vm.snapshotGasLastCall("governance", "queue");
        vm.warp(openGovernor.proposalEta(id));
        _execute(p);
        vm.snapshotGasLastCall("governance", "execute, one parameter");
    }

    function test_gas_treasury() public {
        vm.deal(address(openTreasury), 100 ether);
        openTreasury.wrap();
        vm.snapshotGasLastCall("governance", "wrap");
        vm.prank(governor);
        uint256 id = openTreasury.grant(contributor, 10 ether, 0, 100 days, "bafkreireason");
        vm.snapshotGasLastCall("governance", "grant");
        vm.warp(block.timestamp + 10 days);
        openTreasury.release(id);
        vm.snapshotGasLastCall("governance", "release");
    }

    function test_gas_delegate() public {
        _fund(stranger, 1 ether);
        vm.prank(stranger);
        token.delegate(stranger);
        vm.snapshotGasLastCall("governance", "delegate");
    }

    function test_gas_pause() public {
        vm.prank(governor);
        parameters.setGuardian(stranger);
        vm.prank(stranger);
        parameters.pauseIntake(1 days);
        vm.snapshotGasLastCall("governance", "pauseIntake");
    }
}
