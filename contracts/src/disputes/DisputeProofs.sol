// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { IActionLog } from "../interfaces/IActionLog.sol";
import { IAssetRegistry } from "../interfaces/IAssetRegistry.sol";
import { IOpenToken } from "../interfaces/IOpenToken.sol";
import { IParameters } from "../interfaces/IParameters.sol";
import { IRewardPool } from "../interfaces/IRewardPool.sol";
import { IStakeVault } from "../interfaces/IStakeVault.sol";
import { Context, DisputeBase } from "./DisputeBase.sol";
import { ProofResolver } from "./ProofResolver.sol";

/// @title The module of {Disputes} for faults that signatures and batches prove.
/// @notice {Disputes} runs this contract's code on its own storage; called directly it knows no dispute and
/// may not touch the vault.
contract DisputeProofs is ProofResolver {
    constructor(
        IOpenToken token_,
        IParameters parameters_,
        IStakeVault vault_,
        IActionLog actionLog_,
        IRewardPool rewardPool_,
        IAssetRegistry assets_
    ) DisputeBase(Context(token_, parameters_, vault_, actionLog_, rewardPool_, assets_)) { }
}
