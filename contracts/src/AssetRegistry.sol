// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { ERC721 } from "@openzeppelin/contracts/token/ERC721/ERC721.sol";
import { Asset, IAssetRegistry } from "./interfaces/IAssetRegistry.sol";
import { IParameters } from "./interfaces/IParameters.sol";
import { Param } from "./types/Param.sol";

/// @title Implements {IAssetRegistry}.
contract AssetRegistry is IAssetRegistry, ERC721 {
    uint8 private constant MAX_KIND = 4;
    uint256 private constant MAX_PARENTS = 16;
    uint256 private constant MAX_DEPTH = 8;

    struct Tombstone {
        uint64 at;
        uint64 bindsAfter;
    }

    /// @notice Where maxAnchorLag comes from.
    IParameters public immutable parameters;

    uint256 private _lastId;
    mapping(uint256 assetId => Asset) private _assets;
    mapping(uint256 assetId => uint8) private _depths;
    mapping(uint256 assetId => mapping(bytes32 contentDigest => uint32)) private _versions;
    mapping(uint256 assetId => Tombstone) private _tombstones;

    constructor(IParameters parameters_) ERC721("OpenLedger Asset", "ASSET") {
        parameters = parameters_;
    }

    modifier onlyAuthorized(uint256 assetId) {
        address owner = _ownerOf(assetId);
        require(owner != address(0), UnknownAsset(assetId));
        require(_isAuthorized(owner, msg.sender, assetId), NotAuthorized(assetId, msg.sender));
        _;
    }

    /// @inheritdoc IAssetRegistry
    function register(
        uint8 kind,
        bytes32 contentDigest,
        uint32 codec,
        uint256[] calldata parents,
        string calldata licence,
        uint16 royaltyBps,
        string calldata uri
    ) external returns (uint256 assetId) {
        require(kind != 0 && kind <= MAX_KIND, UnknownKind(kind));
        require(contentDigest != 0, ZeroDigest());
        require(royaltyBps <= 10_000, BadRoyalty(royaltyBps));
        uint8 depth = _checkParents(parents);

        assetId = ++_lastId;
        _assets[assetId] = Asset({
            kind: kind,
            revoked: false,
            codec: codec,
            royaltyBps: royaltyBps,
            version: 1,
            contentDigest: contentDigest,
            licence: licence,
            uri: uri,
            parents: parents
        });
        _depths[assetId] = depth;
        _versions[assetId][contentDigest] = 1;
        emit AssetRegistered(
            assetId, kind, msg.sender, contentDigest, codec, parents, licence, royaltyBps, uri
        );
        emit VersionAdded(assetId, 1, contentDigest, codec);
        _safeMint(msg.sender, assetId);
    }

    /// @inheritdoc IAssetRegistry
    function addVersion(uint256 assetId, bytes32 contentDigest, uint32 codec)
        external
        onlyAuthorized(assetId)
        returns (uint32 version)
    {
        Asset storage a = _assets[assetId];
        require(!a.revoked, Tombstoned(assetId));
        require(contentDigest != 0, ZeroDigest());
        require(_versions[assetId][contentDigest] == 0, DuplicateVersion(assetId, contentDigest));
        version = a.version + 1;
        a.version = version;
        a.contentDigest = contentDigest;
        a.codec = codec;
        _versions[assetId][contentDigest] = version;
        emit VersionAdded(assetId, version, contentDigest, codec);
    }

    /// @inheritdoc IAssetRegistry
    function tombstone(uint256 assetId) external onlyAuthorized(assetId) {
        require(!_assets[assetId].revoked, Tombstoned(assetId));
        _assets[assetId].revoked = true;
        // fixed now: a later change of maxAnchorLag must not bind tickets that were issued in good faith
        uint256 bindsAfter = block.timestamp + parameters.get(Param.MaxAnchorLag);
        _tombstones[assetId] = Tombstone(uint64(block.timestamp), uint64(bindsAfter));
        emit AssetTombstoned(assetId);
    }

    /// @inheritdoc IAssetRegistry
    function asset(uint256 assetId) external view returns (Asset memory) {
        require(_ownerOf(assetId) != address(0), UnknownAsset(assetId));
        return _assets[assetId];
    }

    /// @inheritdoc IAssetRegistry
    function versionOf(uint256 assetId, bytes32 contentDigest) external view returns (uint32) {
        return _versions[assetId][contentDigest];
    }

    /// @inheritdoc IAssetRegistry
    function isUsable(uint256 assetId, bytes32 contentDigest, uint256 at) external view returns (bool) {
        if (_versions[assetId][contentDigest] == 0) return false;
        return !_assets[assetId].revoked || at <= _tombstones[assetId].bindsAfter;
    }

    /// @inheritdoc IAssetRegistry
    function tombstonedAt(uint256 assetId) external view returns (uint64) {
        return _tombstones[assetId].at;
    }

    /// @inheritdoc IAssetRegistry
    function royaltiesOf(uint256 assetId)
        external
        view
        returns (uint256[] memory parents, uint256[] memory bps)
    {
        require(_ownerOf(assetId) != address(0), UnknownAsset(assetId));
        parents = _assets[assetId].parents;
        bps = new uint256[](parents.length);
        for (uint256 i; i < parents.length; ++i) {
            bps[i] = _assets[parents[i]].royaltyBps;
        }
    }

    /// @inheritdoc IAssetRegistry
    function kindOf(uint256 assetId) external view returns (uint8) {
        return _assets[assetId].kind;
    }

    /// @inheritdoc IAssetRegistry
    function depthOf(uint256 assetId) external view returns (uint8) {
        return _depths[assetId];
    }

    /// @notice The URI given at registration (ERC-721).
    function tokenURI(uint256 assetId) public view override returns (string memory) {
        require(_ownerOf(assetId) != address(0), UnknownAsset(assetId));
        return _assets[assetId].uri;
    }

    /// @dev At most sixteen parents, so comparing every pair stays cheap and keeps their order free.
    function _checkParents(uint256[] calldata parents) private view returns (uint8 depth) {
        require(parents.length <= MAX_PARENTS, TooManyParents(parents.length));
        depth = 1;
        for (uint256 i; i < parents.length; ++i) {
            uint8 parentDepth = _depths[parents[i]];
            require(parentDepth != 0, UnknownParent(parents[i]));
            require(parentDepth < MAX_DEPTH, TooDeep(parentDepth + 1));
            for (uint256 j; j < i; ++j) {
                require(parents[j] != parents[i], DuplicateParent(parents[i]));
            }
            if (parentDepth >= depth) depth = parentDepth + 1;
        }
    }
}
