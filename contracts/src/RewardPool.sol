// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { SafeERC20 } from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import { BitMaps } from "@openzeppelin/contracts/utils/structs/BitMaps.sol";
import { Math } from "@openzeppelin/contracts/utils/math/Math.sol";
import { Escrow } from "./Escrow.sol";
import { IActionLog } from "./interfaces/IActionLog.sol";
import { IAgentRegistry } from "./interfaces/IAgentRegistry.sol";
import { IOpenToken } from "./interfaces/IOpenToken.sol";
import { IRewardPool } from "./interfaces/IRewardPool.sol";
import { EscrowAddress } from "./libraries/EscrowAddress.sol";
import { MerkleSum } from "./libraries/MerkleSum.sol";
import { Records } from "./libraries/Records.sol";
import { BatchHeader, SumNode } from "./types/Records.sol";

/// @title Implements {IRewardPool}.
/// @dev Invariants: the token balance is the sum of all `remaining`; an escrow holds at least its agent's open fees.
contract RewardPool is IRewardPool {
    using SafeERC20 for IOpenToken;
    using BitMaps for BitMaps.BitMap;

    /// @notice What is paid.
    IOpenToken public immutable token;
    /// @notice Whose owners may refund.
    IAgentRegistry public immutable agents;
    /// @notice Whose final batches are paid.
    IActionLog public immutable actionLog;
    bytes32 private immutable _escrowCodeHash;

    mapping(bytes32 headerHash => uint256) private _remaining;
    mapping(bytes32 headerHash => BitMaps.BitMap) private _claimed;
    mapping(uint256 agentId => mapping(bytes32 paymentId => bool)) private _refunded;

    constructor(IOpenToken token_, IAgentRegistry agents_, IActionLog actionLog_) {
        token = token_;
        agents = agents_;
        actionLog = actionLog_;
        _escrowCodeHash = EscrowAddress.codeHash(address(token_));
    }

    /// @inheritdoc IRewardPool
    function refund(uint256 agentId, bytes32 paymentId, address client, uint256 amount) external {
        require(actionLog.isOperator(agentId, msg.sender), NotAuthorized(agentId, msg.sender));
        require(client != address(0), ZeroAccount());
        require(!_refunded[agentId][paymentId], AlreadyRefunded(agentId, paymentId));
        address escrow = createEscrow(agentId);
        uint256 free = Math.saturatingSub(token.balanceOf(escrow), actionLog.openFees(agentId));
        require(amount <= free, EscrowShort(free, amount));
        _refunded[agentId][paymentId] = true;
        emit Refunded(agentId, paymentId, client, amount);
        token.safeTransferFrom(escrow, client, amount);
    }

    /// @inheritdoc IRewardPool
    function claim(
        BatchHeader calldata header,
        uint32 index,
        address account,
        uint256 amount,
        SumNode[] calldata proof
    ) external {
        require(account != address(0), ZeroAccount());
        bytes32 hash = Records.headerHash(header);
        if (!actionLog.isFinal(hash)) actionLog.finalize(header);
        require(!_claimed[hash].get(index), AlreadyClaimed(hash, index));
        require(
            MerkleSum.verify(
                header.payoutRoot, header.sum, header.payoutCount, index, account, amount, proof
            ),
            BadProof(hash, index)
        );
        _claimed[hash].set(index);
        _remaining[hash] -= amount;
        emit Claimed(hash, index, account, amount);
        token.safeTransfer(account, amount);
    }

    /// @inheritdoc IRewardPool
    function collect(uint256 agentId, bytes32 headerHash, uint256 sum) external {
        require(msg.sender == address(actionLog), OnlyActionLog(msg.sender));
        _remaining[headerHash] = sum;
        emit Collected(agentId, headerHash, sum);
        if (sum != 0) token.safeTransferFrom(createEscrow(agentId), address(this), sum);
    }

    /// @inheritdoc IRewardPool
    function isClaimed(bytes32 headerHash, uint32 index) external view returns (bool) {
        return _claimed[headerHash].get(index);
    }

    /// @inheritdoc IRewardPool
    function isRefunded(uint256 agentId, bytes32 paymentId) external view returns (bool) {
        return _refunded[agentId][paymentId];
    }

    /// @inheritdoc IRewardPool
    function remaining(bytes32 headerHash) external view returns (uint256) {
        return _remaining[headerHash];
    }

    /// @inheritdoc IRewardPool
    function createEscrow(uint256 agentId) public returns (address escrow) {
        escrow = escrowOf(agentId);
        if (escrow.code.length != 0) return escrow;
        new Escrow{ salt: bytes32(agentId) }(token);
        emit EscrowCreated(agentId, escrow);
    }

    /// @inheritdoc IRewardPool
    function escrowOf(uint256 agentId) public view returns (address) {
        return EscrowAddress.compute(agentId, _escrowCodeHash, address(this));
    }
}
