// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { Context, DisputeBase } from "./DisputeBase.sol";
import { JuryIntake } from "./JuryIntake.sol";

/// @title The module of {Disputes} that takes challenges in.
/// @notice {Disputes} runs this contract's code on its own storage; called directly it knows no dispute and
/// may not touch the vault.
contract DisputeIntake is JuryIntake {
    constructor(Context memory context) DisputeBase(context) { }
}
