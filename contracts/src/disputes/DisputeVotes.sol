// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { IRandomness } from "../interfaces/IRandomness.sol";
import { Context, DisputeBase } from "./DisputeBase.sol";
import { JuryVoting } from "./JuryVoting.sol";

/// @title The module of {Disputes} for draws and votes.
/// @notice {Disputes} runs this contract's code on its own storage; called directly it knows no dispute and
/// may not touch the vault.
contract DisputeVotes is JuryVoting {
    constructor(Context memory context, IRandomness randomness_)
        DisputeBase(context)
        JuryVoting(randomness_)
    { }
}
