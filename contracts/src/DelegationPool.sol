// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { SafeERC20 } from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import { Math } from "@openzeppelin/contracts/utils/math/Math.sol";
import { IAgentRegistry } from "./interfaces/IAgentRegistry.sol";
import {
    Delegation,
    DelegationExit,
    DelegationPoolState,
    IDelegationPool
} from "./interfaces/IDelegationPool.sol";
import { IOpenToken } from "./interfaces/IOpenToken.sol";
import { IParameters } from "./interfaces/IParameters.sol";
import { ShareMath } from "./libraries/ShareMath.sol";
import { Param } from "./types/Param.sol";

/// @title Implements {IDelegationPool}.
/// @dev Money waits in the pool's one pending batch, becomes active with the first call after the boundary, all of
/// it at one price, and each delegator takes its part of the batch's shares when it next acts. Shares belong to a
/// generation, which ends when the last is gone or a slash left next to nothing: later delegators neither inherit
/// nor lose anything. Every call loads a pool, brings it up to date in memory and stores it. Always: the token
/// balance is the sum of all pools' active and exiting assets, pending and income.
contract DelegationPool is IDelegationPool {
    using SafeERC20 for IOpenToken;
    using ShareMath for uint256;

    /// @dev A batch's money and shares that its delegators have not taken yet.
    struct Batch {
        uint96 assets;
        uint128 shares;
    }

    struct Pool {
        DelegationPoolState state;
        mapping(uint256 number => Batch) batches;
        mapping(address delegator => Delegation) delegations;
        mapping(address delegator => DelegationExit[]) exits;
        mapping(address delegator => uint256) exitHead;
    }

    /// @inheritdoc IDelegationPool
    uint256 public constant MIN_DELEGATION = 0.001 ether;

    /// @dev Bounds the loops over a delegator's requests.
    uint256 private constant MAX_EXITS = 16;
    uint256 private constant BPS = 10_000;

    /// @notice The delegated token.
    IOpenToken public immutable token;
    /// @notice Whose owners are delegated to.
    IAgentRegistry public immutable agents;
    /// @notice Where periods, delays and caps come from.
    IParameters public immutable parameters;
    /// @notice Decides when delegators lose something.
    address public immutable vault;

    mapping(uint256 agentId => mapping(address operator => Pool)) private _pools;

    constructor(IOpenToken token_, IAgentRegistry agents_, IParameters parameters_, address vault_) {
        token = token_;
        agents = agents_;
        parameters = parameters_;
        vault = vault_;
    }

    /// @inheritdoc IDelegationPool
    function delegate(uint256 agentId, address operator, uint256 amount) external {
        parameters.requireIntakeOpen();
        require(amount >= MIN_DELEGATION, DelegationTooSmall(amount, MIN_DELEGATION));
        require(agents.ownerOf(agentId) == operator, NotOperator(agentId, operator));
        Pool storage pool = _pools[agentId][operator];
        DelegationPoolState memory p = _load(pool, agentId, operator);
        Delegation memory d = _settle(pool, p, msg.sender);
        _requireRoom(p, amount);
        if (p.pending == 0) {
            uint256 period = parameters.get(Param.DelegationPeriod);
            p.activatesAt = uint40((block.timestamp / period + 1) * period);
        }
        p.pending += uint96(amount);
        d.pending += uint96(amount);
        pool.delegations[msg.sender] = d;
        pool.state = p;
        emit Delegated(agentId, operator, msg.sender, amount, p.activatesAt);
        token.safeTransferFrom(msg.sender, address(this), amount);
    }

    /// @inheritdoc IDelegationPool
    function cancelDelegation(uint256 agentId, address operator) external returns (uint256 amount) {
        Pool storage pool = _pools[agentId][operator];
        DelegationPoolState memory p = _load(pool, agentId, operator);
        Delegation memory d = _settle(pool, p, msg.sender);
        amount = d.pending;
        require(amount != 0, NothingPending());
        p.pending -= uint96(amount);
        d.pending = 0;
        pool.delegations[msg.sender] = d;
        pool.state = p;
        emit DelegationCancelled(agentId, operator, msg.sender, amount);
        token.safeTransfer(msg.sender, amount);
    }

    /// @inheritdoc IDelegationPool
    function requestUndelegate(uint256 agentId, address operator, uint256 shares)
        external
        returns (uint256 amount)
    {
        require(shares != 0, ZeroAmount());
        Pool storage pool = _pools[agentId][operator];
        DelegationPoolState memory p = _load(pool, agentId, operator);
        Delegation memory d = _settle(pool, p, msg.sender);
        require(shares <= d.shares, ExceedsShares(shares, d.shares));

        amount = shares.toAssets(p.activeAssets, p.activeShares);
        d.shares -= uint128(shares);
        p.activeShares -= uint128(shares);
        p.activeAssets -= uint96(amount);
        uint256 exiting = amount.toExit(p.exitingAssets, p.exitingShares);
        p.exitingShares += uint128(exiting);
        p.exitingAssets += uint96(amount);
        uint256 readyAt = _enqueue(pool, exiting, p.exitingSince);
        if (p.activeShares == 0) _closeActive(p, agentId, operator);
        pool.delegations[msg.sender] = d;
        pool.state = p;
        emit UndelegationRequested(agentId, operator, msg.sender, shares, amount, readyAt);
    }

    /// @inheritdoc IDelegationPool
    function withdrawDelegation(uint256 agentId, address operator) external returns (uint256 amount) {
        Pool storage pool = _pools[agentId][operator];
        DelegationPoolState memory p = _load(pool, agentId, operator);
        DelegationExit[] storage exits = pool.exits[msg.sender];
        uint256 first = pool.exitHead[msg.sender];
        uint256 head = first;
        for (; head < exits.length && exits[head].readyAt <= block.timestamp; ++head) {
            DelegationExit memory exit = exits[head];
            if (exit.generation != p.exitingSince) continue;
            uint256 part = uint256(exit.shares).fromExit(p.exitingAssets, p.exitingShares);
            p.exitingAssets -= uint96(part);
            p.exitingShares -= exit.shares;
            amount += part;
        }
        // void requests pay nothing, but must not block the queue
        require(head != first, NothingToWithdraw());
        pool.exitHead[msg.sender] = head;
        if (p.exitingShares == 0) _closeExiting(p, agentId, operator);
        pool.state = p;
        emit DelegationWithdrawn(agentId, operator, msg.sender, amount);
        if (amount != 0) token.safeTransfer(msg.sender, amount);
    }

    /// @inheritdoc IDelegationPool
    function addReward(uint256 agentId, address operator, uint256 amount) external {
        require(amount != 0, ZeroAmount());
        Pool storage pool = _pools[agentId][operator];
        DelegationPoolState memory p = _load(pool, agentId, operator);
        _requireRoom(p, amount);
        uint256 toOperator = amount;
        if (p.activeShares >= MIN_DELEGATION) {
            // a lowered maximum binds at once
            uint256 bps = Math.min(p.commission, parameters.get(Param.MaxCommission));
            toOperator = amount * bps / BPS;
            p.activeAssets += uint96(amount - toOperator);
        }
        p.income += uint128(toOperator);
        pool.state = p;
        emit RewardAdded(agentId, operator, msg.sender, amount - toOperator, toOperator);
        token.safeTransferFrom(msg.sender, address(this), amount);
    }

    /// @inheritdoc IDelegationPool
    function setCommission(uint256 agentId, uint256 bps) external {
        uint256 maximum = parameters.get(Param.MaxCommission);
        require(bps <= maximum, CommissionTooHigh(bps, maximum));
        Pool storage pool = _pools[agentId][msg.sender];
        DelegationPoolState memory p = _load(pool, agentId, msg.sender);
        uint256 effectiveAt = block.timestamp;
        if (bps <= p.commission || (p.activeShares == 0 && p.pending == 0)) {
            p.commission = uint16(bps);
            p.commissionAt = 0;
        } else {
            effectiveAt += parameters.get(Param.WithdrawalDelay);
            p.nextCommission = uint16(bps);
            p.commissionAt = uint40(effectiveAt);
        }
        pool.state = p;
        emit CommissionSet(agentId, msg.sender, bps, effectiveAt);
    }

    /// @inheritdoc IDelegationPool
    function claimIncome(uint256 agentId) external returns (uint256 amount) {
        DelegationPoolState storage p = _pools[agentId][msg.sender].state;
        amount = p.income;
        require(amount != 0, NothingEarned());
        p.income = 0;
        emit IncomeClaimed(agentId, msg.sender, amount);
        token.safeTransfer(msg.sender, amount);
    }

    /// @inheritdoc IDelegationPool
    function slash(uint256 agentId, address operator, uint256 amount, address recipient)
        external
        returns (uint256 taken)
    {
        require(msg.sender == vault, OnlyVault(msg.sender));
        Pool storage pool = _pools[agentId][operator];
        DelegationPoolState memory p = _load(pool, agentId, operator);
        uint256 total = uint256(p.activeAssets) + p.exitingAssets;
        taken = Math.min(amount, total * parameters.get(Param.DelegatorSlashCap) / BPS);
        if (taken != 0) {
            uint256 fromActive = taken * p.activeAssets / total;
            p.activeAssets -= uint96(fromActive);
            p.exitingAssets -= uint96(taken - fromActive);
            emit DelegationSlashed(agentId, operator, fromActive, taken - fromActive);
            if (uint256(p.activeAssets).isSpent(p.activeShares)) _closeActive(p, agentId, operator);
            if (uint256(p.exitingAssets).isSpent(p.exitingShares)) _closeExiting(p, agentId, operator);
        }
        pool.state = p;
        if (taken != 0) token.safeTransfer(recipient, taken);
    }

    /// @inheritdoc IDelegationPool
    function delegationPoolOf(uint256 agentId, address operator)
        external
        view
        returns (DelegationPoolState memory p)
    {
        p = _pools[agentId][operator].state;
        _update(p);
    }

    /// @inheritdoc IDelegationPool
    function delegationOf(uint256 agentId, address operator, address delegator)
        external
        view
        returns (Delegation memory d, uint256 worth)
    {
        Pool storage pool = _pools[agentId][operator];
        DelegationPoolState memory p = pool.state;
        Batch memory activated = _update(p);
        d = pool.delegations[delegator];
        // a batch that is due is not stored before the next call
        bool due = activated.assets != 0 && d.batch + 1 == p.batches;
        _settle(p, d, due ? activated : pool.batches[d.batch]);
        worth = uint256(d.shares).toAssets(p.activeAssets, p.activeShares);
    }

    /// @inheritdoc IDelegationPool
    function delegationExitsOf(uint256 agentId, address operator, address delegator)
        external
        view
        returns (DelegationExit[] memory waiting, uint256[] memory worths)
    {
        Pool storage pool = _pools[agentId][operator];
        DelegationPoolState memory p = pool.state;
        DelegationExit[] storage exits = pool.exits[delegator];
        uint256 head = pool.exitHead[delegator];
        waiting = new DelegationExit[](exits.length - head);
        worths = new uint256[](waiting.length);
        for (uint256 i; i < waiting.length; ++i) {
            waiting[i] = exits[head + i];
            if (waiting[i].generation != p.exitingSince) continue;
            worths[i] = uint256(waiting[i].shares).fromExit(p.exitingAssets, p.exitingShares);
        }
    }

    /// @dev The pool, brought up to date.
    function _load(Pool storage pool, uint256 agentId, address operator)
        private
        returns (DelegationPoolState memory p)
    {
        p = pool.state;
        Batch memory activated = _update(p);
        if (activated.assets == 0) return p;
        uint32 number = p.batches - 1;
        pool.batches[number] = activated;
        emit BatchActivated(agentId, operator, number, activated.assets, activated.shares);
    }

    /// @dev The caller's delegation, with what became active since it last acted.
    function _settle(Pool storage pool, DelegationPoolState memory p, address delegator)
        private
        returns (Delegation memory d)
    {
        d = pool.delegations[delegator];
        uint256 number = d.batch;
        Batch memory batch;
        if (!_isDue(p, d)) return _settle(p, d, batch);
        batch = pool.batches[number];
        _settle(p, d, batch);
        pool.batches[number] = batch;
    }

    /// @dev Adds a request to the caller's queue; worthless shares leave without one.
    function _enqueue(Pool storage pool, uint256 shares, uint32 generation)
        private
        returns (uint256 readyAt)
    {
        DelegationExit[] storage exits = pool.exits[msg.sender];
        uint256 waiting = exits.length - pool.exitHead[msg.sender];
        require(waiting < MAX_EXITS, TooManyExits());
        // never before an earlier request, even when the delay was shortened meanwhile
        readyAt = block.timestamp + parameters.get(Param.WithdrawalDelay);
        if (waiting != 0) readyAt = Math.max(readyAt, exits[exits.length - 1].readyAt);
        if (shares == 0) return readyAt;
        exits.push(
            DelegationExit({ shares: uint128(shares), readyAt: uint64(readyAt), generation: generation })
        );
    }

    /// @dev Voids the active shares; what rounding left is the operator's.
    function _closeActive(DelegationPoolState memory p, uint256 agentId, address operator) private {
        _credit(p, agentId, operator, p.activeAssets);
        (p.activeAssets, p.activeShares, p.activeSince) = (0, 0, p.batches);
    }

    function _closeExiting(DelegationPoolState memory p, uint256 agentId, address operator) private {
        _credit(p, agentId, operator, p.exitingAssets);
        (p.exitingAssets, p.exitingShares) = (0, 0);
        ++p.exitingSince;
    }

    function _credit(DelegationPoolState memory p, uint256 agentId, address operator, uint96 amount) private {
        if (amount == 0) return;
        p.income += amount;
        emit RemainderCredited(agentId, operator, amount);
    }

    /// @dev Lets a commission take effect and the pending batch become active, if they are due.
    function _update(DelegationPoolState memory p) private view returns (Batch memory activated) {
        if (p.commissionAt != 0 && block.timestamp >= p.commissionAt) {
            p.commission = p.nextCommission;
            p.commissionAt = 0;
        }
        if (p.pending == 0 || block.timestamp < p.activatesAt) return activated;
        activated.assets = p.pending;
        // fits: a wei buys at most 2^31 shares, and the pool never holds 2^96 wei
        activated.shares = uint128(uint256(p.pending).toShares(p.activeAssets, p.activeShares));
        p.activeAssets += activated.assets;
        p.activeShares += activated.shares;
        p.pending = 0;
        ++p.batches;
    }

    /// @dev Voids the shares of an ended generation; takes the part of a batch that has become active.
    function _settle(DelegationPoolState memory p, Delegation memory d, Batch memory batch)
        private
        pure
        returns (Delegation memory)
    {
        if (p.activeSince >= d.batch) d.shares = 0;
        if (_isDue(p, d)) {
            uint128 shares = uint128(uint256(d.pending).portion(batch.assets, batch.shares));
            batch.assets -= d.pending;
            batch.shares -= shares;
            if (p.activeSince <= d.batch) d.shares += shares;
            d.pending = 0;
        }
        d.batch = p.batches;
        return d;
    }

    function _isDue(DelegationPoolState memory p, Delegation memory d) private pure returns (bool) {
        return d.pending != 0 && d.batch < p.batches;
    }

    function _requireRoom(DelegationPoolState memory p, uint256 amount) private pure {
        uint256 held = uint256(p.activeAssets) + p.exitingAssets + p.pending;
        require(amount < type(uint96).max - held, PoolFull(held));
    }
}
