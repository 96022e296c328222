// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { IAgentRegistry } from "./interfaces/IAgentRegistry.sol";
import { IReputationRegistry } from "./interfaces/IReputationRegistry.sol";

/// @title Implements {IReputationRegistry}.
contract ReputationRegistry is IReputationRegistry {
    struct Feedback {
        int128 value;
        uint8 decimals;
        bool revoked;
        string tag1;
        string tag2;
    }

    struct Filter {
        uint256 agentId;
        bytes32 tag1;
        bytes32 tag2;
        bool revokedToo;
    }

    struct Tally {
        uint64 count;
        uint64[19] byDecimals; // 0 to MAX_DECIMALS
        int256 sum;
    }

    uint8 private constant MAX_DECIMALS = 18;
    bytes32 private constant ANY = keccak256("");

    /// @notice Who the agents are.
    IAgentRegistry public immutable agents;

    mapping(uint256 agentId => address[]) private _clients;
    mapping(uint256 agentId => mapping(address client => Feedback[])) private _feedback;
    mapping(bytes32 feedback => uint64) private _responses;
    mapping(bytes32 feedback => mapping(address responder => uint64)) private _responsesBy;

    constructor(IAgentRegistry agents_) {
        agents = agents_;
    }

    /// @inheritdoc IReputationRegistry
    /// @dev In memory a string takes one slot of the stack, in calldata two.
    function giveFeedback(
        uint256 agentId,
        int128 value,
        uint8 valueDecimals,
        string memory tag1,
        string memory tag2,
        string memory endpoint,
        string memory feedbackURI,
        bytes32 feedbackHash
    ) external {
        emit NewFeedback(
            agentId,
            msg.sender,
            _append(agentId, value, valueDecimals, tag1, tag2),
            value,
            valueDecimals,
            tag1,
            tag1,
            tag2,
            endpoint,
            feedbackURI,
            feedbackHash
        );
    }

    /// @inheritdoc IReputationRegistry
    function revokeFeedback(uint256 agentId, uint64 feedbackIndex) external {
        Feedback storage f = _at(agentId, msg.sender, feedbackIndex);
        require(!f.revoked, AlreadyRevoked(agentId, msg.sender, feedbackIndex));
        f.revoked = true;
        emit FeedbackRevoked(agentId, msg.sender, feedbackIndex);
    }

    /// @inheritdoc IReputationRegistry
    function appendResponse(
        uint256 agentId,
        address clientAddress,
        uint64 feedbackIndex,
        string calldata responseURI,
        bytes32 responseHash
    ) external {
        require(bytes(responseURI).length != 0, EmptyResponse());
        _at(agentId, clientAddress, feedbackIndex);
        bytes32 id = _idOf(agentId, clientAddress, feedbackIndex);
        ++_responses[id];
        ++_responsesBy[id][msg.sender];
        emit ResponseAppended(agentId, clientAddress, feedbackIndex, msg.sender, responseURI, responseHash);
    }

    /// @inheritdoc IReputationRegistry
    function getIdentityRegistry() external view returns (address) {
        return address(agents);
    }

    /// @inheritdoc IReputationRegistry
    function getSummary(
        uint256 agentId,
        address[] calldata clientAddresses,
        string calldata tag1,
        string calldata tag2
    ) external view returns (uint64 count, int128 summaryValue, uint8 summaryValueDecimals) {
        require(clientAddresses.length != 0, NoClients());
        Filter memory filter = Filter(agentId, keccak256(bytes(tag1)), keccak256(bytes(tag2)), false);
        Tally memory tally;
        for (uint256 i; i < clientAddresses.length; ++i) {
            _add(tally, clientAddresses[i], filter);
        }
        count = tally.count;
        if (count != 0) (summaryValue, summaryValueDecimals) = _average(tally);
    }

    /// @inheritdoc IReputationRegistry
    function readFeedback(uint256 agentId, address clientAddress, uint64 feedbackIndex)
        external
        view
        returns (int128 value, uint8 valueDecimals, string memory tag1, string memory tag2, bool isRevoked)
    {
        Feedback storage f = _at(agentId, clientAddress, feedbackIndex);
        return (f.value, f.decimals, f.tag1, f.tag2, f.revoked);
    }

    /// @inheritdoc IReputationRegistry
    function readAllFeedback(
        uint256 agentId,
        address[] memory clientAddresses,
        string memory tag1,
        string memory tag2,
        bool includeRevoked
    )
        external
        view
        returns (
            address[] memory clients,
            uint64[] memory feedbackIndexes,
            int128[] memory values,
            uint8[] memory valueDecimals,
            string[] memory tag1s,
            string[] memory tag2s,
            bool[] memory revokedStatuses
        )
    {
        (clients, feedbackIndexes) = _find(
            Filter(agentId, keccak256(bytes(tag1)), keccak256(bytes(tag2)), includeRevoked),
            clientAddresses.length != 0 ? clientAddresses : _clients[agentId]
        );
        values = new int128[](clients.length);
        valueDecimals = new uint8[](clients.length);
        tag1s = new string[](clients.length);
        tag2s = new string[](clients.length);
        revokedStatuses = new bool[](clients.length);
        for (uint256 i; i < clients.length; ++i) {
            Feedback storage f = _feedback[agentId][clients[i]][feedbackIndexes[i] - 1];
            values[i] = f.value;
            valueDecimals[i] = f.decimals;
            tag1s[i] = f.tag1;
            tag2s[i] = f.tag2;
            revokedStatuses[i] = f.revoked;
        }
    }

    /// @inheritdoc IReputationRegistry
    function getResponseCount(
        uint256 agentId,
        address clientAddress,
        uint64 feedbackIndex,
        address[] calldata responders
    ) external view returns (uint64 count) {
        if (clientAddress != address(0)) {
            return feedbackIndex != 0
                ? _count(_idOf(agentId, clientAddress, feedbackIndex), responders)
                : _countAll(agentId, clientAddress, responders);
        }
        address[] storage clients = _clients[agentId];
        for (uint256 i; i < clients.length; ++i) {
            count += _countAll(agentId, clients[i], responders);
        }
    }

    /// @inheritdoc IReputationRegistry
    function getClients(uint256 agentId) external view returns (address[] memory) {
        return _clients[agentId];
    }

    /// @inheritdoc IReputationRegistry
    function getLastIndex(uint256 agentId, address clientAddress) external view returns (uint64) {
        return uint64(_feedback[agentId][clientAddress].length);
    }

    function _append(uint256 agentId, int128 value, uint8 decimals, string memory tag1, string memory tag2)
        private
        returns (uint64 index)
    {
        require(decimals <= MAX_DECIMALS, TooManyDecimals(decimals));
        // reverts for an unknown agent
        require(!agents.isAuthorizedOrOwner(msg.sender, agentId), SelfFeedback(agentId, msg.sender));
        Feedback[] storage given = _feedback[agentId][msg.sender];
        if (given.length == 0) _clients[agentId].push(msg.sender);
        given.push(Feedback(value, decimals, false, tag1, tag2));
        return uint64(given.length);
    }

    function _at(uint256 agentId, address client, uint64 index) private view returns (Feedback storage) {
        Feedback[] storage given = _feedback[agentId][client];
        require(index != 0 && index <= given.length, UnknownFeedback(agentId, client, index));
        return given[index - 1];
    }

    /// @dev All that passes, by client and number.
    function _find(Filter memory filter, address[] memory from)
        private
        view
        returns (address[] memory clients, uint64[] memory indexes)
    {
        uint256 most;
        for (uint256 i; i < from.length; ++i) {
            most += _feedback[filter.agentId][from[i]].length;
        }
        clients = new address[](most);
        indexes = new uint64[](most);
        uint256 n;
        for (uint256 i; i < from.length; ++i) {
            Feedback[] storage given = _feedback[filter.agentId][from[i]];
            for (uint256 j; j < given.length; ++j) {
                if (!_passes(given[j], filter)) continue;
                (clients[n], indexes[n]) = (from[i], uint64(j + 1));
                ++n;
            }
        }
        assembly {
            mstore(clients, n)
            mstore(indexes, n)
        }
    }

    function _passes(Feedback storage f, Filter memory filter) private view returns (bool) {
        if (f.revoked && !filter.revokedToo) return false;
        if (filter.tag1 != ANY && filter.tag1 != keccak256(bytes(f.tag1))) return false;
        return filter.tag2 == ANY || filter.tag2 == keccak256(bytes(f.tag2));
    }

    function _countAll(uint256 agentId, address client, address[] calldata responders)
        private
        view
        returns (uint64 count)
    {
        uint256 last = _feedback[agentId][client].length;
        for (uint64 index = 1; index <= last; ++index) {
            count += _count(_idOf(agentId, client, index), responders);
        }
    }

    function _count(bytes32 id, address[] calldata responders) private view returns (uint64 count) {
        if (responders.length == 0) return _responses[id];
        for (uint256 i; i < responders.length; ++i) {
            count += _responsesBy[id][responders[i]];
        }
    }

    /// @dev Sums at 18 decimals: 2^64 extreme values stay far below the limit of an int256.
    function _add(Tally memory tally, address client, Filter memory filter) private view {
        Feedback[] storage given = _feedback[filter.agentId][client];
        for (uint256 i; i < given.length; ++i) {
            Feedback storage f = given[i];
            if (!_passes(f, filter)) continue;
            tally.sum += f.value * _unit(f.decimals);
            ++tally.byDecimals[f.decimals];
            ++tally.count;
        }
    }

    /// @dev At the most frequent number of decimals, or at as many as fit.
    function _average(Tally memory tally) private pure returns (int128 value, uint8 decimals) {
        for (uint8 d = 1; d <= MAX_DECIMALS; ++d) {
            if (tally.byDecimals[d] > tally.byDecimals[decimals]) decimals = d;
        }
        int256 average = tally.sum / int256(uint256(tally.count));
        int256 rounded = average / _unit(decimals);
        // the average of int128 values fits at 0 decimals, at the latest
        while (int128(rounded) != rounded) rounded = average / _unit(--decimals);
        return (int128(rounded), decimals);
    }

    /// @dev 1 with `decimals` decimals, as a number with 18.
    function _unit(uint8 decimals) private pure returns (int256) {
        return int256(10 ** uint256(MAX_DECIMALS - decimals));
    }

    function _idOf(uint256 agentId, address client, uint64 index) private pure returns (bytes32) {
        return keccak256(abi.encode(agentId, client, index));
    }
}
