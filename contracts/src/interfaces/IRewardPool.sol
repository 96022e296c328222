// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { BatchHeader, Claim, SumNode } from "../types/Records.sol";

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

    /// @notice The two lists differ in length.
    error LengthMismatch(uint256 accounts, uint256 amounts);
    /// @notice The account has no credit.
    error NothingCredited(address account);

    event EscrowCreated(uint256 indexed agentId, address escrow);
    /// @notice A batch became final: `toTreasury` and `toAudits` of its sum are the cut, the rest is claimable.
    event Collected(
        uint256 indexed agentId, bytes32 indexed headerHash, uint256 sum, uint256 toTreasury, uint256 toAudits
    );
    event Credited(address indexed account, uint256 amount);
    event CreditWithdrawn(address indexed account, uint256 amount);
    event Refunded(
        uint256 indexed agentId, bytes32 indexed paymentId, address indexed client, uint256 amount
    );
    event Claimed(bytes32 indexed headerHash, uint32 index, address indexed account, uint256 amount);

    /// @notice Deploys the agent's escrow; a no-op when it exists. Needed before money leaves it, not before it enters.
    function createEscrow(uint256 agentId) external returns (address);

    /// @notice Returns a payment that is not charged (nothing was anchored for it, or a failed action) to its payer,
    /// once per payment.
    /// Callable by whoever may act for the agent; open fees cannot be touched.
    function refund(uint256 agentId, bytes32 paymentId, address client, uint256 amount) external;

    /// @notice Pays a payout of a final batch to its account; finalises the batch first when that is due.
    /// A payout to the DelegationPool is a reward of those who delegate to the batch's operator. Anyone may call.
    function claim(
        BatchHeader calldata header,
        uint32 index,
        address account,
        uint256 amount,
        SumNode[] calldata proof
    ) external;

    /// @notice Claims several payouts of one batch. Each is added to its account's credit, which is paid once it
    /// reaches minPayout; smaller ones accrue. Anyone may call.
    function claimMany(BatchHeader calldata header, Claim[] calldata claims) external;

    /// @notice Adds to the credit of accounts; takes the sum from the caller.
    function credit(address[] calldata accounts, uint256[] calldata amounts) external;

    /// @notice Pays an account's whole credit to it. Anyone may call.
    function withdrawCredit(address account) external returns (uint256 amount);

    /// @notice Moves a batch's sum from the agent's escrow into the pool: `net` becomes claimable, the rest is
    /// credited to treasury and audits by their present shares. ActionLog only.
    function collect(uint256 agentId, bytes32 headerHash, uint256 sum, uint256 net) external;

    /// @notice The address payers of the agent pay to, deployed or not.
    function escrowOf(uint256 agentId) external view returns (address);

    /// @notice Whether the payout at `index` was claimed.
    function isClaimed(bytes32 headerHash, uint32 index) external view returns (bool);

    /// @notice Whether the payment was refunded.
    function isRefunded(uint256 agentId, bytes32 paymentId) external view returns (bool);

    /// @notice Who was given back what, and who owned the agent then; zeros when the payment was not refunded.
    function refundOf(uint256 agentId, bytes32 paymentId)
        external
        view
        returns (address client, uint256 amount, address operator);

    /// @notice Wei owed to an account outside of batches.
    function creditOf(address account) external view returns (uint256);

    /// @notice Wei of a batch collected and not yet claimed.
    function remaining(bytes32 headerHash) external view returns (uint256);
}
