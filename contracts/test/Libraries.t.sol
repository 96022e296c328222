// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { Test } from "forge-std/Test.sol";
import { Ruling } from "src/libraries/Ruling.sol";
import { Median } from "src/types/DisputeTypes.sol";
import { SumTree } from "src/libraries/SumTree.sol";
import { Drift } from "src/libraries/Drift.sol";
import { IndexedMerkle } from "src/libraries/IndexedMerkle.sol";
import { MerkleSum } from "src/libraries/MerkleSum.sol";
import { ShareMath } from "src/libraries/ShareMath.sol";
import { AgentState, AgentStateLib } from "src/types/AgentState.sol";
import { SumNode } from "src/types/Records.sol";
import { Payout, Trees } from "./utils/Trees.sol";

/// @title The libraries against slow, obvious models of themselves.
contract LibrariesTest is Test {
    using SumTree for SumTree.Tree;
    using Ruling for Median;

    uint256 private constant SLOTS = 24;

    SumTree.Tree private _tree;
    /// @dev Weights at the end of each block of a run.
    uint208[SLOTS][] private _history;

    function test_fuzz_sumTree_remembersEveryBlock(uint256 seed) public {
        uint256 first = block.number;
        uint208[SLOTS] memory weights;
        for (uint256 b; b < 6; ++b) {
            vm.roll(first + b);
            for (uint256 k; k < 5; ++k) {
                uint256 dice = uint256(keccak256(abi.encode(seed, b, k)));
                uint256 i = dice % SLOTS;
                weights[i] = dice % 4 == 0 ? 0 : uint208(dice >> 240);
                _tree.set(_slot(i), weights[i]);
                assertEq(_tree.weightOf(_slot(i)), weights[i]);
            }
            _history.push(weights);
        }
        for (uint256 b; b < 6; ++b) {
            _compare(uint48(first + b), _history[b], uint256(keccak256(abi.encode(seed, b))));
        }
        assertEq(_tree.totalAt(uint48(first - 1)), 0);
    }

    function test_sumTree_holdsItsLastSlot() public {
        _tree.set(SumTree.CAPACITY - 1, 7);
        _tree.set(0, 5);
        uint48 key = uint48(block.number);
        (uint256 slot, uint256 start, uint256 weight) = _tree.find(11, key);
        assertEq(slot, SumTree.CAPACITY - 1);
        assertEq(start, 5);
        assertEq(weight, 7);
    }

    function test_fuzz_median_hasNoMoreThanHalfOnEitherSide(int32[23] memory raw, uint256 n) public pure {
        n = bound(n, 1, 23);
        int32[] memory values = new int32[](23);
        for (uint256 i; i < 23; ++i) {
            values[i] = raw[i];
        }
        Median memory m = Ruling.median(values, n);
        assertLe(m.low, m.high);
        if (n % 2 == 1) assertEq(m.low, m.high);
        uint256 below;
        uint256 above;
        for (uint256 i; i < n; ++i) {
            if (raw[i] < m.low) ++below;
            if (raw[i] > m.high) ++above;
        }
        assertLe(2 * below, n);
        assertLe(2 * above, n);
        assertLe(m.low, m.middle());
        assertLe(m.middle(), m.high);
        (int256 low, int256 high) = (m.low, m.high);
        assertFalse(m.isFar(low, 0));
        assertFalse(m.isFar(high, 0));
        assertTrue(m.isFar(high + 11, 10));
        assertTrue(m.isFar(low - 11, 10));
        assertFalse(m.isFar(low - 10, 10));
    }

    /// @dev Whoever votes first, the median is the same.
    function test_fuzz_median_doesNotDependOnTheOrderOfVotes(int32[11] memory raw, uint256 seed) public pure {
        int32[] memory values = new int32[](11);
        int32[] memory shuffled = new int32[](11);
        for (uint256 i; i < 11; ++i) {
            uint256 k = uint256(keccak256(abi.encode(seed, i))) % (i + 1);
            values[i] = raw[i];
            shuffled[i] = shuffled[k];
            shuffled[k] = raw[i];
        }
        Median memory a = Ruling.median(values, 11);
        Median memory b = Ruling.median(shuffled, 11);
        assertEq(a.low, b.low);
        assertEq(a.high, b.high);
    }

    /// @dev The smallest number of leaves that honest noise explains with no more than the allowed probability.
    function test_fuzz_drift_isTheSmallestThatHolds(uint256 k, uint256 rate) public pure {
        k = bound(k, 1, 256);
        rate = bound(rate, 1, 10_000);
        uint256 m = Drift.threshold(k, rate);
        assertGe(m, 1);
        assertTrue(_holds(k, m, rate));
        if (m > 1) assertFalse(_holds(k, m - 1, rate));
        assertGe(Drift.threshold(k, 1), m, "a stricter rate never asks for fewer");
        assertLe(Drift.threshold(32, rate), Drift.threshold(256, rate), "nor do more leaves");
    }

    /// @dev C(k, m) by Pascal's triangle.
    function _holds(uint256 k, uint256 m, uint256 rate) private pure returns (bool) {
        uint256[] memory row = new uint256[](m + 1);
        row[0] = 1;
        for (uint256 n = 1; n <= k; ++n) {
            for (uint256 j = n < m ? n : m; j != 0; --j) {
                row[j] += row[j - 1];
            }
        }
        return row[m] * 1e9 <= rate * 1000 ** m;
    }

    // test/symbolic proves the rest of the share maths

    function test_fuzz_shares_aWithdrawalThenADepositNeverProfits(uint96 total, uint128 shares, uint256 sold)
        public
        pure
    {
        sold = bound(sold, 0, shares);
        uint256 paid = ShareMath.toAssets(sold, total, shares);
        assertLe(paid, total);
        assertLe(ShareMath.toShares(paid, total - paid, shares - sold), sold);
    }

    function test_fuzz_shares_portionsAddUpToNoMoreThanTheBatch(
        uint96 total,
        uint128 shares,
        uint256 one,
        uint256 other
    ) public pure {
        vm.assume(total != 0);
        one = bound(one, 0, total);
        other = bound(other, 0, total - one);
        assertLe(
            ShareMath.portion(one, total, shares) + ShareMath.portion(other, total, shares),
            ShareMath.portion(one + other, total, shares)
        );
    }

    function test_fuzz_depth_isTheCeilingOfTheLogarithm(uint32 count) public pure {
        vm.assume(count != 0);
        uint256 depth = IndexedMerkle.depthOf(count);
        assertGe(uint256(1) << depth, count);
        if (depth != 0) assertLt(uint256(1) << (depth - 1), count);
    }

    function test_fuzz_sums_aLeafIsProvenUnderItsOwnNumberOnly(uint256 count, uint256 index) public view {
        count = bound(count, 2, 20);
        index = bound(index, 0, count - 1);
        Payout[] memory payouts = _payouts(count);
        SumNode memory root = Trees.sumRoot(payouts);
        SumNode[] memory proof = Trees.sumProof(payouts, index);
        bytes32 leaf = MerkleSum.leafOf(uint32(index), payouts[index].account, payouts[index].amount);
        assertTrue(this.verifySum(root, count, index, leaf, payouts[index].amount, proof));
        // the path reads the lowest bits only, so this one leads to the root as well
        uint256 beyond = index + (1 << proof.length);
        assertFalse(this.verifySum(root, count, beyond, leaf, payouts[index].amount, proof));
    }

    function test_sums_anInnerNodeIsNoLeaf() public view {
        Payout[] memory payouts = _payouts(4);
        SumNode memory root = Trees.sumRoot(payouts);
        SumNode[] memory proof = Trees.sumProof(payouts, 0);
        SumNode[] memory rest = new SumNode[](1);
        rest[0] = proof[1];
        bytes32 leaf = MerkleSum.leafOf(0, payouts[0].account, payouts[0].amount);
        bytes32 inner = keccak256(abi.encode(leaf, payouts[0].amount, proof[0].hash, proof[0].sum));
        assertFalse(this.verifySum(root, 4, 0, inner, payouts[0].amount + payouts[1].amount, rest));
    }

    /// @dev Calldata entry point.
    function verifySum(
        SumNode calldata root,
        uint256 count,
        uint256 index,
        bytes32 leaf,
        uint256 amount,
        SumNode[] calldata proof
    ) external pure returns (bool) {
        return MerkleSum.verify(root.hash, root.sum, count, index, leaf, amount, proof);
    }

    function _payouts(uint256 count) private pure returns (Payout[] memory payouts) {
        payouts = new Payout[](count);
        for (uint256 i; i < count; ++i) {
            payouts[i] = Payout(address(uint160(i + 1)), i + 1);
        }
    }

    function test_fuzz_agentState_packs(uint40 nonce, uint24 epoch, uint96 fees, uint96 backing) public pure {
        AgentState a = AgentStateLib.pack(nonce, epoch, fees, backing);
        assertEq(a.nextNonce(), nonce);
        assertEq(a.epoch(), epoch);
        assertEq(a.openFees(), fees);
        assertEq(a.backing(), backing);
        assertEq(AgentStateLib.maxNonce(), type(uint40).max);
        assertEq(AgentStateLib.maxEpoch(), type(uint24).max);
        assertEq(AgentStateLib.maxWei(), type(uint96).max);
    }

    function _compare(uint48 key, uint208[SLOTS] storage weights, uint256 dice) private view {
        uint256 total;
        for (uint256 i; i < SLOTS; ++i) {
            (uint256 start, uint256 weight) = _tree.intervalAt(_slot(i), key);
            assertEq(start, total);
            assertEq(weight, weights[i]);
            total += weights[i];
        }
        assertEq(_tree.totalAt(key), total);
        if (total == 0) return;
        uint256 position = dice % total;
        (uint256 slot, uint256 from, uint256 width) = _tree.find(position, key);
        assertLe(from, position);
        assertLt(position, from + width);
        (uint256 start_, uint256 weight_) = _tree.intervalAt(slot, key);
        assertEq(start_, from);
        assertEq(weight_, width);
    }

    /// @dev Spread over the tree, in order.
    function _slot(uint256 i) private pure returns (uint256) {
        return i * 2731;
    }
}
