// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { ICurationArbiter, IDatanetCuration } from "src/interfaces/IDatanetCuration.sol";

/// @title The simplest arbiter: one account decides, for free.
contract PlainArbiter is ICurationArbiter {
    address private immutable _judge;
    IDatanetCuration private immutable _curation;

    uint256 public constant fee = 0;
    uint256 public caseCount;
    mapping(uint256 caseId => uint256) public contributionOf;

    constructor(address judge, IDatanetCuration curation_) {
        (_judge, _curation) = (judge, curation_);
    }

    function openCase(uint256 contributionId, uint256, bytes32, address, uint256)
        external
        returns (uint256 caseId)
    {
        require(msg.sender == address(_curation));
        caseId = ++caseCount;
        contributionOf[caseId] = contributionId;
    }

    function rule(uint256 caseId, bool accepted) external {
        require(msg.sender == _judge);
        _curation.ruled(contributionOf[caseId], accepted);
    }
}
