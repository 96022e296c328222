// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {
    ActionRecord,
    BatchHeader,
    FixedSplit,
    RecordProof,
    StepLeaf,
    Ticket,
    TokenLeaf
} from "../types/Records.sol";
import { IndexedMerkle } from "./IndexedMerkle.sol";
import { MerkleSum } from "./MerkleSum.sol";

/// @title Hashes of records, tickets, headers and leaves.
library Records {
    bytes32 internal constant ACTION_TYPEHASH = keccak256(
        "ActionRecord(uint256 agentId,uint64 nonce,uint32 epoch,address client,bytes32 paymentId,uint8 status,bytes32 requestHash,bytes32 outputHash,bytes32 stepsRoot,bytes32 ruleId,uint256 fee,uint8 replayClass,uint8 seedSource,uint64 anchorBy,bytes32 contentDigest)"
    );
    bytes32 internal constant TICKET_TYPEHASH = keccak256(
        "Ticket(uint256 agentId,uint32 epoch,bytes32 paymentId,bytes32 requestHash,uint64 anchorBy)"
    );
    uint8 internal constant FAILED = 2;
    /// @dev The most steps an action may have is 2^16: the index is a uint16.
    uint256 internal constant MAX_STEP_DEPTH = 16;

    /// @dev A manifest has at most 2^16 assets and fixed shares together.
    uint256 internal constant MAX_MANIFEST_DEPTH = 16;

    /// @notice EIP-712 struct hash. Every member is static, so the struct's encoding is its members'.
    function structHash(ActionRecord memory record) internal pure returns (bytes32) {
        return keccak256(bytes.concat(ACTION_TYPEHASH, abi.encode(record)));
    }

    /// @notice EIP-712 struct hash of a ticket.
    function structHash(Ticket memory ticket) internal pure returns (bytes32) {
        return keccak256(bytes.concat(TICKET_TYPEHASH, abi.encode(ticket)));
    }

    /// @notice Hash a batch is stored under.
    function headerHash(BatchHeader memory header) internal pure returns (bytes32) {
        return keccak256(abi.encode(header));
    }

    /// @notice What a record takes from the payer, in wei: its fee, or nothing when it failed.
    function chargeOf(ActionRecord memory record) internal pure returns (uint256) {
        return record.status == FAILED ? 0 : record.fee;
    }

    /// @notice Whether the record hash is leaf `nonce - firstNonce` of the batch, charging what the proof says.
    function inBatch(
        BatchHeader calldata header,
        bytes32 recordHash,
        uint64 nonce,
        RecordProof calldata proof
    ) internal pure returns (bool) {
        if (nonce < header.firstNonce) return false;
        uint256 index = nonce - header.firstNonce;
        bytes32 leaf = IndexedMerkle.leafOf(abi.encode(recordHash));
        return MerkleSum.verify(
            header.recordRoot, header.sum, header.count, index, leaf, proof.charge, proof.path
        );
    }

    /// @notice Whether the step is leaf `step.index` under `stepsRoot`.
    /// @dev The number of steps is not committed; position and index agree because both walk the same bits
    /// and no bit may be left over.
    function inSteps(bytes32 stepsRoot, StepLeaf calldata step, bytes32[] calldata proof)
        internal
        pure
        returns (bool)
    {
        if (proof.length > MAX_STEP_DEPTH || step.index >> proof.length != 0) return false;
        return IndexedMerkle.climb(step.index, IndexedMerkle.leafOf(abi.encode(step)), proof) == stepsRoot;
    }

    /// @notice Whether the token is leaf `leaf.t` of the step's generation.
    function inGeneration(StepLeaf calldata step, TokenLeaf calldata leaf, bytes32[] calldata proof)
        internal
        pure
        returns (bool)
    {
        bytes32 hash = IndexedMerkle.leafOf(abi.encode(leaf));
        return IndexedMerkle.verify(step.generationRoot, step.count, leaf.t, hash, proof);
    }

    /// @notice Leaf of a manifest for a fixed share: three words, where an asset's has two.
    function manifestLeaf(FixedSplit memory split) internal pure returns (bytes32) {
        return IndexedMerkle.leafOf(abi.encode(split));
    }

    /// @notice Leaf of a manifest for an asset at one version.
    function manifestLeaf(uint256 assetId, bytes32 contentDigest) internal pure returns (bytes32) {
        return IndexedMerkle.leafOf(abi.encode(assetId, contentDigest));
    }

    /// @notice Whether the leaf is number `position` under an epoch's `manifestRoot`.
    /// @dev As in {inSteps}, the number of leaves is not committed.
    function inManifest(bytes32 manifestRoot, uint256 position, bytes32 leaf, bytes32[] calldata path)
        internal
        pure
        returns (bool)
    {
        if (path.length > MAX_MANIFEST_DEPTH || position >> path.length != 0) return false;
        return IndexedMerkle.climb(position, leaf, path) == manifestRoot;
    }
}
