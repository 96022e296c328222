// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { Test } from "forge-std/Test.sol";
import { ActionLog } from "src/ActionLog.sol";
import { Disputes } from "src/Disputes.sol";
import { OpenToken } from "src/OpenToken.sol";
import { RewardPool } from "src/RewardPool.sol";
import { StakeVault } from "src/StakeVault.sol";
import { Exit, Position } from "src/interfaces/IStakeVault.sol";
import { Demand, DemandState, Dispute, State, TierRuling } from "src/types/DisputeTypes.sol";
import { BatchHeader } from "src/types/Records.sol";
import { Handler } from "./Handler.sol";

/// @title The books balance after any sequence of calls, and everything can be paid out in the end.
abstract contract Books is Test {
    Handler internal handler;
    OpenToken internal token;
    StakeVault internal vault;
    RewardPool internal pool;
    ActionLog internal actionLog;
    Disputes internal disputes;
    uint256 internal agentId;
    address[] internal jurors;

    function _start(bool hostile) internal {
        handler = new Handler(hostile);
        handler.setUp();
        address[5] memory at;
        (at[0], at[1], at[2], at[3], at[4], agentId, jurors) = handler.world();
        token = OpenToken(payable(at[0]));
        vault = StakeVault(at[1]);
        pool = RewardPool(at[2]);
        actionLog = ActionLog(at[3]);
        disputes = Disputes(at[4]);

        bytes4[] memory selectors = new bytes4[](34);
        selectors[0] = Handler.deposit.selector;
        selectors[1] = Handler.requestWithdraw.selector;
        selectors[2] = Handler.withdraw.selector;
        selectors[3] = Handler.sell.selector;
        selectors[4] = Handler.anchor.selector;
        selectors[5] = Handler.repay.selector;
        selectors[6] = Handler.finalize.selector;
        selectors[7] = Handler.claim.selector;
        selectors[8] = Handler.equivocate.selector;
        selectors[9] = Handler.joinJury.selector;
        selectors[10] = Handler.leaveJury.selector;
        selectors[11] = Handler.withdrawJury.selector;
        selectors[12] = Handler.commitChallenge.selector;
        selectors[13] = Handler.revealChallenge.selector;
        selectors[14] = Handler.draw.selector;
        selectors[15] = Handler.commitVotes.selector;
        selectors[16] = Handler.revealVotes.selector;
        selectors[17] = Handler.resolve.selector;
        selectors[18] = Handler.pass.selector;
        // three times as often as the rest
        selectors[19] = Handler.dispute.selector;
        selectors[20] = Handler.dispute.selector;
        selectors[21] = Handler.dispute.selector;
        selectors[22] = Handler.joinChallenge.selector;
        selectors[23] = Handler.appeal.selector;
        selectors[24] = Handler.appealTwice.selector;
        selectors[25] = Handler.settle.selector;
        selectors[26] = Handler.demand.selector;
        selectors[27] = Handler.answer.selector;
        selectors[28] = Handler.enforce.selector;
        selectors[29] = Handler.refundCharged.selector;
        selectors[30] = Handler.judgeBatch.selector;
        selectors[31] = Handler.starve.selector;
        selectors[32] = Handler.disputeShares.selector;
        selectors[33] = Handler.ask.selector;
        targetContract(address(handler));
        targetSelector(FuzzSelector({ addr: address(handler), selectors: selectors }));
    }

    function _checkVault() internal view {
        uint256 owed;
        for (uint256 i; i < 2; ++i) {
            address staker = handler.operators(i);
            Position memory p = vault.positionOf(agentId, staker);
            owed += uint256(p.active) + p.pending;
            Exit[] memory exits = vault.exitsOf(agentId, staker);
            uint256 waiting;
            for (uint256 k; k < exits.length; ++k) {
                waiting += exits[k].amount;
            }
            assertEq(waiting, p.pending, "exits are what is pending");
            assertEq(p.claims, _encumbered(staker), "claims are those of open disputes");
        }
        for (uint256 i; i < jurors.length; ++i) {
            (uint256 stake, uint256 locked,) = vault.jurorOf(jurors[i]);
            owed += stake;
            assertLe(locked, stake, "locks are covered");
        }
        assertEq(token.balanceOf(address(vault)), owed, "the vault holds what it owes");
    }

    function _checkDisputes() internal view {
        uint256 owed;
        for (uint256 id = 1; id <= disputes.disputeCount(); ++id) {
            Dispute memory d = disputes.dispute(id);
            owed += uint256(d.bond) + d.held;
            if (_isUndecided(d.state)) continue;
            assertEq(d.bond + d.encumbered, 0, "a decided dispute holds no bond and no claim");
            uint256 pots;
            for (uint8 tier; tier <= d.tier; ++tier) {
                TierRuling memory ruling = disputes.rulingOf(id, tier);
                assertEq(ruling.appealBond, 0, "decided appeals hold nothing");
                if (!ruling.settled) pots += ruling.pot;
            }
            assertEq(d.held, pots, "only the pots of jurors who were not settled yet are held");
        }
        for (uint256 id = 1; id <= disputes.demandCount(); ++id) {
            Demand memory d = disputes.demand(id);
            owed += d.bond;
            if (d.state != DemandState.Open) assertEq(d.bond + d.encumbered, 0, "nor does a decided demand");
        }
        owed += disputes.auditFund();
        assertEq(token.balanceOf(address(disputes)), owed, "disputes hold what they owe");
    }

    function _isUndecided(State state) internal pure returns (bool) {
        return state == State.Committed || state == State.Open || state == State.Drawn || state == State.Ruled
            || state == State.Seeding || state == State.Opening;
    }

    function _checkLog() internal view {
        uint256 open;
        uint256 remaining;
        uint64 next;
        for (uint256 i; i < handler.batchCount(); ++i) {
            BatchHeader memory h = handler.batchAt(i);
            bytes32 hash = keccak256(abi.encode(h));
            assertEq(h.firstNonce, next, "nonces are contiguous");
            assertEq(actionLog.headerHashAt(agentId, next), hash, "headers never change");
            next += h.count;
            if (!actionLog.isFinal(hash)) open += h.sum;
            remaining += pool.remaining(hash);
        }
        assertEq(actionLog.nextNonce(agentId), next, "the next nonce follows the last batch");
        assertEq(actionLog.openFees(agentId), open, "open fees are those of open batches");
        assertGe(token.balanceOf(pool.escrowOf(agentId)), open, "the escrow covers open fees");
        uint256 credits = pool.creditOf(pool.treasury()) + pool.creditOf(address(disputes));
        assertEq(token.balanceOf(address(pool)), remaining + credits, "the pool holds what it owes");
    }

    function _checkToken() internal view {
        assertEq(address(token).balance, token.totalSupply() + token.burned(), "wrapped one to one");
    }

    /// @dev Anyone can end what is open, everyone can leave, and nothing stays behind.
    function _drain() internal {
        for (uint256 id = 1; id <= disputes.disputeCount(); ++id) {
            _end(id);
        }
        vm.warp(block.timestamp + 15 days);
        for (uint256 id = 1; id <= disputes.demandCount(); ++id) {
            if (disputes.demand(id).state == DemandState.Open) disputes.enforce(id);
        }
        for (uint256 i; i < handler.batchCount(); ++i) {
            BatchHeader memory h = handler.batchAt(i);
            bytes32 hash = keccak256(abi.encode(h));
            if (!actionLog.isFinal(hash)) actionLog.finalize(h);
            for (uint256 k; k < handler.payoutCount(i); ++k) {
                if (!pool.isClaimed(hash, uint32(k))) handler.claim(i, k);
            }
        }
        for (uint256 i; i < 2; ++i) {
            _leave(handler.operators(i));
        }
        for (uint256 i; i < jurors.length; ++i) {
            _leaveJury(jurors[i]);
        }
        uint256 left = token.balanceOf(pool.escrowOf(agentId));
        if (left != 0) {
            vm.prank(handler.currentOperator());
            pool.refund(agentId, keccak256("the rest"), handler.payee(), left);
        }
        if (pool.creditOf(pool.treasury()) != 0) pool.withdrawCredit(pool.treasury());
        for (uint256 i; i < jurors.length; ++i) {
            (, uint256 locked,) = vault.jurorOf(jurors[i]);
            assertEq(locked, 0, "no juror's stake is stuck");
        }
        assertEq(token.balanceOf(address(vault)), 0, "vault drained");
        assertEq(token.balanceOf(address(disputes)), disputes.auditFund(), "disputes drained");
        // what random audits are paid from is not anybody's to leave with
        assertEq(token.balanceOf(address(pool)), pool.creditOf(address(disputes)), "pool drained");
        assertEq(token.balanceOf(pool.escrowOf(agentId)), 0, "escrow drained");
    }

    function _end(uint256 id) private {
        for (uint256 step; step < 10; ++step) {
            Dispute memory d = disputes.dispute(id);
            if (!_isUndecided(d.state)) break;
            if (d.state == State.Open) {
                if (block.number <= d.drawBlock) vm.roll(d.drawBlock + 1);
                disputes.draw(id);
            } else if (d.state == State.Seeding) {
                if (block.number <= d.drawBlock) vm.roll(d.drawBlock + 1);
                disputes.drawLeaves(id);
            } else if (d.state == State.Opening) {
                handler.openAll(id, 0);
                disputes.closeLeaves(id);
            } else {
                uint256 deadline = d.state == State.Committed
                    ? d.evidenceBy
                    : d.state == State.Drawn ? d.revealBy : d.appealBy;
                if (block.timestamp <= deadline) vm.warp(deadline + 1);
                disputes.resolve(id);
            }
        }
        Dispute memory ended = disputes.dispute(id);
        assertFalse(_isUndecided(ended.state), "every dispute ends");
        if (ended.state != State.Convicted && ended.state != State.Acquitted) return;
        for (uint8 tier; tier <= ended.tier; ++tier) {
            if (!disputes.rulingOf(id, tier).settled) disputes.settle(id, tier);
        }
    }

    function _leave(address staker) private {
        vm.startPrank(staker);
        if (vault.positionOf(agentId, staker).pending != 0) vault.withdraw(agentId);
        uint256 active = vault.positionOf(agentId, staker).active;
        if (active != 0) {
            vault.requestWithdraw(agentId, active);
            vm.warp(block.timestamp + 14 days);
            vault.withdraw(agentId);
        }
        vm.stopPrank();
    }

    function _leaveJury(address juror) private {
        vm.startPrank(juror);
        (uint256 stake,, uint256 readyAt) = vault.jurorOf(juror);
        if (stake != 0 && readyAt == 0) vault.leaveJury();
        if (stake != 0 || readyAt != 0) {
            vm.warp(block.timestamp + 14 days);
            vault.withdrawJury();
        }
        vm.stopPrank();
    }

    function _encumbered(address staker) private view returns (uint256 sum) {
        for (uint256 id = 1; id <= disputes.disputeCount(); ++id) {
            Dispute memory d = disputes.dispute(id);
            if (d.operator == staker) sum += d.encumbered;
        }
        for (uint256 id = 1; id <= disputes.demandCount(); ++id) {
            Demand memory d = disputes.demand(id);
            if (d.operator == staker) sum += d.encumbered;
        }
    }
}

/// @dev Whatever challengers try, whoever keeps silent: an honest operator loses nothing.
contract HonestInvariants is Books {
    function setUp() public {
        _start(false);
    }

    function invariant_booksBalanceAndNobodyIsSlashed() public view {
        _checkVault();
        _checkDisputes();
        _checkLog();
        _checkToken();
        for (uint256 i; i < 2; ++i) {
            address staker = handler.operators(i);
            Position memory p = vault.positionOf(agentId, staker);
            assertEq(
                uint256(p.active) + p.pending,
                handler.deposited(staker) - handler.withdrawn(staker),
                "an honest operator is never slashed"
            );
        }
    }

    function afterInvariant() public {
        _drain();
    }
}

/// @dev Operators that contradict themselves, jurors that lie: the books still balance.
contract HostileInvariants is Books {
    function setUp() public {
        _start(true);
    }

    /// @dev The invariants are worth what the handlers reach.
    function test_handlersReachEveryOutcome() public {
        handler.commitChallenge(0, 0, 3);
        handler.resolve(2); // of those that were never shown
        for (uint256 seed; seed < 40; ++seed) {
            uint256 dice = uint256(keccak256(abi.encode(seed)));
            try handler.anchor(dice, dice) { } catch { }
            try handler.dispute(dice, dice, uint32(dice), dice) { } catch { }
            try handler.joinChallenge(dice, uint32(dice >> 8)) { } catch { }
            try handler.resolve(dice) { } catch { }
            try handler.appealTwice(dice, dice) { } catch { }
            try handler.judgeBatch(dice, dice) { } catch { }
            try handler.disputeShares(dice, dice) { } catch { }
            try handler.ask(dice) { } catch { }
            if (dice % 4 == 0) handler.starve(dice);
            try handler.resolve(dice) { } catch { }
        }
        assertGt(handler.reached(State.Convicted), 0, "convicted");
        assertGt(handler.reached(State.Acquitted), 0, "acquitted");
        assertGt(handler.reached(State.Open), 0, "redrawn");
        assertGt(handler.reached(State.Voided), 0, "voided");
        assertGt(handler.reached(State.Forfeited), 0, "forfeited");
        assertGt(handler.joined(), 0, "joined");
        assertGt(handler.appealed(1), 0, "appealed");
        assertGt(handler.appealed(2), 0, "appealed twice");
        assertGt(handler.batchesJudged(), 0, "batches judged");
        assertGt(handler.corrected(), 0, "payouts corrected");
        assertGt(handler.casesDecided(), 0, "cases decided");
        _checkVault();
        _checkDisputes();
        _checkLog();
        _drain();
    }

    function test_handlersReachDemands() public {
        for (uint256 seed; seed < 12; ++seed) {
            uint256 dice = uint256(keccak256(abi.encode(seed)));
            try handler.anchor(dice, dice) { } catch { }
            try handler.demand(dice, dice, dice) { } catch { }
            if (seed % 3 == 0) try handler.answer(dice) { } catch { }
            if (seed % 3 == 1) try handler.enforce(dice) { } catch { }
        }
        assertGt(handler.enforced(), 0, "enforced");
        assertGt(handler.answered(), 0, "answered");
        _checkVault();
        _checkDisputes();
        _drain();
    }

    function invariant_booksBalance() public view {
        _checkVault();
        _checkDisputes();
        _checkLog();
        _checkToken();
        for (uint256 i; i < 2; ++i) {
            address staker = handler.operators(i);
            Position memory p = vault.positionOf(agentId, staker);
            assertLe(
                uint256(p.active) + p.pending,
                handler.deposited(staker) - handler.withdrawn(staker),
                "nobody's stake grows but by deposits"
            );
        }
    }

    function afterInvariant() public {
        _drain();
    }
}
