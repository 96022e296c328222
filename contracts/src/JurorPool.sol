// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { SafeERC20 } from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import { SafeCast } from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import { Checkpoints } from "@openzeppelin/contracts/utils/structs/Checkpoints.sol";
import { IOpenToken } from "./interfaces/IOpenToken.sol";
import { IParameters } from "./interfaces/IParameters.sol";
import { IJurorPool } from "./interfaces/IStakeVault.sol";
import { SumTree } from "./libraries/SumTree.sol";
import { Param } from "./types/Param.sol";

/// @title The juror side of the vault: a stake-weighted set whose past can be drawn from.
/// @dev An account keeps its slot for ever, so a slot's owner needs no history.
abstract contract JurorPool is IJurorPool {
    using SafeERC20 for IOpenToken;
    using SafeCast for uint256;
    using SumTree for SumTree.Tree;
    using Checkpoints for Checkpoints.Trace208;

    struct Juror {
        uint128 stake;
        uint128 locked;
        /// When a leaving juror may be paid; 0 while it stays.
        uint64 readyAt;
        /// Slot in the tree plus one; 0 before the first join.
        uint32 place;
    }

    /// @notice The staked token.
    IOpenToken public immutable token;
    /// @notice Where delays and minima come from.
    IParameters public immutable parameters;
    /// @notice The only contract that can encumber, lock or slash.
    address public immutable disputes;

    SumTree.Tree private _tree;
    Checkpoints.Trace208 private _count;
    mapping(address account => Juror) private _jurors;
    address[] private _slots;

    constructor(IOpenToken token_, IParameters parameters_, address disputes_) {
        token = token_;
        parameters = parameters_;
        disputes = disputes_;
    }

    modifier onlyDisputes() {
        require(msg.sender == disputes, OnlyDisputes(msg.sender));
        _;
    }

    /// @inheritdoc IJurorPool
    function joinJury(uint256 amount) external {
        parameters.requireIntakeOpen();
        Juror storage j = _jurors[msg.sender];
        require(j.readyAt == 0, JurorLeaving(msg.sender));
        uint256 stake = j.stake + amount;
        uint256 minimum = parameters.get(Param.MinJurorStake);
        require(stake >= minimum, JurorStakeTooLow(stake, minimum));
        j.stake = stake.toUint128();
        if (j.place == 0) {
            require(_slots.length < SumTree.CAPACITY, JuryFull());
            _slots.push(msg.sender);
            j.place = uint32(_slots.length);
        }
        _weigh(j);
        emit JurorJoined(msg.sender, amount, stake);
        token.safeTransferFrom(msg.sender, address(this), amount);
    }

    /// @inheritdoc IJurorPool
    function leaveJury() external {
        Juror storage j = _jurors[msg.sender];
        require(j.stake != 0, NotJuror(msg.sender));
        require(j.readyAt == 0, JurorLeaving(msg.sender));
        j.readyAt = uint64(block.timestamp + parameters.get(Param.WithdrawalDelay));
        _weigh(j);
        emit JurorLeft(msg.sender, j.stake, j.readyAt);
    }

    /// @inheritdoc IJurorPool
    function withdrawJury() external returns (uint256 amount) {
        Juror storage j = _jurors[msg.sender];
        require(j.readyAt != 0, NotJuror(msg.sender));
        require(j.locked == 0 && block.timestamp >= j.readyAt, JurorStakeLocked(j.locked, j.readyAt));
        amount = j.stake;
        j.stake = 0;
        j.readyAt = 0;
        emit JurorPaid(msg.sender, amount);
        token.safeTransfer(msg.sender, amount);
    }

    /// @inheritdoc IJurorPool
    function lockJuror(address juror, uint256 amount) external onlyDisputes returns (uint256 locked) {
        Juror storage j = _jurors[juror];
        uint256 free = j.stake - j.locked;
        locked = amount < free ? amount : free;
        j.locked += uint128(locked);
        emit JurorLocked(juror, locked);
    }

    /// @inheritdoc IJurorPool
    function settleJuror(address juror, uint256 locked, uint256 penalty)
        external
        onlyDisputes
        returns (uint256 taken)
    {
        Juror storage j = _jurors[juror];
        j.locked -= locked.toUint128();
        emit JurorReleased(juror, locked);
        taken = penalty < locked ? penalty : locked;
        if (taken == 0) return 0;
        j.stake -= uint128(taken);
        _weigh(j);
        emit JurorPenalised(juror, taken);
        token.safeTransfer(msg.sender, taken);
    }

    /// @inheritdoc IJurorPool
    function jurorStake(address juror) external view returns (uint256) {
        return _jurors[juror].stake;
    }

    /// @inheritdoc IJurorPool
    function jurorOf(address juror) external view returns (uint256 stake, uint256 locked, uint256 readyAt) {
        Juror storage j = _jurors[juror];
        return (j.stake, j.locked, j.readyAt);
    }

    /// @inheritdoc IJurorPool
    function juryAt(uint256 blockNumber, address[] calldata excluded)
        external
        view
        returns (uint256 stake, uint256 jurors)
    {
        uint48 key = blockNumber.toUint48();
        stake = _tree.totalAt(key);
        jurors = _count.upperLookupRecent(key);
        for (uint256 i; i < excluded.length; ++i) {
            uint32 place = _jurors[excluded[i]].place;
            if (place == 0 || _repeats(excluded, i)) continue;
            (, uint256 weight) = _tree.intervalAt(place - 1, key);
            if (weight == 0) continue;
            stake -= weight;
            --jurors;
        }
    }

    /// @inheritdoc IJurorPool
    /// @dev Exact sampling without replacement and without retries: the intervals already taken are kept sorted
    /// by start; a position drawn from what is left is moved up past each taken interval at or below it.
    function drawJurors(uint256 seed, uint256 blockNumber, uint256 n, address[] calldata excluded)
        external
        view
        returns (address[] memory drawn)
    {
        uint48 key = blockNumber.toUint48();
        uint256 left = _tree.totalAt(key);
        uint256[2][] memory taken = new uint256[2][](n + excluded.length);
        uint256 used;
        for (uint256 i; i < excluded.length; ++i) {
            uint32 place = _jurors[excluded[i]].place;
            if (place == 0 || _repeats(excluded, i)) continue;
            (uint256 start, uint256 weight) = _tree.intervalAt(place - 1, key);
            if (weight == 0) continue;
            _insert(taken, used++, start, weight);
            left -= weight;
        }
        drawn = new address[](n);
        for (uint256 i; i < n; ++i) {
            require(left != 0, TooFewJurors(i, n));
            uint256 position = uint256(keccak256(abi.encode(seed, i))) % left;
            for (uint256 k; k < used && taken[k][0] <= position; ++k) {
                position += taken[k][1];
            }
            (uint256 slot, uint256 start, uint256 weight) = _tree.find(position, key);
            drawn[i] = _slots[slot];
            _insert(taken, used++, start, weight);
            left -= weight;
        }
    }

    /// @dev A leaving juror weighs nothing; one that penalties brought below half the minimum neither.
    function _weigh(Juror storage j) private {
        bool counts = j.readyAt == 0 && 2 * uint256(j.stake) >= parameters.get(Param.MinJurorStake);
        uint208 weight = counts ? uint208(j.stake) : 0;
        uint256 slot = j.place - 1;
        bool counted = _tree.weightOf(slot) != 0;
        _tree.set(slot, weight);
        if (counted == counts) return;
        uint208 jurors = _count.latest();
        _count.push(uint48(block.number), counts ? jurors + 1 : jurors - 1);
    }

    function _insert(uint256[2][] memory taken, uint256 used, uint256 start, uint256 weight) private pure {
        uint256 k = used;
        for (; k != 0 && taken[k - 1][0] > start; --k) {
            taken[k] = taken[k - 1];
        }
        taken[k] = [start, weight];
    }

    function _repeats(address[] calldata accounts, uint256 i) private pure returns (bool) {
        for (uint256 k; k < i; ++k) {
            if (accounts[k] == accounts[i]) return true;
        }
        return false;
    }
}
