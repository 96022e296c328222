// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { IERC3009 } from "@openzeppelin/contracts/interfaces/draft-IERC3009.sol";
import { IERC20Permit } from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import { SafeERC20 } from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import { ECDSA } from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import { MessageHashUtils } from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";
import { Math } from "@openzeppelin/contracts/utils/math/Math.sol";
import { SafeCast } from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import { IDemandResolver } from "../interfaces/IDisputes.sol";
import { IOpenToken } from "../interfaces/IOpenToken.sol";
import { DagCbor } from "../libraries/DagCbor.sol";
import { Records } from "../libraries/Records.sol";
import { Demand, DemandState, DisputeTerms, Distribution, Fault } from "../types/DisputeTypes.sol";
import { Param } from "../types/Param.sol";
import { AnchoredRecord, BatchHeader, Parent, Payment, StepLeaf, Ticket } from "../types/Records.sol";
import { Evidence } from "./Evidence.sol";

/// @title What an operator must show in time, or loses.
abstract contract DemandResolver is Evidence, IDemandResolver {
    using SafeERC20 for IOpenToken;
    using SafeCast for uint256;

    uint256 private constant MAX_BLOCK = 4096;
    /// @dev In place of a nonce: none, or all of the batch.
    uint64 private constant NO_NONCE = type(uint64).max;
    uint8 private constant MODEL_CALL = 0;
    uint8 private constant MODEL = 2;
    uint8 private constant ADAPTER = 3;
    bytes32 private constant TRANSFER_TYPEHASH = keccak256(
        "TransferWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
    );

    /// @inheritdoc IDemandResolver
    function demandOmission(Ticket calldata ticket, bytes calldata sig, Payment calldata payment)
        external
        returns (uint256 id)
    {
        bytes32 ticketHash = Records.structHash(ticket);
        Demand memory d;
        d.operator = _requireSigned(ticket.agentId, ticket.epoch, ticketHash, sig);
        require(block.timestamp > ticket.anchorBy, TooEarly(ticket.anchorBy + 1));
        _requirePaid(ticket, payment);
        d.fault = Fault.Omission;
        d.nonce = NO_NONCE;
        d.agentId = ticket.agentId;
        d.client = payment.client;
        d.fee = d.harm = _fit(payment.value);
        d.subject = ticketHash;
        d.faultKey = _paymentKey(ticket.agentId, d.operator, ticket.paymentId);
        // by the ticket, not by the payment: an operator may sign itself another ticket, and answer that one first
        id = _open(d, keccak256(abi.encode(ticketHash)));
        emit OmissionDemanded(id, ticket, payment);
    }

    /// @inheritdoc IDemandResolver
    function demandModel(AnchoredRecord calldata shown, StepLeaf calldata step, bytes32[] calldata stepProof)
        external
        returns (uint256 id)
    {
        Demand memory d = _ofAction(Fault.UndeclaredModel, shown);
        _requireStep(shown, step, stepProof);
        require(step.kind == MODEL_CALL, NotReplayable());
        d.subject = keccak256(abi.encode(shown.record.epoch, step.assetId, step.contentDigest));
        id = _open(d, keccak256(abi.encode(d.headerHash, shown.nonce, step.index)));
        emit ModelDemanded(id, shown.record.epoch, step.assetId, step.contentDigest);
    }

    /// @inheritdoc IDemandResolver
    function demandBatchData(BatchHeader calldata header, Parent[] calldata path)
        external
        returns (uint256 id)
    {
        return _demandBlock(_ofBatch(header), header.batchDigest, path);
    }

    /// @inheritdoc IDemandResolver
    /// @dev Only the block itself and the blocks of its lists: what those list are assets.
    function demandManifest(BatchHeader calldata header, Parent[] calldata path)
        external
        returns (uint256 id)
    {
        bytes32 digest = actionLog.epochOf(header.agentId, header.epoch).manifestDigest;
        return _demandBlock(_ofBatch(header), digest, path);
    }

    /// @inheritdoc IDemandResolver
    function demandRecordData(AnchoredRecord calldata shown, Parent[] calldata path)
        external
        returns (uint256 id)
    {
        return _demandBlock(_ofAction(Fault.DataWithheld, shown), shown.record.contentDigest, path);
    }

    /// @inheritdoc IDemandResolver
    function demandStepData(
        AnchoredRecord calldata shown,
        StepLeaf calldata step,
        bytes32[] calldata stepProof,
        Parent[] calldata path
    ) external returns (uint256 id) {
        Demand memory d = _ofAction(Fault.DataWithheld, shown);
        _requireStep(shown, step, stepProof);
        return _demandBlock(d, step.detailDigest, path);
    }

    /// @inheritdoc IDemandResolver
    function answerWithRecord(uint256 id, Ticket calldata ticket, AnchoredRecord calldata shown) external {
        Demand storage d = _requireAnswerable(id, Fault.Omission, Records.structHash(ticket));
        _requireShown(shown);
        require(
            shown.header.agentId == ticket.agentId && shown.record.paymentId == ticket.paymentId
                && shown.record.requestHash == ticket.requestHash
                && shown.header.anchoredAt <= ticket.anchorBy
                && shown.proof.charge + _refundTo(d.client, ticket) >= d.fee,
            NotAnAnswer()
        );
        _answered(id, d);
    }

    /// @inheritdoc IDemandResolver
    function answerWithRefund(uint256 id, Ticket calldata ticket, Payment calldata payment) external {
        Demand storage d = _requireAnswerable(id, Fault.Omission, Records.structHash(ticket));
        _requirePaid(ticket, payment);
        require(_refundTo(payment.client, ticket) >= payment.value, NotAnAnswer());
        _answered(id, d);
    }

    /// @inheritdoc IDemandResolver
    function correctOmission(uint256 id, Ticket calldata ticket, Payment calldata payment) external {
        Demand storage d = _requireAnswerable(id, Fault.Omission, Records.structHash(ticket));
        _requirePaid(ticket, payment);
        require(payment.value < d.fee, NotAnAnswer());
        d.fee = d.harm = _fit(payment.value);
        emit OmissionCorrected(id, payment.value);
    }

    /// @inheritdoc IDemandResolver
    function answerWithModel(
        uint256 id,
        uint32 epoch,
        uint256 assetId,
        bytes32 contentDigest,
        uint32 position,
        bytes32[] calldata path
    ) external {
        bytes32 subject = keccak256(abi.encode(epoch, assetId, contentDigest));
        Demand storage d = _requireAnswerable(id, Fault.UndeclaredModel, subject);
        bytes32 root = actionLog.epochOf(d.agentId, epoch).manifestRoot;
        require(
            Records.inManifest(root, position, Records.manifestLeaf(assetId, contentDigest), path),
            BadInclusion("model")
        );
        uint8 kind = assets.asset(assetId).kind;
        require(
            (kind == MODEL || kind == ADAPTER) && assets.versionOf(assetId, contentDigest) != 0, NotAnAnswer()
        );
        _answered(id, d);
    }

    /// @inheritdoc IDemandResolver
    function answerWithBlock(uint256 id, bytes calldata data) external {
        require(data.length <= MAX_BLOCK, NotAnAnswer());
        bytes32 digest = sha256(data);
        Demand storage d = _requireAnswerable(id, Fault.DataWithheld, digest);
        emit BlockShown(id, digest, data);
        _answered(id, d);
    }

    /// @inheritdoc IDemandResolver
    function enforce(uint256 id) external returns (Distribution memory dist) {
        Demand storage d = _requireOpen(id);
        require(block.timestamp > d.answerBy, TooEarly(d.answerBy + 1));
        DisputeTerms memory terms = _termsOf(d);
        uint256 bond = _close(d, DemandState.Enforced);
        uint256 due = _dueFor(terms, d.fee, d.faultKey);
        uint256 taken = _takeFor(d.agentId, d.operator, d.faultKey, due);
        Harm[2] memory harms = [Harm(d.client, d.harm), Harm(address(0), 0)];
        dist = _distribute(taken, terms, d.demander, harms, 0);
        emit Convicted(0, d.agentId, d.operator, d.nonce, d.fault, d.demander, dist);
        emit DemandEnforced(id);
        _pay(d.demander, bond);
    }

    function _ofBatch(BatchHeader calldata header) private view returns (Demand memory d) {
        d.operator = _requireAnchored(header);
        _requireWindow(header);
        d.fault = Fault.DataWithheld;
        d.nonce = NO_NONCE;
        d.agentId = header.agentId;
        d.headerHash = Records.headerHash(header);
        // without it nobody can check any of the batch's actions
        d.fee = _fit(header.sum);
        d.faultKey = _batchKey(d.headerHash, type(uint256).max);
    }

    function _ofAction(Fault fault, AnchoredRecord calldata shown) private view returns (Demand memory d) {
        d.operator = _requireShown(shown);
        _requireWindow(shown.header);
        d.fault = fault;
        d.nonce = shown.nonce;
        d.agentId = shown.header.agentId;
        d.headerHash = Records.headerHash(shown.header);
        d.client = shown.record.client;
        (d.fee, d.harm) = (_fit(shown.record.fee), _fit(shown.proof.charge));
        d.faultKey = _actionKey(d.agentId, d.operator, shown.nonce);
    }

    /// @dev Not the extended window: a demand must end while the stake is still there.
    function _requireWindow(BatchHeader calldata header) private view {
        uint256 until = actionLog.challengeableUntil(header);
        require(block.timestamp <= until, TooLate(until));
    }

    function _requireStep(AnchoredRecord calldata shown, StepLeaf calldata step, bytes32[] calldata stepProof)
        private
        pure
    {
        require(Records.inSteps(shown.record.stepsRoot, step, stepProof), BadInclusion("step"));
    }

    /// @dev Walks from an anchored digest down the links of known blocks to the one that is demanded.
    function _demandBlock(Demand memory d, bytes32 digest, Parent[] calldata path)
        private
        returns (uint256 id)
    {
        bool isNode = true;
        for (uint256 i; i < path.length; ++i) {
            bytes calldata data = path[i].data;
            bool ok = isNode && data.length <= MAX_BLOCK && sha256(data) == digest;
            require(ok, BadInclusion("block"));
            (ok, digest, isNode) = DagCbor.linkAt(data, path[i].offset);
            require(ok, BadInclusion("link"));
        }
        d.subject = digest;
        return _open(d, keccak256(abi.encode(d.headerHash, digest)));
    }

    function _open(Demand memory d, bytes32 demandKey) private returns (uint256 id) {
        require(_demanded[demandKey] == 0, AlreadyDemanded(_demanded[demandKey]));
        DisputeTerms memory terms = parameters.disputeTerms();
        uint256 due = _dueFor(terms, d.fee, d.faultKey);
        require(due != 0, AlreadyConvicted(d.agentId, d.operator, d.nonce));
        id = ++_demandCount;
        _demanded[demandKey] = id;
        d.state = DemandState.Open;
        d.demander = msg.sender;
        (d.burnBps, d.challengerBps) = (terms.burnBps, terms.challengerBps);
        (d.outputSlash, d.minSlash) = (terms.outputSlash, terms.minSlash);
        d.answerBy = uint64(block.timestamp + parameters.get(Param.DemandResponse));
        d.bond = _demandBond(d.headerHash).toUint96();
        if (d.headerHash != 0) ++_openDemands[d.headerHash];
        d.encumbered = vault.encumber(d.agentId, d.operator, due).toUint128();
        _demands[id] = d;
        emit Demanded(
            id, d.agentId, d.nonce, d.fault, d.headerHash, d.subject, d.demander, d.bond, d.answerBy
        );
        token.safeTransferFrom(msg.sender, address(this), d.bond);
    }

    /// @dev The bond goes to whoever answered, for its gas.
    function _answered(uint256 id, Demand storage d) private {
        uint256 bond = _close(d, DemandState.Answered);
        if (d.headerHash != 0) {
            _extend(d.headerHash, d.nonce, block.timestamp + parameters.get(Param.DemandExtension));
        }
        emit DemandAnswered(id, msg.sender, bond);
        _pay(msg.sender, bond);
    }

    function _close(Demand storage d, DemandState state) private returns (uint256 bond) {
        uint256 encumbered = d.encumbered;
        bond = d.bond;
        d.state = state;
        (d.bond, d.encumbered) = (0, 0);
        if (d.headerHash != 0) --_openDemands[d.headerHash];
        if (encumbered != 0) vault.release(d.agentId, d.operator, encumbered);
    }

    /// @dev The part of the terms that a demand needs.
    function _termsOf(Demand storage d) private view returns (DisputeTerms memory terms) {
        (terms.burnBps, terms.challengerBps) = (d.burnBps, d.challengerBps);
        (terms.outputSlash, terms.minSlash) = (d.outputSlash, d.minSlash);
    }

    function _fit(uint256 amount) private pure returns (uint128) {
        return uint128(Math.min(amount, type(uint128).max));
    }

    function _requireOpen(uint256 id) private view returns (Demand storage d) {
        d = _demands[id];
        require(d.state == DemandState.Open, DemandNotOpen(id, d.state));
    }

    function _requireAnswerable(uint256 id, Fault fault, bytes32 subject)
        private
        view
        returns (Demand storage d)
    {
        d = _requireOpen(id);
        require(block.timestamp <= d.answerBy, TooLate(d.answerBy));
        require(d.fault == fault && d.subject == subject, NotAnAnswer());
    }

    /// @dev Wei of the ticket's payment that its client has back.
    function _refundTo(address client, Ticket calldata ticket) private view returns (uint256) {
        (address to, uint256 amount,,) = rewardPool.refundOf(ticket.agentId, ticket.paymentId);
        return to == client ? amount : 0;
    }

    /// @dev The ticket's client signed this payment to the agent, and spent it. Which of several authorizations with
    /// one nonce it spent is not known here; an honest client signs one, and {correctOmission} takes the lowest.
    function _requirePaid(Ticket calldata ticket, Payment calldata payment) private view {
        require(
            ticket.paymentId == keccak256(abi.encode(payment.client, payment.authorizationNonce)),
            BadPayment("another payment")
        );
        bytes32 structHash = keccak256(
            abi.encode(
                TRANSFER_TYPEHASH,
                payment.client,
                rewardPool.escrowOf(ticket.agentId),
                payment.value,
                payment.validAfter,
                payment.validBefore,
                payment.authorizationNonce
            )
        );
        bytes32 separator = IERC20Permit(address(token)).DOMAIN_SEPARATOR();
        (address signer,,) =
            ECDSA.tryRecover(MessageHashUtils.toTypedDataHash(separator, structHash), payment.signature);
        require(signer != address(0) && signer == payment.client, BadPayment("not signed by the client"));
        require(
            IERC3009(address(token)).authorizationState(payment.client, payment.authorizationNonce),
            BadPayment("not spent")
        );
    }
}
