// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { IValidationRegistry } from "../interfaces/IValidationRegistry.sol";
import { Context, DisputeBase } from "./DisputeBase.sol";
import { JuryRuling } from "./JuryRuling.sol";

/// @title The module of {Disputes} for rulings, appeals and outcomes.
/// @notice {Disputes} runs this contract's code on its own storage; called directly it knows no dispute and
/// may not touch the vault.
contract DisputeRulings is JuryRuling {
    constructor(Context memory context, IValidationRegistry validations_)
        DisputeBase(context)
        JuryRuling(validations_)
    { }
}
