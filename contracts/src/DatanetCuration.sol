// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { SafeERC20 } from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import { IERC721 } from "@openzeppelin/contracts/token/ERC721/IERC721.sol";
import { IAssetRegistry } from "./interfaces/IAssetRegistry.sol";
import {
    Contribution,
    Curation,
    CuratorRecord,
    ICurationArbiter,
    IDatanetCuration,
    SealedVersion
} from "./interfaces/IDatanetCuration.sol";
import { IOpenToken } from "./interfaces/IOpenToken.sol";
import { IParameters } from "./interfaces/IParameters.sol";
import { IndexedMerkle } from "./libraries/IndexedMerkle.sol";
import { MerkleFrontier } from "./libraries/MerkleFrontier.sol";
import { Param } from "./types/Param.sol";

/// @title Implements {IDatanetCuration}.
/// @dev Invariant: the token balance is the bonds of pending and rejected contributions and twice those of appealed ones.
contract DatanetCuration is IDatanetCuration {
    using SafeERC20 for IOpenToken;
    using MerkleFrontier for MerkleFrontier.Frontier;

    uint8 private constant DATANET = 1;
    /// @dev Longer than a jury's longest dispute, and than a proposal of the governance with its timelock.
    uint256 private constant RULING_PERIOD = 30 days;

    /// @notice What bonds are paid in.
    IOpenToken public immutable token;
    /// @notice Bond and periods.
    IParameters public immutable parameters;
    /// @notice Datanets and their owners.
    IAssetRegistry public immutable assets;
    /// @notice Who decides appeals.
    ICurationArbiter public immutable arbiter;

    /// @inheritdoc IDatanetCuration
    uint256 public contributionCount;
    /// @inheritdoc IDatanetCuration
    mapping(uint256 assetId => bool) public isOpen;
    /// @inheritdoc IDatanetCuration
    mapping(uint256 assetId => uint256) public missedOf;
    /// @inheritdoc IDatanetCuration
    mapping(uint256 assetId => mapping(bytes32 contentDigest => uint256)) public acceptedAs;
    /// @inheritdoc IDatanetCuration
    mapping(uint256 assetId => mapping(bytes32 clusterKey => uint256)) public clusterHead;
    mapping(uint256 contributionId => Contribution) private _contributions;
    mapping(uint256 assetId => MerkleFrontier.Frontier) private _accepted;
    mapping(uint256 assetId => mapping(uint32 version => SealedVersion)) private _sealed;
    mapping(address curator => CuratorRecord) private _records;
    /// @dev By owner too, so that a sale ends every appointment.
    mapping(uint256 assetId => mapping(address owner => mapping(address curator => bool))) private _curators;

    constructor(
        IOpenToken token_,
        IParameters parameters_,
        IAssetRegistry assets_,
        ICurationArbiter arbiter_
    ) {
        token = token_;
        parameters = parameters_;
        assets = assets_;
        arbiter = arbiter_;
    }

    /// @inheritdoc IDatanetCuration
    function setOpen(uint256 assetId, bool open) external {
        _requireOwner(assetId);
        require(assets.kindOf(assetId) == DATANET, NotDatanet(assetId));
        isOpen[assetId] = open;
        emit DatanetOpened(assetId, open);
    }

    /// @inheritdoc IDatanetCuration
    function setCurator(uint256 assetId, address curator, bool appointed) external {
        address owner = _requireOwner(assetId);
        _curators[assetId][owner][curator] = appointed;
        emit CuratorSet(assetId, owner, curator, appointed);
    }

    /// @inheritdoc IDatanetCuration
    function contribute(uint256 assetId, bytes32 contentDigest, bytes32 clusterKey)
        external
        returns (uint256 id)
    {
        parameters.requireIntakeOpen();
        require(isOpen[assetId], NotOpen(assetId));
        require(assets.tombstonedAt(assetId) == 0, Tombstoned(assetId));
        require(contentDigest != 0, ZeroDigest());
        _requireNew(assetId, contentDigest);
        uint256 bond = parameters.get(Param.CurationBond);
        uint256 until = block.timestamp + parameters.get(Param.CurationPeriod);
        id = ++contributionCount;
        _contributions[id] = Contribution({
            contentDigest: contentDigest,
            clusterKey: clusterKey,
            contributor: msg.sender,
            bond: uint96(bond),
            curator: address(0),
            assetId: uint48(assetId), // ids count up from 1
            until: uint40(until),
            state: Curation.Pending
        });
        emit Contributed(id, assetId, msg.sender, contentDigest, clusterKey, bond, until);
        token.safeTransferFrom(msg.sender, address(this), bond);
    }

    /// @inheritdoc IDatanetCuration
    function accept(uint256 id, bytes32 clusterKey) external {
        Contribution storage c = _decide(id);
        ++_records[msg.sender].accepted;
        if (clusterKey != 0) c.clusterKey = clusterKey;
        _accept(id, c);
        token.safeTransfer(c.contributor, c.bond);
    }

    /// @inheritdoc IDatanetCuration
    function reject(uint256 id, bytes32 reason) external {
        Contribution storage c = _decide(id);
        ++_records[msg.sender].rejected;
        c.state = Curation.Rejected;
        c.until = uint40(block.timestamp + parameters.get(Param.AppealPeriod));
        emit ContributionRejected(id, msg.sender, reason, c.until);
    }

    /// @inheritdoc IDatanetCuration
    function appeal(uint256 id, uint256 maxFee) external {
        Contribution storage c = _in(id, Curation.Rejected);
        require(c.contributor == msg.sender, NotContributor(id, msg.sender));
        require(block.timestamp <= c.until, TooLate(c.until));
        uint256 fee = arbiter.fee();
        require(fee <= maxFee, FeeTooHigh(fee, maxFee));
        uint256 ruleBy = block.timestamp + RULING_PERIOD;
        c.state = Curation.Appealed;
        c.until = uint40(ruleBy);
        token.safeTransferFrom(msg.sender, address(this), c.bond);
        if (fee != 0) token.safeTransferFrom(msg.sender, address(arbiter), fee);
        // it may rule, or anything else, before this returns: nothing is written after it
        uint256 caseId = arbiter.openCase(id, c.assetId, c.contentDigest, msg.sender, ruleBy);
        emit ContributionAppealed(id, caseId, fee, ruleBy);
    }

    /// @inheritdoc IDatanetCuration
    function ruled(uint256 id, bool accepted) external {
        require(msg.sender == address(arbiter), OnlyArbiter(msg.sender));
        Contribution storage c = _in(id, Curation.Appealed);
        require(block.timestamp <= c.until, TooLate(c.until));
        uint256 bonds = 2 * uint256(c.bond);
        emit AppealRuled(id, accepted);
        if (!accepted) {
            _lose(id, c, bonds);
            return;
        }
        ++_records[c.curator].overturned;
        if (acceptedAs[c.assetId][c.contentDigest] != 0) {
            _lapse(id, c, bonds);
            return;
        }
        _accept(id, c);
        token.safeTransfer(c.contributor, bonds);
    }

    /// @inheritdoc IDatanetCuration
    function settle(uint256 id) external {
        Contribution storage c = _contributions[id];
        Curation state = c.state;
        if (state == Curation.Pending && acceptedAs[c.assetId][c.contentDigest] != 0) {
            _lapse(id, c, c.bond);
            return;
        }
        require(
            state == Curation.Pending || state == Curation.Rejected || state == Curation.Appealed,
            WrongCuration(id, state)
        );
        require(block.timestamp > c.until, TooEarly(c.until));
        if (state == Curation.Rejected) {
            _lose(id, c, c.bond);
        } else if (state == Curation.Appealed) {
            _lapse(id, c, 2 * uint256(c.bond));
        } else {
            ++missedOf[c.assetId];
            _lapse(id, c, c.bond);
        }
    }

    /// @inheritdoc IDatanetCuration
    function seal(uint256 assetId, bytes32 contentDigest) external returns (SealedVersion memory made) {
        _requireOwner(assetId);
        uint32 version = assets.versionOf(assetId, contentDigest);
        require(version != 0 && _sealed[assetId][version].count == 0, BadVersion(assetId, contentDigest));
        MerkleFrontier.Frontier storage tree = _accepted[assetId];
        require(tree.count != 0, NothingAccepted(assetId));
        made = SealedVersion(tree.root(), uint64(tree.count));
        _sealed[assetId][version] = made;
        emit VersionSealed(assetId, version, made.count, made.root);
    }

    /// @inheritdoc IDatanetCuration
    function contribution(uint256 id) external view returns (Contribution memory) {
        return _contributions[id];
    }

    /// @inheritdoc IDatanetCuration
    function acceptedRoot(uint256 assetId) external view returns (uint256 count, bytes32 root) {
        MerkleFrontier.Frontier storage tree = _accepted[assetId];
        return (tree.count, tree.root());
    }

    /// @inheritdoc IDatanetCuration
    function sealedVersion(uint256 assetId, uint32 version) external view returns (SealedVersion memory) {
        return _sealed[assetId][version];
    }

    /// @inheritdoc IDatanetCuration
    function inVersion(
        uint256 assetId,
        uint32 version,
        uint256 index,
        bytes32 contentDigest,
        bytes32[] calldata proof
    ) external view returns (bool) {
        SealedVersion storage made = _sealed[assetId][version];
        return IndexedMerkle.verify(made.root, made.count, index, _leaf(contentDigest), proof);
    }

    /// @inheritdoc IDatanetCuration
    function curatorRecord(address curator) external view returns (CuratorRecord memory) {
        return _records[curator];
    }

    /// @inheritdoc IDatanetCuration
    function isCurator(uint256 assetId, address account) public view returns (bool) {
        address owner = IERC721(address(assets)).ownerOf(assetId);
        return _curators[assetId][owner][account] || _mayAct(assetId, owner, account);
    }

    function _decide(uint256 id) private returns (Contribution storage c) {
        c = _in(id, Curation.Pending);
        require(isCurator(c.assetId, msg.sender), NotCurator(c.assetId, msg.sender));
        require(block.timestamp <= c.until, TooLate(c.until));
        _requireNew(c.assetId, c.contentDigest);
        c.curator = msg.sender;
    }

    /// @dev The caller pays the bond back.
    function _accept(uint256 id, Contribution storage c) private {
        (uint256 assetId, bytes32 digest, bytes32 cluster) = (c.assetId, c.contentDigest, c.clusterKey);
        c.state = Curation.Accepted;
        acceptedAs[assetId][digest] = id;
        uint256 head = id;
        if (cluster != 0) {
            head = clusterHead[assetId][cluster];
            if (head == 0) {
                clusterHead[assetId][cluster] = id;
                head = id;
            }
        }
        uint256 index = _accepted[assetId].append(_leaf(digest));
        emit ContributionAccepted(id, assetId, index, digest, cluster, head, c.curator);
    }

    function _lapse(uint256 id, Contribution storage c, uint256 amount) private {
        c.state = Curation.Lapsed;
        emit ContributionLapsed(id, amount);
        token.safeTransfer(c.contributor, amount);
    }

    function _lose(uint256 id, Contribution storage c, uint256 amount) private {
        c.state = Curation.Lost;
        emit BondLost(id, amount);
        token.burn(amount);
    }

    function _in(uint256 id, Curation state) private view returns (Contribution storage c) {
        c = _contributions[id];
        require(c.state == state, WrongCuration(id, c.state));
    }

    function _requireNew(uint256 assetId, bytes32 contentDigest) private view {
        uint256 known = acceptedAs[assetId][contentDigest];
        require(known == 0, DuplicateContent(known));
    }

    function _requireOwner(uint256 assetId) private view returns (address owner) {
        owner = IERC721(address(assets)).ownerOf(assetId);
        require(_mayAct(assetId, owner, msg.sender), NotAuthorized(assetId, msg.sender));
    }

    function _mayAct(uint256 assetId, address owner, address account) private view returns (bool) {
        IERC721 registry = IERC721(address(assets));
        return account == owner || registry.getApproved(assetId) == account
            || registry.isApprovedForAll(owner, account);
    }

    function _leaf(bytes32 contentDigest) private pure returns (bytes32) {
        return IndexedMerkle.leafOf(abi.encode(contentDigest));
    }
}
