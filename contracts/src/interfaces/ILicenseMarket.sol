// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { IRoyalties } from "./IRoyalties.sol";

/// @notice What an asset's owner sells. Only price, count and whether it is open can change.
struct Offer {
    uint256 assetId;
    bytes32 terms; // digest of the licence's text
    uint96 price; // wei for `duration`
    uint32 duration; // seconds; 0: for ever
    uint32 grantPeriod; // seconds the owner has to grant a key; 0: no key is needed
    uint32 maxCount; // licences that can be sold; 0: any number
    uint32 sold;
    bool transferable;
    bool open;
}

/// @notice A sold licence. `expiresAt` is 0 while its key is awaited and 2^40 - 1 for ever.
struct Licence {
    uint64 offerId;
    uint40 expiresAt;
    address holder;
    uint40 grantBy; // until when the key may be granted; 0: nothing is awaited
    address payer; // who gets the price back; 0: nothing is held
    uint96 held;
}

/// @notice A payer's EIP-3009 consent (ReceiveWithAuthorization) to pay exactly `value` to the market.
/// Its nonce is keccak256(abi.encode(offerId, holder, salt)), so a relayer can buy nothing else with it.
struct Authorization {
    address payer;
    uint256 value;
    uint256 validAfter;
    uint256 validBefore;
    bytes32 salt;
    uint8 v;
    bytes32 r;
    bytes32 s;
}

/// @title Licences of assets for sale or rent, and the income of assets.
/// @notice What is paid, less the protocol cut, becomes the asset's income and is shared along its lineage
/// ({IRoyalties}). Where a key must be granted (private data), the price is held until the owner grants it and goes back
/// to the payer when it does not in time. Licences belong to the asset: they outlive its sale and its tombstone.
interface ILicenseMarket is IRoyalties {
    /// @notice The caller is neither the asset's owner nor approved by it.
    error NotAuthorized(uint256 assetId, address caller);
    /// @notice The asset was tombstoned.
    error Tombstoned(uint256 assetId);
    /// @notice The account is zero.
    error ZeroAccount();
    /// @notice A key must be granted within thirty days.
    error BadGrantPeriod(uint256 seconds_);
    /// @notice No such offer.
    error UnknownOffer(uint256 offerId);
    /// @notice The offer is closed.
    error OfferClosed(uint256 offerId);
    /// @notice All licences of the offer are sold.
    error SoldOut(uint256 offerId);
    /// @notice The offer's price is another than what the buyer agreed to.
    error PriceChanged(uint256 price, uint256 agreed);
    /// @notice No such licence, or it was refunded.
    error UnknownLicence(uint256 licenceId);
    /// @notice The licence has expired, or its key is still awaited.
    error NotInForce(uint256 licenceId);
    /// @notice The licence lasts for ever.
    error NothingToRenew(uint256 licenceId);
    /// @notice The licence may not be transferred.
    error NotTransferable(uint256 licenceId);
    /// @notice Only the holder may call.
    error NotHolder(uint256 licenceId, address caller);
    /// @notice A wrapped key has 1 to 1,024 bytes.
    error BadKey(uint256 length);
    /// @notice The offer needs no key.
    error NoKeyNeeded(uint256 licenceId);
    /// @notice The time to grant a key ended at `grantBy`.
    error TooLate(uint256 grantBy);
    /// @notice The owner may still grant the key, until `grantBy`.
    error TooEarly(uint256 grantBy);
    /// @notice Nothing is held for the licence.
    error NothingHeld(uint256 licenceId);

    event OfferMade(
        uint256 indexed offerId,
        uint256 indexed assetId,
        bytes32 terms,
        uint96 price,
        uint32 duration,
        uint32 grantPeriod,
        uint32 maxCount,
        bool transferable
    );
    event OfferChanged(uint256 indexed offerId, uint96 price, uint32 maxCount, bool open);
    event LicenceSold(
        uint256 indexed licenceId,
        uint256 indexed offerId,
        address indexed holder,
        address payer,
        uint256 price,
        uint256 expiresAt,
        uint256 grantBy
    );
    event LicenceRenewed(uint256 indexed licenceId, address indexed payer, uint256 price, uint256 expiresAt);
    event LicenceTransferred(uint256 indexed licenceId, address indexed from, address indexed to);
    event KeyGranted(
        uint256 indexed licenceId,
        uint256 indexed assetId,
        address indexed holder,
        bytes wrappedKey,
        bytes32 keyDigest
    );
    event LicenceRefunded(uint256 indexed licenceId, address indexed payer, uint256 amount);
    event CutCollected(uint256 amount);

    /// @notice Offers licences of an asset. Owner or approved only.
    /// @param terms digest of the licence's text.
    /// @param price wei for `duration` seconds; 0 gives them away.
    /// @param duration seconds a licence lasts and a renewal adds; 0: for ever.
    /// @param grantPeriod seconds in which a key must be granted; 0 where no key is needed.
    /// @param maxCount licences that can be sold; 0: any number.
    function offer(
        uint256 assetId,
        bytes32 terms,
        uint96 price,
        uint32 duration,
        uint32 grantPeriod,
        uint32 maxCount,
        bool transferable
    ) external returns (uint256 offerId);

    /// @notice Changes price, count and openness of an offer. Sold licences stay as they are; renewals cost the new
    /// price and need an open offer. The asset's present owner or approved only.
    function change(uint256 offerId, uint96 price, uint32 maxCount, bool open) external;

    /// @notice Buys a licence for `holder` with the caller's OPEN, if it costs at most `maxPrice`.
    function buy(uint256 offerId, address holder, uint256 maxPrice) external returns (uint256 licenceId);

    /// @notice Buys a licence for `holder` with the OPEN of whoever signed; anyone may send it.
    function buyWithAuthorization(uint256 offerId, address holder, Authorization calldata authorization)
        external
        returns (uint256 licenceId);

    /// @notice Adds the offer's duration to a licence, from now when it has expired, if that costs at most `maxPrice`.
    /// The caller pays; anyone may.
    function renew(uint256 licenceId, uint256 maxPrice) external returns (uint256 expiresAt);

    /// @notice Gives a licence in force to another account. Its holder only, if the offer allows it.
    function transfer(uint256 licenceId, address to) external;

    /// @notice Makes a licence in force the one {isLicensed} finds for its holder, if it lasts longer than that one. Needed
    /// only by who holds several and gave away the one that counted. Anyone may call.
    function present(uint256 licenceId) external;

    /// @notice Publishes the content key, wrapped for the licence's holder; the first time the licence comes into force and the
    /// held price becomes income. Again after a licence was transferred or a key was rotated. The asset's owner or
    /// approved only.
    function grantKey(uint256 licenceId, bytes calldata wrappedKey) external;

    /// @notice Gives the held price back and ends the licence: anyone after `grantBy`, the asset's owner or approved at once.
    function refund(uint256 licenceId) external;

    /// @notice Pays what the protocol cut came to so far to the treasury. Anyone may call.
    function collectCut() external returns (uint256 amount);

    /// @notice Whether `account` holds a licence of the asset that is in force now.
    function isLicensed(uint256 assetId, address account) external view returns (bool);

    /// @notice An offer; reverts when unknown.
    function offerOf(uint256 offerId) external view returns (Offer memory);

    /// @notice A licence; reverts when unknown or refunded.
    function licence(uint256 licenceId) external view returns (Licence memory);

    /// @notice keccak256 of the last key granted for the licence.
    function keyDigestOf(uint256 licenceId) external view returns (bytes32);

    /// @notice Offers made so far; they are numbered from 1.
    function offerCount() external view returns (uint256);

    /// @notice Licences sold so far; they are numbered from 1.
    function licenceCount() external view returns (uint256);

    /// @notice Wei of the protocol cut not yet paid to the treasury.
    function cut() external view returns (uint256);

    /// @notice The nonce of an {Authorization}.
    function authorizationNonce(uint256 offerId, address holder, bytes32 salt) external pure returns (bytes32);
}
