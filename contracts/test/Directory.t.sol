// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { Ownable } from "@openzeppelin/contracts/access/Ownable.sol";
import { Test } from "forge-std/Test.sol";
import { Directory } from "src/Directory.sol";
import { OpenToken } from "src/OpenToken.sol";
import { Entry, IDirectory } from "src/interfaces/IDirectory.sol";

contract DirectoryTest is Test {
    Directory private directory;
    OpenToken private first;
    OpenToken private second;

    function setUp() public {
        (first, second) = (new OpenToken(), new OpenToken());
        string[] memory names = new string[](1);
        address[] memory addresses = new address[](1);
        (names[0], addresses[0]) = ("OpenToken", address(first));
        directory = new Directory(address(this), 7, names, addresses);
    }

    function test_constructor_registersFirstVersions() public view {
        Entry memory entry = directory.current("OpenToken");
        assertEq(entry.at, address(first));
        assertEq(entry.version, 1);
        assertEq(entry.since, block.timestamp);
        assertEq(entry.codeHash, address(first).codehash);
        assertEq(directory.firstBlock(), 7);
        assertEq(directory.names().length, 1);
        assertEq(directory.names()[0], "OpenToken");
    }

    function test_constructor_refusesUnequalLists() public {
        vm.expectRevert(abi.encodeWithSelector(IDirectory.LengthMismatch.selector, 1, 0));
        new Directory(address(this), 0, new string[](1), new address[](0));
    }

    function test_set_addsAVersionAndKeepsTheOld() public {
        vm.warp(block.timestamp + 1 days);
        vm.expectEmit(address(directory));
        emit IDirectory.EntrySet("OpenToken", "OpenToken", 2, address(second), address(second).codehash);
        directory.set("OpenToken", address(second));
        assertEq(directory.current("OpenToken").at, address(second));
        assertEq(directory.current("OpenToken").since, block.timestamp);
        assertEq(directory.entryOf("OpenToken", 1).at, address(first));
        assertEq(directory.entryOf("OpenToken", 2).version, 2);
        assertEq(directory.versionsOf("OpenToken"), 2);
        assertEq(directory.names().length, 1);
        // back to the first is a third version: history is never rewritten
        directory.set("OpenToken", address(first));
        assertEq(directory.current("OpenToken").version, 3);

        directory.set("Another", address(this));
        assertEq(directory.names()[1], "Another");
    }

    function test_set_isForTheOwner() public {
        vm.prank(address(1));
        vm.expectRevert(abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, address(1)));
        directory.set("OpenToken", address(second));
    }

    function test_set_refusesWhatNamesNothing() public {
        string memory long = "a name of thirty-two bytes or mor";
        vm.expectRevert(abi.encodeWithSelector(IDirectory.BadName.selector, ""));
        directory.set("", address(second));
        vm.expectRevert(abi.encodeWithSelector(IDirectory.BadName.selector, long));
        directory.set(long, address(second));
        vm.expectRevert(abi.encodeWithSelector(IDirectory.NotAContract.selector, address(1)));
        directory.set("Plain", address(1));
        vm.expectRevert(abi.encodeWithSelector(IDirectory.NotAContract.selector, address(0)));
        directory.set("Zero", address(0));
        vm.expectRevert(
            abi.encodeWithSelector(IDirectory.AlreadyCurrent.selector, "OpenToken", address(first))
        );
        directory.set("OpenToken", address(first));
    }

    function test_views_refuseUnknownEntries() public {
        assertEq(directory.versionsOf("Nothing"), 0);
        vm.expectRevert(abi.encodeWithSelector(IDirectory.UnknownEntry.selector, "Nothing", 0));
        directory.current("Nothing");
        uint256[3] memory bad = [uint256(0), 2, type(uint256).max];
        for (uint256 i; i < 3; ++i) {
            vm.expectRevert(abi.encodeWithSelector(IDirectory.UnknownEntry.selector, "OpenToken", bad[i]));
            directory.entryOf("OpenToken", bad[i]);
        }
    }

    function test_fuzz_set_versionsAreContiguous(bool[12] memory which) public {
        uint256 count = 1;
        address latest = address(first);
        for (uint256 i; i < which.length; ++i) {
            address next = which[i] ? address(first) : address(second);
            if (next == latest) continue;
            directory.set("OpenToken", next);
            latest = next;
            ++count;
        }
        assertEq(directory.versionsOf("OpenToken"), count);
        for (uint256 v = 1; v <= count; ++v) {
            assertEq(directory.entryOf("OpenToken", v).version, v);
        }
        assertEq(directory.current("OpenToken").at, latest);
    }
}
