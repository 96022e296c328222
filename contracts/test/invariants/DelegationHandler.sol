// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { Delegation, DelegationExit, DelegationPoolState } from "src/interfaces/IDelegationPool.sol";
import { Position } from "src/interfaces/IStakeVault.sol";
import { Param } from "src/types/Param.sol";
import { World } from "../utils/World.sol";

/// @title Delegators, two operators who sell an agent to each other, a rewarder and a slasher, at random.
contract DelegationHandler is World {
    address[2] public operators;
    address[4] public delegators;
    /// @dev Wei that came into and went out of the delegation pools.
    uint256 public put;
    uint256 public paid;
    uint256 public rewarded;
    uint256 public slashed;
    /// @dev How often something happened, to see that the runs reach it.
    mapping(bytes32 what => uint256) public reached;

    /// @dev What went wrong inside a call: a failed assertion there would only revert it.
    string public violation;

    uint256 private _hops;

    function setUp() public override {
        super.setUp();
        operators = [operator, makeAddr("second operator")];
        delegators = [client, contributor, stranger, makeAddr("fourth delegator")];
        _fund(operators[1], 100_000 ether);
        _fund(delegators[3], 100_000 ether);
    }

    modifier priceNeverFalls() {
        DelegationPoolState[2] memory before = [poolOf(0), poolOf(1)];
        _;
        for (uint256 i; i < 2; ++i) {
            DelegationPoolState memory p = poolOf(i);
            if (p.activeSince != before[i].activeSince || before[i].activeShares == 0) continue;
            uint256 now_ = (uint256(p.activeAssets) + 1) * (uint256(before[i].activeShares) + 1);
            uint256 then = (uint256(before[i].activeAssets) + 1) * (uint256(p.activeShares) + 1);
            _expect(now_ >= then, "a share is worth less without a slash");
        }
    }

    // --- delegators --------------------------------------------------------------------------------------------

    function delegate(uint256 who, uint256 amount) external priceNeverFalls {
        amount = bound(amount, 0.001 ether, 1000 ether);
        vm.prank(delegators[who % 4]);
        delegations.delegate(agentId, operator, amount);
        put += amount;
        ++reached["delegated"];
    }

    function cancel(uint256 who, uint256 at) external priceNeverFalls {
        vm.prank(delegators[who % 4]);
        paid += delegations.cancelDelegation(agentId, operators[at % 2]);
        ++reached["cancelled"];
    }

    function requestUndelegate(uint256 who, uint256 at, uint256 shares) external priceNeverFalls {
        address by = delegators[who % 4];
        address to = operators[at % 2];
        (Delegation memory d,) = delegations.delegationOf(agentId, to, by);
        if (d.shares == 0) return;
        vm.prank(by);
        delegations.requestUndelegate(agentId, to, shares % 3 == 0 ? d.shares : bound(shares, 1, d.shares));
        ++reached["asked back"];
    }

    function withdraw(uint256 who, uint256 at) external priceNeverFalls {
        address by = delegators[who % 4];
        address to = operators[at % 2];
        (DelegationExit[] memory waiting,) = delegations.delegationExitsOf(agentId, to, by);
        if (waiting.length == 0) return;
        if (who % 2 == 0 && block.timestamp < waiting[0].readyAt) vm.warp(waiting[0].readyAt);
        vm.prank(by);
        paid += delegations.withdrawDelegation(agentId, to);
        ++reached["withdrawn"];
    }

    /// @dev Somebody comes and goes within one period, rewards or not: never with a profit.
    function hop(uint256 amount, uint256 reward, bool stay) external priceNeverFalls {
        amount = bound(amount, 0.001 ether, 5000 ether);
        address hopper = makeAddr(string.concat("hopper", vm.toString(_hops++)));
        _fund(hopper, amount);
        vm.prank(hopper);
        delegations.delegate(agentId, operator, amount);
        put += amount;
        if (reward % 2 == 0) _reward(operator, bound(reward, 1, 100 ether));
        if (stay) {
            vm.warp(poolOf(_at()).activatesAt);
            (Delegation memory d, uint256 worth) = delegations.delegationOf(agentId, operator, hopper);
            _expect(worth <= amount, "profit within the period of the delegation");
            vm.prank(hopper);
            delegations.requestUndelegate(agentId, operator, d.shares);
            vm.warp(block.timestamp + parameters.get(Param.WithdrawalDelay));
            vm.prank(hopper);
            paid += delegations.withdrawDelegation(agentId, operator);
        } else {
            vm.prank(hopper);
            paid += delegations.cancelDelegation(agentId, operator);
        }
        _expect(token.balanceOf(hopper) <= amount, "profit without risk");
        ++reached["hopped"];
    }

    // --- operators ---------------------------------------------------------------------------------------------

    function addReward(uint256 at, uint256 amount) external priceNeverFalls {
        _reward(operators[at % 2], bound(amount, 1, 200 ether));
    }

    function setCommission(uint256 at, uint256 bps) external priceNeverFalls {
        vm.prank(operators[at % 2]);
        delegations.setCommission(agentId, bps % 5001);
    }

    function claimIncome(uint256 at) external priceNeverFalls {
        vm.prank(operators[at % 2]);
        paid += delegations.claimIncome(agentId);
        ++reached["claimed"];
    }

    function sell() external priceNeverFalls {
        address buyer = operator == operators[0] ? operators[1] : operators[0];
        vm.prank(operator);
        agents.transferFrom(operator, buyer, agentId);
        operator = buyer;
    }

    function deposit(uint256 amount) external priceNeverFalls {
        vm.prank(operator);
        vault.deposit(agentId, bound(amount, 1, 500 ether));
    }

    function requestWithdraw(uint256 at, uint256 amount) external priceNeverFalls {
        address by = operators[at % 2];
        Position memory p = vault.positionOf(agentId, by);
        if (p.active == 0) return;
        vm.prank(by);
        vault.requestWithdraw(agentId, bound(amount, 1, p.active));
    }

    // --- slashes, time and rules -------------------------------------------------------------------------------

    function slash(uint256 at, uint256 amount) external {
        address of_ = operators[at % 2];
        Position memory own = vault.positionOf(agentId, of_);
        DelegationPoolState memory p = poolOf(at % 2);
        uint256 stake = uint256(own.active) + own.pending;
        if (amount != type(uint256).max) amount = bound(amount, 1, 2 * stake + 10 ether);
        uint256 first = amount < stake ? amount : stake;
        uint256 second = amount - first < first ? amount - first : first;
        uint256 cap =
            (uint256(p.activeAssets) + p.exitingAssets) * parameters.get(Param.DelegatorSlashCap) / 10_000;
        if (cap < second) second = cap;
        uint256 before = token.balanceOf(address(disputes));
        vm.prank(address(disputes));
        uint256 taken = vault.slash(agentId, of_, amount);
        _expect(taken == first + second, "own stake, then delegations up to the caps, asked back or not");
        _expect(token.balanceOf(address(disputes)) == before + taken, "what is taken arrives");
        slashed += second;
        if (second != 0) ++reached["delegators slashed"];
        if (poolOf(at % 2).activeSince != p.activeSince && second != 0) ++reached["void"];
    }

    /// @dev So many slashes that shares become void.
    function ruin(uint256 dice) external {
        if (dice % 4 != 0) return;
        vm.prank(governor);
        parameters.set(Param.DelegatorSlashCap, 5000);
        for (uint256 i; i < 34; ++i) {
            DelegationPoolState memory p = poolOf(_at());
            uint256 stake = uint256(p.activeAssets) + p.exitingAssets + 1;
            _fund(challenger, stake);
            vm.prank(challenger);
            vault.deposit(agentId, stake);
            this.slash(_at(), type(uint256).max);
        }
    }

    function pass(uint256 time) external priceNeverFalls {
        vm.warp(block.timestamp + bound(time, 1, time % 4 == 0 ? 3 days : 12 hours));
    }

    function govern(uint256 period, uint256 cap, uint256 delay) external priceNeverFalls {
        vm.startPrank(governor);
        parameters.set(Param.DelegationPeriod, bound(period, 1 hours, 7 days));
        parameters.set(Param.DelegatorSlashCap, bound(cap, 0, 5000));
        parameters.set(Param.WithdrawalDelay, bound(delay, 13 days, 20 days));
        vm.stopPrank();
    }

    /// @dev Sent past the books: changes nothing.
    function donate(uint256 amount) external priceNeverFalls {
        vm.prank(challenger);
        token.transfer(address(delegations), bound(amount, 1, 1 ether));
        ++reached["donated"];
    }

    // --- what the invariants look at ---------------------------------------------------------------------------

    function poolOf(uint256 at) public view returns (DelegationPoolState memory) {
        return delegations.delegationPoolOf(agentId, operators[at % 2]);
    }

    function checkBooks(uint256 donated) external view {
        uint256 owed;
        for (uint256 at; at < 2; ++at) {
            DelegationPoolState memory p = poolOf(at);
            owed += uint256(p.activeAssets) + p.exitingAssets + p.pending + p.income;
            uint256 shares;
            uint256 worths;
            uint256 pending;
            uint256 exiting;
            for (uint256 i; i < 4; ++i) {
                (Delegation memory d, uint256 worth) =
                    delegations.delegationOf(agentId, operators[at], delegators[i]);
                shares += d.shares;
                worths += worth;
                pending += d.pending;
                (, uint256[] memory parts) =
                    delegations.delegationExitsOf(agentId, operators[at], delegators[i]);
                for (uint256 k; k < parts.length; ++k) {
                    exiting += parts[k];
                }
            }
            assertApproxEqAbs(shares, p.activeShares, 4, "every share is somebody's");
            assertLe(worths, p.activeAssets, "active delegations are covered");
            assertEq(pending, p.pending, "what is pending is the delegators'");
            assertLe(exiting, p.exitingAssets, "what was asked back is covered");
        }
        assertEq(token.balanceOf(address(delegations)), owed + donated, "the pool holds what it owes");
        assertEq(owed + paid + slashed, put + rewarded, "every wei accounted for");
    }

    function donations() external view returns (uint256) {
        return token.balanceOf(address(delegations)) + paid + slashed - put - rewarded;
    }

    /// @dev Everyone leaves; what remains is what was sent past the books.
    function drain(uint256 donated) external {
        for (uint256 at; at < 2; ++at) {
            for (uint256 i; i < 4; ++i) {
                _leave(delegators[i], operators[at]);
            }
            if (poolOf(at).income != 0) {
                vm.prank(operators[at]);
                delegations.claimIncome(agentId);
            }
        }
        assertEq(token.balanceOf(address(delegations)), donated, "drained to the wei");
    }

    function _leave(address who, address to) private {
        vm.startPrank(who);
        (Delegation memory d,) = delegations.delegationOf(agentId, to, who);
        if (d.pending != 0) delegations.cancelDelegation(agentId, to);
        (DelegationExit[] memory waiting,) = delegations.delegationExitsOf(agentId, to, who);
        if (waiting.length != 0) {
            uint256 readyAt = waiting[waiting.length - 1].readyAt;
            // never back in time: what is active stays active
            if (block.timestamp < readyAt) vm.warp(readyAt);
            delegations.withdrawDelegation(agentId, to);
        }
        if (d.shares != 0) {
            delegations.requestUndelegate(agentId, to, d.shares);
            vm.warp(block.timestamp + parameters.get(Param.WithdrawalDelay));
            (waiting,) = delegations.delegationExitsOf(agentId, to, who);
            if (waiting.length != 0) delegations.withdrawDelegation(agentId, to);
        }
        vm.stopPrank();
    }

    function _at() private view returns (uint256) {
        return operator == operators[0] ? 0 : 1;
    }

    function _expect(bool holds, string memory what) private {
        if (!holds) violation = what;
    }

    function _reward(address to, uint256 amount) private {
        vm.prank(challenger);
        delegations.addReward(agentId, to, amount);
        rewarded += amount;
    }
}
