// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { DisputeBase } from "./disputes/DisputeBase.sol";
import { JuryIntake } from "./disputes/JuryIntake.sol";
import { JuryRuling } from "./disputes/JuryRuling.sol";
import { ProofResolver } from "./disputes/ProofResolver.sol";
import { IActionLog } from "./interfaces/IActionLog.sol";
import { IOpenToken } from "./interfaces/IOpenToken.sol";
import { IParameters } from "./interfaces/IParameters.sol";
import { IStakeVault } from "./interfaces/IStakeVault.sol";

/// @title Implements {IDisputes}: proofs and juries over one slash and one ledger of what was taken.
/// @dev Invariant: the token balance is the sum of the bonds of undecided disputes.
contract Disputes is ProofResolver, JuryIntake, JuryRuling {
    constructor(IOpenToken token_, IParameters parameters_, IStakeVault vault_, IActionLog actionLog_)
        DisputeBase(token_, parameters_, vault_, actionLog_)
    { }
}
