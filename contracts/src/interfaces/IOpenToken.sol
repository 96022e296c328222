// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { IERC20 } from "@openzeppelin/contracts/token/ERC20/IERC20.sol";

/// @title OPEN, the chain's native coin wrapped one to one.
/// @notice ERC-20 with EIP-2612 permits, EIP-3009 authorizations and votes.
interface IOpenToken is IERC20 {
    /// @notice The native coin could not be sent to `to`.
    error NativeTransferFailed(address to, uint256 amount);

    /// @notice `account` wrapped `amount` wei.
    event Deposit(address indexed account, uint256 amount);
    /// @notice `account` unwrapped `amount` wei.
    event Withdrawal(address indexed account, uint256 amount);

    /// @notice Wraps the native coin sent along.
    function deposit() external payable;

    /// @notice Unwraps `amount` wei to the caller.
    function withdraw(uint256 amount) external;

    /// @notice Destroys `amount` wei of the caller; its native backing stays locked here for ever.
    function burn(uint256 amount) external;

    /// @notice Wei burned so far.
    function burned() external view returns (uint256);
}
