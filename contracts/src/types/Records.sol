// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @notice One executed action, signed by its agent's record key (EIP-712) and anchored in a batch.
struct ActionRecord {
    uint256 agentId;
    /// Position in the agent's contiguous sequence; the first is 0.
    uint64 nonce;
    /// Epoch whose record key signed.
    uint32 epoch;
    /// The verified payer.
    address client;
    /// keccak256(abi.encode(client, EIP-3009 authorization nonce)).
    bytes32 paymentId;
    /// 1 OK, 2 FAILED, 3 INTERRUPTED.
    uint8 status;
    /// sha2-256 of the request's dag-cbor bytes.
    bytes32 requestHash;
    bytes32 outputHash;
    /// Indexed Merkle root over {StepLeaf}s; zero when there is no step.
    bytes32 stepsRoot;
    bytes32 ruleId;
    /// Wei of OPEN.
    uint256 fee;
    /// 1 exact-tolerance, 2 restricted, 3 non-replayable.
    uint8 replayClass;
    /// 1 client, 2 operator.
    uint8 seedSource;
    /// Unix time by which the record must be anchored.
    uint64 anchorBy;
    /// sha2-256 digest of the record's dag-cbor block.
    bytes32 contentDigest;
}

/// @notice A promise made before execution: a record for this payment will be anchored by `anchorBy`.
struct Ticket {
    uint256 agentId;
    uint32 epoch;
    bytes32 paymentId;
    bytes32 requestHash;
    uint64 anchorBy;
}

/// @notice What an operator anchors: `count` records with nonces from `firstNonce`, and their payouts.
struct AnchorCall {
    uint256 agentId;
    uint64 firstNonce;
    uint32 count;
    /// Hash part of the Merkle-sum root over the records' struct hashes and charges; its sum part is `sum`.
    bytes32 recordRoot;
    /// Hash part of the Merkle-sum root over the payouts; its sum part is `sum` less the cut.
    bytes32 payoutRoot;
    uint32 payoutCount;
    /// Wei of OPEN charged by the records together, reserved in the agent's escrow; the payouts add up to it
    /// less the epoch's cut.
    uint256 sum;
    uint32 epoch;
    /// sha2-256 digest of the batch's dag-cbor block.
    bytes32 batchDigest;
}

/// @notice An anchored batch: an {AnchorCall} and the time it was anchored. Only its hash is stored.
struct BatchHeader {
    uint256 agentId;
    uint64 firstNonce;
    uint32 count;
    bytes32 recordRoot;
    bytes32 payoutRoot;
    uint32 payoutCount;
    uint256 sum;
    uint32 epoch;
    bytes32 batchDigest;
    uint64 anchoredAt;
}

/// @notice One step of an action. kind: 0 model call, 1 tool, 2 retrieval, 3 sub-action,
/// 4 training run (`generationRoot` is then the digest of the adapter that came out).
struct StepLeaf {
    uint16 index;
    uint8 kind;
    /// Adapter (or base model) declared for a model call.
    uint256 assetId;
    bytes32 contentDigest;
    /// Prefix hash before the first output token.
    bytes32 promptHash;
    bytes32 generationRoot;
    /// Token leaves under `generationRoot`, the end leaf included.
    uint32 count;
    /// sha2-256 digest of the step's dag-cbor block.
    bytes32 detailDigest;
}

/// @notice One generated token. The end leaf has token 0xFFFFFFFF, logprob 0 and finish 1 (stop) or 2 (length).
struct TokenLeaf {
    uint32 t;
    bytes32 prefixHash;
    uint32 token;
    /// round(natural logprob * 10^4), at least -1_000_000.
    int32 logprob;
    bytes32 seed;
    uint8 finish;
}

/// @notice A sibling in a Merkle-sum proof.
struct SumNode {
    bytes32 hash;
    uint256 sum;
}

/// @notice Shows a record in a batch: what its leaf says it charges, and the leaf's siblings.
/// An honest leaf charges the record's fee, or nothing when its status is FAILED.
struct RecordProof {
    uint256 charge;
    SumNode[] path;
}

/// @notice A record shown where it was anchored: leaf `nonce - header.firstNonce` of the batch.
struct AnchoredRecord {
    BatchHeader header;
    uint64 nonce;
    ActionRecord record;
    RecordProof proof;
}

/// @notice A client's EIP-3009 authorization of a transfer to the agent's escrow.
struct Payment {
    address client;
    bytes32 authorizationNonce;
    uint256 value;
    uint256 validAfter;
    uint256 validBefore;
    /// 65 bytes (r, s, v).
    bytes signature;
}

/// @notice A block and where in it a link stands.
struct Parent {
    bytes data;
    uint16 offset;
}

/// @notice A payout of a batch and the siblings that show it.
struct Claim {
    uint32 index;
    address account;
    uint256 amount;
    SumNode[] proof;
}

/// @notice A fixed share of an agent's income, committed with the epoch's manifest: payout number `index` of
/// every batch that pays anything is `account`'s, and at least `bps` of the batch's payouts.
struct FixedSplit {
    uint16 index;
    address account;
    uint16 bps;
}

/// @notice A period during which one record key signs for an agent under one manifest.
/// @dev slot 0: recordKey | acceptUntil | coverageBps | cutBps; slot 1: operator | openedAt | liableUntil.
struct Epoch {
    address recordKey;
    /// Last unix time at which anchors naming the epoch are accepted; max while current, 0 once transferred.
    uint64 acceptUntil;
    /// Share of the self-stake that may back open fees, snapshotted at opening.
    uint16 coverageBps;
    /// Share of the charges that goes to protocol and audits, snapshotted at opening.
    uint16 cutBps;
    /// The agent's owner at opening: whose stake answers for the epoch's records.
    address operator;
    uint48 openedAt;
    /// Last unix time at which proofs against the epoch's key are accepted; max while current.
    uint48 liableUntil;
    bytes32 manifestDigest;
    bytes32 manifestRoot;
}
