// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { BatchHeader, Claim, SumNode } from "../types/Records.sol";

/// @notice Whether a batch's payouts can be claimed.
enum Claims {
    /// As anchored.
    Open,
    /// A jury is looking at them.
    Frozen,
    /// A jury found others, which nobody has shown yet.
    Awaited,
    /// As a jury found.
    Corrected
}

/// @notice What is given back of a payment, and what of it may be charged: wei, together what was paid.
struct Repayment {
    bytes32 paymentId;
    address client;
    uint96 amount;
    uint96 charged;
}

/// @title Escrows that payers pay into, and claims against final batches.
interface IRewardPool {
    /// @notice Only the action log may call.
    error OnlyActionLog(address caller);
    /// @notice Only Disputes may call.
    error OnlyDisputes(address caller);
    /// @notice The batch's payouts are not in the state the call needs.
    error ClaimsNotOpen(bytes32 headerHash, Claims state);
    /// @notice These are not the payouts that the jury found.
    error NotTheAnswer(bytes32 headerHash);
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
    /// @notice Nothing of the batch can be claimed while a jury judges its payouts.
    event Frozen(bytes32 indexed headerHash);
    event Thawed(bytes32 indexed headerHash);
    /// @notice A jury found other payouts: keccak256(abi.encode(root, count)) is `answer`. Anyone may show them until `showBy`.
    event Corrected(bytes32 indexed headerHash, bytes32 answer, uint256 showBy);
    event PayoutsShown(bytes32 indexed headerHash, bytes32 root, uint32 count);
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

    /// @notice Returns to their payers what is not charged of payments: of a metered action what it did not use, of a
    /// failed one all. A payment that was refunded before is left out, so a copy of the call changes nothing.
    /// Callable as {refund}; all of it or nothing.
    function repay(uint256 agentId, Repayment[] calldata repayments) external;

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

    /// @notice Stops claims of a batch that is not final yet. Disputes only, as the next two.
    function freeze(bytes32 headerHash) external;

    /// @notice Lets the anchored payouts be claimed after all.
    function thaw(bytes32 headerHash) external;

    /// @notice Replaces a batch's payouts by those behind a jury's answer. What nobody shows within seven days counts
    /// for nothing: then the anchored payouts are claimable again.
    function correct(bytes32 headerHash, bytes32 answer) external;

    /// @notice Shows the payouts that a jury found, from then on they are claimable. Anyone may call.
    /// @param root hash part of their Merkle-sum root; its sum part is what the batch pays.
    function showPayouts(bytes32 headerHash, bytes32 root, uint32 count) external;

    /// @notice By which payouts a batch is claimed, and whether it can be.
    function payoutsOf(BatchHeader calldata header)
        external
        view
        returns (Claims state, bytes32 root, uint32 count);

    /// @notice The address payers of the agent pay to, deployed or not.
    function escrowOf(uint256 agentId) external view returns (address);

    /// @notice Whether the payout at `index` was claimed.
    function isClaimed(bytes32 headerHash, uint32 index) external view returns (bool);

    /// @notice Whether the payment was refunded.
    function isRefunded(uint256 agentId, bytes32 paymentId) external view returns (bool);

    /// @notice Who was given back what, who owned the agent then, and what they may charge of the payment all the same;
    /// zeros when the payment was not refunded.
    function refundOf(uint256 agentId, bytes32 paymentId)
        external
        view
        returns (address client, uint256 amount, address operator, uint256 charged);

    /// @notice Wei owed to an account outside of batches.
    function creditOf(address account) external view returns (uint256);

    /// @notice Wei of a batch collected and not yet claimed.
    function remaining(bytes32 headerHash) external view returns (uint256);
}
