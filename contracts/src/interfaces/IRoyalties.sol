// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title Income of assets, shared along their lineage one level a call.
/// @notice Income is credited to an asset and stays there until somebody distributes it. Distributing gives each parent
/// `amount * royaltyBps(parent) / max(10,000, sum of the parents' royaltyBps)`, rounded down, as the parent's own
/// income, and the rest to the asset's owner at that moment. So the parts always add up to the amount, parents that
/// ask for more than everything share it in proportion, and a call costs at most sixteen credits however large the
/// lineage is. Income that was not yet distributed when an asset is sold is the buyer's: distribute before selling.
interface IRoyalties {
    /// @notice No such asset.
    error UnknownAsset(uint256 assetId);
    /// @notice There is nothing to pay or to distribute.
    error NoIncome(uint256 assetId);

    event IncomeAdded(uint256 indexed assetId, address indexed payer, uint256 amount);
    event IncomeDistributed(uint256 indexed assetId, address indexed owner, uint256 amount, uint256 toOwner);
    event RoyaltyPaid(uint256 indexed assetId, uint256 indexed parentId, uint256 amount);

    /// @notice Adds `amount` of the caller's OPEN to the asset's income. Anyone may pay.
    function payAsset(uint256 assetId, uint256 amount) external;

    /// @notice Pays the asset's income on: the parents' parts become their income, the owner is paid. Anyone may call.
    /// @return toOwner wei paid to the owner.
    function distribute(uint256 assetId) external returns (uint256 toOwner);

    /// @notice {distribute} for several assets in the given order, skipping those without income. In an order with every
    /// child before its parents, the whole income of a lineage reaches the owners.
    function distributeMany(uint256[] calldata assetIds) external;

    /// @notice Wei credited to the asset and not yet distributed.
    function incomeOf(uint256 assetId) external view returns (uint256);

    /// @notice How `amount` of income would be split now.
    function split(uint256 assetId, uint256 amount)
        external
        view
        returns (uint256 toOwner, uint256[] memory parents, uint256[] memory toParents);
}
