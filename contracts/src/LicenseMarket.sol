// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { IERC3009 } from "@openzeppelin/contracts/interfaces/draft-IERC3009.sol";
import { SafeERC20 } from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import { IERC721 } from "@openzeppelin/contracts/token/ERC721/IERC721.sol";
import { Math } from "@openzeppelin/contracts/utils/math/Math.sol";
import { IAssetRegistry } from "./interfaces/IAssetRegistry.sol";
import { Authorization, ILicenseMarket, Licence, Offer } from "./interfaces/ILicenseMarket.sol";
import { IOpenToken } from "./interfaces/IOpenToken.sol";
import { IParameters } from "./interfaces/IParameters.sol";
import { Royalties } from "./market/Royalties.sol";
import { Param } from "./types/Param.sol";

/// @title Implements {ILicenseMarket}.
/// @dev Invariant: the token balance is the income of all assets, what is held for awaited keys, and the cut.
contract LicenseMarket is ILicenseMarket, Royalties {
    using SafeERC20 for IOpenToken;

    uint40 private constant FOR_EVER = type(uint40).max;
    uint256 private constant MAX_GRANT_PERIOD = 30 days;
    uint256 private constant MAX_KEY = 1024;

    /// @notice Who is paid the protocol cut.
    address public immutable treasury;

    /// @inheritdoc ILicenseMarket
    uint256 public offerCount;
    /// @inheritdoc ILicenseMarket
    uint256 public licenceCount;
    /// @inheritdoc ILicenseMarket
    uint256 public cut;
    /// @inheritdoc ILicenseMarket
    mapping(uint256 licenceId => bytes32) public keyDigestOf;
    mapping(uint256 offerId => Offer) private _offers;
    mapping(uint256 licenceId => Licence) private _licences;
    mapping(uint256 assetId => mapping(address account => uint256 licenceId)) private _presented;

    constructor(IOpenToken token_, IParameters parameters_, IAssetRegistry assets_, address treasury_)
        Royalties(token_, parameters_, assets_)
    {
        require(treasury_ != address(0), ZeroAccount());
        treasury = treasury_;
    }

    /// @inheritdoc ILicenseMarket
    function offer(
        uint256 assetId,
        bytes32 terms,
        uint96 price,
        uint32 duration,
        uint32 grantPeriod,
        uint32 maxCount,
        bool transferable
    ) external returns (uint256 offerId) {
        parameters.requireIntakeOpen();
        _requireOwner(assetId);
        _requireAlive(assetId);
        require(grantPeriod <= MAX_GRANT_PERIOD, BadGrantPeriod(grantPeriod));
        offerId = ++offerCount;
        _offers[offerId] =
            Offer(assetId, terms, price, duration, grantPeriod, maxCount, 0, transferable, true);
        emit OfferMade(offerId, assetId, terms, price, duration, grantPeriod, maxCount, transferable);
    }

    /// @inheritdoc ILicenseMarket
    function change(uint256 offerId, uint96 price, uint32 maxCount, bool open) external {
        Offer storage o = _offer(offerId);
        _requireOwner(o.assetId);
        (o.price, o.maxCount, o.open) = (price, maxCount, open);
        emit OfferChanged(offerId, price, maxCount, open);
    }

    /// @inheritdoc ILicenseMarket
    function buy(uint256 offerId, address holder, uint256 maxPrice) external returns (uint256 licenceId) {
        uint256 price = _offer(offerId).price;
        require(price <= maxPrice, PriceChanged(price, maxPrice));
        licenceId = _sell(offerId, holder, msg.sender);
        if (price != 0) token.safeTransferFrom(msg.sender, address(this), price);
    }

    /// @inheritdoc ILicenseMarket
    function buyWithAuthorization(uint256 offerId, address holder, Authorization calldata a)
        external
        returns (uint256 licenceId)
    {
        uint256 price = _offer(offerId).price;
        require(price == a.value, PriceChanged(price, a.value));
        licenceId = _sell(offerId, holder, a.payer);
        IERC3009(address(token))
            .receiveWithAuthorization(
                a.payer,
                address(this),
                price,
                a.validAfter,
                a.validBefore,
                authorizationNonce(offerId, holder, a.salt),
                a.v,
                a.r,
                a.s
            );
    }

    /// @inheritdoc ILicenseMarket
    function renew(uint256 licenceId, uint256 maxPrice) external returns (uint256 expiresAt) {
        parameters.requireIntakeOpen();
        Licence storage l = _licence(licenceId);
        Offer storage o = _offers[l.offerId];
        require(l.expiresAt != 0, NotInForce(licenceId));
        require(l.expiresAt != FOR_EVER, NothingToRenew(licenceId));
        require(o.open, OfferClosed(l.offerId));
        _requireAlive(o.assetId);
        uint256 price = o.price;
        require(price <= maxPrice, PriceChanged(price, maxPrice));
        expiresAt = _extended(l.expiresAt, o.duration);
        l.expiresAt = uint40(expiresAt);
        _present(licenceId, o.assetId, l);
        emit LicenceRenewed(licenceId, msg.sender, price, expiresAt);
        _earn(o.assetId, msg.sender, price);
        if (price != 0) token.safeTransferFrom(msg.sender, address(this), price);
    }

    /// @inheritdoc ILicenseMarket
    function transfer(uint256 licenceId, address to) external {
        Licence storage l = _licence(licenceId);
        Offer storage o = _offers[l.offerId];
        require(l.holder == msg.sender, NotHolder(licenceId, msg.sender));
        require(o.transferable, NotTransferable(licenceId));
        require(to != address(0), ZeroAccount());
        require(l.expiresAt > block.timestamp, NotInForce(licenceId));
        l.holder = to;
        emit LicenceTransferred(licenceId, msg.sender, to);
        _present(licenceId, o.assetId, l);
    }

    /// @inheritdoc ILicenseMarket
    function present(uint256 licenceId) external {
        Licence storage l = _licence(licenceId);
        require(l.expiresAt > block.timestamp, NotInForce(licenceId));
        _present(licenceId, _offers[l.offerId].assetId, l);
    }

    /// @inheritdoc ILicenseMarket
    function grantKey(uint256 licenceId, bytes calldata wrappedKey) external {
        Licence storage l = _licence(licenceId);
        Offer storage o = _offers[l.offerId];
        uint256 assetId = o.assetId;
        _requireOwner(assetId);
        require(o.grantPeriod != 0, NoKeyNeeded(licenceId));
        require(wrappedKey.length != 0 && wrappedKey.length <= MAX_KEY, BadKey(wrappedKey.length));
        bytes32 digest = keccak256(wrappedKey);
        keyDigestOf[licenceId] = digest;
        emit KeyGranted(licenceId, assetId, l.holder, wrappedKey, digest);
        if (l.expiresAt != 0) return;
        require(block.timestamp <= l.grantBy, TooLate(l.grantBy));
        (address payer, uint256 held) = (l.payer, l.held);
        (l.payer, l.held, l.grantBy) = (address(0), 0, 0);
        l.expiresAt = _extended(0, o.duration);
        _present(licenceId, assetId, l);
        _earn(assetId, payer, held);
    }

    /// @inheritdoc ILicenseMarket
    function refund(uint256 licenceId) external {
        Licence storage l = _licence(licenceId);
        require(l.expiresAt == 0, NothingHeld(licenceId));
        Offer storage o = _offers[l.offerId];
        require(block.timestamp > l.grantBy || _isOwner(o.assetId), TooEarly(l.grantBy));
        (address payer, uint256 held) = (l.payer, l.held);
        delete _licences[licenceId];
        --o.sold;
        emit LicenceRefunded(licenceId, payer, held);
        if (held != 0) token.safeTransfer(payer, held);
    }

    /// @inheritdoc ILicenseMarket
    function collectCut() external returns (uint256 amount) {
        amount = cut;
        cut = 0;
        emit CutCollected(amount);
        token.safeTransfer(treasury, amount);
    }

    /// @inheritdoc ILicenseMarket
    function isLicensed(uint256 assetId, address account) external view returns (bool) {
        Licence storage l = _licences[_presented[assetId][account]];
        return account != address(0) && l.holder == account && l.expiresAt > block.timestamp;
    }

    /// @inheritdoc ILicenseMarket
    function offerOf(uint256 offerId) external view returns (Offer memory) {
        return _offer(offerId);
    }

    /// @inheritdoc ILicenseMarket
    function licence(uint256 licenceId) external view returns (Licence memory) {
        return _licence(licenceId);
    }

    /// @inheritdoc ILicenseMarket
    function authorizationNonce(uint256 offerId, address holder, bytes32 salt) public pure returns (bytes32) {
        return keccak256(abi.encode(offerId, holder, salt));
    }

    /// @dev The caller moves the price.
    function _sell(uint256 offerId, address holder, address payer) private returns (uint256 licenceId) {
        parameters.requireIntakeOpen();
        Offer storage o = _offers[offerId];
        (uint256 assetId, uint256 price, uint256 grantPeriod) = (o.assetId, o.price, o.grantPeriod);
        require(o.open, OfferClosed(offerId));
        require(o.maxCount == 0 || o.sold < o.maxCount, SoldOut(offerId));
        require(holder != address(0), ZeroAccount());
        _requireAlive(assetId);
        ++o.sold;
        licenceId = ++licenceCount;
        Licence storage l = _licences[licenceId];
        (l.offerId, l.holder) = (uint64(offerId), holder);
        if (grantPeriod == 0) {
            l.expiresAt = _extended(0, o.duration);
            _present(licenceId, assetId, l);
            _earn(assetId, payer, price);
        } else {
            l.grantBy = uint40(block.timestamp + grantPeriod);
            (l.payer, l.held) = (payer, uint96(price));
        }
        emit LicenceSold(licenceId, offerId, holder, payer, price, l.expiresAt, l.grantBy);
    }

    function _present(uint256 licenceId, uint256 assetId, Licence storage l) private {
        address holder = l.holder;
        Licence storage known = _licences[_presented[assetId][holder]];
        // the known one may have been transferred to somebody else
        if (known.holder != holder || known.expiresAt < l.expiresAt) {
            _presented[assetId][holder] = licenceId;
        }
    }

    function _earn(uint256 assetId, address payer, uint256 price) private {
        if (price == 0) return;
        uint256 kept = price * parameters.get(Param.ProtocolCut) / BPS;
        cut += kept;
        _addIncome(assetId, payer, price - kept);
    }

    function _extended(uint256 expiresAt, uint256 duration) private view returns (uint40) {
        if (duration == 0) return FOR_EVER;
        // one below: renewed without end, a lease still never turns into a sale
        return uint40(Math.min(Math.max(expiresAt, block.timestamp) + duration, FOR_EVER - 1));
    }

    function _offer(uint256 offerId) private view returns (Offer storage o) {
        o = _offers[offerId];
        require(o.assetId != 0, UnknownOffer(offerId));
    }

    function _licence(uint256 licenceId) private view returns (Licence storage l) {
        l = _licences[licenceId];
        require(l.holder != address(0), UnknownLicence(licenceId));
    }

    function _requireAlive(uint256 assetId) private view {
        require(assets.tombstonedAt(assetId) == 0, Tombstoned(assetId));
    }

    function _requireOwner(uint256 assetId) private view {
        require(_isOwner(assetId), NotAuthorized(assetId, msg.sender));
    }

    function _isOwner(uint256 assetId) private view returns (bool) {
        IERC721 registry = IERC721(address(assets));
        address owner = registry.ownerOf(assetId);
        return msg.sender == owner || registry.getApproved(assetId) == msg.sender
            || registry.isApprovedForAll(owner, msg.sender);
    }
}
