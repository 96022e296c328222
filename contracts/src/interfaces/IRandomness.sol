// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title Where draws get their randomness from.
/// @notice A source must give for every block a value that nobody could know before that block was mined, and the same
/// one to everyone who asks later, or, once it cannot give that any more, a successor fixed by the block's number.
/// A source that verifies a beacon (drand, a VRF) maps the block to the first beacon round after it and reverts until
/// that round's proof was handed in: a draw then waits, it is never decided otherwise.
interface IRandomness {
    /// @notice The block is not mined yet.
    error NotMined(uint256 blockNumber);
    /// @notice Nothing is known of the block or its successor.
    error NoRandomness(uint256 blockNumber);

    /// @notice Randomness of block `blockNumber`.
    function at(uint256 blockNumber) external view returns (bytes32);
}
