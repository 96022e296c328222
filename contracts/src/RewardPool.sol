// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { SafeERC20 } from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import { BitMaps } from "@openzeppelin/contracts/utils/structs/BitMaps.sol";
import { Math } from "@openzeppelin/contracts/utils/math/Math.sol";
import { SafeCast } from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import { Escrow } from "./Escrow.sol";
import { IActionLog } from "./interfaces/IActionLog.sol";
import { IDelegationPool } from "./interfaces/IDelegationPool.sol";
import { IOpenToken } from "./interfaces/IOpenToken.sol";
import { IParameters } from "./interfaces/IParameters.sol";
import { Claims, IRewardPool, Repayment } from "./interfaces/IRewardPool.sol";
import { EscrowAddress } from "./libraries/EscrowAddress.sol";
import { MerkleSum } from "./libraries/MerkleSum.sol";
import { Records } from "./libraries/Records.sol";
import { Param } from "./types/Param.sol";
import { BatchHeader, Claim, SumNode } from "./types/Records.sol";

/// @title Implements {IRewardPool}.
/// @dev Invariants: the token balance is the sum of all `remaining` and of all credits; an escrow holds at least
/// its agent's open fees.
contract RewardPool is IRewardPool {
    using SafeERC20 for IOpenToken;
    using SafeCast for uint256;
    using BitMaps for BitMaps.BitMap;

    /// @dev For anyone to show the payouts behind a jury's answer.
    uint256 private constant SHOW_PERIOD = 7 days;

    /// @dev What a final batch pays, what of it is left, and by which payouts: one slot, so that a claim reads and
    /// writes one.
    struct Batch {
        uint96 net;
        uint96 remaining;
        Claims claims;
        /// While a jury's payouts are awaited: when the anchored ones count again.
        uint48 showBy;
    }

    /// @dev Payouts that a jury found. While they are awaited, `root` is what it answered.
    struct Payouts {
        bytes32 root;
        uint32 count;
    }

    /// @dev A payment given back, and who owned the agent then: the one who may charge no more than `charged` of it.
    struct Refund {
        address client;
        uint96 amount;
        address operator;
        uint96 charged;
    }

    /// @notice What is paid.
    IOpenToken public immutable token;
    /// @notice Where protocol cut, audit share and the least payout come from.
    IParameters public immutable parameters;
    /// @notice Whose final batches are paid.
    IActionLog public immutable actionLog;
    /// @notice Credited with the protocol cut.
    address public immutable treasury;
    /// @notice Credited with the audit share: the Disputes contract, which pays random audits from it.
    address public immutable disputes;
    /// @notice Payouts to this account are rewards of those who delegate to the batch's operator.
    IDelegationPool public immutable delegations;
    bytes32 private immutable _escrowCodeHash;

    mapping(bytes32 headerHash => Batch) private _batches;
    mapping(bytes32 headerHash => BitMaps.BitMap) private _claimed;
    mapping(uint256 agentId => mapping(bytes32 paymentId => Refund)) private _refunds;
    mapping(address account => uint256) private _credits;
    mapping(bytes32 headerHash => Payouts) private _corrected;

    modifier onlyDisputes() {
        require(msg.sender == disputes, OnlyDisputes(msg.sender));
        _;
    }

    constructor(
        IOpenToken token_,
        IParameters parameters_,
        IActionLog actionLog_,
        address treasury_,
        address disputes_,
        IDelegationPool delegations_
    ) {
        token = token_;
        parameters = parameters_;
        actionLog = actionLog_;
        treasury = treasury_;
        disputes = disputes_;
        delegations = delegations_;
        token_.approve(address(delegations_), type(uint256).max);
        _escrowCodeHash = EscrowAddress.codeHash(address(token_));
    }

    /// @inheritdoc IRewardPool
    function refund(uint256 agentId, bytes32 paymentId, address client, uint256 amount) external {
        require(!isRefunded(agentId, paymentId), AlreadyRefunded(agentId, paymentId));
        (address escrow, address owner, uint256 free) = _refunding(agentId);
        require(amount <= free, EscrowShort(free, amount));
        _refund(agentId, escrow, owner, Repayment(paymentId, client, amount.toUint96(), 0));
    }

    /// @inheritdoc IRewardPool
    function repay(uint256 agentId, Repayment[] calldata repayments) external {
        (address escrow, address owner, uint256 free) = _refunding(agentId);
        uint256 needed;
        for (uint256 i; i < repayments.length; ++i) {
            Repayment memory r = repayments[i];
            if (isRefunded(agentId, r.paymentId)) continue;
            needed += r.amount;
            require(needed <= free, EscrowShort(free, needed));
            _refund(agentId, escrow, owner, r);
        }
    }

    /// @inheritdoc IRewardPool
    function claim(
        BatchHeader calldata header,
        uint32 index,
        address account,
        uint256 amount,
        SumNode[] calldata proof
    ) external {
        _claim(header, Records.headerHash(header), index, account, amount, proof);
        if (account == address(delegations)) _reward(header, amount);
        else _pay(account, amount);
    }

    /// @inheritdoc IRewardPool
    function claimMany(BatchHeader calldata header, Claim[] calldata claims) external {
        bytes32 hash = Records.headerHash(header);
        uint256 minimum = parameters.get(Param.MinPayout);
        for (uint256 i; i < claims.length; ++i) {
            Claim calldata c = claims[i];
            _claim(header, hash, c.index, c.account, c.amount, c.proof);
            if (c.account == address(delegations)) {
                _reward(header, c.amount);
                continue;
            }
            uint256 due = _credits[c.account] + c.amount;
            _credits[c.account] = due;
            emit Credited(c.account, c.amount);
            if (due >= minimum) withdrawCredit(c.account);
        }
    }

    /// @inheritdoc IRewardPool
    function credit(address[] calldata accounts, uint256[] calldata amounts) external {
        require(accounts.length == amounts.length, LengthMismatch(accounts.length, amounts.length));
        uint256 sum;
        for (uint256 i; i < accounts.length; ++i) {
            require(accounts[i] != address(0), ZeroAccount());
            sum += amounts[i];
            _credits[accounts[i]] += amounts[i];
            emit Credited(accounts[i], amounts[i]);
        }
        token.safeTransferFrom(msg.sender, address(this), sum);
    }

    /// @inheritdoc IRewardPool
    function collect(uint256 agentId, bytes32 headerHash, uint256 sum, uint256 net) external {
        require(msg.sender == address(actionLog), OnlyActionLog(msg.sender));
        Batch storage batch = _batches[headerHash];
        (batch.net, batch.remaining) = (net.toUint96(), net.toUint96());
        uint256 cut = sum - net;
        uint256 auditShare = parameters.get(Param.AuditShare);
        uint256 toAudits = cut * auditShare / (auditShare + parameters.get(Param.ProtocolCut));
        _credits[disputes] += toAudits;
        _credits[treasury] += cut - toAudits;
        emit Collected(agentId, headerHash, sum, cut - toAudits, toAudits);
        if (sum != 0) token.safeTransferFrom(createEscrow(agentId), address(this), sum);
    }

    /// @inheritdoc IRewardPool
    function freeze(bytes32 headerHash) external onlyDisputes {
        Batch storage batch = _batches[headerHash];
        require(batch.net == 0 && batch.claims == Claims.Open, ClaimsNotOpen(headerHash, batch.claims));
        batch.claims = Claims.Frozen;
        emit Frozen(headerHash);
    }

    /// @inheritdoc IRewardPool
    function thaw(bytes32 headerHash) external onlyDisputes {
        _batches[headerHash].claims = Claims.Open;
        emit Thawed(headerHash);
    }

    /// @inheritdoc IRewardPool
    function correct(bytes32 headerHash, bytes32 answer) external onlyDisputes {
        Batch storage batch = _batches[headerHash];
        batch.claims = Claims.Awaited;
        batch.showBy = uint48(block.timestamp + SHOW_PERIOD);
        _corrected[headerHash].root = answer;
        emit Corrected(headerHash, answer, batch.showBy);
    }

    /// @inheritdoc IRewardPool
    function showPayouts(bytes32 headerHash, bytes32 root, uint32 count) external {
        Batch storage batch = _batches[headerHash];
        require(
            batch.claims == Claims.Awaited && block.timestamp <= batch.showBy,
            ClaimsNotOpen(headerHash, batch.claims)
        );
        require(keccak256(abi.encode(root, count)) == _corrected[headerHash].root, NotTheAnswer(headerHash));
        batch.claims = Claims.Corrected;
        _corrected[headerHash] = Payouts(root, count);
        emit PayoutsShown(headerHash, root, count);
    }

    /// @inheritdoc IRewardPool
    function payoutsOf(BatchHeader calldata header)
        external
        view
        returns (Claims state, bytes32 root, uint32 count)
    {
        bytes32 hash = Records.headerHash(header);
        state = _stateOf(_batches[hash]);
        (root, count) = _payouts(header, hash, state);
    }

    /// @inheritdoc IRewardPool
    function isClaimed(bytes32 headerHash, uint32 index) external view returns (bool) {
        return _claimed[headerHash].get(index);
    }

    /// @inheritdoc IRewardPool
    function refundOf(uint256 agentId, bytes32 paymentId)
        external
        view
        returns (address client, uint256 amount, address operator, uint256 charged)
    {
        Refund memory r = _refunds[agentId][paymentId];
        return (r.client, r.amount, r.operator, r.charged);
    }

    /// @inheritdoc IRewardPool
    function remaining(bytes32 headerHash) external view returns (uint256) {
        return _batches[headerHash].remaining;
    }

    /// @inheritdoc IRewardPool
    function creditOf(address account) external view returns (uint256) {
        return _credits[account];
    }

    /// @inheritdoc IRewardPool
    function withdrawCredit(address account) public returns (uint256 amount) {
        amount = _credits[account];
        require(amount != 0, NothingCredited(account));
        _credits[account] = 0;
        emit CreditWithdrawn(account, amount);
        _pay(account, amount);
    }

    /// @inheritdoc IRewardPool
    function createEscrow(uint256 agentId) public returns (address escrow) {
        escrow = escrowOf(agentId);
        if (escrow.code.length != 0) return escrow;
        new Escrow{ salt: bytes32(agentId) }(token);
        emit EscrowCreated(agentId, escrow);
    }

    /// @inheritdoc IRewardPool
    function isRefunded(uint256 agentId, bytes32 paymentId) public view returns (bool) {
        return _refunds[agentId][paymentId].client != address(0);
    }

    /// @inheritdoc IRewardPool
    function escrowOf(uint256 agentId) public view returns (address) {
        return EscrowAddress.compute(agentId, _escrowCodeHash, address(this));
    }

    /// @dev What the caller, who may act for the agent, can give back, from where and in whose name.
    function _refunding(uint256 agentId) private returns (address escrow, address owner, uint256 free) {
        require(actionLog.isOperator(agentId, msg.sender), NotAuthorized(agentId, msg.sender));
        escrow = createEscrow(agentId);
        owner = actionLog.agents().ownerOf(agentId);
        free = Math.saturatingSub(token.balanceOf(escrow), actionLog.openFees(agentId));
    }

    function _refund(uint256 agentId, address escrow, address owner, Repayment memory r) private {
        require(r.client != address(0), ZeroAccount());
        _refunds[agentId][r.paymentId] = Refund(r.client, r.amount, owner, r.charged);
        emit Refunded(agentId, r.paymentId, r.client, r.amount);
        token.safeTransferFrom(escrow, r.client, r.amount);
    }

    function _claim(
        BatchHeader calldata header,
        bytes32 hash,
        uint32 index,
        address account,
        uint256 amount,
        SumNode[] calldata proof
    ) private {
        require(account != address(0), ZeroAccount());
        if (_batches[hash].net == 0) actionLog.finalize(header);
        Batch storage batch = _batches[hash];
        require(!_claimed[hash].get(index), AlreadyClaimed(hash, index));
        Claims state = _stateOf(batch);
        require(state == Claims.Open || state == Claims.Corrected, ClaimsNotOpen(hash, state));
        (bytes32 root, uint32 count) = _payouts(header, hash, state);
        bytes32 leaf = MerkleSum.leafOf(index, account, amount);
        require(MerkleSum.verify(root, batch.net, count, index, leaf, amount, proof), BadProof(hash, index));
        _claimed[hash].set(index);
        batch.remaining -= uint96(amount);
        emit Claimed(hash, index, account, amount);
    }

    /// @dev An answer behind which there are no payouts must not hold the money for ever.
    function _stateOf(Batch storage batch) private view returns (Claims) {
        bool over = batch.claims == Claims.Awaited && block.timestamp > batch.showBy;
        return over ? Claims.Open : batch.claims;
    }

    function _payouts(BatchHeader calldata header, bytes32 hash, Claims state)
        private
        view
        returns (bytes32, uint32)
    {
        if (state != Claims.Corrected) return (header.payoutRoot, header.payoutCount);
        Payouts storage found = _corrected[hash];
        return (found.root, found.count);
    }

    /// @dev Shared by the delegations to whoever answered for the batch's epoch.
    function _reward(BatchHeader calldata header, uint256 amount) private {
        if (amount == 0) return;
        address operator = actionLog.epochOf(header.agentId, header.epoch).operator;
        delegations.addReward(header.agentId, operator, amount);
    }

    function _pay(address account, uint256 amount) private {
        if (amount != 0) token.safeTransfer(account, amount);
    }
}
