// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @notice One version of a name.
struct Entry {
    address at;
    /// From 1, without gaps.
    uint32 version;
    /// When it was registered, unix seconds.
    uint48 since;
    /// Of the code at `at`, then: immutable contracts never change theirs.
    bytes32 codeHash;
}

/// @title Which contract goes by which name, now and before.
/// @notice No contract of the protocol is behind a proxy. An upgrade is a new contract and a new version here; who uses
/// an old one stays with it until it moves by itself. Nothing on-chain reads this: it is for programs and people.
interface IDirectory {
    /// @notice A name has 1 to 31 bytes.
    error BadName(string name);
    /// @notice There is no code at `at`.
    error NotAContract(address at);
    /// @notice `name` stands for `at` already.
    error AlreadyCurrent(string name, address at);
    /// @notice `name` has no such version.
    error UnknownEntry(string name, uint256 version);
    /// @notice Names and addresses differ in number.
    error LengthMismatch(uint256 names, uint256 addresses);

    /// @notice From now on `name` stands for `at`.
    event EntrySet(string indexed key, string name, uint256 version, address indexed at, bytes32 codeHash);

    /// @notice Registers the next version of `name`. Owner only.
    function set(string calldata name, address at) external;

    /// @notice The newest version of `name`.
    function current(string calldata name) external view returns (Entry memory);

    /// @notice A version of `name`, from 1.
    function entryOf(string calldata name, uint256 version) external view returns (Entry memory);

    /// @notice How many versions `name` has; 0 for an unknown one.
    function versionsOf(string calldata name) external view returns (uint256);

    /// @notice Every name, in the order of their first registration.
    function names() external view returns (string[] memory);

    /// @notice The block to begin reading the contracts' logs at.
    function firstBlock() external view returns (uint256);
}
