// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { ECDSA } from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import { MessageHashUtils } from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";
import { Math } from "@openzeppelin/contracts/utils/math/Math.sol";
import { IProofResolver } from "../interfaces/IDisputes.sol";
import { Records } from "../libraries/Records.sol";
import { DisputeTerms, Distribution, Fault } from "../types/DisputeTypes.sol";
import { ActionRecord, BatchHeader, Epoch, RecordProof } from "../types/Records.sol";
import { JuryBase } from "./JuryBase.sol";

/// @title Faults that a signature proves: objective, open to anyone, final at once.
/// @dev Never blocked by open disputes: a proof takes from the whole stake, claimed or not.
abstract contract ProofResolver is JuryBase, IProofResolver {
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
        address operator = _requireSigned(recordA, hashA, sigA);
        // two owners may each have signed the nonce; only one owner contradicting itself is a fault
        require(operator == _requireSigned(recordB, hashB, sigB), NoConflict());

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
        address operator = _requireSigned(signedRecord, signedHash, sig);
        require(header.agentId == signedRecord.agentId && anchoredStructHash != signedHash, NoConflict());
        require(operator == _anchorer(header, signedRecord.nonce, anchoredStructHash, proof), NoConflict());
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

    /// @dev Who answers for the batch, once the record is shown to be in it.
    function _anchorer(
        BatchHeader calldata header,
        uint64 nonce,
        bytes32 structHash,
        RecordProof calldata proof
    ) private view returns (address) {
        require(actionLog.isAnchored(header), UnknownBatch(Records.headerHash(header)));
        require(Records.inBatch(header, structHash, nonce, proof), BadInclusion("record"));
        return actionLog.epochOf(header.agentId, header.epoch).operator;
    }

    function _convict(
        Fault fault,
        uint256 agentId,
        address operator,
        uint64 nonce,
        uint256 fee,
        Harm[2] memory harms
    ) private returns (Distribution memory d) {
        DisputeTerms memory terms = parameters.disputeTerms();
        uint256 due = _due(terms, fee, agentId, operator, nonce);
        require(due != 0, AlreadyConvicted(agentId, operator, nonce));
        uint256 taken = _take(agentId, operator, nonce, due);
        require(taken != 0, NothingToSlash());
        d = _distribute(taken, terms, msg.sender, harms, 0);
        emit Convicted(0, agentId, operator, nonce, fault, msg.sender, d);
    }

    /// @dev Who answers for the record's epoch, once its key is shown to have signed.
    function _requireSigned(ActionRecord calldata record, bytes32 structHash, bytes calldata sig)
        private
        view
        returns (address)
    {
        Epoch memory e = actionLog.epochOf(record.agentId, record.epoch);
        require(e.recordKey != address(0), UnknownEpoch(record.agentId, record.epoch));
        require(block.timestamp <= e.liableUntil, ProofExpired(e.liableUntil));
        bytes32 digest = MessageHashUtils.toTypedDataHash(actionLog.domainSeparator(), structHash);
        (address signer,,) = ECDSA.tryRecover(digest, sig);
        require(signer == e.recordKey, BadSignature(record.agentId, record.epoch, signer));
        return e.operator;
    }
}
