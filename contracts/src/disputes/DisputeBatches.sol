// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { IRandomness } from "../interfaces/IRandomness.sol";
import { BatchIntake } from "./BatchIntake.sol";
import { Context, DisputeBase } from "./DisputeBase.sol";

/// @title The module of {Disputes} that judges batches as a whole.
/// @notice {Disputes} runs this contract's code on its own storage; called directly it knows no dispute and
/// may not touch the vault.
contract DisputeBatches is BatchIntake {
    constructor(Context memory context, IRandomness randomness_)
        DisputeBase(context)
        BatchIntake(randomness_)
    { }
}
