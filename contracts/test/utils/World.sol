// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { Test } from "forge-std/Test.sol";
import { ActionLog } from "src/ActionLog.sol";
import { AgentRegistry } from "src/AgentRegistry.sol";
import { BlockRandomness } from "src/BlockRandomness.sol";
import { AssetRegistry } from "src/AssetRegistry.sol";
import { DatanetCuration } from "src/DatanetCuration.sol";
import { DelegationPool } from "src/DelegationPool.sol";
import { Directory } from "src/Directory.sol";
import { Disputes, Modules } from "src/Disputes.sol";
import { Context } from "src/disputes/DisputeBase.sol";
import { DisputeBatches } from "src/disputes/DisputeBatches.sol";
import { DisputeDemands } from "src/disputes/DisputeDemands.sol";
import { DisputeIntake } from "src/disputes/DisputeIntake.sol";
import { DisputeProofs } from "src/disputes/DisputeProofs.sol";
import { DisputeQuestions } from "src/disputes/DisputeQuestions.sol";
import { DisputeRulings } from "src/disputes/DisputeRulings.sol";
import { QuestionIntake } from "src/disputes/QuestionIntake.sol";
import { JuryArbiter } from "src/JuryArbiter.sol";
import { LicenseMarket } from "src/LicenseMarket.sol";
import { OpenGovernor } from "src/OpenGovernor.sol";
import { OpenTimelock } from "src/OpenTimelock.sol";
import { DisputeVotes } from "src/disputes/DisputeVotes.sol";
import { OpenToken } from "src/OpenToken.sol";
import { Parameters } from "src/Parameters.sol";
import { ReputationRegistry } from "src/ReputationRegistry.sol";
import { RewardPool } from "src/RewardPool.sol";
import { StakeVault } from "src/StakeVault.sol";
import { ValidationRegistry } from "src/ValidationRegistry.sol";
import { Treasury } from "src/Treasury.sol";
import { IActionLog } from "src/interfaces/IActionLog.sol";
import { IDelegationPool } from "src/interfaces/IDelegationPool.sol";
import { IValidationRegistry } from "src/interfaces/IValidationRegistry.sol";
import { IAgentObserver } from "src/interfaces/IAgentRegistry.sol";
import { Param } from "src/types/Param.sol";
import { ActionRecord, AnchorCall, BatchHeader, SumNode } from "src/types/Records.sol";
import { Payout, Trees } from "./Trees.sol";

/// @title A deployed system with one staked agent, its record key, a paying client and six jurors.
abstract contract World is Test {
    uint256 internal constant STAKE = 1000 ether;
    uint256 internal constant JUROR_STAKE = 500 ether;

    OpenToken internal token;
    Parameters internal parameters;
    AgentRegistry internal agents;
    AssetRegistry internal assets;
    StakeVault internal vault;
    DelegationPool internal delegations;
    RewardPool internal pool;
    ActionLog internal actionLog;
    BlockRandomness internal randomness;
    Disputes internal disputes;
    ValidationRegistry internal validations;
    LicenseMarket internal market;
    JuryArbiter internal arbiter;
    DatanetCuration internal curation;
    ReputationRegistry internal reputation;
    OpenTimelock internal timelock;
    OpenGovernor internal openGovernor;
    Treasury internal openTreasury;
    Directory internal directory;

    /// @dev The timelock: tests of the parameters' effects skip the vote.
    address internal governor;
    address internal operator = makeAddr("operator");
    address internal client = makeAddr("client");
    address internal contributor = makeAddr("contributor");
    address internal app = makeAddr("app");
    address internal treasury = makeAddr("treasury");
    address internal challenger = makeAddr("challenger");
    address internal stranger = makeAddr("stranger");
    address[] internal jurors;

    address internal recordKey;
    uint256 internal recordSecret;
    uint256 internal agentId;
    uint32 internal epoch;

    function setUp() public virtual {
        (recordKey, recordSecret) = makeAddrAndKey("record key");
        _deploy();
        address[5] memory rich = [operator, client, challenger, stranger, contributor];
        for (uint256 i; i < rich.length; ++i) {
            _fund(rich[i], 100_000 ether);
        }
        vm.prank(operator);
        agentId = agents.register("ipfs://agent");
        vm.prank(operator);
        vault.deposit(agentId, STAKE);
        epoch = _openEpoch(operator, recordKey);
        for (uint256 i; i < 6; ++i) {
            _addJuror(string.concat("juror", vm.toString(i)), JUROR_STAKE);
        }
        vm.roll(block.number + 1);
        // votes are remembered by time: what is measured must not share the set-up's second
        vm.warp(block.timestamp + 1);
    }

    /// @dev The order of docs/contracts.md.
    function _deploy() internal {
        // governance comes last, and from an account of its own, whose nonces are known now
        address founder = makeAddr("founder");
        governor = vm.computeCreateAddress(founder, 0);
        uint256 n = vm.getNonce(address(this));
        address logAt = vm.computeCreateAddress(address(this), n + 6);
        address disputesAt = vm.computeCreateAddress(address(this), n + 15);
        address delegationsAt = vm.computeCreateAddress(address(this), n + 21);
        token = new OpenToken();
        parameters = new Parameters(governor);
        agents = new AgentRegistry(IAgentObserver(logAt));
        assets = new AssetRegistry(parameters);
        vault = new StakeVault(
            token, agents, parameters, IActionLog(logAt), disputesAt, IDelegationPool(delegationsAt)
        );
        pool = new RewardPool(
            token, parameters, IActionLog(logAt), treasury, disputesAt, IDelegationPool(delegationsAt)
        );
        actionLog = new ActionLog(token, agents, parameters, vault, pool);
        _deployDisputes(vm.computeCreateAddress(address(this), n + 16));
        validations = new ValidationRegistry(agents, address(disputes));
        market = new LicenseMarket(token, parameters, assets, treasury);
        reputation = new ReputationRegistry(agents);
        address curationAt = vm.computeCreateAddress(address(this), vm.getNonce(address(this)) + 1);
        arbiter = new JuryArbiter(token, disputes, DatanetCuration(curationAt));
        assertEq(QuestionIntake(address(disputes.questions())).arbiter(), address(arbiter), "arbiter address");
        curation = new DatanetCuration(token, parameters, assets, arbiter);
        assertEq(address(curation), curationAt, "curation address");
        delegations = new DelegationPool(token, agents, parameters, address(vault));
        assertEq(address(actionLog), logAt, "log address");
        assertEq(address(disputes), disputesAt, "disputes address");
        assertEq(address(delegations), delegationsAt, "delegations address");
        _deployGovernance(founder);
    }

    function _deployDisputes(address validationsAt) private {
        randomness = new BlockRandomness();
        Context memory context = Context(token, parameters, vault, actionLog, pool, assets);
        Modules memory modules;
        modules.proofs = address(new DisputeProofs(context));
        modules.demands = address(new DisputeDemands(context));
        modules.intake = address(new DisputeIntake(context));
        modules.votes = address(new DisputeVotes(context, randomness));
        modules.rulings = address(new DisputeRulings(context, IValidationRegistry(validationsAt)));
        modules.batches = address(new DisputeBatches(context, randomness));
        // registry of validations, market, registry of feedback, arbiter
        address arbiterAt = vm.computeCreateAddress(address(this), vm.getNonce(address(this)) + 5);
        modules.questions = address(new DisputeQuestions(context, arbiterAt));
        disputes = new Disputes(context, modules);
    }

    function _deployGovernance(address founder) private {
        vm.startPrank(founder);
        timelock = new OpenTimelock(vm.computeCreateAddress(founder, 1));
        openGovernor = new OpenGovernor(token, payable(timelock));
        openTreasury = new Treasury(governor, token, agents, assets);
        string[] memory names = new string[](2);
        address[] memory addresses = new address[](2);
        (names[0], names[1]) = ("OpenToken", "Parameters");
        (addresses[0], addresses[1]) = (address(token), address(parameters));
        directory = new Directory(governor, block.number, names, addresses);
        vm.stopPrank();
        assertEq(address(timelock), governor, "timelock address");
    }

    function _fund(address account, uint256 amount) internal {
        vm.deal(account, account.balance + amount);
        vm.startPrank(account);
        token.deposit{ value: amount }();
        token.approve(address(vault), type(uint256).max);
        token.approve(address(delegations), type(uint256).max);
        token.approve(address(disputes), type(uint256).max);
        vm.stopPrank();
    }

    function _addJuror(string memory name, uint256 amount) internal returns (address juror) {
        juror = makeAddr(name);
        _fund(juror, 2 * amount);
        vm.prank(juror);
        vault.joinJury(amount);
        jurors.push(juror);
    }

    function _openEpoch(address by, address key) internal returns (uint32) {
        vm.prank(by);
        return actionLog.openEpoch(agentId, key, keccak256("manifest"), keccak256("manifest root"));
    }

    function _pay(uint256 amount) internal {
        address escrow = pool.escrowOf(agentId);
        vm.prank(client);
        token.transfer(escrow, amount);
    }

    function _record(uint64 nonce, uint256 fee) internal view returns (ActionRecord memory) {
        return ActionRecord({
            agentId: agentId,
            nonce: nonce,
            epoch: epoch,
            client: client,
            paymentId: keccak256(abi.encode("payment", nonce)),
            status: 1,
            requestHash: keccak256(abi.encode("request", nonce)),
            outputHash: keccak256(abi.encode("output", nonce)),
            stepsRoot: bytes32(0),
            ruleId: keccak256("rule"),
            fee: fee,
            replayClass: 1,
            seedSource: 1,
            anchorBy: uint64(block.timestamp + 1 hours),
            contentDigest: keccak256(abi.encode("content", nonce))
        });
    }

    function _sign(ActionRecord memory record) internal view returns (bytes memory) {
        return _sign(record, recordSecret);
    }

    function _sign(ActionRecord memory record, uint256 secret) internal view returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(secret, actionLog.digestOf(record));
        return abi.encodePacked(r, s, v);
    }

    /// @dev The header an anchor of these records and payouts will have.
    function _header(ActionRecord[] memory records, Payout[] memory payouts)
        internal
        view
        returns (BatchHeader memory h)
    {
        h.agentId = agentId;
        h.firstNonce = actionLog.nextNonce(agentId);
        h.count = uint32(records.length);
        SumNode memory root = Trees.sumRoot(Trees.recordLeaves(records));
        (h.recordRoot, h.sum) = (root.hash, root.sum);
        if (payouts.length != 0) {
            h.payoutRoot = Trees.sumRoot(payouts).hash;
            h.payoutCount = uint32(payouts.length);
        }
        h.epoch = epoch;
        h.batchDigest = keccak256(abi.encode("batch", h.firstNonce));
        h.anchoredAt = uint64(block.timestamp);
    }

    function _call(BatchHeader memory h) internal pure returns (AnchorCall memory) {
        return AnchorCall(
            h.agentId,
            h.firstNonce,
            h.count,
            h.recordRoot,
            h.payoutRoot,
            h.payoutCount,
            h.sum,
            h.epoch,
            h.batchDigest
        );
    }

    function _anchor(BatchHeader memory h) internal {
        vm.prank(recordKey);
        actionLog.anchor(_call(h));
    }

    /// @dev Anchors `count` records of `fee` each, paid for, with payouts 90 % contributor and 10 % treasury.
    function _anchorMany(uint256 count, uint256 fee)
        internal
        returns (BatchHeader memory h, ActionRecord[] memory records, Payout[] memory payouts)
    {
        records = new ActionRecord[](count);
        uint64 first = actionLog.nextNonce(agentId);
        for (uint256 i; i < count; ++i) {
            records[i] = _record(uint64(first + i), fee);
        }
        payouts = _payouts(count * fee);
        h = _header(records, payouts);
        _pay(h.sum);
        _anchor(h);
    }

    /// @dev What records that charge `sum` pay out: nine tenths to the contributor, the rest to an application.
    function _payouts(uint256 sum) internal view returns (Payout[] memory payouts) {
        if (sum == 0) return payouts;
        uint256 net = _net(sum);
        payouts = new Payout[](2);
        payouts[0] = Payout(contributor, net - net / 10);
        payouts[1] = Payout(app, net / 10);
    }

    /// @dev Less 7 %: protocol cut and audit share.
    function _net(uint256 sum) internal pure returns (uint256) {
        return sum - sum * 700 / 10_000;
    }

    function _passWindow() internal {
        vm.warp(block.timestamp + parameters.get(Param.ChallengeWindow) + 1);
    }

    /// @dev A wallet's consent to act for an agent, as its key signs it for this registry on this chain.
    function _consent(uint256 id, address wallet, uint256 secret, address owner, uint256 deadline)
        internal
        view
        returns (bytes memory)
    {
        return _consentIn(_domain(block.chainid, address(agents)), id, wallet, secret, owner, deadline);
    }

    function _consentIn(
        bytes32 domain,
        uint256 id,
        address wallet,
        uint256 secret,
        address owner,
        uint256 deadline
    ) internal pure returns (bytes memory) {
        bytes32 hash = keccak256(
            abi.encode(
                keccak256("AgentWalletSet(uint256 agentId,address newWallet,address owner,uint256 deadline)"),
                id,
                wallet,
                owner,
                deadline
            )
        );
        (uint8 v, bytes32 r, bytes32 s) =
            vm.sign(secret, keccak256(abi.encodePacked(hex"1901", domain, hash)));
        return abi.encodePacked(r, s, v);
    }

    /// @dev The domain that the reference publishes.
    function _domain(uint256 chainId, address registry) internal pure returns (bytes32) {
        return keccak256(
            abi.encode(
                keccak256(
                    "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
                ),
                keccak256("ERC8004IdentityRegistry"),
                keccak256("1"),
                chainId,
                registry
            )
        );
    }
}
