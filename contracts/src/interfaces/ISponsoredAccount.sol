// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @notice One call that an account makes.
struct Call {
    address target;
    uint256 value;
    bytes data;
}

/// @title What an account delegates to (EIP-7702), so that somebody else pays the gas of what it signs.
/// @notice Every call comes from the account itself. It has no owner, no initializer and no way to change: only the
/// account's own key can have it act, and a new delegation replaces it.
interface ISponsoredAccount {
    /// @notice A batch was carried out.
    /// @param digest The EIP-712 digest that was signed.
    event Executed(uint256 indexed nonce, bytes32 indexed digest);

    /// @notice Only `sponsor` may submit this batch.
    error NotSponsor(address sender, address sponsor);
    /// @notice The batch was valid until `deadline`.
    error BatchExpired(uint256 deadline);
    /// @notice The account's next batch has another nonce: this one was carried out, or signed for later.
    error BadBatchNonce(uint256 given, uint256 expected);
    /// @notice The account did not sign this batch.
    error InvalidBatchSignature(address recovered);

    /// @notice Makes all `calls`, or none: the error of the one that fails is this call's.
    /// @param sponsor Who may submit the batch; anyone if zero.
    /// @param nonce {nextBatchNonce}.
    /// @param deadline The last second at which it may be carried out.
    /// @param signature The account's, over EIP-712 `Batch(Call[] calls,address sponsor,uint256 nonce,uint256 deadline)` with
    /// `Call(address target,uint256 value,bytes data)`; the domain is "OpenLedger SponsoredAccount", version "1", this chain and
    /// the account itself.
    function execute(
        Call[] calldata calls,
        address sponsor,
        uint256 nonce,
        uint256 deadline,
        bytes calldata signature
    ) external;

    /// @notice The nonce of the next batch. It stays when the account delegates to something else and back.
    function nextBatchNonce() external view returns (uint256);

    /// @notice The EIP-712 digest of a batch of this account.
    function digestOf(Call[] calldata calls, address sponsor, uint256 nonce, uint256 deadline)
        external
        view
        returns (bytes32);
}
