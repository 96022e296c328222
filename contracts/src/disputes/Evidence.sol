// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { ECDSA } from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import { MessageHashUtils } from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";
import { Records } from "../libraries/Records.sol";
import { AnchoredRecord, BatchHeader, Epoch, RecordProof } from "../types/Records.sol";
import { JuryBase } from "./JuryBase.sol";

/// @title What a signature or an anchored batch shows, and who answers for it.
abstract contract Evidence is JuryBase {
    /// @dev Who answers for a record or ticket of the epoch, once its key is shown to have signed.
    function _requireSigned(uint256 agentId, uint32 epoch, bytes32 structHash, bytes calldata sig)
        internal
        view
        returns (address)
    {
        Epoch memory e = actionLog.epochOf(agentId, epoch);
        require(e.recordKey != address(0), UnknownEpoch(agentId, epoch));
        require(block.timestamp <= e.liableUntil, ProofExpired(e.liableUntil));
        bytes32 digest = MessageHashUtils.toTypedDataHash(actionLog.domainSeparator(), structHash);
        (address signer,,) = ECDSA.tryRecover(digest, sig);
        require(signer == e.recordKey, BadSignature(agentId, epoch, signer));
        return e.operator;
    }

    /// @dev Who answers for the batch, once it is shown to be anchored. What was anchored stays a fact: no epoch's
    /// end limits it, only what is still staked.
    function _requireAnchored(BatchHeader calldata header) internal view returns (address) {
        require(actionLog.isAnchored(header), UnknownBatch(Records.headerHash(header)));
        return actionLog.epochOf(header.agentId, header.epoch).operator;
    }

    /// @dev Who answers for the batch, once the record is shown to be in it.
    function _requireInBatch(
        BatchHeader calldata header,
        bytes32 structHash,
        uint64 nonce,
        RecordProof calldata proof
    ) internal view returns (address operator) {
        operator = _requireAnchored(header);
        require(Records.inBatch(header, structHash, nonce, proof), BadInclusion("record"));
    }

    function _requireShown(AnchoredRecord calldata shown) internal view returns (address) {
        return _requireInBatch(shown.header, Records.structHash(shown.record), shown.nonce, shown.proof);
    }
}
