// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { SafeERC20 } from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import { IERC721 } from "@openzeppelin/contracts/token/ERC721/IERC721.sol";
import { Math } from "@openzeppelin/contracts/utils/math/Math.sol";
import { IAssetRegistry } from "../interfaces/IAssetRegistry.sol";
import { IOpenToken } from "../interfaces/IOpenToken.sol";
import { IParameters } from "../interfaces/IParameters.sol";
import { IRoyalties } from "../interfaces/IRoyalties.sol";

/// @title Implements {IRoyalties}.
/// @dev Owners are paid directly: a transfer of OPEN calls nobody, so no owner can refuse it and hold up the rest.
abstract contract Royalties is IRoyalties {
    using SafeERC20 for IOpenToken;

    uint256 internal constant BPS = 10_000;

    /// @notice What is paid.
    IOpenToken public immutable token;
    /// @notice Whether intake is paused, and the protocol cut.
    IParameters public immutable parameters;
    /// @notice Owners, parents and royalties.
    IAssetRegistry public immutable assets;

    mapping(uint256 assetId => uint256) private _income;

    constructor(IOpenToken token_, IParameters parameters_, IAssetRegistry assets_) {
        token = token_;
        parameters = parameters_;
        assets = assets_;
    }

    /// @inheritdoc IRoyalties
    function payAsset(uint256 assetId, uint256 amount) external {
        parameters.requireIntakeOpen();
        require(amount != 0, NoIncome(assetId));
        require(assets.depthOf(assetId) != 0, UnknownAsset(assetId));
        _addIncome(assetId, msg.sender, amount);
        token.safeTransferFrom(msg.sender, address(this), amount);
    }

    /// @inheritdoc IRoyalties
    function distribute(uint256 assetId) external returns (uint256 toOwner) {
        require(_income[assetId] != 0, NoIncome(assetId));
        toOwner = _distribute(assetId);
    }

    /// @inheritdoc IRoyalties
    function distributeMany(uint256[] calldata assetIds) external {
        for (uint256 i; i < assetIds.length; ++i) {
            if (_income[assetIds[i]] != 0) _distribute(assetIds[i]);
        }
    }

    /// @inheritdoc IRoyalties
    function incomeOf(uint256 assetId) external view returns (uint256) {
        return _income[assetId];
    }

    /// @inheritdoc IRoyalties
    function split(uint256 assetId, uint256 amount)
        public
        view
        returns (uint256 toOwner, uint256[] memory parents, uint256[] memory toParents)
    {
        (parents, toParents) = assets.royaltiesOf(assetId);
        uint256 asked;
        for (uint256 i; i < toParents.length; ++i) {
            asked += toParents[i];
        }
        uint256 whole = Math.max(asked, BPS);
        toOwner = amount;
        for (uint256 i; i < toParents.length; ++i) {
            toParents[i] = Math.mulDiv(amount, toParents[i], whole);
            toOwner -= toParents[i];
        }
    }

    function _addIncome(uint256 assetId, address payer, uint256 amount) internal {
        _income[assetId] += amount;
        emit IncomeAdded(assetId, payer, amount);
    }

    function _distribute(uint256 assetId) private returns (uint256) {
        uint256 amount = _income[assetId];
        _income[assetId] = 0;
        (uint256 toOwner, uint256[] memory parents, uint256[] memory toParents) = split(assetId, amount);
        for (uint256 i; i < parents.length; ++i) {
            if (toParents[i] == 0) continue;
            _income[parents[i]] += toParents[i];
            emit RoyaltyPaid(assetId, parents[i], toParents[i]);
        }
        address owner = IERC721(address(assets)).ownerOf(assetId);
        emit IncomeDistributed(assetId, owner, amount, toOwner);
        if (toOwner != 0) token.safeTransfer(owner, toOwner);
        return toOwner;
    }
}
