// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { ERC20 } from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import { ERC20Permit } from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";
import { ERC20Votes } from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Votes.sol";
import { ERC3009 } from "@openzeppelin/contracts/token/ERC20/extensions/draft-ERC3009.sol";
import { Nonces } from "@openzeppelin/contracts/utils/Nonces.sol";
import { IOpenToken } from "./interfaces/IOpenToken.sol";

/// @title Implements {IOpenToken}.
contract OpenToken is IOpenToken, ERC20Permit, ERC3009, ERC20Votes {
    /// @inheritdoc IOpenToken
    uint256 public burned;

    constructor() ERC20("OPEN", "OPEN") ERC20Permit("OPEN") { }

    receive() external payable {
        deposit();
    }

    /// @inheritdoc IOpenToken
    function withdraw(uint256 amount) external {
        _burn(msg.sender, amount);
        (bool ok,) = msg.sender.call{ value: amount }("");
        require(ok, NativeTransferFailed(msg.sender, amount));
        emit Withdrawal(msg.sender, amount);
    }

    /// @inheritdoc IOpenToken
    function burn(uint256 amount) external {
        _burn(msg.sender, amount);
        burned += amount;
    }

    /// @inheritdoc IOpenToken
    function deposit() public payable {
        _mint(msg.sender, msg.value);
        emit Deposit(msg.sender, msg.value);
    }

    /// @notice EIP-6372: votes are remembered by time, whatever a chain's block time.
    function clock() public view override returns (uint48) {
        return uint48(block.timestamp);
    }

    /// @notice EIP-6372.
    // solhint-disable-next-line func-name-mixedcase
    function CLOCK_MODE() public pure override returns (string memory) {
        return "mode=timestamp";
    }

    /// @notice Used-up EIP-2612 nonces of `owner`.
    function nonces(address owner) public view override(ERC20Permit, Nonces) returns (uint256) {
        return super.nonces(owner);
    }

    function _update(address from, address to, uint256 amount) internal override(ERC20, ERC20Votes) {
        super._update(from, to, amount);
    }
}
