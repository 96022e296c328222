// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { DisputeBase } from "./disputes/DisputeBase.sol";
import { JuryRuling } from "./disputes/JuryRuling.sol";
import { IActionLog } from "./interfaces/IActionLog.sol";
import { IOpenToken } from "./interfaces/IOpenToken.sol";
import { IParameters } from "./interfaces/IParameters.sol";
import { IStakeVault } from "./interfaces/IStakeVault.sol";

/// @title The second half of {Disputes}' code: draw, votes and rulings.
/// @notice One contract's code may not exceed 24 KiB. {Disputes} runs this one's on its own storage; called
/// directly it knows no dispute and refuses everything.
contract DisputeRulings is JuryRuling {
    constructor(IOpenToken token_, IParameters parameters_, IStakeVault vault_, IActionLog actionLog_)
        DisputeBase(token_, parameters_, vault_, actionLog_)
    { }
}
