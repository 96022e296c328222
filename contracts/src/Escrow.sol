// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { IERC20 } from "@openzeppelin/contracts/token/ERC20/IERC20.sol";

/// @title The address an agent's payers pay to.
/// @notice Holds OPEN and nothing else; its creator, the RewardPool, is the only spender, for ever.
contract Escrow {
    constructor(IERC20 token) {
        token.approve(msg.sender, type(uint256).max);
    }
}
