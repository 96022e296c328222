// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { Param } from "src/types/Param.sol";
import { Claims, Repayment } from "src/interfaces/IRewardPool.sol";
import { Answer } from "src/libraries/Answer.sol";
import { Records } from "src/libraries/Records.sol";
import { DemandState, Dispute, Fault, LeafOpening, OpenedLeaf, State } from "src/types/DisputeTypes.sol";
import {
    ActionRecord,
    AnchoredRecord,
    BatchHeader,
    Parent,
    RecordProof,
    StepLeaf,
    SumNode,
    TokenLeaf
} from "src/types/Records.sol";
import { Exit, Position } from "src/interfaces/IStakeVault.sol";
import { Payout, Trees } from "../utils/Trees.sol";
import { QuestionCase } from "../utils/QuestionCase.sol";

/// @title Random users of a whole system: one agent that two operators sell to each other, clients, challengers,
/// jurors, watchers. Honest ones never contradict themselves and vote what replay gives; hostile ones do not care.
contract Handler is QuestionCase {
    struct Batch {
        BatchHeader header;
        ActionRecord[] records;
        Payout[] payouts;
    }

    bool public immutable hostile;

    address[2] public operators;
    /// @dev Wei put into and paid out of each operator's position.
    mapping(address => uint256) public deposited;
    mapping(address => uint256) public withdrawn;

    /// @dev How often resolving led where, to see that the runs reach something.
    mapping(State => uint256) public reached;
    mapping(uint8 tier => uint256) public appealed;
    uint256 public joined;
    uint256 public batchesJudged;
    uint256 public corrected;
    uint256 public casesDecided;

    uint256 public enforced;
    uint256 public answered;

    Batch[] private _batches;
    mapping(uint256 id => uint256 batch) private _batchOf;
    mapping(uint256 id => uint256 index) private _recordOf;
    mapping(uint256 id => uint32) private _tokenOf;
    /// @dev What a lying juror says of every leaf; 0 for an honest one.
    mapping(uint256 id => mapping(address juror => int32)) private _lieOf;
    mapping(uint256 id => mapping(address juror => bytes32)) private _answerOf;
    uint256 private _payments;

    constructor(bool hostile_) {
        hostile = hostile_;
    }

    function setUp() public override {
        super.setUp();
        // enough for both appeals
        for (uint256 i = 6; i < 27; ++i) {
            _addJuror(string.concat("juror", vm.toString(i)), JUROR_STAKE);
        }
        vm.roll(block.number + 1);
        operators = [operator, stranger];
        vm.startPrank(governor);
        parameters.set(Param.KLeaves, 32);
        parameters.set(Param.AuditRate, 5000);
        vm.stopPrank();
        (address[] memory accounts, uint256[] memory amounts) = (new address[](1), new uint256[](1));
        (accounts[0], amounts[0]) = (address(disputes), 50 ether);
        vm.startPrank(challenger);
        token.approve(address(pool), 50 ether);
        pool.credit(accounts, amounts);
        vm.stopPrank();
        deposited[operator] = STAKE;
        _batches.push();
        Batch storage b = _batches[0];
        b.header = header;
        b.records.push(record);
        b.records.push(neighbour);
        Payout[] memory payouts = _payouts(2 * FEE);
        b.payouts.push(payouts[0]);
        b.payouts.push(payouts[1]);
    }

    // --- operators ---------------------------------------------------------------------------------------------

    function deposit(uint256 amount) external {
        amount = bound(amount, 1, 500 ether);
        vm.prank(operator);
        vault.deposit(agentId, amount);
        deposited[operator] += amount;
    }

    function requestWithdraw(uint256 who, uint256 amount) external {
        address by = operators[who % 2];
        Position memory p = vault.positionOf(agentId, by);
        if (p.active == 0 || vault.exitsOf(agentId, by).length == 16) return;
        vm.prank(by);
        vault.requestWithdraw(agentId, bound(amount, 1, p.active));
    }

    function withdraw(uint256 who) external {
        address by = operators[who % 2];
        Exit[] memory exits = vault.exitsOf(agentId, by);
        if (exits.length == 0) return;
        if (who % 3 == 0) _waitFor(exits[0].readyAt);
        vm.prank(by);
        withdrawn[by] += vault.withdraw(agentId);
    }

    function sell() external {
        address buyer = operator == operators[0] ? operators[1] : operators[0];
        vm.prank(operator);
        agents.transferFrom(operator, buyer, agentId);
        operator = buyer;
        vm.prank(buyer);
        vault.deposit(agentId, 100 ether);
        deposited[buyer] += 100 ether;
        (recordKey, recordSecret) = makeAddrAndKey(string.concat("key", vm.toString(_payments++)));
        // fails when disputes claim what the buyer has: the agent then stays closed until its next sale
        try this.reopen() { } catch { }
    }

    function reopen() external {
        epoch = _openEpoch(operator, recordKey);
    }

    function anchor(uint256 count, uint256 fee) external {
        count = bound(count, 1, 3);
        fee = bound(fee, 0, 2 ether);
        ActionRecord[] memory records = new ActionRecord[](count);
        uint64 first = actionLog.nextNonce(agentId);
        for (uint256 i; i < count; ++i) {
            records[i] = _record(uint64(first + i), fee);
            records[i].stepsRoot = record.stepsRoot;
            records[i].contentDigest = sha256(abi.encode(first + i));
        }
        Payout[] memory payouts = _payouts(count * fee);
        BatchHeader memory h = _header(records, payouts);
        _pay(h.sum);
        _anchor(h);
        _batches.push();
        Batch storage b = _batches[_batches.length - 1];
        b.header = h;
        for (uint256 i; i < count; ++i) {
            b.records.push(records[i]);
        }
        for (uint256 i; i < payouts.length; ++i) {
            b.payouts.push(payouts[i]);
        }
    }

    function repay(uint256 amount, uint256 count) external {
        Repayment[] memory given = new Repayment[](bound(count, 0, 4));
        for (uint256 i; i < given.length; ++i) {
            amount = bound(amount, 1, 3 ether);
            _pay(amount);
            given[i] = Repayment(keccak256(abi.encode("repay", _payments++)), client, uint96(amount), 1 ether);
        }
        vm.prank(operator);
        pool.repay(agentId, given);
    }

    function finalize(uint256 which) public {
        BatchHeader memory h = _batches[which % _batches.length].header;
        if (which % 5 == 0) _waitFor(actionLog.challengeableUntil(h) + 1);
        actionLog.finalize(h);
    }

    function claim(uint256 which, uint256 index) public {
        Batch storage b = _batches[which % _batches.length];
        Payout[] memory payouts = _isCorrected(b.header) ? _all(b.header) : b.payouts;
        if (payouts.length == 0) return;
        index %= payouts.length;
        pool.claim(
            b.header,
            uint32(index),
            payouts[index].account,
            payouts[index].amount,
            Trees.sumProof(payouts, index)
        );
    }

    /// @dev Only where operators are hostile: two signatures for one nonce.
    function equivocate(uint64 nonce, uint256 fee, address payer) external {
        // money sent to the contracts themselves would be lost and unbalance the books
        if (!hostile || payer.code.length != 0) return;
        ActionRecord memory a = _record(nonce % 8, bound(fee, 0, 10 ether));
        ActionRecord memory b = _record(nonce % 8, bound(fee, 0, 10 ether));
        b.client = payer;
        b.outputHash = keccak256(abi.encode(fee));
        bytes memory sigA = _sign(a);
        bytes memory sigB = _sign(b);
        vm.prank(challenger);
        disputes.proveEquivocation(a, sigA, b, sigB);
    }

    // --- jurors ------------------------------------------------------------------------------------------------

    function joinJury(uint256 who, uint256 amount) external {
        vm.prank(jurors[who % jurors.length]);
        vault.joinJury(bound(amount, 0, 50 ether));
    }

    function leaveJury(uint256 who) external {
        // two at most: the rest are enough for both appeals
        vm.prank(jurors[who % 2]);
        vault.leaveJury();
    }

    function withdrawJury(uint256 who) external {
        (,, uint256 readyAt) = vault.jurorOf(jurors[who % 2]);
        if (readyAt == 0) return;
        if (who % 3 == 0) _waitFor(readyAt);
        vm.prank(jurors[who % 2]);
        vault.withdrawJury();
    }

    // --- disputes ----------------------------------------------------------------------------------------------

    function commitChallenge(uint256 which, uint256 index, uint32 token_) public {
        which %= _batches.length;
        Batch storage b = _batches[which];
        index %= b.records.length;
        token_ %= TOKENS;
        bytes32 hash = Records.structHash(b.records[index]);
        bytes32 evidence = keccak256(abi.encode(challenger, SALT, hash, uint16(0), token_));
        uint64 nonce = b.records[index].nonce;
        BatchHeader memory h = b.header;
        vm.prank(challenger);
        uint256 id = disputes.commitChallenge(h, nonce, evidence);
        (_batchOf[id], _recordOf[id], _tokenOf[id]) = (which, index, token_);
    }

    function revealChallenge(uint256 which) public {
        uint256 id = _pick(which, State.Committed);
        if (id == 0) return;
        if (block.number <= disputes.dispute(id).frozenBlock) vm.roll(block.number + 1);
        Batch storage b = _batches[_batchOf[id]];
        BatchHeader memory h = b.header;
        ActionRecord memory r = b.records[_recordOf[id]];
        RecordProof memory recordProof = Trees.recordProof(b.records, _recordOf[id]);
        bytes32[] memory stepProof = Trees.proof(_stepLeaves(), 0);
        bytes32[] memory tokenProof = Trees.proof(_tokenLeaves(), _tokenOf[id]);
        TokenLeaf memory leaf = leaves[_tokenOf[id]];
        StepLeaf memory opened = step;
        vm.prank(challenger);
        disputes.revealChallenge(id, h, r, recordProof, opened, stepProof, leaf, tokenProof, SALT);
    }

    function draw(uint256 which) public {
        uint256 id = _pick(which, State.Open);
        if (id == 0) return;
        uint256 at = disputes.dispute(id).drawBlock;
        if (block.number <= at) vm.roll(at + 1);
        disputes.draw(id);
    }

    function commitVotes(uint256 which, uint256 seed) public {
        uint256 id = _pick(which, State.Drawn);
        if (id != 0) commitVotesOf(id, seed);
    }

    function commitVotesOf(uint256 id, uint256 seed) private {
        address[] memory members = disputes.committee(id);
        for (uint256 i; i < members.length; ++i) {
            uint256 dice = uint256(keccak256(abi.encode(seed, i)));
            if (dice % 7 == 0) continue;
            if (_isQuestion(id)) {
                _commitAnswer(id, members[i], _pickAnswer(id, members[i], seed, dice), PROBE);
                continue;
            }
            _lieOf[id][members[i]] =
                hostile && dice % 2 == 0 ? -int32(uint32(1 + dice % 1_000_000)) : int32(0);
            _commitVote(id, members[i], _votesOf(id, members[i]), -80_000);
        }
    }

    function revealVotes(uint256 which, uint256 seed) public {
        uint256 id = _pick(which, State.Drawn);
        if (id != 0) revealVotesOf(id, seed);
    }

    function revealVotesOf(uint256 id, uint256 seed) private {
        Dispute memory d = disputes.dispute(id);
        if (d.commits < disputes.committee(id).length) _waitFor(d.commitBy + 1);
        address[] memory members = disputes.committee(id);
        for (uint256 i; i < members.length; ++i) {
            if (uint256(keccak256(abi.encode(seed, i))) % 9 == 0) continue;
            try this.revealOne(id, members[i]) { } catch { }
        }
    }

    function revealOne(uint256 id, address juror) external {
        if (!_isQuestion(id)) return _revealVote(id, juror, _votesOf(id, juror), -80_000);
        vm.prank(juror);
        disputes.revealAnswer(id, _answerOf[id][juror], PROBE, SALT);
    }

    /// @dev What was claimed; hostile jurors often agree on something else, and some go their own way.
    function _pickAnswer(uint256 id, address juror, uint256 seed, uint256 dice)
        private
        returns (bytes32 picked)
    {
        picked = disputes.questionOf(id).claimed;
        if (hostile && seed % 3 != 0) picked = dice % 5 == 0 ? bytes32(0) : _otherAnswer(id);
        _answerOf[id][juror] = picked;
    }

    /// @dev Everything to the contributor; of a case, that it is accepted.
    function _otherAnswer(uint256 id) private view returns (bytes32) {
        if (disputes.dispute(id).fault == Fault.CurationAppeal) return Answer.ACCEPTED;
        return keccak256(abi.encode(_rightfulOf(_batches[_batchOf[id]].header).hash, uint32(1)));
    }

    function _rightfulOf(BatchHeader memory h) private view returns (SumNode memory) {
        return Trees.sumRoot(_all(h));
    }

    function _all(BatchHeader memory h) private view returns (Payout[] memory all) {
        all = new Payout[](1);
        all[0] = Payout(contributor, _net(h.sum));
    }

    function _isQuestion(uint256 id) private view returns (bool) {
        return disputes.questionOf(id).claimed != 0;
    }

    /// @dev The payouts of a batch disputed, abandoned at a random stage; shown, when the jury found others.
    function disputeShares(uint256 which, uint256 seed) external {
        which %= _batches.length;
        BatchHeader memory h = _batches[which].header;
        bytes32 evidence = keccak256(abi.encode(challenger, SALT, Records.headerHash(h), "shares"));
        vm.prank(challenger);
        uint256 id = disputes.commitChallenge(h, h.firstNonce, evidence);
        _batchOf[id] = which;
        vm.roll(block.number + 1);
        if (seed % 5 == 0) return;
        vm.prank(challenger);
        disputes.revealShares(id, h, SALT);
        if (seed % 7 == 0) return;
        judge(id, seed);
        if (disputes.dispute(id).state != State.Convicted || seed % 11 == 0) return;
        try pool.showPayouts(Records.headerHash(h), _rightfulOf(h).hash, 1) {
            ++corrected;
        } catch { }
    }

    /// @dev An arbiter asks about content.
    function ask(uint256 seed) external {
        uint256 fee = arbiter.fee();
        vm.prank(client);
        token.transfer(address(arbiter), fee);
        vm.prank(address(arbiter));
        uint256 id = disputes.ask(1, keccak256(abi.encode(seed)), contributor, app);
        if (seed % 5 == 0) return;
        judge(id, seed);
        if (uint8(disputes.dispute(id).state) > uint8(State.Drawn)) ++casesDecided;
    }

    function judge(uint256 id, uint256 seed) private {
        if (disputes.dispute(id).state != State.Open) return;
        _draw(id);
        commitVotesOf(id, seed);
        revealVotesOf(id, seed);
        resolveOne(id);
        if (disputes.dispute(id).state == State.Ruled && seed % 4 != 0) resolveOne(id);
    }

    function _votesOf(uint256 id, address juror) private view returns (int32[] memory votes) {
        OpenedLeaf[] memory opened = disputes.leavesOf(id);
        int32 lie = _lieOf[id][juror];
        votes = new int32[](opened.length);
        for (uint256 i; i < votes.length; ++i) {
            votes[i] = lie == 0 ? opened[i].committedLogprob - 7 : lie;
        }
    }

    /// @dev Two committees that do not vote.
    function starve(uint256 which) external {
        uint256 id = _pick(which, State.Open);
        if (id == 0) return;
        uint256 at = disputes.dispute(id).drawBlock;
        if (block.number <= at) vm.roll(at + 1);
        disputes.draw(id);
        for (uint256 i; i < 2 && disputes.dispute(id).state == State.Drawn; ++i) {
            _waitFor(disputes.dispute(id).revealBy + 1);
            disputes.resolve(id);
            ++reached[disputes.dispute(id).state];
            if (disputes.dispute(id).state == State.Open) _draw(id);
        }
    }

    /// @dev A batch accused or audited, its leaves opened as its operator is, abandoned at a random stage.
    function judgeBatch(uint256 which, uint256 seed) external {
        which %= _batches.length;
        BatchHeader memory h = _batches[which].header;
        bool audit = seed % 3 == 0;
        vm.prank(contributor);
        uint256 id = audit ? disputes.requestAudit(h) : disputes.challengeBatch(h);
        _batchOf[id] = which;
        if (seed % 7 == 0) return;
        vm.roll(disputes.dispute(id).drawBlock + 1);
        disputes.drawLeaves(id);
        if (disputes.dispute(id).state != State.Opening) return;
        // an honest operator opens all it can
        openAll(id, hostile ? seed % 5 : 0);
        if (hostile && seed % 5 != 0) _waitFor(disputes.dispute(id).evidenceBy + 1);
        disputes.closeLeaves(id);
        ++batchesJudged;
        if (disputes.dispute(id).state == State.Open && seed % 2 == 0) {
            _draw(id);
            commitVotesOf(id, seed);
            revealVotesOf(id, seed);
            resolveOne(id);
        }
    }

    /// @dev Every position but some.
    function openAll(uint256 id, uint256 skip) public {
        bytes32 seed = disputes.leavesDrawn(id).seed;
        uint256 count = disputes.termsOf(id).kLeaves;
        for (uint256 position = skip; position < count; ++position) {
            if (disputes.leavesDrawn(id).shown >> position & 1 == 0) _openLeaf(id, seed, position);
        }
    }

    function _openLeaf(uint256 id, bytes32 seed, uint256 position) private {
        Batch storage b = _batches[_batchOf[id]];
        uint256 index = uint256(keccak256(abi.encode(seed, position, "record"))) % b.records.length;
        LeafOpening memory o;
        o.header = b.header;
        o.record = b.records[index];
        o.recordProof = Trees.recordProof(b.records, index);
        index = uint256(keccak256(abi.encode(seed, position, "step"))) % 2;
        o.step = index == 0 ? step : toolStep;
        o.stepProof = Trees.proof(_stepLeaves(), index);
        index = uint256(keccak256(abi.encode(seed, position, "token"))) % TOKENS;
        o.leaf = leaves[index];
        o.tokenProof = Trees.proof(_tokenLeaves(), index);
        disputes.openLeaf(id, position, o);
    }

    function resolve(uint256 which) public {
        State[3] memory states = [State.Drawn, State.Ruled, State.Committed];
        uint256 id = _pick(which, states[which % 3]);
        if (id != 0) resolveOne(id);
    }

    function resolveOne(uint256 id) private {
        Dispute memory d = disputes.dispute(id);
        if (d.state == State.Committed) _waitFor(d.evidenceBy + 1);
        else if (d.state == State.Ruled) _waitFor(d.appealBy + 1);
        else if (d.reveals < disputes.committee(id).length) _waitFor(d.revealBy + 1);
        disputes.resolve(id);
        ++reached[disputes.dispute(id).state];
    }

    function joinChallenge(uint256 which, uint32 token_) public {
        uint256 id = _pick(which, State.Open);
        if (id != 0) joinOne(id, token_ % TOKENS);
    }

    function joinOne(uint256 id, uint32 token_) private {
        ActionRecord memory r = _batches[_batchOf[id]].records[_recordOf[id]];
        StepLeaf memory opened = step;
        TokenLeaf memory leaf = leaves[token_];
        bytes32[] memory stepProof = Trees.proof(_stepLeaves(), 0);
        bytes32[] memory tokenProof = Trees.proof(_tokenLeaves(), token_);
        vm.prank(token_ % 2 == 0 ? contributor : challenger);
        disputes.joinChallenge(id, r, opened, stepProof, leaf, tokenProof);
        ++joined;
    }

    function appeal(uint256 which) public {
        uint256 id = _pick(which, State.Ruled);
        if (id == 0) return;
        vm.prank(which % 2 == 0 ? contributor : challenger);
        disputes.appeal(id);
        ++appealed[disputes.dispute(id).tier];
    }

    function settle(uint256 which, uint8 tier) public {
        uint256 id = _pick(which, which % 2 == 0 ? State.Convicted : State.Acquitted);
        if (id != 0) disputes.settle(id, tier % 3);
    }

    /// @dev Appeals all the way: chance rarely lines up so many steps.
    function appealTwice(uint256 which, uint256 seed) external {
        for (uint256 i; i < 2; ++i) {
            uint256 id = _pick(which, State.Ruled);
            if (id == 0) return;
            vm.prank(contributor);
            disputes.appeal(id);
            uint8 tier = disputes.dispute(id).tier;
            ++appealed[tier];
            _draw(id);
            commitVotesOf(id, seed >> tier);
            revealVotesOf(id, seed >> tier);
            Dispute memory d = disputes.dispute(id);
            if (d.reveals < disputes.committee(id).length) _waitFor(d.revealBy + 1);
            disputes.resolve(id);
            ++reached[disputes.dispute(id).state];
        }
    }

    /// @dev One dispute in one go, abandoned at a random stage: single steps rarely line up.
    function dispute(uint256 which, uint256 index, uint32 token_, uint256 seed) external {
        commitChallenge(which, index, token_);
        uint256 at = disputes.disputeCount() - 1;
        uint256 stages = seed % 12;
        if (stages > 0) revealChallenge(at);
        if (stages > 0 && seed % 5 == 0 && disputes.dispute(at + 1).state == State.Open) {
            joinOne(at + 1, (_tokenOf[at + 1] + 1) % TOKENS);
        }
        if (stages > 1) draw(at);
        if (stages > 2) commitVotes(at, seed);
        if (stages > 3) revealVotes(at, seed);
        if (stages > 4) resolveOne(at + 1);
    }

    /// @dev Honest operators answer whatever is demanded, at some time before it is too late.
    function demand(uint256 which, uint256 index, uint256 wait) external {
        Batch storage b = _batches[which % _batches.length];
        index %= b.records.length;
        AnchoredRecord memory shown = AnchoredRecord(
            b.header, b.records[index].nonce, b.records[index], Trees.recordProof(b.records, index)
        );
        vm.prank(challenger);
        uint256 id = disputes.demandRecordData(shown, new Parent[](0));
        if (hostile) return;
        vm.warp(block.timestamp + bound(wait, 0, 12 hours));
        disputes.answerWithBlock(id, abi.encode(uint256(shown.nonce)));
    }

    function answer(uint256 which) external {
        uint256 id = _pickDemand(which);
        if (id == 0) return;
        address by = jurors[which % jurors.length];
        uint256 nonce = disputes.demand(id).nonce;
        vm.prank(by);
        disputes.answerWithBlock(id, abi.encode(nonce));
        ++answered;
    }

    function enforce(uint256 which) external {
        uint256 id = _pickDemand(which);
        if (id == 0) return;
        _waitFor(disputes.demand(id).answerBy + 1);
        disputes.enforce(id);
        ++enforced;
    }

    /// @dev Only where operators are hostile: a payment given back and charged.
    function refundCharged(uint256 which, uint256 index) external {
        if (!hostile) return;
        Batch storage b = _batches[which % _batches.length];
        index %= b.records.length;
        AnchoredRecord memory shown = AnchoredRecord(
            b.header, b.records[index].nonce, b.records[index], Trees.recordProof(b.records, index)
        );
        if (!pool.isRefunded(agentId, shown.record.paymentId)) {
            _pay(1);
            vm.prank(operator);
            pool.refund(agentId, shown.record.paymentId, client, 1);
        }
        vm.prank(challenger);
        disputes.proveRefundedCharge(shown);
    }

    function pass(uint256 time, uint256 blocks) external {
        vm.warp(block.timestamp + bound(time, 1, time % 4 == 0 ? 1 days : 1 hours));
        vm.roll(block.number + bound(blocks, 1, 400));
    }

    // --- what the invariants look at ---------------------------------------------------------------------------

    function batchCount() external view returns (uint256) {
        return _batches.length;
    }

    function batchAt(uint256 i) external view returns (BatchHeader memory) {
        return _batches[i].header;
    }

    function payoutCount(uint256 i) external view returns (uint256) {
        return _isCorrected(_batches[i].header) ? 1 : _batches[i].payouts.length;
    }

    function _isCorrected(BatchHeader memory h) private view returns (bool) {
        (Claims state,,) = pool.payoutsOf(h);
        return state == Claims.Corrected;
    }

    function jurorCount() external view returns (uint256) {
        return jurors.length;
    }

    function world()
        external
        view
        returns (address, address, address, address, address, uint256, address[] memory)
    {
        return (
            address(token),
            address(vault),
            address(pool),
            address(actionLog),
            address(disputes),
            agentId,
            jurors
        );
    }

    function currentOperator() external view returns (address) {
        return operator;
    }

    function payee() external view returns (address) {
        return client;
    }

    function _waitFor(uint256 time) private {
        if (block.timestamp < time) vm.warp(time);
    }

    /// @dev An open demand, searching from a random one; 0 for none.
    function _pickDemand(uint256 which) private view returns (uint256) {
        uint256 count = disputes.demandCount();
        for (uint256 i; i < count; ++i) {
            uint256 id = 1 + (which % count + i) % count;
            if (disputes.demand(id).state == DemandState.Open) return id;
        }
        return 0;
    }

    /// @dev A dispute in this state, searching from a random one; 0 for none.
    function _pick(uint256 which, State state) private view returns (uint256) {
        uint256 count = disputes.disputeCount();
        for (uint256 i; i < count; ++i) {
            uint256 id = 1 + (which % count + i) % count;
            if (disputes.dispute(id).state == state) return id;
        }
        return 0;
    }
}
