// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { IERC1271 } from "@openzeppelin/contracts/interfaces/IERC1271.sol";
import { ERC721Holder } from "@openzeppelin/contracts/token/ERC721/utils/ERC721Holder.sol";
import { ECDSA } from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import { IERC721Receiver } from "@openzeppelin/contracts/token/ERC721/IERC721Receiver.sol";

/// @title Contracts that own agents and assets: honest wallets, and receivers of ERC-721 tokens that do more than receive.
/// @notice A contract wallet that makes prepared calls from inside `onERC721Received`, once.
contract Reentrant is IERC721Receiver {
    struct Planned {
        address target;
        bytes data;
    }

    Planned[] private _plan;
    /// @notice What the planned calls returned, in order.
    bytes[] public results;
    uint256 public received;

    function plan(address target, bytes calldata data) external {
        _plan.push(Planned(target, data));
    }

    function run(address target, bytes calldata data) external returns (bytes memory) {
        return _call(target, data);
    }

    function onERC721Received(address, address, uint256, bytes calldata) external returns (bytes4) {
        ++received;
        Planned[] memory todo = _plan;
        delete _plan;
        for (uint256 i; i < todo.length; ++i) {
            results.push(_call(todo[i].target, todo[i].data));
        }
        return IERC721Receiver.onERC721Received.selector;
    }

    function _call(address target, bytes memory data) private returns (bytes memory) {
        (bool ok, bytes memory result) = target.call(data);
        if (!ok) {
            assembly {
                revert(add(result, 0x20), mload(result))
            }
        }
        return result;
    }
}

/// @notice Takes no tokens.
contract Refusing is IERC721Receiver {
    error NoThanks();

    function run(address target, bytes calldata data) external {
        (bool ok, bytes memory result) = target.call(data);
        if (!ok) {
            assembly {
                revert(add(result, 0x20), mload(result))
            }
        }
    }

    function onERC721Received(address, address, uint256, bytes calldata) external pure returns (bytes4) {
        revert NoThanks();
    }
}

/// @notice A wallet whose owner's key signs for it (ERC-1271).
contract ContractWallet is IERC1271, ERC721Holder {
    address public owner;

    constructor(address owner_) {
        owner = owner_;
    }

    function isValidSignature(bytes32 hash, bytes calldata signature) external view returns (bytes4) {
        (address signer,,) = ECDSA.tryRecover(hash, signature);
        return signer == owner && signer != address(0) ? IERC1271.isValidSignature.selector : bytes4(0);
    }
}

/// @notice Answers every call with 1, which is no ERC-1271 consent.
contract YesMan {
    fallback() external {
        assembly {
            mstore(0, 1)
            return(0, 32)
        }
    }
}
