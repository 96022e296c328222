// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { Ownable } from "@openzeppelin/contracts/access/Ownable.sol";
import { Ownable2Step } from "@openzeppelin/contracts/access/Ownable2Step.sol";
import { Entry, IDirectory } from "./interfaces/IDirectory.sol";

/// @title Implements {IDirectory}.
contract Directory is IDirectory, Ownable2Step {
    /// @inheritdoc IDirectory
    uint256 public immutable firstBlock;

    string[] private _names;
    mapping(string name => Entry[]) private _entries;

    /// @param owner who may register versions: the timelock.
    constructor(address owner, uint256 firstBlock_, string[] memory names_, address[] memory addresses)
        Ownable(owner)
    {
        require(names_.length == addresses.length, LengthMismatch(names_.length, addresses.length));
        firstBlock = firstBlock_;
        for (uint256 i; i < names_.length; ++i) {
            _set(names_[i], addresses[i]);
        }
    }

    /// @inheritdoc IDirectory
    function set(string calldata name, address at) external onlyOwner {
        _set(name, at);
    }

    /// @inheritdoc IDirectory
    function current(string calldata name) external view returns (Entry memory) {
        Entry[] storage versions = _entries[name];
        require(versions.length != 0, UnknownEntry(name, 0));
        return versions[versions.length - 1];
    }

    /// @inheritdoc IDirectory
    function entryOf(string calldata name, uint256 version) external view returns (Entry memory) {
        Entry[] storage versions = _entries[name];
        require(version != 0 && version <= versions.length, UnknownEntry(name, version));
        return versions[version - 1];
    }

    /// @inheritdoc IDirectory
    function versionsOf(string calldata name) external view returns (uint256) {
        return _entries[name].length;
    }

    /// @inheritdoc IDirectory
    function names() external view returns (string[] memory) {
        return _names;
    }

    function _set(string memory name, address at) private {
        uint256 length = bytes(name).length;
        require(length != 0 && length < 32, BadName(name));
        require(at.code.length != 0, NotAContract(at));
        Entry[] storage versions = _entries[name];
        uint256 count = versions.length;
        if (count == 0) _names.push(name);
        else require(versions[count - 1].at != at, AlreadyCurrent(name, at));
        versions.push(Entry(at, uint32(count + 1), uint48(block.timestamp), at.codehash));
        emit EntrySet(name, name, count + 1, at, at.codehash);
    }
}
