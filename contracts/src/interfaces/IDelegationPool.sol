// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @notice The delegations to one operator of one agent, as of now. All amounts in wei.
struct DelegationPoolState {
    /// Earns rewards, slashable; owned by the active shares.
    uint96 activeAssets;
    uint128 activeShares;
    /// Batches that had become active when the present active shares began; older shares are void.
    uint32 activeSince;
    /// Asked back, not yet paid: earns nothing, slashable; owned by the exiting shares.
    uint96 exitingAssets;
    uint128 exitingShares;
    /// Number of the present exiting shares; others are void.
    uint32 exitingSince;
    /// Delegated, becomes active at `activatesAt`: neither earns nor is slashable.
    uint96 pending;
    uint40 activatesAt;
    /// Batches that have become active.
    uint32 batches;
    /// Basis points of rewards that are the operator's; `nextCommission` from `commissionAt` on, unless 0.
    uint16 commission;
    uint16 nextCommission;
    uint40 commissionAt;
    /// The operator's, not yet claimed.
    uint128 income;
}

/// @notice One account's part in a pool.
struct Delegation {
    uint128 shares;
    /// Not yet active, in wei.
    uint96 pending;
    /// The batch that `pending` is in; shares are older.
    uint32 batch;
}

/// @notice A request to leave a pool.
struct DelegationExit {
    /// Of the exiting shares.
    uint128 shares;
    uint64 readyAt;
    /// Void when it is not the pool's `exitingSince`.
    uint32 generation;
}

/// @title Delegations: stake of others behind an operator, slashed after the operator's own.
/// @notice A pool belongs to (agent, operator), like a self-stake: after a sale, delegators answer for the seller's
/// epochs only. Delegations back no anchors. No call loops over delegators.
interface IDelegationPool {
    /// @notice Only the StakeVault may call.
    error OnlyVault(address caller);
    /// @notice The amount is zero.
    error ZeroAmount();
    /// @notice Sixteen requests are waiting.
    error TooManyExits();
    /// @notice No request is ready.
    error NothingToWithdraw();
    /// @notice Less than the least delegation.
    error DelegationTooSmall(uint256 amount, uint256 minimum);
    /// @notice The pool would hold more than it can count.
    error PoolFull(uint256 assets);
    /// @notice Delegations go to the agent's owner only.
    error NotOperator(uint256 agentId, address operator);
    /// @notice More than the caller's active shares.
    error ExceedsShares(uint256 shares, uint256 held);
    /// @notice Nothing of the caller waits to become active.
    error NothingPending();
    /// @notice The commission exceeds what parameters allow.
    error CommissionTooHigh(uint256 bps, uint256 maximum);
    /// @notice The caller has no income here.
    error NothingEarned();

    event Delegated(
        uint256 indexed agentId,
        address indexed operator,
        address indexed delegator,
        uint256 amount,
        uint256 activatesAt
    );
    event DelegationCancelled(
        uint256 indexed agentId, address indexed operator, address indexed delegator, uint256 amount
    );
    /// @notice Batch number `batch` became active: `assets` bought `shares`.
    event BatchActivated(
        uint256 indexed agentId, address indexed operator, uint32 batch, uint256 assets, uint256 shares
    );
    event UndelegationRequested(
        uint256 indexed agentId,
        address indexed operator,
        address indexed delegator,
        uint256 shares,
        uint256 amount,
        uint256 readyAt
    );
    event DelegationWithdrawn(
        uint256 indexed agentId, address indexed operator, address indexed delegator, uint256 amount
    );
    event RewardAdded(
        uint256 indexed agentId,
        address indexed operator,
        address payer,
        uint256 toDelegators,
        uint256 toOperator
    );
    event CommissionSet(uint256 indexed agentId, address indexed operator, uint256 bps, uint256 effectiveAt);
    event IncomeClaimed(uint256 indexed agentId, address indexed operator, uint256 amount);
    /// @notice What rounding left when the last share went, or when shares became void, went to the operator.
    event RemainderCredited(uint256 indexed agentId, address indexed operator, uint256 amount);
    /// @notice Delegators lost this; what the operator lost is the vault's {IStakeVault-StakeSlashed}.
    event DelegationSlashed(
        uint256 indexed agentId, address indexed operator, uint256 fromActive, uint256 fromExiting
    );

    /// @notice Delegates `amount` wei of the caller's to `operator`, who must own the agent. Active, that is
    /// earning and slashable, from the next boundary of delegationPeriod.
    function delegate(uint256 agentId, address operator, uint256 amount) external;

    /// @notice Gives back what the caller delegated and is not active yet.
    function cancelDelegation(uint256 agentId, address operator) external returns (uint256 amount);

    /// @notice Moves `shares` of the caller to the exiting pool at their present worth: they earn nothing from now
    /// on, stay slashable, and are paid by {withdrawDelegation} after the withdrawal delay.
    function requestUndelegate(uint256 agentId, address operator, uint256 shares)
        external
        returns (uint256 amount);

    /// @notice Pays the caller's requests that are ready, at what slashes left of them.
    function withdrawDelegation(uint256 agentId, address operator) external returns (uint256 amount);

    /// @notice Shares `amount` wei from the caller: commission to the operator, the rest to active delegations;
    /// all of it to the operator where fewer than {MIN_DELEGATION} shares are active.
    function addReward(uint256 agentId, address operator, uint256 amount) external;

    /// @notice Sets the commission of the caller's pool. A decrease holds at once, as does anything while nobody
    /// delegates; an increase holds after the withdrawal delay, so that delegators can leave first.
    function setCommission(uint256 agentId, uint256 bps) external;

    /// @notice Pays the caller's commissions.
    function claimIncome(uint256 agentId) external returns (uint256 amount);

    /// @notice Takes up to `amount` to `recipient`, from active and exiting delegations in proportion, at most
    /// delegatorSlashCap of them. The vault only.
    function slash(uint256 agentId, address operator, uint256 amount, address recipient)
        external
        returns (uint256 taken);

    /// @notice Least delegation in wei, and least active shares that rewards are shared with.
    /// @dev The second makes a share too cheap to raise its price by gifts: a gift of x wei raises it by at most
    /// x / 10^15, and rounding costs a delegator less than one share.
    function MIN_DELEGATION() external view returns (uint256);

    /// @notice A pool, as of now.
    function delegationPoolOf(uint256 agentId, address operator)
        external
        view
        returns (DelegationPoolState memory);

    /// @notice An account's delegation, as of now, and what its active shares are worth.
    function delegationOf(uint256 agentId, address operator, address delegator)
        external
        view
        returns (Delegation memory delegation, uint256 worth);

    /// @notice An account's waiting requests, oldest first, and what each is worth now.
    function delegationExitsOf(uint256 agentId, address operator, address delegator)
        external
        view
        returns (DelegationExit[] memory waiting, uint256[] memory worths);
}
