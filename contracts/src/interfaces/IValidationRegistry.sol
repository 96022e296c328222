// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title ERC-8004 validation registry: agents ask validators to check their work; verdicts of disputes are posted here.
/// @dev Selectors and events follow the ERC-8004 text of 2026. There a request is found by its bare `requestHash`, and
/// whoever uses a hash first keeps everybody else from it. Here a request is kept under its *key*,
/// {keyOf}(validator, agentId, requestHash), which only the agent's owner or operators can fill. Events carry the bare
/// hash. Wherever the standard takes a `requestHash`, the bare hash works while it means one request only, and the key
/// works always; the lists name each request by its bare hash, or by its key once the hash is shared.
interface IValidationRegistry {
    /// @notice The caller is neither the agent's owner nor approved by it.
    error NotAuthorized(uint256 agentId, address caller);
    /// @notice The validator is the zero address.
    error ZeroValidator();
    /// @notice Disputes rule by themselves and take no requests.
    error VerdictsOnly();
    /// @notice The agent has asked this validator about this hash before.
    error RequestExists(bytes32 key);
    /// @notice No request has this key or hash.
    error UnknownRequest(bytes32 requestHash);
    /// @notice Several requests share this hash: use the key.
    error AmbiguousRequest(bytes32 requestHash);
    /// @notice The request names another validator.
    error NotValidator(bytes32 requestHash, address caller);
    /// @notice Responses range from 0 to 100.
    error BadResponse(uint8 response);
    /// @notice Only the disputes contract may call.
    error OnlyDisputes(address caller);

    event ValidationRequest(
        address indexed validatorAddress,
        uint256 indexed agentId,
        string requestURI,
        bytes32 indexed requestHash
    );
    event ValidationResponse(
        address indexed validatorAddress,
        uint256 indexed agentId,
        bytes32 indexed requestHash,
        uint8 response,
        string responseURI,
        bytes32 responseHash,
        string tag
    );

    /// @notice Asks a validator to check work of an agent. Owner or approved only.
    /// @param requestURI what the validator needs, inputs and outputs included.
    /// @param requestHash commitment to the data behind `requestURI` (keccak-256).
    function validationRequest(
        address validatorAddress,
        uint256 agentId,
        string calldata requestURI,
        bytes32 requestHash
    ) external;

    /// @notice Answers a request; the named validator only. May be repeated, the latest answer counts.
    /// A contract that cannot try again passes the key: a bare hash can become ambiguous before it is mined.
    /// @param requestHash bare hash, or key.
    /// @param response 0 (failed) to 100 (passed).
    function validationResponse(
        bytes32 requestHash,
        uint8 response,
        string calldata responseURI,
        bytes32 responseHash,
        string calldata tag
    ) external;

    /// @notice Records a verdict, request and response in one; a later verdict on the same hash replaces it.
    /// Disputes only, and the only way to an entry whose validator is Disputes.
    function postVerdict(
        uint256 agentId,
        bytes32 requestHash,
        uint8 response,
        string calldata responseURI,
        bytes32 responseHash,
        string calldata tag
    ) external;

    /// @notice The identity registry that says who may ask.
    function getIdentityRegistry() external view returns (address identityRegistry);

    /// @notice A request, answered or not: unanswered its response is 0 and `lastUpdate` the time of asking.
    /// @param requestHash bare hash, or key; reverts when unknown or ambiguous.
    function getValidationStatus(bytes32 requestHash)
        external
        view
        returns (
            address validatorAddress,
            uint256 agentId,
            uint8 response,
            bytes32 responseHash,
            string memory tag,
            uint256 lastUpdate
        );

    /// @notice One request by all that identifies it; nobody but the agent can have made it. Never reverts:
    /// `lastUpdate` is 0 when there is none. Contracts should read this one.
    function getValidation(address validatorAddress, uint256 agentId, bytes32 requestHash)
        external
        view
        returns (bool answered, uint8 response, bytes32 responseHash, string memory tag, uint256 lastUpdate);

    /// @notice Number and rounded-down average of the agent's answered requests.
    /// @param validatorAddresses count only theirs; empty for all.
    /// @param tag count only answers with this tag; empty for all.
    function getSummary(uint256 agentId, address[] calldata validatorAddresses, string calldata tag)
        external
        view
        returns (uint64 count, uint8 averageResponse);

    /// @notice The agent's requests and verdicts, oldest first. Only the agent and Disputes make it longer.
    function getAgentValidations(uint256 agentId) external view returns (bytes32[] memory requestHashes);

    /// @notice What a validator was asked, oldest first. Any agent can make it longer.
    function getValidatorRequests(address validatorAddress)
        external
        view
        returns (bytes32[] memory requestHashes);

    /// @notice The key a request is kept under.
    function keyOf(address validatorAddress, uint256 agentId, bytes32 requestHash)
        external
        pure
        returns (bytes32);
}
