// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { IActionLog } from "../interfaces/IActionLog.sol";
import { IAssetRegistry } from "../interfaces/IAssetRegistry.sol";
import { IOpenToken } from "../interfaces/IOpenToken.sol";
import { IParameters } from "../interfaces/IParameters.sol";
import { IRandomness } from "../interfaces/IRandomness.sol";
import { IRewardPool } from "../interfaces/IRewardPool.sol";
import { IStakeVault } from "../interfaces/IStakeVault.sol";
import { BatchIntake } from "./BatchIntake.sol";
import { Context, DisputeBase } from "./DisputeBase.sol";

/// @title The module of {Disputes} that judges batches as a whole.
/// @notice {Disputes} runs this contract's code on its own storage; called directly it knows no dispute and
/// may not touch the vault.
contract DisputeBatches is BatchIntake {
    constructor(
        IOpenToken token_,
        IParameters parameters_,
        IStakeVault vault_,
        IActionLog actionLog_,
        IRewardPool rewardPool_,
        IAssetRegistry assets_,
        IRandomness randomness_
    )
        DisputeBase(Context(token_, parameters_, vault_, actionLog_, rewardPool_, assets_))
        BatchIntake(randomness_)
    { }
}
