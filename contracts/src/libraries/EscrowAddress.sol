// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { Create2 } from "@openzeppelin/contracts/utils/Create2.sol";
import { Escrow } from "../Escrow.sol";

/// @title Where an agent's escrow is, deployed or not.
library EscrowAddress {
    /// @notice Hash of the escrow's creation code for `token`.
    function codeHash(address token) internal pure returns (bytes32) {
        return keccak256(bytes.concat(type(Escrow).creationCode, abi.encode(token)));
    }

    /// @notice CREATE2 address under `pool`; the salt is the agent's id.
    function compute(uint256 agentId, bytes32 escrowCodeHash, address pool) internal pure returns (address) {
        return Create2.computeAddress(bytes32(agentId), escrowCodeHash, pool);
    }
}
