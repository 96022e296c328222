// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @notice A registered piece of content. `version` counts from 1; `contentDigest` is the newest version's.
struct Asset {
    uint8 kind;
    bool revoked;
    uint32 codec;
    uint16 royaltyBps;
    uint32 version;
    bytes32 contentDigest;
    string licence;
    string uri;
    uint256[] parents;
}

/// @title Datanets, models, adapters and apps as ERC-721 tokens with lineage. Ids start at 1.
/// @notice Parents must exist when a child is registered and never change, so lineage is acyclic.
/// kind: 1 DATANET, 2 MODEL, 3 ADAPTER, 4 APP. `royaltyBps` is what an asset asks of the income of its children.
interface IAssetRegistry {
    /// @notice No such kind.
    error UnknownKind(uint8 kind);
    /// @notice The content digest is zero.
    error ZeroDigest();
    /// @notice No such asset.
    error UnknownAsset(uint256 assetId);
    /// @notice A parent does not exist.
    error UnknownParent(uint256 parentId);
    /// @notice A parent is named twice.
    error DuplicateParent(uint256 parentId);
    /// @notice More than sixteen parents.
    error TooManyParents(uint256 count);
    /// @notice The lineage would be deeper than eight.
    error TooDeep(uint256 depth);
    /// @notice The royalty exceeds the whole.
    error BadRoyalty(uint16 royaltyBps);
    /// @notice The digest is a version of the asset already.
    error DuplicateVersion(uint256 assetId, bytes32 contentDigest);
    /// @notice The asset was tombstoned.
    error Tombstoned(uint256 assetId);
    /// @notice The caller is neither the asset's owner nor approved by it.
    error NotAuthorized(uint256 assetId, address caller);

    event AssetRegistered(
        uint256 indexed assetId,
        uint8 indexed kind,
        address indexed owner,
        bytes32 contentDigest,
        uint32 codec,
        uint256[] parents,
        string licence,
        uint16 royaltyBps,
        string uri
    );
    event VersionAdded(uint256 indexed assetId, uint32 indexed version, bytes32 contentDigest, uint32 codec);
    event AssetTombstoned(uint256 indexed assetId);

    /// @notice Registers an asset owned by the caller, as its version 1.
    /// @param contentDigest sha2-256 digest of the root block.
    /// @param codec multicodec of the root block (0x55 raw, 0x70 dag-pb, 0x71 dag-cbor).
    /// @param licence SPDX expression.
    function register(
        uint8 kind,
        bytes32 contentDigest,
        uint32 codec,
        uint256[] calldata parents,
        string calldata licence,
        uint16 royaltyBps,
        string calldata uri
    ) external returns (uint256 assetId);

    /// @notice Adds a version. Owner or approved only.
    function addVersion(uint256 assetId, bytes32 contentDigest, uint32 codec)
        external
        returns (uint32 version);

    /// @notice Flags the asset as revoked, for good. Owner or approved only. Whoever serves stops at once; actions
    /// under way are safe: see {isUsable}.
    function tombstone(uint256 assetId) external;

    /// @notice The asset; reverts when unknown.
    function asset(uint256 assetId) external view returns (Asset memory);

    /// @notice The version that `contentDigest` is of `assetId`; 0 when it is none.
    function versionOf(uint256 assetId, bytes32 contentDigest) external view returns (uint32);

    /// @notice Whether a ticket of the time `at` may use that content: it is a version, and the asset was not
    /// tombstoned more than maxAnchorLag (as it stood then) before. A ticket promises to be anchored within
    /// maxAnchorLag, so with its `anchorBy` as `at` a tombstone binds no ticket that was issued before it.
    function isUsable(uint256 assetId, bytes32 contentDigest, uint256 at) external view returns (bool);

    /// @notice When the asset was tombstoned; 0 when it was not.
    function tombstonedAt(uint256 assetId) external view returns (uint64);

    /// @notice The asset's parents and the royalty each asks, in basis points; reverts when unknown.
    function royaltiesOf(uint256 assetId)
        external
        view
        returns (uint256[] memory parents, uint256[] memory bps);

    /// @notice The asset's kind; 0 when unknown.
    function kindOf(uint256 assetId) external view returns (uint8);

    /// @notice Length of the longest lineage path to the asset; 1 without parents.
    function depthOf(uint256 assetId) external view returns (uint8);
}
