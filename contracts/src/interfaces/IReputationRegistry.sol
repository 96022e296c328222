// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title ERC-8004 reputation registry: clients say what an agent was worth to them, anybody answers.
/// @dev Selectors and events follow the ERC-8004 text of 2026. Feedback is numbered from 1 for each agent and client.
/// A value is a signed fixed-point number: `value` / 10^`valueDecimals`.
interface IReputationRegistry {
    /// @notice More than 18 decimals.
    error TooManyDecimals(uint8 valueDecimals);
    /// @notice The caller owns the agent or is approved for it.
    error SelfFeedback(uint256 agentId, address caller);
    /// @notice This client gave the agent no feedback with this number.
    error UnknownFeedback(uint256 agentId, address clientAddress, uint64 feedbackIndex);
    /// @notice The feedback was revoked before.
    error AlreadyRevoked(uint256 agentId, address clientAddress, uint64 feedbackIndex);
    /// @notice A response needs a URI.
    error EmptyResponse();
    /// @notice A summary over everybody would be an invitation to invent clients: name them.
    error NoClients();

    event NewFeedback(
        uint256 indexed agentId,
        address indexed clientAddress,
        uint64 feedbackIndex,
        int128 value,
        uint8 valueDecimals,
        string indexed indexedTag1,
        string tag1,
        string tag2,
        string endpoint,
        string feedbackURI,
        bytes32 feedbackHash
    );
    event FeedbackRevoked(
        uint256 indexed agentId, address indexed clientAddress, uint64 indexed feedbackIndex
    );
    event ResponseAppended(
        uint256 indexed agentId,
        address indexed clientAddress,
        uint64 feedbackIndex,
        address indexed responder,
        string responseURI,
        bytes32 responseHash
    );

    /// @notice Gives an agent feedback. Anyone but its owner and operators may.
    /// @param endpoint, feedbackURI, feedbackHash are in the event only.
    function giveFeedback(
        uint256 agentId,
        int128 value,
        uint8 valueDecimals,
        string calldata tag1,
        string calldata tag2,
        string calldata endpoint,
        string calldata feedbackURI,
        bytes32 feedbackHash
    ) external;

    /// @notice Takes the caller's own feedback back. It stays readable and leaves the summaries.
    function revokeFeedback(uint256 agentId, uint64 feedbackIndex) external;

    /// @notice Answers feedback. Anyone may, as often as they like.
    function appendResponse(
        uint256 agentId,
        address clientAddress,
        uint64 feedbackIndex,
        string calldata responseURI,
        bytes32 responseHash
    ) external;

    /// @notice The identity registry that knows the agents.
    function getIdentityRegistry() external view returns (address identityRegistry);

    /// @notice Number and average of the feedback of these clients that is not revoked, each client as often as it is named.
    /// @param tag1 count only feedback with this tag; empty for all. Likewise `tag2`.
    /// @return count how many.
    /// @return summaryValue the average, rounded towards zero.
    /// @return summaryValueDecimals the most frequent number of decimals (of equals, the smallest), or fewer where the
    /// average would not fit.
    function getSummary(
        uint256 agentId,
        address[] calldata clientAddresses,
        string calldata tag1,
        string calldata tag2
    ) external view returns (uint64 count, int128 summaryValue, uint8 summaryValueDecimals);

    /// @notice One piece of feedback; reverts when unknown.
    function readFeedback(uint256 agentId, address clientAddress, uint64 feedbackIndex)
        external
        view
        returns (int128 value, uint8 valueDecimals, string memory tag1, string memory tag2, bool isRevoked);

    /// @notice Feedback as parallel arrays, by client, oldest first.
    /// @param clientAddresses only theirs; empty for all.
    /// @param tag1 only feedback with this tag; empty for all. Likewise `tag2`.
    function readAllFeedback(
        uint256 agentId,
        address[] calldata clientAddresses,
        string calldata tag1,
        string calldata tag2,
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
        );

    /// @notice How many responses there are.
    /// @param clientAddress to this client's feedback; zero for everybody's, whatever the index.
    /// @param feedbackIndex to this one; 0 for all of the client's.
    /// @param responders by these; empty for all.
    function getResponseCount(
        uint256 agentId,
        address clientAddress,
        uint64 feedbackIndex,
        address[] calldata responders
    ) external view returns (uint64 count);

    /// @notice Everybody who ever gave the agent feedback, in the order of their first.
    function getClients(uint256 agentId) external view returns (address[] memory);

    /// @notice How much feedback the client gave the agent, revoked included; its latest has this number.
    function getLastIndex(uint256 agentId, address clientAddress) external view returns (uint64);
}
