// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { EIP712 } from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import { Math } from "@openzeppelin/contracts/utils/math/Math.sol";
import { IActionLog } from "./interfaces/IActionLog.sol";
import { IAgentObserver, IAgentRegistry } from "./interfaces/IAgentRegistry.sol";
import { IOpenToken } from "./interfaces/IOpenToken.sol";
import { IParameters } from "./interfaces/IParameters.sol";
import { IRewardPool } from "./interfaces/IRewardPool.sol";
import { IStakeVault } from "./interfaces/IStakeVault.sol";
import { EscrowAddress } from "./libraries/EscrowAddress.sol";
import { Records } from "./libraries/Records.sol";
import { AgentState, AgentStateLib } from "./types/AgentState.sol";
import { Param } from "./types/Param.sol";
import { ActionRecord, AnchorCall, BatchHeader, Epoch, RecordProof, Ticket } from "./types/Records.sol";

/// @title Implements {IActionLog}.
/// @dev Everything an anchor needs of the vault and the registry is pushed here when it changes (stake, transfer),
/// so that anchoring reads two slots and one token balance and writes two slots.
contract ActionLog is IActionLog, IAgentObserver, EIP712 {
    uint256 private constant BPS = 10_000;
    uint32 private constant MAX_COUNT = 1 << 20;

    /// @notice The token escrows hold.
    IOpenToken public immutable token;
    /// @inheritdoc IActionLog
    IAgentRegistry public immutable agents;
    /// @notice Where lags, windows and coverage come from.
    IParameters public immutable parameters;
    /// @notice Whose stake backs anchors.
    IStakeVault public immutable vault;
    /// @notice Who holds escrows and pays claims.
    IRewardPool public immutable rewardPool;
    bytes32 private immutable _escrowCodeHash;

    mapping(uint256 agentId => AgentState) private _agents;
    mapping(uint256 agentId => mapping(uint256 epoch => Epoch)) private _epochs;
    mapping(uint256 agentId => mapping(uint256 firstNonce => bytes32 headerHash)) private _headers;
    mapping(bytes32 headerHash => bool) private _final;

    constructor(
        IOpenToken token_,
        IAgentRegistry agents_,
        IParameters parameters_,
        IStakeVault vault_,
        IRewardPool rewardPool_
    ) EIP712("OpenLedger", "1") {
        token = token_;
        agents = agents_;
        parameters = parameters_;
        vault = vault_;
        rewardPool = rewardPool_;
        _escrowCodeHash = EscrowAddress.codeHash(address(token_));
    }

    /// @inheritdoc IActionLog
    function openEpoch(uint256 agentId, address recordKey, bytes32 manifestDigest, bytes32 manifestRoot)
        external
        returns (uint32 epoch)
    {
        require(agents.isAuthorizedOrOwner(msg.sender, agentId), NotAuthorized(agentId, msg.sender));
        require(recordKey != address(0), ZeroRecordKey());
        address operator = agents.ownerOf(agentId);
        uint256 backing = vault.backingOf(agentId, operator);
        uint256 minimum = parameters.get(Param.MinSelfStake);
        require(backing >= minimum, SelfStakeTooLow(backing, minimum));

        AgentState a = _agents[agentId];
        epoch = a.epoch();
        // a pause keeps newcomers out; who is in may rotate keys at any time
        if (epoch == 0) parameters.requireIntakeOpen();
        // only the newest two epochs are ever accepted, so that a transfer has two to close
        if (epoch > 1) _close(agentId, epoch - 1, 0);
        if (epoch != 0) _close(agentId, epoch, uint64(block.timestamp + parameters.get(Param.MaxAnchorLag)));
        require(++epoch <= AgentStateLib.maxEpoch(), EpochNotAccepted(agentId, epoch));
        backing = Math.min(backing, AgentStateLib.maxWei());
        _agents[agentId] = AgentStateLib.pack(a.nextNonce(), epoch, a.openFees(), backing);
        _epochs[agentId][epoch] = Epoch({
            recordKey: recordKey,
            acceptUntil: type(uint64).max,
            coverageBps: uint16(parameters.get(Param.Coverage)),
            cutBps: uint16(parameters.get(Param.ProtocolCut) + parameters.get(Param.AuditShare)),
            operator: operator,
            openedAt: uint48(block.timestamp),
            liableUntil: type(uint48).max,
            manifestDigest: manifestDigest,
            manifestRoot: manifestRoot
        });
        emit EpochOpened(agentId, epoch, operator, recordKey, manifestDigest, manifestRoot);
    }

    /// @inheritdoc IActionLog
    function anchor(AnchorCall calldata call) external {
        uint256 agentId = call.agentId;
        AgentState a = _agents[agentId];
        uint256 limit;
        {
            uint32 epoch = call.epoch;
            Epoch storage e = _epochs[agentId][epoch];
            (address key, uint256 acceptUntil, uint256 coverageBps) =
                (e.recordKey, e.acceptUntil, e.coverageBps);
            require(key != address(0) && block.timestamp <= acceptUntil, EpochNotAccepted(agentId, epoch));
            require(
                msg.sender == key || agents.isAuthorizedOrOwner(msg.sender, agentId),
                NotAuthorized(agentId, msg.sender)
            );
            limit = a.backing() * coverageBps / BPS;
        }
        uint64 nonce = uint64(a.nextNonce());
        uint64 firstNonce = call.firstNonce;
        require(firstNonce == nonce, NonceGap(firstNonce, nonce));
        uint32 count = call.count;
        uint256 next = uint256(nonce) + count;
        require(count != 0 && count <= MAX_COUNT && next <= AgentStateLib.maxNonce(), BadCount(count));
        uint256 sum = call.sum;
        require((call.payoutCount == 0) == (sum == 0), BadPayouts(call.payoutCount, sum));

        uint256 fees = a.openFees() + sum;
        // an agent without stake anchors nothing, not even free actions
        require(fees <= limit && limit != 0, CoverageExceeded(fees, limit));
        _requireFunded(agentId, fees);

        // fees fit: they are at most a quarter of the backing
        _agents[agentId] = AgentStateLib.pack(next, a.epoch(), fees, a.backing());
        _store(call);
    }

    /// @inheritdoc IActionLog
    function finalize(BatchHeader calldata header) external {
        bytes32 hash = _requireAnchored(header);
        uint256 until = challengeableUntil(header);
        require(block.timestamp > until, WindowOpen(until));
        require(!_final[hash], AlreadyFinal(hash));
        _final[hash] = true;
        AgentState a = _agents[header.agentId];
        _agents[header.agentId] =
            AgentStateLib.pack(a.nextNonce(), a.epoch(), a.openFees() - header.sum, a.backing());
        emit Finalized(header.agentId, header.firstNonce, hash, header.sum);
        rewardPool.collect(header.agentId, hash, header.sum, netOf(header));
    }

    /// @inheritdoc IActionLog
    function onStakeChanged(uint256 agentId, address staker, uint256 backing) external {
        require(msg.sender == address(vault), OnlyContract(address(vault)));
        AgentState a = _agents[agentId];
        Epoch storage e = _epochs[agentId][a.epoch()];
        if (e.operator != staker || e.acceptUntil == 0) return;
        // a stake beyond 2^96 backs no more than 2^96: this must not revert, a slash may be on its way
        backing = Math.min(backing, AgentStateLib.maxWei());
        _agents[agentId] = AgentStateLib.pack(a.nextNonce(), a.epoch(), a.openFees(), backing);
    }

    /// @inheritdoc IAgentObserver
    function onAgentTransferred(uint256 agentId) external {
        require(msg.sender == address(agents), OnlyContract(address(agents)));
        AgentState a = _agents[agentId];
        uint32 epoch = a.epoch();
        if (epoch == 0) return;
        if (epoch > 1) _close(agentId, epoch - 1, 0);
        _close(agentId, epoch, 0);
        _agents[agentId] = AgentStateLib.pack(a.nextNonce(), epoch, a.openFees(), 0);
    }

    /// @inheritdoc IActionLog
    function currentEpoch(uint256 agentId) external view returns (uint32) {
        return _agents[agentId].epoch();
    }

    /// @inheritdoc IActionLog
    function epochOf(uint256 agentId, uint32 epoch) external view returns (Epoch memory) {
        return _epochs[agentId][epoch];
    }

    /// @inheritdoc IActionLog
    function nextNonce(uint256 agentId) external view returns (uint64) {
        return uint64(_agents[agentId].nextNonce());
    }

    /// @inheritdoc IActionLog
    function openFees(uint256 agentId) external view returns (uint256) {
        return _agents[agentId].openFees();
    }

    /// @inheritdoc IActionLog
    function coverageLeft(uint256 agentId) external view returns (uint256) {
        AgentState a = _agents[agentId];
        uint256 limit = a.backing() * _epochs[agentId][a.epoch()].coverageBps / BPS;
        return Math.saturatingSub(limit, a.openFees());
    }

    /// @inheritdoc IActionLog
    function isOperator(uint256 agentId, address account) external view returns (bool) {
        Epoch storage e = _epochs[agentId][_agents[agentId].epoch()];
        return (e.recordKey == account && e.acceptUntil != 0) || agents.isAuthorizedOrOwner(account, agentId);
    }

    /// @inheritdoc IActionLog
    function headerHashAt(uint256 agentId, uint64 firstNonce) external view returns (bytes32) {
        return _headers[agentId][firstNonce];
    }

    /// @inheritdoc IActionLog
    function isFinal(bytes32 headerHash) external view returns (bool) {
        return _final[headerHash];
    }

    /// @inheritdoc IActionLog
    function verifyRecord(
        BatchHeader calldata header,
        bytes32 structHash,
        uint64 nonce,
        RecordProof calldata proof
    ) external view returns (bool) {
        return isAnchored(header) && Records.inBatch(header, structHash, nonce, proof);
    }

    /// @inheritdoc IActionLog
    function domainSeparator() external view returns (bytes32) {
        return _domainSeparatorV4();
    }

    /// @inheritdoc IActionLog
    function structHashOf(ActionRecord calldata record) external pure returns (bytes32) {
        return Records.structHash(record);
    }

    /// @inheritdoc IActionLog
    function digestOf(ActionRecord calldata record) external view returns (bytes32) {
        return _hashTypedDataV4(Records.structHash(record));
    }

    /// @inheritdoc IActionLog
    function ticketDigestOf(Ticket calldata ticket) external view returns (bytes32) {
        return _hashTypedDataV4(Records.structHash(ticket));
    }

    /// @inheritdoc IActionLog
    function isAnchored(BatchHeader calldata header) public view returns (bool) {
        return _headers[header.agentId][header.firstNonce] == Records.headerHash(header);
    }

    /// @inheritdoc IActionLog
    function challengeableUntil(BatchHeader calldata header) public view returns (uint256) {
        return header.anchoredAt + parameters.get(Param.ChallengeWindow);
    }

    /// @inheritdoc IActionLog
    function netOf(BatchHeader calldata header) public view returns (uint256) {
        return header.sum - header.sum * _epochs[header.agentId][header.epoch].cutBps / BPS;
    }

    /// @dev A header is the call and the time, and all of it but the two topics is the event's data: one copy serves
    /// the hash and the log. Every field narrower than a word has been read by {anchor}, so is in its bounds.
    function _store(AnchorCall calldata anchored) private {
        bytes32 topic = Anchored.selector;
        bytes32 headerHash;
        uint256 header;
        assembly ("memory-safe") {
            header := mload(0x40)
            calldatacopy(header, anchored, 288)
            mstore(add(header, 288), timestamp())
            headerHash := keccak256(header, 320)
        }
        _headers[anchored.agentId][anchored.firstNonce] = headerHash;
        assembly ("memory-safe") {
            log3(add(header, 64), 256, topic, calldataload(anchored), calldataload(add(anchored, 32)))
        }
    }

    /// @dev Does nothing to an epoch that is over: what a transfer closed stays closed.
    function _close(uint256 agentId, uint32 epoch, uint64 acceptUntil) private {
        Epoch storage e = _epochs[agentId][epoch];
        if (e.acceptUntil < block.timestamp) return;
        e.acceptUntil = acceptUntil;
        if (e.liableUntil == type(uint48).max) {
            e.liableUntil = uint48(block.timestamp + parameters.get(Param.WithdrawalDelay));
        }
        emit EpochClosed(agentId, epoch, acceptUntil);
    }

    /// @dev Every wei anchored and not yet final must lie in the escrow; finalisation moves it out.
    function _requireFunded(uint256 agentId, uint256 fees) private view {
        if (fees == 0) return;
        address escrow = EscrowAddress.compute(agentId, _escrowCodeHash, address(rewardPool));
        uint256 balance = token.balanceOf(escrow);
        require(balance >= fees, EscrowShort(balance, fees));
    }

    function _requireAnchored(BatchHeader calldata header) private view returns (bytes32 hash) {
        hash = Records.headerHash(header);
        require(_headers[header.agentId][header.firstNonce] == hash, UnknownBatch(hash));
    }
}
