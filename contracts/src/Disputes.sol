// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { DisputeBase } from "./disputes/DisputeBase.sol";
import { JuryIntake } from "./disputes/JuryIntake.sol";
import { ProofResolver } from "./disputes/ProofResolver.sol";
import { IActionLog } from "./interfaces/IActionLog.sol";
import { IDisputes, IDisputeViews, IJuryRuling } from "./interfaces/IDisputes.sol";
import { IOpenToken } from "./interfaces/IOpenToken.sol";
import { IParameters } from "./interfaces/IParameters.sol";
import { IStakeVault } from "./interfaces/IStakeVault.sol";
import { Dispute, DisputeTerms, Vote } from "./types/DisputeTypes.sol";

/// @title Implements {IDisputes}: proofs and juries over one slash and one ledger of what was taken.
/// @dev Invariant: the token balance is the sum of the bonds of undecided disputes.
/// The rulings are code of {DisputeRulings}, fixed at deployment, run on this contract's storage: both inherit
/// all their storage from JuryBase, in the same order, and declare none of their own.
contract Disputes is ProofResolver, JuryIntake, IDisputes {
    /// @notice The code of the rulings.
    address public immutable rulings;

    constructor(
        IOpenToken token_,
        IParameters parameters_,
        IStakeVault vault_,
        IActionLog actionLog_,
        address rulings_
    ) DisputeBase(token_, parameters_, vault_, actionLog_) {
        require(rulings_.code.length != 0, NoCode(rulings_));
        rulings = rulings_;
    }

    /// @inheritdoc IJuryRuling
    function draw(uint256) external {
        _rulings();
    }

    /// @inheritdoc IJuryRuling
    function commitVote(uint256, bytes32) external {
        _rulings();
    }

    /// @inheritdoc IJuryRuling
    function revealVote(uint256, int32, int32, bytes32) external {
        _rulings();
    }

    /// @inheritdoc IJuryRuling
    function resolve(uint256) external {
        _rulings();
    }

    /// @inheritdoc IDisputeViews
    function dispute(uint256 id) external view returns (Dispute memory) {
        return _disputes[id];
    }

    /// @inheritdoc IDisputeViews
    function termsOf(uint256 id) external view returns (DisputeTerms memory) {
        return _terms[id];
    }

    /// @inheritdoc IDisputeViews
    function committee(uint256 id) external view returns (address[] memory) {
        return _committees[id][_disputes[id].round];
    }

    /// @inheritdoc IDisputeViews
    function probe(uint256 id) external view returns (uint32) {
        return _disputes[id].probe;
    }

    /// @inheritdoc IDisputeViews
    function voteOf(uint256 id, uint8 round, address juror) external view returns (Vote memory) {
        return _votes[id][round][juror];
    }

    /// @inheritdoc IDisputeViews
    function disputeCount() external view returns (uint256) {
        return _count;
    }

    /// @inheritdoc IDisputeViews
    function settledOf(uint256 agentId, address operator, uint64 nonce) external view returns (uint256) {
        return _settledOf(agentId, operator, nonce);
    }

    /// @dev Runs the call's own bytes as code of {DisputeRulings}; none of its functions returns a value.
    function _rulings() private {
        (bool ok, bytes memory reason) = rulings.delegatecall(msg.data);
        if (ok) return;
        assembly ("memory-safe") {
            revert(add(reason, 0x20), mload(reason))
        }
    }
}
