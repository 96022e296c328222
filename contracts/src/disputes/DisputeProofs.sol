// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { Context, DisputeBase } from "./DisputeBase.sol";
import { ProofResolver } from "./ProofResolver.sol";

/// @title The module of {Disputes} for faults that signatures and batches prove.
/// @notice {Disputes} runs this contract's code on its own storage; called directly it knows no dispute and
/// may not touch the vault.
contract DisputeProofs is ProofResolver {
    constructor(Context memory context) DisputeBase(context) { }
}
