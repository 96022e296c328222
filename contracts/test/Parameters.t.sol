// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { Ownable } from "@openzeppelin/contracts/access/Ownable.sol";
import { Test } from "forge-std/Test.sol";
import { Parameters } from "src/Parameters.sol";
import { IParameters } from "src/interfaces/IParameters.sol";
import { Param } from "src/types/Param.sol";

contract ParametersTest is Test {
    Parameters private parameters;

    function setUp() public {
        parameters = new Parameters(address(this));
    }

    function test_defaults_areTheDocumentedOnes() public view {
        uint256[37] memory expected = [
            uint256(1 hours),
            3 days,
            12 hours,
            24 hours,
            6 hours,
            12 hours,
            12 hours,
            24 hours,
            14 days,
            500,
            80,
            2500,
            5000,
            3000,
            1000,
            2500,
            64,
            1000,
            500,
            200,
            1 ether,
            10 ether,
            100 ether,
            0.02 ether,
            1 ether,
            2 ether,
            2500,
            4,
            1 days,
            3000,
            5000,
            0.05 ether,
            16,
            200,
            0.1 ether,
            3 days,
            0.01 ether
        ];
        uint256[] memory all = parameters.all();
        assertEq(all.length, 37);
        for (uint256 i; i < 37; ++i) {
            (uint256 min, uint256 max) = parameters.bounds(Param(i));
            assertEq(all[i], expected[i], parameters.nameOf(Param(i)));
            assertEq(parameters.get(Param(i)), all[i]);
            assertLe(min, all[i]);
            assertLe(all[i], max);
            assertNotEq(bytes(parameters.nameOf(Param(i))).length, 0);
        }
    }

    function test_exitFormula_isTheDocumentedSum() public {
        // 1 h + 3 d + 12 h + 24 h + 6 h + (3 tiers x 2 draws x (24 h + 4 blocks) + 2 appeals x 24 h)
        assertEq(parameters.exitFormula(), 1 hours + 3 days + 42 hours + 8 days + 6 * 4 * 12);
        vm.expectRevert(
            abi.encodeWithSelector(
                IParameters.ExitFormulaBroken.selector, 14 days, parameters.exitFormula() + 2 days
            )
        );
        parameters.set(Param.ChallengeWindow, 5 days);
        parameters.set(Param.WithdrawalDelay, 21 days);
        parameters.set(Param.ChallengeWindow, 5 days);
    }

    function test_set_isForTheOwnerWithinBounds() public {
        vm.expectRevert(
            abi.encodeWithSelector(IParameters.OutOfBounds.selector, Param.BurnShare, 4999, 5000, 10_000)
        );
        parameters.set(Param.BurnShare, 4999);
        vm.prank(address(1));
        vm.expectRevert(abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, address(1)));
        parameters.set(Param.GrossDelta, 3000);
        vm.expectEmit(address(parameters));
        emit IParameters.ParameterSet(Param.GrossDelta, 2500, 3000);
        parameters.set(Param.GrossDelta, 3000);
        assertEq(parameters.disputeTerms().grossDelta, 3000);
    }

    function test_set_crossChecks() public {
        vm.expectRevert(abi.encodeWithSelector(IParameters.AuditTooWeak.selector, 499, 80));
        parameters.set(Param.AuditRate, 499);
        parameters.set(Param.AuditRate, 1000);
        parameters.set(Param.OutputSlash, 40);

        vm.expectRevert(abi.encodeWithSelector(IParameters.SilenceTooCheap.selector, 2 ether, 2 ether + 1));
        parameters.set(Param.WrongVotePenalty, 2 ether + 1);
        vm.expectRevert(abi.encodeWithSelector(IParameters.JurorStakeTooSmall.selector, 100 ether, 101 ether));
        parameters.set(Param.NonRevealPenalty, 101 ether);
        vm.expectRevert(
            abi.encodeWithSelector(IParameters.SharesBroken.selector, 8000, 3000, 1 ether, 0.02 ether)
        );
        parameters.set(Param.BurnShare, 8000);
        vm.expectRevert(
            abi.encodeWithSelector(IParameters.SharesBroken.selector, 5000, 3000, 1 ether, 0.1 ether)
        );
        parameters.set(Param.JurorFee, 0.1 ether);
    }

    function test_ownership_movesInTwoSteps() public {
        parameters.transferOwnership(address(7));
        assertEq(parameters.owner(), address(this));
        vm.prank(address(7));
        parameters.acceptOwnership();
        assertEq(parameters.owner(), address(7));
    }

    /// @dev No sequence of accepted changes may break what dispute and exit rely on.
    function test_fuzz_set_keepsEveryPromise(uint8[12] memory which, uint256[12] memory values) public {
        for (uint256 i; i < which.length; ++i) {
            Param p = Param(which[i] % 28);
            (uint256 min, uint256 max) = parameters.bounds(p);
            uint256 value = bound(values[i], min, max);
            try parameters.set(p, value) {
                assertEq(parameters.get(p), value);
            } catch { }
        }
        assertGe(parameters.get(Param.WithdrawalDelay), parameters.exitFormula());
        assertGe(parameters.get(Param.AuditRate) * parameters.get(Param.OutputSlash), 40_000);
        uint256 burn = parameters.get(Param.BurnShare);
        uint256 challenger = parameters.get(Param.ChallengerShare);
        assertGe(burn, 5000);
        assertLe(challenger, 3000);
        uint256 least = parameters.get(Param.MinSlash);
        uint256 rest = least * (10_000 - burn - challenger) / 10_000;
        assertGe(rest, 5 * parameters.get(Param.JurorFee) + least / parameters.get(Param.OutputSlash));
    }
}
