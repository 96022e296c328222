// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { Test } from "forge-std/Test.sol";
import { BlockRandomness } from "src/BlockRandomness.sol";
import { IRandomness } from "src/interfaces/IRandomness.sol";

contract BlockRandomnessTest is Test {
    address private constant HISTORY = 0x0000F90827F1C53a10cb7A02335B175320002935;
    /// @dev The code of EIP-2935.
    bytes private constant HISTORY_CODE =
        hex"3373fffffffffffffffffffffffffffffffffffffffe14604657602036036042575f35600143038111604257611fff81430311604257611fff9006545f5260205ff35b5f5ffd5b5f35611fff60014303065500";
    uint256 private constant AT = 20_000;

    BlockRandomness private randomness;

    function setUp() public {
        randomness = new BlockRandomness();
        vm.etch(HISTORY, "");
        vm.roll(AT + 1);
    }

    function test_at_isTheBlocksHash() public {
        vm.setBlockhash(AT, keccak256("hash"));
        assertEq(randomness.at(AT), keccak256("hash"));
        vm.expectRevert(abi.encodeWithSelector(IRandomness.NotMined.selector, AT + 1));
        randomness.at(AT + 1);
    }

    function test_fuzz_at_withoutHistoryASuccessorOf256IsTheSameForAll(uint256 later, uint256 again) public {
        later = bound(later, 257, 100_000);
        uint256 k = (later - 1) / 256;
        again = AT + k * 256 + 1 + bound(again, 0, 255);
        vm.roll(AT + later);
        vm.setBlockhash(AT + k * 256, keccak256("successor"));
        assertEq(randomness.at(AT), keccak256("successor"));
        vm.roll(again);
        vm.setBlockhash(AT + k * 256, keccak256("successor"));
        assertEq(randomness.at(AT), keccak256("successor"));
    }

    function test_fuzz_at_historyReachesBack8191Blocks(uint256 later) public {
        vm.etch(HISTORY, HISTORY_CODE);
        later = bound(later, 257, 100_000);
        uint256 found = AT + (later - 1) / 8191 * 8191;
        _record(found, keccak256("kept"));
        vm.roll(AT + later);
        assertEq(randomness.at(AT), keccak256("kept"));
    }

    function test_at_emptyHistoryFallsBackTo256() public {
        vm.etch(HISTORY, HISTORY_CODE);
        vm.roll(AT + 300);
        vm.setBlockhash(AT + 256, keccak256("successor"));
        assertEq(randomness.at(AT), keccak256("successor"));
    }

    /// @dev What the system call does at the beginning of each block.
    function _record(uint256 number, bytes32 hash) private {
        vm.roll(number + 1);
        vm.prank(0xffffFFFfFFffffffffffffffFfFFFfffFFFfFFfE);
        (bool ok,) = HISTORY.call(abi.encode(hash));
        assertTrue(ok);
    }
}
