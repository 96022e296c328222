// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @notice Answers that are no digests of anything.
library Answer {
    /// @dev What the answer follows from cannot be had.
    bytes32 internal constant UNAVAILABLE = 0;
    /// @dev The contribution belongs into its datanet.
    bytes32 internal constant ACCEPTED = bytes32(uint256(1));
    /// @dev It does not.
    bytes32 internal constant REJECTED = bytes32(uint256(2));
}
