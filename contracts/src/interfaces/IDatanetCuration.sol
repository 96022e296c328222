// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @notice What became of a contribution. PENDING, REJECTED and APPEALED hold a bond; the others are final.
enum Curation {
    None,
    Pending, // a curator may decide until `until`
    Accepted,
    Rejected, // the contributor may appeal until `until`
    Appealed, // the arbiter may rule until `until`
    Lapsed, // nobody decided, or the same content was accepted before: the bond went back
    Lost // the bond was burned
}

/// @notice Content offered to a datanet, and the bond behind it.
struct Contribution {
    bytes32 contentDigest;
    bytes32 clusterKey; // near-duplicates share it; 0: none
    address contributor;
    uint96 bond;
    address curator; // who decided
    uint48 assetId;
    uint40 until;
    Curation state;
}

/// @notice How a curator has decided so far.
struct CuratorRecord {
    uint64 accepted;
    uint64 rejected;
    uint64 overturned;
}

/// @notice A registered version of a datanet and the accepted contributions it consists of: the first `count`.
struct SealedVersion {
    bytes32 root;
    uint64 count;
}

/// @title Decides appeals against curators' verdicts.
/// @notice Called by {IDatanetCuration-appeal}; answers once with {IDatanetCuration-ruled} before `ruleBy`, in the same call or
/// later. It is paid `fee` whatever it decides.
interface ICurationArbiter {
    /// @notice Opens a case. `fee` wei of OPEN were sent before. Reverting refuses the appeal.
    /// @return caseId the arbiter's own number for it.
    function openCase(
        uint256 contributionId,
        uint256 assetId,
        bytes32 contentDigest,
        address contributor,
        uint256 ruleBy
    ) external returns (uint256 caseId);

    /// @notice Wei of OPEN an appeal costs now.
    function fee() external view returns (uint256);
}

/// @title Contributions to datanets: bonded, decided by curators, appealed to an arbiter.
/// @notice Content is named by its digest. Accepted contributions of a datanet form a growing Merkle tree in the order of
/// acceptance (leaf = keccak256(keccak256(contentDigest)), {IndexedMerkle}); sealing binds a registered version to the
/// tree as it stands. Nobody earns from a verdict: lost bonds are burned.
interface IDatanetCuration {
    /// @notice The asset is no datanet.
    error NotDatanet(uint256 assetId);
    /// @notice The datanet takes no contributions.
    error NotOpen(uint256 assetId);
    /// @notice The datanet was tombstoned.
    error Tombstoned(uint256 assetId);
    /// @notice The content digest is zero.
    error ZeroDigest();
    /// @notice The caller is neither the datanet's owner nor approved by it.
    error NotAuthorized(uint256 assetId, address caller);
    /// @notice The caller may not curate the datanet.
    error NotCurator(uint256 assetId, address caller);
    /// @notice The same content was accepted as `contributionId`.
    error DuplicateContent(uint256 contributionId);
    /// @notice The contribution is in another state.
    error WrongCuration(uint256 contributionId, Curation state);
    /// @notice The time ended at `until`.
    error TooLate(uint256 until);
    /// @notice Somebody may still act until `until`.
    error TooEarly(uint256 until);
    /// @notice Only the contributor may appeal.
    error NotContributor(uint256 contributionId, address caller);
    /// @notice The arbiter's fee is above what the contributor agreed to.
    error FeeTooHigh(uint256 fee, uint256 maxFee);
    /// @notice Only the arbiter may rule.
    error OnlyArbiter(address caller);
    /// @notice The digest is no version of the datanet, or that version was sealed before.
    error BadVersion(uint256 assetId, bytes32 contentDigest);
    /// @notice The datanet has no accepted contribution.
    error NothingAccepted(uint256 assetId);

    event DatanetOpened(uint256 indexed assetId, bool open);
    event CuratorSet(uint256 indexed assetId, address indexed owner, address indexed curator, bool appointed);
    event Contributed(
        uint256 indexed contributionId,
        uint256 indexed assetId,
        address indexed contributor,
        bytes32 contentDigest,
        bytes32 clusterKey,
        uint256 bond,
        uint256 decideBy
    );
    /// @notice Accepted as number `index` of the datanet; `clusterHead` is the first accepted one of its cluster.
    event ContributionAccepted(
        uint256 indexed contributionId,
        uint256 indexed assetId,
        uint256 index,
        bytes32 contentDigest,
        bytes32 clusterKey,
        uint256 clusterHead,
        address curator
    );
    event ContributionRejected(
        uint256 indexed contributionId, address indexed curator, bytes32 reason, uint256 appealBy
    );
    event ContributionAppealed(
        uint256 indexed contributionId, uint256 indexed caseId, uint256 fee, uint256 ruleBy
    );
    event AppealRuled(uint256 indexed contributionId, bool accepted);
    event ContributionLapsed(uint256 indexed contributionId, uint256 returned);
    event BondLost(uint256 indexed contributionId, uint256 burned);
    event VersionSealed(uint256 indexed assetId, uint32 indexed version, uint256 count, bytes32 root);

    /// @notice Opens a datanet for contributions, or closes it to new ones. Owner or approved only.
    function setOpen(uint256 assetId, bool open) external;

    /// @notice Appoints or dismisses a curator. Owner or approved only; the owner and its approved are curators themselves.
    /// Appointments end when the datanet changes hands.
    function setCurator(uint256 assetId, address curator, bool appointed) external;

    /// @notice Offers content to a datanet, with a bond of curationBond.
    /// @param clusterKey what near-duplicates share, as the contributor sees it; 0: none.
    function contribute(uint256 assetId, bytes32 contentDigest, bytes32 clusterKey)
        external
        returns (uint256 contributionId);

    /// @notice Accepts a contribution: its bond goes back. Curators only, within curationPeriod.
    /// @param clusterKey the curator's correction; 0 keeps the contributor's.
    function accept(uint256 contributionId, bytes32 clusterKey) external;

    /// @notice Rejects a contribution: its bond is lost unless the contributor appeals within appealPeriod.
    /// Curators only, within curationPeriod. Content that was accepted before cannot be rejected, it lapses.
    /// @param reason digest of a text.
    function reject(uint256 contributionId, bytes32 reason) external;

    /// @notice Brings a rejection before the arbiter, with a second bond as large as the first and the arbiter's fee, if that is at
    /// most `maxFee`. Its contributor only. Accepted, or no ruling within thirty days: both bonds go back. Rejected: both are lost.
    function appeal(uint256 contributionId, uint256 maxFee) external;

    /// @notice The arbiter's ruling.
    function ruled(uint256 contributionId, bool accepted) external;

    /// @notice Ends what is due: returns the bond when nobody decided or ruled in time or when the same content was accepted,
    /// burns it when a rejection was not appealed. Anyone may call.
    function settle(uint256 contributionId) external;

    /// @notice Declares that a registered version of the datanet consists of all contributions accepted so far. Owner or
    /// approved only, once a version.
    function seal(uint256 assetId, bytes32 contentDigest) external returns (SealedVersion memory);

    /// @notice A contribution; its state is None when unknown.
    function contribution(uint256 contributionId) external view returns (Contribution memory);

    /// @notice Contributions so far; they are numbered from 1.
    function contributionCount() external view returns (uint256);

    /// @notice Which contribution the content was accepted as; 0 when it was not.
    function acceptedAs(uint256 assetId, bytes32 contentDigest) external view returns (uint256);

    /// @notice The first accepted contribution of a cluster of near-duplicates, the one that counts; 0: none.
    function clusterHead(uint256 assetId, bytes32 clusterKey) external view returns (uint256);

    /// @notice Number of a datanet's accepted contributions, and the root over them.
    function acceptedRoot(uint256 assetId) external view returns (uint256 count, bytes32 root);

    /// @notice What a version was sealed with; zeros when it was not.
    function sealedVersion(uint256 assetId, uint32 version) external view returns (SealedVersion memory);

    /// @notice Whether `contentDigest` is contribution number `index` of a sealed version.
    function inVersion(
        uint256 assetId,
        uint32 version,
        uint256 index,
        bytes32 contentDigest,
        bytes32[] calldata proof
    ) external view returns (bool);

    /// @notice Whether the account may decide about the datanet's contributions now.
    function isCurator(uint256 assetId, address account) external view returns (bool);

    /// @notice Whether the datanet takes contributions.
    function isOpen(uint256 assetId) external view returns (bool);

    /// @notice How a curator has decided so far.
    function curatorRecord(address curator) external view returns (CuratorRecord memory);

    /// @notice Contributions that the datanet's curators left undecided.
    function missedOf(uint256 assetId) external view returns (uint256);
}
