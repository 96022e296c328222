// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { ERC20 } from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

/// @title A token that calls back in the middle of every transfer, before or after it moves the balances.
contract HostileToken is ERC20 {
    address private _target;
    bytes private _call;
    bool private _before;
    /// @notice How often the call back went through, and how often it was refused.
    uint256 public entered;
    uint256 public refused;

    constructor() ERC20("Hostile", "EVIL") { }

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    /// @notice The next transfer calls `target` as this token's own account.
    function arm(address target, bytes calldata data, bool before) external {
        (_target, _call, _before) = (target, data, before);
        (entered, refused) = (0, 0);
    }

    function disarm() external {
        _target = address(0);
    }

    /// @dev It owns an agent.
    function onERC721Received(address, address, uint256, bytes calldata) external pure returns (bytes4) {
        return this.onERC721Received.selector;
    }

    function _update(address from, address to, uint256 value) internal override {
        if (_before) _strike();
        super._update(from, to, value);
        if (!_before) _strike();
    }

    function _strike() private {
        address target = _target;
        if (target == address(0)) return;
        // once: the call back may transfer itself
        _target = address(0);
        (bool ok,) = target.call(_call);
        if (ok) ++entered;
        else ++refused;
    }
}
