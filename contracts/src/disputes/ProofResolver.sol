// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { Math } from "@openzeppelin/contracts/utils/math/Math.sol";
import { IProofResolver } from "../interfaces/IDisputes.sol";
import { MerkleSum } from "../libraries/MerkleSum.sol";
import { Records } from "../libraries/Records.sol";
import { DisputeTerms, Distribution, Fault } from "../types/DisputeTypes.sol";
import {
    ActionRecord,
    AnchoredRecord,
    BatchHeader,
    Claim,
    FixedSplit,
    RecordProof
} from "../types/Records.sol";
import { Evidence } from "./Evidence.sol";

/// @title Faults that signatures and anchored batches prove: objective, open to anyone, final at once.
/// @dev Never blocked by open disputes: a proof takes from the whole stake, claimed or not.
abstract contract ProofResolver is Evidence, IProofResolver {
    /// @inheritdoc IProofResolver
    function proveEquivocation(
        ActionRecord calldata recordA,
        bytes calldata sigA,
        ActionRecord calldata recordB,
        bytes calldata sigB
    ) external returns (Distribution memory) {
        bytes32 hashA = Records.structHash(recordA);
        bytes32 hashB = Records.structHash(recordB);
        require(
            recordA.agentId == recordB.agentId && recordA.nonce == recordB.nonce && hashA != hashB,
            NoConflict()
        );
        address operator = _requireSigned(recordA.agentId, recordA.epoch, hashA, sigA);
        // two owners may each have signed the nonce; only one owner contradicting itself is a fault
        require(operator == _requireSigned(recordB.agentId, recordB.epoch, hashB, sigB), NoConflict());

        Harm[2] memory harms = [Harm(recordA.client, recordA.fee), Harm(recordB.client, recordB.fee)];
        uint256 fee = Math.max(recordA.fee, recordB.fee);
        // one payment named by both records is one harm
        if (recordA.paymentId == recordB.paymentId && recordA.client == recordB.client) {
            harms = [Harm(recordA.client, fee), Harm(address(0), 0)];
        }
        return _convict(Fault.Equivocation, recordA.agentId, operator, recordA.nonce, fee, harms);
    }

    /// @inheritdoc IProofResolver
    function proveAnchoredMismatch(
        BatchHeader calldata header,
        ActionRecord calldata signedRecord,
        bytes calldata sig,
        bytes32 anchoredStructHash,
        RecordProof calldata proof
    ) external returns (Distribution memory) {
        bytes32 signedHash = Records.structHash(signedRecord);
        address operator = _requireSigned(signedRecord.agentId, signedRecord.epoch, signedHash, sig);
        require(header.agentId == signedRecord.agentId && anchoredStructHash != signedHash, NoConflict());
        require(
            operator == _requireInBatch(header, anchoredStructHash, signedRecord.nonce, proof), NoConflict()
        );
        Harm[2] memory harms = [Harm(signedRecord.client, signedRecord.fee), Harm(address(0), 0)];
        return _convict(
            Fault.AnchoredMismatch,
            signedRecord.agentId,
            operator,
            signedRecord.nonce,
            signedRecord.fee,
            harms
        );
    }

    /// @inheritdoc IProofResolver
    /// @dev Nobody's money is given back: the client paid once, and what the second charge took is other payers',
    /// whose actions are then owed (see {IDemandResolver-demandOmission}).
    function proveDoublePayment(AnchoredRecord calldata first, AnchoredRecord calldata second)
        external
        returns (Distribution memory)
    {
        address operator = _requireShown(first);
        // a buyer of the agent must not be framed by what its seller anchored
        require(
            operator == _requireShown(second) && first.header.agentId == second.header.agentId
                && first.nonce < second.nonce && first.record.paymentId == second.record.paymentId
                && first.proof.charge != 0 && second.proof.charge != 0,
            NoConflict()
        );
        return _convictShown(Fault.DoublePayment, second, operator, second.proof.charge, 0);
    }

    /// @inheritdoc IProofResolver
    function proveRefundedCharge(AnchoredRecord calldata shown) external returns (Distribution memory) {
        address operator = _requireShown(shown);
        (, uint256 refunded, address refunder, uint256 charged) =
            rewardPool.refundOf(shown.header.agentId, shown.record.paymentId);
        // nor by what a later owner refunds
        require(shown.proof.charge > charged && refunded != 0 && operator == refunder, NoConflict());
        return _convictShown(Fault.RefundedCharge, shown, operator, shown.proof.charge, 0);
    }

    /// @inheritdoc IProofResolver
    function proveMisdeclared(AnchoredRecord calldata shown) external returns (Distribution memory) {
        address operator = _requireShown(shown);
        uint256 declared = Records.chargeOf(shown.record);
        uint256 charge = shown.proof.charge;
        require(
            shown.record.agentId != shown.header.agentId || shown.record.nonce != shown.nonce
                || declared != charge,
            NoConflict()
        );
        return _convictShown(
            Fault.Misdeclared,
            shown,
            operator,
            Math.max(declared, charge),
            Math.saturatingSub(charge, declared)
        );
    }

    /// @inheritdoc IProofResolver
    function proveFixedSplit(
        BatchHeader calldata header,
        FixedSplit calldata split,
        uint32 position,
        bytes32[] calldata path,
        Claim calldata payout
    ) external returns (Distribution memory) {
        _requireAnchored(header);
        require(
            Records.inManifest(
                actionLog.epochOf(header.agentId, header.epoch).manifestRoot,
                position,
                Records.manifestLeaf(split),
                path
            ),
            BadInclusion("split")
        );
        return _convictBatch(header, split, _shortfall(header, split, payout));
    }

    /// @dev What the batch pays to the account less than its share.
    function _shortfall(BatchHeader calldata header, FixedSplit calldata split, Claim calldata payout)
        private
        view
        returns (uint256)
    {
        uint256 net = actionLog.netOf(header);
        uint256 due = net * split.bps / BPS;
        uint256 paid = _paidBy(header, net, split, payout);
        // each record may have rounded its share down
        require(paid + header.count < due, NoConflict());
        return due - paid;
    }

    function _convictBatch(BatchHeader calldata header, FixedSplit calldata split, uint256 shortfall)
        private
        returns (Distribution memory)
    {
        return _convictFor(
            Fault.FixedSplitBroken,
            header.agentId,
            actionLog.epochOf(header.agentId, header.epoch).operator,
            header.firstNonce,
            _batchKey(Records.headerHash(header), split.index),
            shortfall,
            [Harm(split.account, shortfall), Harm(address(0), 0)]
        );
    }

    /// @dev What the batch pays to the account at the share's place; nothing where there is no such place.
    function _paidBy(
        BatchHeader calldata header,
        uint256 net,
        FixedSplit calldata split,
        Claim calldata payout
    ) private pure returns (uint256) {
        if (split.index >= header.payoutCount) return 0;
        require(
            payout.index == split.index
                && MerkleSum.verify(
                    header.payoutRoot,
                    net,
                    header.payoutCount,
                    payout.index,
                    MerkleSum.leafOf(payout.index, payout.account, payout.amount),
                    payout.amount,
                    payout.proof
                ),
            BadInclusion("payout")
        );
        return payout.account == split.account ? payout.amount : 0;
    }

    function _convictShown(
        Fault fault,
        AnchoredRecord calldata shown,
        address operator,
        uint256 fee,
        uint256 harm
    ) private returns (Distribution memory) {
        return _convict(
            fault,
            shown.header.agentId,
            operator,
            shown.nonce,
            fee,
            [Harm(shown.record.client, harm), Harm(address(0), 0)]
        );
    }

    function _convict(
        Fault fault,
        uint256 agentId,
        address operator,
        uint64 nonce,
        uint256 fee,
        Harm[2] memory harms
    ) private returns (Distribution memory) {
        bytes32 key = _actionKey(agentId, operator, nonce);
        return _convictFor(fault, agentId, operator, nonce, key, fee, harms);
    }

    function _convictFor(
        Fault fault,
        uint256 agentId,
        address operator,
        uint64 nonce,
        bytes32 faultKey,
        uint256 fee,
        Harm[2] memory harms
    ) private returns (Distribution memory d) {
        DisputeTerms memory terms = parameters.disputeTerms();
        uint256 due = _dueFor(terms, fee, faultKey);
        require(due != 0, AlreadyConvicted(agentId, operator, nonce));
        uint256 taken = _takeFor(agentId, operator, faultKey, due);
        require(taken != 0, NothingToSlash());
        d = _distribute(taken, terms, msg.sender, harms, 0);
        emit Convicted(0, agentId, operator, nonce, fault, msg.sender, d);
    }
}
