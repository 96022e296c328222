// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { SafeERC20 } from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import { SafeCast } from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import { Math } from "@openzeppelin/contracts/utils/math/Math.sol";
import { IActionLog } from "./interfaces/IActionLog.sol";
import { IAgentRegistry } from "./interfaces/IAgentRegistry.sol";
import { IDelegationPool } from "./interfaces/IDelegationPool.sol";
import { IOpenToken } from "./interfaces/IOpenToken.sol";
import { IParameters } from "./interfaces/IParameters.sol";
import { Exit, IStakeVault, Position } from "./interfaces/IStakeVault.sol";
import { JurorPool } from "./JurorPool.sol";
import { Param } from "./types/Param.sol";

/// @title Implements {IStakeVault}.
/// @dev A position belongs to (agent, staker): selling an agent leaves the seller's stake answering for the
/// seller's epochs and cannot be slashed for the buyer's. Invariants: the sum of a queue's amounts is the
/// position's `pending`; the token balance is the sum of all active, pending and juror stakes.
contract StakeVault is IStakeVault, JurorPool {
    using SafeERC20 for IOpenToken;
    using SafeCast for uint256;

    /// @dev Bounds the loops over a queue.
    uint256 private constant MAX_EXITS = 16;

    /// @notice Whose owners stake.
    IAgentRegistry public immutable agents;
    /// @notice Told what backs an agent's anchors.
    IActionLog public immutable actionLog;
    /// @notice Slashed after an operator's own stake.
    IDelegationPool public immutable delegations;

    mapping(uint256 agentId => mapping(address staker => Position)) private _positions;
    mapping(uint256 agentId => mapping(address staker => Exit[])) private _exits;
    mapping(uint256 agentId => mapping(address staker => uint256)) private _exitHead;

    constructor(
        IOpenToken token_,
        IAgentRegistry agents_,
        IParameters parameters_,
        IActionLog actionLog_,
        address disputes_,
        IDelegationPool delegations_
    ) JurorPool(token_, parameters_, disputes_) {
        agents = agents_;
        actionLog = actionLog_;
        delegations = delegations_;
    }

    /// @inheritdoc IStakeVault
    function deposit(uint256 agentId, uint256 amount) external {
        parameters.requireIntakeOpen();
        require(amount != 0, ZeroAmount());
        address staker = agents.ownerOf(agentId);
        _positions[agentId][staker].active += amount.toUint128();
        emit StakeDeposited(agentId, staker, msg.sender, amount);
        _tell(agentId, staker);
        token.safeTransferFrom(msg.sender, address(this), amount);
    }

    /// @inheritdoc IStakeVault
    function requestWithdraw(uint256 agentId, uint256 amount) external {
        require(amount != 0, ZeroAmount());
        Position storage p = _positions[agentId][msg.sender];
        require(amount <= p.active, ExceedsActive(amount, p.active));
        Exit[] storage exits = _exits[agentId][msg.sender];
        uint256 head = _exitHead[agentId][msg.sender];
        require(exits.length - head < MAX_EXITS, TooManyExits());

        // never before an earlier request, even when the delay was shortened meanwhile
        uint256 readyAt = block.timestamp + parameters.get(Param.WithdrawalDelay);
        if (exits.length > head) readyAt = Math.max(readyAt, exits[exits.length - 1].readyAt);
        p.active -= uint128(amount);
        p.pending += uint128(amount);
        exits.push(Exit({ amount: uint128(amount), readyAt: uint64(readyAt) }));
        emit WithdrawalRequested(agentId, msg.sender, amount, readyAt);
        _tell(agentId, msg.sender);
    }

    /// @inheritdoc IStakeVault
    function withdraw(uint256 agentId) external returns (uint256 amount) {
        Position storage p = _positions[agentId][msg.sender];
        Exit[] storage exits = _exits[agentId][msg.sender];
        uint256 head = _exitHead[agentId][msg.sender];
        uint256 limit = Math.min(p.pending, Math.saturatingSub(_total(p), p.claims));
        while (head < exits.length && exits[head].readyAt <= block.timestamp && amount < limit) {
            uint256 part = Math.min(exits[head].amount, limit - amount);
            amount += part;
            exits[head].amount -= uint128(part);
            if (exits[head].amount == 0) ++head;
        }
        require(amount != 0, NothingToWithdraw());
        _exitHead[agentId][msg.sender] = head;
        p.pending -= uint128(amount);
        emit StakeWithdrawn(agentId, msg.sender, amount);
        _tell(agentId, msg.sender);
        token.safeTransfer(msg.sender, amount);
    }

    /// @inheritdoc IStakeVault
    function encumber(uint256 agentId, address staker, uint256 amount)
        external
        onlyDisputes
        returns (uint256 claimed)
    {
        Position storage p = _positions[agentId][staker];
        claimed = Math.min(amount, _total(p));
        // claims may exceed the position: several disputes, the first to end is served first. So nobody can
        // shield a stake by having friends claim it.
        p.claims += claimed.toUint128();
        emit StakeEncumbered(agentId, staker, claimed);
        _tell(agentId, staker);
    }

    /// @inheritdoc IStakeVault
    function release(uint256 agentId, address staker, uint256 amount) external onlyDisputes {
        Position storage p = _positions[agentId][staker];
        require(amount <= p.claims, ExceedsClaims(amount, p.claims));
        p.claims -= uint128(amount);
        emit StakeReleased(agentId, staker, amount);
        _tell(agentId, staker);
    }

    /// @inheritdoc IStakeVault
    function slash(uint256 agentId, address staker, uint256 amount)
        external
        onlyDisputes
        returns (uint256 taken)
    {
        Position storage p = _positions[agentId][staker];
        uint256 own = Math.min(amount, _total(p));
        if (own == 0) return 0;
        uint256 fromActive = Math.min(own, p.active);
        p.active -= uint128(fromActive);
        _slashExits(agentId, staker, own - fromActive);
        p.pending -= uint128(own - fromActive);
        emit StakeSlashed(agentId, staker, own);
        _tell(agentId, staker);
        token.safeTransfer(msg.sender, own);
        if (amount == own) return own;
        // no more than the operator loses: at most half of it all comes back to a challenger and a client, who may
        // be the operator
        return own + delegations.slash(agentId, staker, Math.min(amount - own, own), msg.sender);
    }

    /// @inheritdoc IStakeVault
    function stakeOf(uint256 agentId) external view returns (uint256) {
        return _positions[agentId][agents.ownerOf(agentId)].active;
    }

    /// @inheritdoc IStakeVault
    function positionOf(uint256 agentId, address staker) external view returns (Position memory) {
        return _positions[agentId][staker];
    }

    /// @inheritdoc IStakeVault
    function exitsOf(uint256 agentId, address staker) external view returns (Exit[] memory waiting) {
        Exit[] storage exits = _exits[agentId][staker];
        uint256 head = _exitHead[agentId][staker];
        waiting = new Exit[](exits.length - head);
        for (uint256 i; i < waiting.length; ++i) {
            waiting[i] = exits[head + i];
        }
    }

    /// @inheritdoc IStakeVault
    function backingOf(uint256 agentId, address staker) public view returns (uint256) {
        Position storage p = _positions[agentId][staker];
        return Math.min(p.active, Math.saturatingSub(_total(p), p.claims));
    }

    /// @dev Cuts waiting requests, those nearest to payment first.
    function _slashExits(uint256 agentId, address staker, uint256 amount) private {
        Exit[] storage exits = _exits[agentId][staker];
        uint256 head = _exitHead[agentId][staker];
        for (; amount != 0; ++head) {
            uint256 part = Math.min(exits[head].amount, amount);
            exits[head].amount -= uint128(part);
            amount -= part;
            if (exits[head].amount != 0) break;
        }
        _exitHead[agentId][staker] = head;
    }

    function _tell(uint256 agentId, address staker) private {
        actionLog.onStakeChanged(agentId, staker, backingOf(agentId, staker));
    }

    function _total(Position storage p) private view returns (uint256) {
        return uint256(p.active) + p.pending;
    }
}
