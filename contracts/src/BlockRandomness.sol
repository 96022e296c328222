// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { IRandomness } from "./interfaces/IRandomness.sol";

/// @title Implements {IRandomness} by block hashes, which contain each block's prevrandao.
/// @notice Hashes are kept for 8,191 blocks by the history contract of EIP-2935, and for 256 by the EVM where there is
/// none. Beyond that the hash of the latest block a multiple of that many after it takes the block's place.
/// @dev A block's proposer can choose among the hashes it can make; see known_issues.md for what bounds the gain.
contract BlockRandomness is IRandomness {
    address private constant HISTORY = 0x0000F90827F1C53a10cb7A02335B175320002935;
    uint256 private constant HISTORY_REACH = 8191;
    uint256 private constant EVM_REACH = 256;

    /// @inheritdoc IRandomness
    function at(uint256 blockNumber) external view returns (bytes32 value) {
        require(blockNumber < block.number, NotMined(blockNumber));
        value = blockhash(blockNumber);
        if (value == 0) value = _historic(_within(blockNumber, HISTORY_REACH));
        if (value == 0) value = blockhash(_within(blockNumber, EVM_REACH));
        require(value != 0, NoRandomness(blockNumber));
    }

    /// @dev The block, or its latest successor at a distance of a multiple of `reach`.
    function _within(uint256 blockNumber, uint256 reach) private view returns (uint256) {
        return blockNumber + (block.number - 1 - blockNumber) / reach * reach;
    }

    function _historic(uint256 blockNumber) private view returns (bytes32) {
        (bool ok, bytes memory answer) = HISTORY.staticcall(abi.encode(blockNumber));
        return ok && answer.length == 32 ? bytes32(answer) : bytes32(0);
    }
}
