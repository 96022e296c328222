// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { BatchHeader, SumNode } from "../types/Records.sol";

/// @title Escrows that payers pay into, and claims against final batches.
interface IRewardPool {
    /// @notice Only the action log may call.
    error OnlyActionLog(address caller);
    /// @notice The caller may not act for the agent.
    error NotAuthorized(uint256 agentId, address caller);
    /// @notice The payment was refunded already.
    error AlreadyRefunded(uint256 agentId, bytes32 paymentId);
    /// @notice The escrow's balance beyond the open fees is smaller than the refund.
    error EscrowShort(uint256 free, uint256 needed);
    /// @notice The payout was claimed already.
    error AlreadyClaimed(bytes32 headerHash, uint32 index);
    /// @notice The payout is not in the batch.
    error BadProof(bytes32 headerHash, uint32 index);
    /// @notice The account is zero.
    error ZeroAccount();

    event EscrowCreated(uint256 indexed agentId, address escrow);
    event Collected(uint256 indexed agentId, bytes32 indexed headerHash, uint256 sum);
    event Refunded(
        uint256 indexed agentId, bytes32 indexed paymentId, address indexed client, uint256 amount
    );
    event Claimed(bytes32 indexed headerHash, uint32 index, address indexed account, uint256 amount);

    /// @notice Deploys the agent's escrow; a no-op when it exists. Needed before money leaves it, not before it enters.
    function createEscrow(uint256 agentId) external returns (address);

    /// @notice Returns an unanchored payment to its payer, once per payment.
    /// Callable by whoever may act for the agent; open fees cannot be touched.
    function refund(uint256 agentId, bytes32 paymentId, address client, uint256 amount) external;

    /// @notice Pays a payout of a final batch to its account; finalises the batch first when that is due.
    /// Anyone may call.
    function claim(
        BatchHeader calldata header,
        uint32 index,
        address account,
        uint256 amount,
        SumNode[] calldata proof
    ) external;

    /// @notice Moves a batch's sum from the agent's escrow into the pool. ActionLog only.
    function collect(uint256 agentId, bytes32 headerHash, uint256 sum) external;

    /// @notice The address payers of the agent pay to, deployed or not.
    function escrowOf(uint256 agentId) external view returns (address);

    /// @notice Whether the payout at `index` was claimed.
    function isClaimed(bytes32 headerHash, uint32 index) external view returns (bool);

    /// @notice Whether the payment was refunded.
    function isRefunded(uint256 agentId, bytes32 paymentId) external view returns (bool);

    /// @notice Wei of a batch collected and not yet claimed.
    function remaining(bytes32 headerHash) external view returns (uint256);
}
