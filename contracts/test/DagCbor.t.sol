// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { Test } from "forge-std/Test.sol";
import { DagCbor } from "src/libraries/DagCbor.sol";

contract DagCborTest is Test {
    function at(bytes calldata data, uint256 offset) external pure returns (bool, bytes32, bool) {
        return DagCbor.linkAt(data, offset);
    }

    /// @dev In a list of links after any other items, each link is found where it stands and nowhere else.
    function test_fuzz_linksStandWhereTheyStand(uint256 seed, uint8 links) public view {
        uint256 n = bound(links, 1, 9);
        bytes memory data = _junk(seed);
        uint256 start = data.length + 1;
        data = bytes.concat(data, bytes1(uint8(0x80 + n)));
        for (uint256 i; i < n; ++i) {
            data = bytes.concat(
                data, hex"d82a58250001", i % 2 == 0 ? bytes1(0x71) : bytes1(0x55), hex"1220", _digest(i)
            );
        }
        for (uint256 offset; offset < data.length + 2; ++offset) {
            (bool ok, bytes32 digest, bool isNode) = this.at(data, offset);
            bool expected = offset >= start && offset < data.length && (offset - start) % 41 == 0;
            assertEq(ok, expected);
            if (!expected) continue;
            assertEq(digest, _digest((offset - start) / 41));
            assertEq(isNode, ((offset - start) / 41) % 2 == 0);
        }
    }

    function test_fuzz_anythingMayBeRead(bytes calldata data, uint256 offset) public view {
        offset = bound(offset, 0, type(uint128).max);
        (bool ok,,) = this.at(data, offset);
        if (ok) assertLe(offset + 41, data.length);
    }

    function test_indefiniteLengthsAreNotDagCbor() public view {
        bytes memory data = bytes.concat(hex"9f", hex"d82a582500017112", hex"20", _digest(0), hex"ff");
        (bool ok,,) = this.at(data, 1);
        assertFalse(ok);
    }

    function test_aStringLongerThanTheBlockEndsTheWalk() public view {
        bytes memory data = bytes.concat(hex"5bffffffffffffffff81", hex"d82a58250001711220", _digest(0));
        (bool ok,,) = this.at(data, 10);
        assertFalse(ok);
    }

    /// @dev Numbers, strings and heads of every length, chosen by the seed.
    function _junk(uint256 seed) private pure returns (bytes memory data) {
        for (uint256 i; i < 12; ++i) {
            uint256 dice = uint256(keccak256(abi.encode(seed, i)));
            uint256 kind = dice % 8;
            if (kind == 0) {
                data = bytes.concat(data, hex"19d82a");
            } else if (kind == 1) {
                data = bytes.concat(data, hex"1bd82a582500017112");
            } else if (kind == 2) {
                data = bytes.concat(data, hex"582ad82a58250001711220", bytes32(dice), hex"00");
            } else if (kind == 3) {
                data = bytes.concat(data, hex"6161");
            } else if (kind == 4) {
                data = bytes.concat(data, hex"f5fb4009d82a58250001");
            } else if (kind == 5) {
                data = bytes.concat(data, hex"a1616b83010203");
            } else if (kind == 6) {
                data = bytes.concat(data, hex"59002ad82a58250001711220", bytes32(dice), hex"00");
            } else {
                data = bytes.concat(data, hex"1a00000018384040");
            }
        }
        // never directly before the list
        data = bytes.concat(data, hex"6162");
    }

    function _digest(uint256 i) private pure returns (bytes32) {
        return keccak256(abi.encode(i));
    }
}
