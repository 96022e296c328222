// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { IERC1271 } from "@openzeppelin/contracts/interfaces/IERC1271.sol";
import { ERC721Holder } from "@openzeppelin/contracts/token/ERC721/utils/ERC721Holder.sol";
import { Address } from "@openzeppelin/contracts/utils/Address.sol";
import { ReentrancyGuardTransient } from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import { ECDSA } from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import { EIP712 } from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import { Call, ISponsoredAccount } from "./interfaces/ISponsoredAccount.sol";

/// @title Implements {ISponsoredAccount}.
contract SponsoredAccount is
    ISponsoredAccount,
    IERC1271,
    EIP712("OpenLedger SponsoredAccount", "1"),
    ERC721Holder,
    ReentrancyGuardTransient
{
    /// @custom:storage-location erc7201:openledger.SponsoredAccount
    struct Kept {
        uint256 nextNonce;
    }

    bytes32 private constant CALL_TYPEHASH = keccak256("Call(address target,uint256 value,bytes data)");
    bytes32 private constant BATCH_TYPEHASH = keccak256(
        "Batch(Call[] calls,address sponsor,uint256 nonce,uint256 deadline)Call(address target,uint256 value,bytes data)"
    );
    /// @dev ERC-7201 of "openledger.SponsoredAccount": an account's storage outlives what it delegates to.
    bytes32 private constant KEPT = keccak256(
        abi.encode(uint256(keccak256("openledger.SponsoredAccount")) - 1)
    ) & ~bytes32(uint256(0xff));

    /// @notice Native coin is taken, as by any account.
    receive() external payable { }

    /// @inheritdoc ISponsoredAccount
    function execute(
        Call[] calldata calls,
        address sponsor,
        uint256 nonce,
        uint256 deadline,
        bytes calldata signature
    ) external nonReentrant {
        require(sponsor == address(0) || msg.sender == sponsor, NotSponsor(msg.sender, sponsor));
        require(block.timestamp <= deadline, BatchExpired(deadline));
        uint256 expected = _kept().nextNonce;
        require(nonce == expected, BadBatchNonce(nonce, expected));
        bytes32 digest = digestOf(calls, sponsor, nonce, deadline);
        address recovered = ECDSA.recover(digest, signature);
        require(recovered == address(this), InvalidBatchSignature(recovered));
        _kept().nextNonce = nonce + 1;
        for (uint256 i; i < calls.length; ++i) {
            Call calldata call = calls[i];
            if (call.data.length == 0) Address.sendValue(payable(call.target), call.value);
            else Address.functionCallWithValue(call.target, call.data, call.value);
        }
        emit Executed(nonce, digest);
    }

    /// @inheritdoc ISponsoredAccount
    function nextBatchNonce() external view returns (uint256) {
        return _kept().nextNonce;
    }

    /// @notice ERC-1271: contracts that ask an account with code still take its key's signatures.
    function isValidSignature(bytes32 hash, bytes calldata signature) external view returns (bytes4) {
        (address recovered, ECDSA.RecoverError error,) = ECDSA.tryRecover(hash, signature);
        bool valid = error == ECDSA.RecoverError.NoError && recovered == address(this);
        return valid ? IERC1271.isValidSignature.selector : bytes4(0xffffffff);
    }

    /// @inheritdoc ISponsoredAccount
    function digestOf(Call[] calldata calls, address sponsor, uint256 nonce, uint256 deadline)
        public
        view
        returns (bytes32)
    {
        bytes32[] memory hashes = new bytes32[](calls.length);
        for (uint256 i; i < calls.length; ++i) {
            Call calldata call = calls[i];
            hashes[i] = keccak256(abi.encode(CALL_TYPEHASH, call.target, call.value, keccak256(call.data)));
        }
        bytes32 all = keccak256(abi.encodePacked(hashes));
        return _hashTypedDataV4(keccak256(abi.encode(BATCH_TYPEHASH, all, sponsor, nonce, deadline)));
    }

    function _kept() private pure returns (Kept storage kept) {
        bytes32 slot = KEPT;
        // solhint-disable-next-line no-inline-assembly
        assembly ("memory-safe") {
            kept.slot := slot
        }
    }
}
