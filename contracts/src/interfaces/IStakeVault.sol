// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @notice One account's self-stake in one agent. All amounts in wei.
struct Position {
    /// Backs anchors.
    uint128 active;
    /// Asked back, not yet paid: backs nothing, stays slashable.
    uint128 pending;
    /// Sum of what open disputes claim; what they can take is the smaller of it and active + pending.
    uint128 claims;
}

/// @notice A request to withdraw.
struct Exit {
    uint128 amount;
    uint64 readyAt;
}

/// @title Errors and events of the juror side.
interface IJurorPool {
    /// @notice Only the Disputes contract may call.
    error OnlyDisputes(address caller);
    /// @notice The stake would be below the minimum.
    error JurorStakeTooLow(uint256 stake, uint256 minimum);
    /// @notice The juror has asked to leave; wait and {withdrawJury} first.
    error JurorLeaving(address juror);
    /// @notice The caller has no juror stake.
    error NotJuror(address account);
    /// @notice Juror stake is locked in disputes or its delay has not passed.
    error JurorStakeLocked(uint256 locked, uint256 readyAt);
    /// @notice All juror places are taken.
    error JuryFull();
    /// @notice The pool has fewer jurors than asked for.
    error TooFewJurors(uint256 available, uint256 wanted);

    event JurorJoined(address indexed juror, uint256 amount, uint256 stake);
    event JurorLeft(address indexed juror, uint256 stake, uint256 readyAt);
    event JurorPaid(address indexed juror, uint256 amount);
    event JurorLocked(address indexed juror, uint256 amount);
    event JurorReleased(address indexed juror, uint256 amount);
    event JurorPenalised(address indexed juror, uint256 amount);

    /// @notice Adds `amount` wei to the caller's juror stake; the total must reach the minimum.
    function joinJury(uint256 amount) external;

    /// @notice Leaves the pool at once; the stake stays liable and is paid by {withdrawJury} after the delay.
    function leaveJury() external;

    /// @notice Pays the caller's juror stake after {leaveJury} and the withdrawal delay.
    function withdrawJury() external returns (uint256 amount);

    /// @notice Locks up to `amount` of a drawn juror's stake. Disputes only.
    function lockJuror(address juror, uint256 amount) external returns (uint256 locked);

    /// @notice Unlocks `locked` and takes `penalty` of it to the caller. Disputes only.
    function settleJuror(address juror, uint256 locked, uint256 penalty) external returns (uint256 taken);

    /// @notice A juror's stake, leaving or not.
    function jurorStake(address juror) external view returns (uint256);

    /// @notice A juror's full account: stake, locked part, and when a leaving one may be paid (0 otherwise).
    function jurorOf(address juror) external view returns (uint256 stake, uint256 locked, uint256 readyAt);

    /// @notice Stake and number of jurors at the end of block `blockNumber`, without `excluded`.
    function juryAt(uint256 blockNumber, address[] calldata excluded)
        external
        view
        returns (uint256 stake, uint256 jurors);

    /// @notice `n` distinct jurors drawn by stake from the set at the end of block `blockNumber`, without `excluded`.
    function drawJurors(uint256 seed, uint256 blockNumber, uint256 n, address[] calldata excluded)
        external
        view
        returns (address[] memory);
}

/// @title Self-stake of agents and stake of jurors.
/// @notice Nobody but its owner is ever paid a stake; only Disputes can take from it.
interface IStakeVault is IJurorPool {
    /// @notice The amount is zero.
    error ZeroAmount();
    /// @notice More than the active stake.
    error ExceedsActive(uint256 amount, uint256 active);
    /// @notice Sixteen requests are waiting.
    error TooManyExits();
    /// @notice No request is ready, or open disputes claim what is left.
    error NothingToWithdraw();
    /// @notice The amount does not fit.
    error AmountTooLarge(uint256 amount);
    /// @notice Releasing more than was claimed.
    error ExceedsClaims(uint256 amount, uint256 claims);

    event StakeDeposited(uint256 indexed agentId, address indexed staker, address payer, uint256 amount);
    event WithdrawalRequested(
        uint256 indexed agentId, address indexed staker, uint256 amount, uint256 readyAt
    );
    event StakeWithdrawn(uint256 indexed agentId, address indexed staker, uint256 amount);
    event StakeEncumbered(uint256 indexed agentId, address indexed staker, uint256 amount);
    event StakeReleased(uint256 indexed agentId, address indexed staker, uint256 amount);
    /// @notice The staker lost this; {IDelegationPool-DelegationSlashed} says what its delegators did.
    event StakeSlashed(uint256 indexed agentId, address indexed staker, uint256 amount);

    /// @notice Adds `amount` wei from the caller to the self-stake of the agent's current owner.
    function deposit(uint256 agentId, uint256 amount) external;

    /// @notice Moves `amount` of the caller's active stake to a bucket that is paid after the withdrawal delay.
    function requestWithdraw(uint256 agentId, uint256 amount) external;

    /// @notice Pays the caller's buckets that are ready, as far as no open dispute claims them.
    function withdraw(uint256 agentId) external returns (uint256 amount);

    /// @notice Claims up to `amount` of a position for a dispute. Disputes only.
    /// @return claimed the smaller of `amount` and active + pending.
    function encumber(uint256 agentId, address staker, uint256 amount) external returns (uint256 claimed);

    /// @notice Gives up `amount` of claims. Disputes only.
    function release(uint256 agentId, address staker, uint256 amount) external;

    /// @notice Takes up to `amount` to the caller: of a position, active stake first, then of the delegations behind
    /// it. Those lose no more than the position does by the same call: else an operator with little stake could have
    /// its delegators slashed for the challenger's share. Disputes only.
    /// @return taken from both together.
    function slash(uint256 agentId, address staker, uint256 amount) external returns (uint256 taken);

    /// @notice Active self-stake of the agent's current owner.
    function stakeOf(uint256 agentId) external view returns (uint256);

    /// @notice What of `staker`'s position may back open fees: active stake not claimed by disputes.
    function backingOf(uint256 agentId, address staker) external view returns (uint256);

    /// @notice A position.
    function positionOf(uint256 agentId, address staker) external view returns (Position memory);

    /// @notice A position's waiting requests, oldest first.
    function exitsOf(uint256 agentId, address staker) external view returns (Exit[] memory);
}
