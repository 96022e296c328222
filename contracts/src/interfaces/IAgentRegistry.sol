// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title ERC-8004 identity registry: agents as ERC-721 tokens. Ids start at 1.
/// @dev Selectors and events follow the ERC-8004 text of 2026; the reserved metadata key is "agentWallet".
interface IAgentRegistry {
    struct MetadataEntry {
        string metadataKey;
        bytes metadataValue;
    }

    /// @notice The caller is neither the agent's owner nor approved by it.
    error NotAuthorized(uint256 agentId, address caller);
    /// @notice "agentWallet" is set through {setAgentWallet} only.
    error ReservedKey();
    /// @notice The wallet is the zero address.
    error ZeroWallet();
    /// @notice The deadline has passed, or is more than five minutes away.
    error BadDeadline(uint256 deadline);
    /// @notice The new wallet did not sign.
    error InvalidWalletSignature(address wallet);

    event Registered(uint256 indexed agentId, string agentURI, address indexed owner);
    event MetadataSet(
        uint256 indexed agentId, string indexed indexedMetadataKey, string metadataKey, bytes metadataValue
    );
    event URIUpdated(uint256 indexed agentId, string newURI, address indexed updatedBy);

    /// @notice Registers an agent without a URI.
    function register() external returns (uint256 agentId);

    /// @notice Registers an agent whose registration file is at `agentURI`.
    function register(string calldata agentURI) external returns (uint256 agentId);

    /// @notice Registers an agent with metadata.
    function register(string calldata agentURI, MetadataEntry[] calldata metadata)
        external
        returns (uint256 agentId);

    /// @notice Replaces the URI of the registration file.
    function setAgentURI(uint256 agentId, string calldata newURI) external;

    /// @notice Sets one metadata value.
    function setMetadata(uint256 agentId, string calldata metadataKey, bytes calldata metadataValue) external;

    /// @notice Names the wallet the agent acts with; `signature` is the new wallet's consent
    /// (EIP-712 AgentWalletSet, ECDSA or ERC-1271), valid for at most five minutes.
    function setAgentWallet(uint256 agentId, address newWallet, uint256 deadline, bytes calldata signature)
        external;

    /// @notice Removes the wallet. A transfer does it too.
    function unsetAgentWallet(uint256 agentId) external;

    /// @notice A metadata value; empty when never set.
    function getMetadata(uint256 agentId, string calldata metadataKey) external view returns (bytes memory);

    /// @notice The agent's wallet; zero when unset.
    function getAgentWallet(uint256 agentId) external view returns (address);

    /// @notice Whether `spender` owns the agent or is approved for it. Reverts for an unknown agent.
    function isAuthorizedOrOwner(address spender, uint256 agentId) external view returns (bool);

    /// @notice The agent's owner (ERC-721).
    function ownerOf(uint256 agentId) external view returns (address);
}

/// @title What the registry tells about transfers.
interface IAgentObserver {
    /// @notice `agentId` has just changed hands. Only the registry calls; must not revert.
    function onAgentTransferred(uint256 agentId) external;
}
