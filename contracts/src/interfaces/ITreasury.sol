// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @notice A grant paid out evenly over time.
struct Grant {
    address account;
    /// Unix seconds.
    uint48 start;
    /// Seconds from the start to the last wei; 0 once stopped.
    uint48 duration;
    /// Wei in all; once stopped, what had vested.
    uint128 total;
    uint128 paid;
}

/// @title OPEN that belongs to the protocol.
/// @notice Protocol cuts, audit shares, unattributed parts and the genesis allocation of the ecosystem. Only its owner, the
/// timelock, decides about it, each time with a reason; it never votes with it, because it never delegates.
interface ITreasury {
    /// @notice The amount is zero.
    error ZeroAmount();
    /// @notice The account is zero, or the treasury itself.
    error BadAccount(address account);
    /// @notice Every grant names the CID of its reason.
    error ReasonMissing();
    /// @notice Less is free than needed: the rest is promised to grants.
    error TreasuryShort(uint256 available, uint256 needed);
    /// @notice A grant vests over a second to ten years, and starts within five years.
    error BadVesting(uint256 start, uint256 duration);
    /// @notice No grant has this number.
    error UnknownGrant(uint256 id);
    /// @notice The grant was stopped, or has vested in full.
    error GrantOver(uint256 id);
    /// @notice Nothing has vested that was not paid.
    error NothingVested(uint256 id);

    /// @notice `amount` went to `account`.
    event Paid(address indexed account, uint256 amount, string reason);
    /// @notice `amount` went to the owner of an agent, for the agent.
    event AgentPaid(uint256 indexed agentId, address indexed account, uint256 amount, string reason);
    /// @notice `amount` went to the owner of an asset (a datanet, a model…), for the asset.
    event AssetPaid(uint256 indexed assetId, address indexed account, uint256 amount, string reason);
    /// @notice Grant `id` was promised.
    event Granted(
        uint256 indexed id,
        address indexed account,
        uint256 amount,
        uint256 start,
        uint256 duration,
        string reason
    );
    /// @notice `amount` of a grant was paid.
    event GrantPaid(uint256 indexed id, address indexed account, uint256 amount);
    /// @notice A grant was stopped: `vested` stays the account's, `returned` is free again.
    event GrantStopped(uint256 indexed id, uint256 vested, uint256 returned, string reason);

    /// @notice Pays `amount` wei at once. Owner only.
    /// @param reason CID of the text that says why.
    function pay(address account, uint256 amount, string calldata reason) external;

    /// @notice Pays `amount` wei to whoever owns the agent now. Owner only.
    function payAgent(uint256 agentId, uint256 amount, string calldata reason) external;

    /// @notice Pays `amount` wei to whoever owns the asset now. Owner only.
    function payAsset(uint256 assetId, uint256 amount, string calldata reason) external;

    /// @notice Promises `amount` wei to `account`, vesting evenly from `start` (0: now) over `duration`. Owner only.
    function grant(address account, uint256 amount, uint256 start, uint256 duration, string calldata reason)
        external
        returns (uint256 id);

    /// @notice Stops a grant: what has vested stays its account's, the rest is free again. Owner only.
    function stop(uint256 id, string calldata reason) external;

    /// @notice Pays what has vested of a grant to its account. Anyone may call.
    function release(uint256 id) external returns (uint256 amount);

    /// @notice Wraps native OPEN that came in. Anyone may call; payments do it by themselves.
    function wrap() external;

    /// @notice Wei that no grant claims, wrapped or not.
    function available() external view returns (uint256);

    /// @notice Wei promised to grants and not paid yet.
    function promised() external view returns (uint256);

    /// @notice Wei of a grant vested so far, paid or not.
    function vested(uint256 id) external view returns (uint256);

    /// @notice A grant, from 1.
    function grantOf(uint256 id) external view returns (Grant memory);

    /// @notice The number of the latest grant.
    function grants() external view returns (uint256);
}
