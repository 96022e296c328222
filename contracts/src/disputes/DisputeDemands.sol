// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { Context, DisputeBase } from "./DisputeBase.sol";
import { DemandResolver } from "./DemandResolver.sol";

/// @title The module of {Disputes} for demands and their answers.
/// @notice {Disputes} runs this contract's code on its own storage; called directly it knows no dispute and
/// may not touch the vault.
contract DisputeDemands is DemandResolver {
    constructor(Context memory context) DisputeBase(context) { }
}
