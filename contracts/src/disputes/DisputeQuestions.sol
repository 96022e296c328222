// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { Context, DisputeBase } from "./DisputeBase.sol";
import { QuestionIntake } from "./QuestionIntake.sol";

/// @title The module of {Disputes} for questions that are answered by digests.
/// @notice {Disputes} runs this contract's code on its own storage; called directly it knows no dispute and
/// may not touch the vault.
contract DisputeQuestions is QuestionIntake {
    constructor(Context memory context, address arbiter_) DisputeBase(context) QuestionIntake(arbiter_) { }
}
