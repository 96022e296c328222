// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { Ownable } from "@openzeppelin/contracts/access/Ownable.sol";
import { Ownable2Step } from "@openzeppelin/contracts/access/Ownable2Step.sol";
import { IERC721 } from "@openzeppelin/contracts/token/ERC721/IERC721.sol";
import { SafeERC20 } from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import { SafeCast } from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import { IOpenToken } from "./interfaces/IOpenToken.sol";
import { Grant, ITreasury } from "./interfaces/ITreasury.sol";

/// @title Implements {ITreasury}.
/// @dev Always: token balance + native balance >= promised = the sum of total - paid over all grants.
contract Treasury is ITreasury, Ownable2Step {
    using SafeERC20 for IOpenToken;
    using SafeCast for uint256;

    uint256 private constant MAX_DURATION = 3650 days;
    uint256 private constant MAX_LEAD = 1825 days;

    /// @notice What it holds.
    IOpenToken public immutable token;
    /// @notice Who owns agents.
    IERC721 public immutable agents;
    /// @notice Who owns assets.
    IERC721 public immutable assets;

    /// @inheritdoc ITreasury
    uint256 public grants;
    /// @inheritdoc ITreasury
    uint256 public promised;
    mapping(uint256 id => Grant) private _grants;

    modifier because(string calldata reason) {
        require(bytes(reason).length != 0, ReasonMissing());
        _;
    }

    /// @param owner who decides: the timelock.
    constructor(address owner, IOpenToken token_, IERC721 agents_, IERC721 assets_) Ownable(owner) {
        token = token_;
        agents = agents_;
        assets = assets_;
    }

    receive() external payable { }

    /// @inheritdoc ITreasury
    function pay(address account, uint256 amount, string calldata reason) external onlyOwner because(reason) {
        emit Paid(account, amount, reason);
        _pay(account, amount);
    }

    /// @inheritdoc ITreasury
    function payAgent(uint256 agentId, uint256 amount, string calldata reason)
        external
        onlyOwner
        because(reason)
    {
        address account = agents.ownerOf(agentId);
        emit AgentPaid(agentId, account, amount, reason);
        _pay(account, amount);
    }

    /// @inheritdoc ITreasury
    function payAsset(uint256 assetId, uint256 amount, string calldata reason)
        external
        onlyOwner
        because(reason)
    {
        address account = assets.ownerOf(assetId);
        emit AssetPaid(assetId, account, amount, reason);
        _pay(account, amount);
    }

    /// @inheritdoc ITreasury
    function grant(address account, uint256 amount, uint256 start, uint256 duration, string calldata reason)
        external
        onlyOwner
        because(reason)
        returns (uint256 id)
    {
        _require(account, amount);
        if (start == 0) start = block.timestamp;
        require(
            duration != 0 && duration <= MAX_DURATION && start <= block.timestamp + MAX_LEAD,
            BadVesting(start, duration)
        );
        promised += amount;
        id = ++grants;
        _grants[id] = Grant(account, uint48(start), uint48(duration), amount.toUint128(), 0);
        emit Granted(id, account, amount, start, duration, reason);
    }

    /// @inheritdoc ITreasury
    function stop(uint256 id, string calldata reason) external onlyOwner because(reason) {
        Grant storage g = _grants[id];
        uint256 earned = vested(id);
        uint256 returned = g.total - earned;
        require(returned != 0, GrantOver(id));
        g.total = uint128(earned);
        g.duration = 0;
        promised -= returned;
        emit GrantStopped(id, earned, returned, reason);
    }

    /// @inheritdoc ITreasury
    function release(uint256 id) external returns (uint256 amount) {
        Grant storage g = _grants[id];
        amount = vested(id) - g.paid;
        require(amount != 0, NothingVested(id));
        g.paid += uint128(amount);
        promised -= amount;
        emit GrantPaid(id, g.account, amount);
        wrap();
        token.safeTransfer(g.account, amount);
    }

    /// @inheritdoc ITreasury
    function grantOf(uint256 id) external view returns (Grant memory) {
        require(id != 0 && id <= grants, UnknownGrant(id));
        return _grants[id];
    }

    /// @inheritdoc ITreasury
    function wrap() public {
        uint256 native = address(this).balance;
        if (native != 0) token.deposit{ value: native }();
    }

    /// @inheritdoc ITreasury
    function available() public view returns (uint256) {
        return token.balanceOf(address(this)) + address(this).balance - promised;
    }

    /// @inheritdoc ITreasury
    function vested(uint256 id) public view returns (uint256) {
        require(id != 0 && id <= grants, UnknownGrant(id));
        Grant storage g = _grants[id];
        if (g.duration == 0) return g.total;
        if (block.timestamp <= g.start) return 0;
        uint256 elapsed = block.timestamp - g.start;
        if (elapsed >= g.duration) return g.total;
        // rounds down: the last wei comes with the last second
        return uint256(g.total) * elapsed / g.duration;
    }

    function _pay(address account, uint256 amount) private {
        _require(account, amount);
        wrap();
        token.safeTransfer(account, amount);
    }

    function _require(address account, uint256 amount) private view {
        require(account != address(0) && account != address(this), BadAccount(account));
        require(amount != 0, ZeroAmount());
        require(amount <= available(), TreasuryShort(available(), amount));
    }
}
