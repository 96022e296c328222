// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { ERC3009 } from "@openzeppelin/contracts/token/ERC20/extensions/draft-ERC3009.sol";
import { Authorization, IPaymentCollector } from "./interfaces/IPaymentCollector.sol";

/// @title Implements {IPaymentCollector}.
contract PaymentCollector is IPaymentCollector {
    /// @notice What is paid.
    ERC3009 public immutable token;

    constructor(ERC3009 token_) {
        token = token_;
    }

    /// @inheritdoc IPaymentCollector
    function collect(Authorization[] calldata payments) external returns (bytes[] memory refusals) {
        refusals = new bytes[](payments.length);
        for (uint256 i; i < payments.length; ++i) {
            Authorization calldata p = payments[i];
            try token.transferWithAuthorization(
                p.from, p.to, p.value, p.validAfter, p.validBefore, p.nonce, p.v, p.r, p.s
            ) { }
            catch (bytes memory refusal) {
                refusals[i] = refusal;
            }
        }
    }
}
