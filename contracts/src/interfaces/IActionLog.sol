// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { ActionRecord, Ticket, AnchorCall, BatchHeader, Epoch, RecordProof } from "../types/Records.sol";
import { IAgentRegistry } from "./IAgentRegistry.sol";

/// @title Epochs and anchored batches of every agent.
/// @notice Nonces are contiguous from 0; a batch is stored as one header hash that never changes.
interface IActionLog {
    /// @notice The caller may not act for the agent.
    error NotAuthorized(uint256 agentId, address caller);
    /// @notice A record key must not be zero.
    error ZeroRecordKey();
    /// @notice The owner's stake is below the minimum.
    error SelfStakeTooLow(uint256 stake, uint256 minimum);
    /// @notice The epoch was never opened, is superseded for too long, or its agent was transferred.
    error EpochNotAccepted(uint256 agentId, uint32 epoch);
    /// @notice The batch does not start at the next nonce.
    error NonceGap(uint64 given, uint64 expected);
    /// @notice A batch has at least one record, at most 2^20.
    error BadCount(uint32 count);
    /// @notice A batch with a sum needs a payout tree, one without needs none.
    error BadPayouts(uint32 payoutCount, uint256 sum);
    /// @notice Open fees would exceed what the self-stake may back.
    error CoverageExceeded(uint256 openFees, uint256 limit);
    /// @notice The agent's escrow does not hold the open fees.
    error EscrowShort(uint256 balance, uint256 needed);
    /// @notice The header is not an anchored one.
    error UnknownBatch(bytes32 headerHash);
    /// @notice The challenge window is open until `until`.
    error WindowOpen(uint256 until);
    /// @notice The batch is final already.
    error AlreadyFinal(bytes32 headerHash);
    /// @notice Only the named contract may call.
    error OnlyContract(address expected);

    event EpochOpened(
        uint256 indexed agentId,
        uint32 indexed epoch,
        address indexed operator,
        address recordKey,
        bytes32 manifestDigest,
        bytes32 manifestRoot
    );
    /// @notice Anchors naming the epoch are accepted until `acceptUntil` (0: no longer).
    event EpochClosed(uint256 indexed agentId, uint32 indexed epoch, uint64 acceptUntil);
    event Anchored(
        uint256 indexed agentId,
        uint64 indexed firstNonce,
        uint32 count,
        bytes32 recordRoot,
        bytes32 payoutRoot,
        uint32 payoutCount,
        uint256 sum,
        uint32 epoch,
        bytes32 batchDigest,
        uint64 anchoredAt
    );
    event Finalized(uint256 indexed agentId, uint64 indexed firstNonce, bytes32 headerHash, uint256 sum);

    /// @notice Opens the agent's next epoch; the one before is accepted for another maxAnchorLag.
    /// @param recordKey the key that signs records and may anchor.
    /// @param manifestDigest sha2-256 digest of the manifest's dag-cbor block.
    /// @param manifestRoot indexed Merkle root over (uint256 assetId, bytes32 contentDigest).
    function openEpoch(uint256 agentId, address recordKey, bytes32 manifestDigest, bytes32 manifestRoot)
        external
        returns (uint32 epoch);

    /// @notice Anchors a batch and reserves its sum in the agent's escrow.
    /// Callable by the epoch's record key, the agent's owner, or one approved by it.
    function anchor(AnchorCall calldata call) external;

    /// @notice After the challenge window, moves a batch's sum from the escrow to the reward pool, the cut to
    /// protocol and audits, and frees the stake that covered it. Anyone may call.
    function finalize(BatchHeader calldata header) external;

    /// @notice The stake that backs `agentId`'s anchors changed. StakeVault only.
    function onStakeChanged(uint256 agentId, address staker, uint256 backing) external;

    /// @notice Who owns agents.
    function agents() external view returns (IAgentRegistry);

    /// @notice Number of the agent's current epoch; 0 before the first.
    function currentEpoch(uint256 agentId) external view returns (uint32);

    /// @notice An epoch; all zeros when it was never opened.
    function epochOf(uint256 agentId, uint32 epoch) external view returns (Epoch memory);

    /// @notice The nonce the agent's next batch must start at.
    function nextNonce(uint256 agentId) external view returns (uint64);

    /// @notice Wei anchored and not yet final.
    function openFees(uint256 agentId) external view returns (uint256);

    /// @notice Wei that may still be anchored on the present stake.
    function coverageLeft(uint256 agentId) external view returns (uint256);

    /// @notice Whether `account` may act for the agent: owner, approved, or record key of the current epoch.
    function isOperator(uint256 agentId, address account) external view returns (bool);

    /// @notice Hash of the batch of `agentId` that starts at `firstNonce`; zero when there is none.
    function headerHashAt(uint256 agentId, uint64 firstNonce) external view returns (bytes32);

    /// @notice Whether exactly this header was anchored.
    function isAnchored(BatchHeader calldata header) external view returns (bool);

    /// @notice Whether the batch was finalised.
    function isFinal(bytes32 headerHash) external view returns (bool);

    /// @notice Last unix time at which a challenge of the batch may be committed.
    function challengeableUntil(BatchHeader calldata header) external view returns (uint256);

    /// @notice What a batch pays out: its sum less the cut of its epoch, rounded up.
    function netOf(BatchHeader calldata header) external view returns (uint256);

    /// @notice Whether the record with this struct hash is the anchored batch's one at `nonce`, and charges what
    /// the proof says.
    function verifyRecord(
        BatchHeader calldata header,
        bytes32 structHash,
        uint64 nonce,
        RecordProof calldata proof
    ) external view returns (bool);

    /// @notice EIP-712 domain separator of records and tickets ("OpenLedger", "1", chain, this contract).
    function domainSeparator() external view returns (bytes32);

    /// @notice EIP-712 struct hash of a record.
    function structHashOf(ActionRecord calldata record) external pure returns (bytes32);

    /// @notice EIP-712 digest a record key signs for a record.
    function digestOf(ActionRecord calldata record) external view returns (bytes32);

    /// @notice EIP-712 digest a record key signs for a ticket.
    function ticketDigestOf(Ticket calldata ticket) external view returns (bytes32);
}
