// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @notice A payment that `from` has signed: EIP-3009's `TransferWithAuthorization`.
struct Authorization {
    address from;
    address to;
    uint256 value;
    uint256 validAfter;
    uint256 validBefore;
    bytes32 nonce;
    uint8 v;
    bytes32 r;
    bytes32 s;
}

/// @title Collects many signed payments in one transaction.
/// @notice Holds nothing and may do nothing that a stranger could not do: a payment goes where its signature says.
interface IPaymentCollector {
    /// @notice Moves each payment; one that the token refuses stops no other.
    /// @return refusals The token's error for each payment, empty where it was moved.
    function collect(Authorization[] calldata payments) external returns (bytes[] memory refusals);
}
