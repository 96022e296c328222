// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { SafeERC20 } from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import { Math } from "@openzeppelin/contracts/utils/math/Math.sol";
import { IActionLog } from "../interfaces/IActionLog.sol";
import { IAssetRegistry } from "../interfaces/IAssetRegistry.sol";
import { IDisputeErrors, IDisputeEvents } from "../interfaces/IDisputes.sol";
import { IOpenToken } from "../interfaces/IOpenToken.sol";
import { IParameters } from "../interfaces/IParameters.sol";
import { IRewardPool } from "../interfaces/IRewardPool.sol";
import { IStakeVault } from "../interfaces/IStakeVault.sol";
import { DisputeTerms, Distribution } from "../types/DisputeTypes.sol";

/// @notice The contracts that disputes are about; the same for every module.
struct Context {
    IOpenToken token;
    IParameters parameters;
    IStakeVault vault;
    IActionLog actionLog;
    IRewardPool rewardPool;
    IAssetRegistry assets;
}

/// @title What every resolver shares: how much is slashed, and where it goes.
///
///   target    = max(minSlash, outputSlash * fee)
///   due       = target - what was taken for the action before
///   burned    >= ceil(slash * burnShare)
///   challenger = floor(slash * challengerShare)
///   rest      = slash - ceil(burn) - challenger: first the harmed clients' fees, then the jury; what is left is burned
abstract contract DisputeBase is IDisputeErrors, IDisputeEvents {
    using SafeERC20 for IOpenToken;

    uint256 internal constant BPS = 10_000;

    /// @notice What bonds and stakes are in.
    IOpenToken public immutable token;
    /// @notice Where terms come from.
    IParameters public immutable parameters;
    /// @notice Whose stakes are slashed and whose jurors are drawn.
    IStakeVault public immutable vault;
    /// @notice Whose records are disputed.
    IActionLog public immutable actionLog;
    /// @notice Where refunds are known and audits are paid from.
    IRewardPool public immutable rewardPool;
    /// @notice What models and adapters are.
    IAssetRegistry public immutable assets;

    /// @dev Wei taken by what it was taken for: an action, a payment, or a fault of a whole batch.
    mapping(bytes32 faultKey => uint256) private _settled;

    /// @dev A payer and what it paid.
    struct Harm {
        address client;
        uint256 fee;
    }

    constructor(Context memory context) {
        token = context.token;
        parameters = context.parameters;
        vault = context.vault;
        actionLog = context.actionLog;
        rewardPool = context.rewardPool;
        assets = context.assets;
    }

    /// @dev Wei taken so far for the action.
    function _settledOf(uint256 agentId, address operator, uint64 nonce) internal view returns (uint256) {
        return _settled[_actionKey(agentId, operator, nonce)];
    }

    /// @dev The whole slash for a fee. Saturating: a record with an absurd fee must not be unslashable.
    function _target(DisputeTerms memory terms, uint256 fee) internal pure returns (uint256) {
        return Math.max(terms.minSlash, Math.saturatingMul(fee, terms.outputSlash));
    }

    /// @dev Part of the slash for a fee that was not taken yet.
    function _due(DisputeTerms memory terms, uint256 fee, uint256 agentId, address operator, uint64 nonce)
        internal
        view
        returns (uint256)
    {
        return _dueFor(terms, fee, _actionKey(agentId, operator, nonce));
    }

    function _dueFor(DisputeTerms memory terms, uint256 fee, bytes32 faultKey)
        internal
        view
        returns (uint256)
    {
        return Math.saturatingSub(_target(terms, fee), _settled[faultKey]);
    }

    /// @dev Takes up to `amount` and remembers it for the action.
    function _take(uint256 agentId, address operator, uint64 nonce, uint256 amount)
        internal
        returns (uint256 taken)
    {
        return _takeFor(agentId, operator, _actionKey(agentId, operator, nonce), amount);
    }

    function _takeFor(uint256 agentId, address operator, bytes32 faultKey, uint256 amount)
        internal
        returns (uint256 taken)
    {
        taken = vault.slash(agentId, operator, amount);
        _settled[faultKey] += taken;
    }

    /// @dev Pays out a slash that this contract holds; the parts add up to `total`. Of the rest at most `juryCost`
    /// stays here for jurors. Without a challenger its share stays here too, for the caller to pay out.
    function _distribute(
        uint256 total,
        DisputeTerms memory terms,
        address challenger,
        Harm[2] memory harms,
        uint256 juryCost
    ) internal returns (Distribution memory d) {
        d.total = total;
        d.toChallenger = total * terms.challengerBps / BPS;
        uint256 rest = total - Math.ceilDiv(total * terms.burnBps, BPS) - d.toChallenger;
        for (uint256 i; i < 2; ++i) {
            if (harms[i].client == address(0)) continue;
            uint256 refund = Math.min(harms[i].fee, rest);
            rest -= refund;
            d.toClients += refund;
            _pay(harms[i].client, refund);
        }
        d.toJury = Math.min(juryCost, rest);
        d.burned = total - d.toChallenger - d.toClients - d.toJury;
        if (challenger != address(0)) _pay(challenger, d.toChallenger);
        _burn(d.burned);
    }

    function _pay(address account, uint256 amount) internal {
        if (amount != 0) token.safeTransfer(account, amount);
    }

    function _burn(uint256 amount) internal {
        if (amount != 0) token.burn(amount);
    }

    /// @dev The keys have one, two or three words, or say what they are for: none is another's.
    function _actionKey(uint256 agentId, address operator, uint64 nonce) internal pure returns (bytes32) {
        return keccak256(abi.encode(agentId, operator, nonce));
    }

    /// @dev For faults of a batch: of its data (`part` is the largest value) or of one fixed share.
    function _batchKey(bytes32 headerHash, uint256 part) internal pure returns (bytes32) {
        return keccak256(abi.encode(headerHash, part));
    }

    /// @dev For an action that was paid and has no nonce.
    function _paymentKey(uint256 agentId, address operator, bytes32 paymentId)
        internal
        pure
        returns (bytes32)
    {
        return keccak256(abi.encode(agentId, operator, paymentId, "payment"));
    }
}
