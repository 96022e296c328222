// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { SafeCast } from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import { ERC20Permit } from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";
import { ERC3009 } from "@openzeppelin/contracts/token/ERC20/extensions/draft-ERC3009.sol";
import { stdError } from "forge-std/Test.sol";
import { ActionLog } from "src/ActionLog.sol";
import { IActionLog } from "src/interfaces/IActionLog.sol";
import { IDisputeErrors } from "src/interfaces/IDisputes.sol";
import { IRewardPool } from "src/interfaces/IRewardPool.sol";
import { IStakeVault } from "src/interfaces/IStakeVault.sol";
import { State } from "src/types/DisputeTypes.sol";
import { ActionRecord, AnchorCall, AnchoredRecord, BatchHeader, SumNode } from "src/types/Records.sol";
import { Case } from "./utils/Case.sol";
import { Payout, Trees } from "./utils/Trees.sol";

/// @title What no honest caller sends: absurd amounts, stale or foreign signatures, proofs of another shape, sales
/// at the wrong moment. Suites of single contracts have more of their own.
contract BadInputTest is Case {
    uint256 private constant MAX = type(uint256).max;
    /// @dev What the record says of the token that is challenged.
    int32 private constant CLAIMED = -1030;
    bytes32 private constant PERMIT =
        keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");
    bytes32 private constant TRANSFER = keccak256(
        "TransferWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
    );

    address private payer;
    uint256 private secret;

    function setUp() public override {
        super.setUp();
        (payer, secret) = makeAddrAndKey("payer");
        _fund(payer, 10 ether);
    }

    // --- amounts -----------------------------------------------------------------------------------------------

    function test_amounts_stakesOfMoreThanExists() public {
        vm.startPrank(operator);
        vm.expectRevert(abi.encodeWithSelector(SafeCast.SafeCastOverflowedUintDowncast.selector, 128, MAX));
        vault.deposit(agentId, MAX);
        uint256 held = token.balanceOf(operator);
        _expectShort(operator, held, type(uint120).max);
        vault.deposit(agentId, type(uint120).max);
        vm.expectRevert(abi.encodeWithSelector(IStakeVault.ExceedsActive.selector, MAX, STAKE));
        vault.requestWithdraw(agentId, MAX);
        vm.expectRevert(IStakeVault.ZeroAmount.selector);
        vault.requestWithdraw(agentId, 0);
        vm.stopPrank();
    }

    function test_amounts_jurorStakesOfMoreThanExists() public {
        vm.startPrank(stranger);
        vm.expectRevert(abi.encodeWithSelector(SafeCast.SafeCastOverflowedUintDowncast.selector, 128, MAX));
        vault.joinJury(MAX);
        uint256 held = token.balanceOf(stranger);
        _expectShort(stranger, held, held + 1);
        vault.joinJury(held + 1);
        vm.stopPrank();
        vm.expectRevert(stdError.arithmeticError);
        vm.prank(jurors[0]);
        vault.joinJury(MAX);
    }

    function test_amounts_anchoredSumsThatOverflow() public {
        AnchorCall memory call = _call(_header(_both(), _payouts(2 * FEE)));
        call.sum = MAX;
        // open fees of the first batch come on top
        vm.expectRevert(stdError.arithmeticError);
        vm.prank(recordKey);
        actionLog.anchor(call);
        call.sum = MAX - 2 * FEE;
        vm.expectRevert(abi.encodeWithSelector(IActionLog.CoverageExceeded.selector, MAX, STAKE / 4));
        vm.prank(recordKey);
        actionLog.anchor(call);
    }

    function test_amounts_refundsOfMoreThanTheEscrowHolds() public {
        vm.startPrank(operator);
        vm.expectRevert(abi.encodeWithSelector(IRewardPool.EscrowShort.selector, 0, MAX));
        pool.refund(agentId, keccak256("payment"), client, MAX);
        vm.stopPrank();
    }

    function test_amounts_anAbsurdFeeTakesAllThereIsAndNoMore() public {
        ActionRecord memory a = _record(9, MAX);
        ActionRecord memory b = _record(9, MAX);
        b.outputHash = keccak256("another output");
        bytes memory sigA = _sign(a);
        bytes memory sigB = _sign(b);
        assertEq(disputes.proveEquivocation(a, sigA, b, sigB).total, STAKE);
        assertEq(vault.stakeOf(agentId), 0);
    }

    // --- signatures --------------------------------------------------------------------------------------------

    function test_signatures_permitsEndAndCountOnce() public {
        uint256 until = block.timestamp + 60;
        (uint8 v, bytes32 r, bytes32 s) = _permit(token.DOMAIN_SEPARATOR(), until);
        token.permit(payer, app, 3 ether, until, v, r, s);
        vm.expectPartialRevert(ERC20Permit.ERC2612InvalidSigner.selector);
        token.permit(payer, app, 3 ether, until, v, r, s);
        (v, r, s) = _permit(token.DOMAIN_SEPARATOR(), until);
        vm.warp(until + 1);
        vm.expectRevert(abi.encodeWithSelector(ERC20Permit.ERC2612ExpiredSignature.selector, until));
        token.permit(payer, app, 3 ether, until, v, r, s);
    }

    function test_signatures_permitsAreForOneTokenOnOneChain() public {
        uint256 until = block.timestamp + 60;
        bytes32[2] memory foreign =
            [_tokenDomain(1, address(token)), _tokenDomain(block.chainid, address(vault))];
        for (uint256 i; i < 2; ++i) {
            (uint8 v, bytes32 r, bytes32 s) = _permit(foreign[i], until);
            vm.expectPartialRevert(ERC20Permit.ERC2612InvalidSigner.selector);
            token.permit(payer, app, 3 ether, until, v, r, s);
        }
        assertEq(
            _tokenDomain(block.chainid, address(token)), token.DOMAIN_SEPARATOR(), "else nothing was shown"
        );
    }

    function test_signatures_authorizationsHoldBetweenTheirTimesOnOneChain() public {
        (uint256 from, uint256 until) = (block.timestamp + 10, block.timestamp + 60);
        bytes32 here = token.DOMAIN_SEPARATOR();
        bytes memory untimely =
            abi.encodeWithSelector(ERC3009.ERC3009InvalidAuthorizationTime.selector, from, until);
        _authorize(here, from, until, untimely);
        vm.warp(until);
        _authorize(here, from, until, untimely);
        vm.warp(from + 1);
        bytes memory foreign = abi.encodeWithSelector(ERC3009.ERC3009InvalidSignature.selector);
        _authorize(_tokenDomain(1, address(token)), from, until, foreign);
        _authorize(_tokenDomain(block.chainid, address(vault)), from, until, foreign);
        _authorize(here, from, until, "");
        assertEq(token.balanceOf(app), 3 ether);
    }

    function test_signatures_recordsAreForOneLogOnOneChain() public {
        ActionRecord memory a = _record(9, FEE);
        ActionRecord memory b = _record(9, FEE);
        b.outputHash = keccak256("another output");
        bytes memory sigA = _sign(a);
        vm.chainId(1);
        bytes memory foreign = _sign(b);
        vm.chainId(31_337);
        vm.expectPartialRevert(IDisputeErrors.BadSignature.selector);
        disputes.proveEquivocation(a, sigA, b, foreign);
        ActionLog other = new ActionLog(token, agents, parameters, vault, pool);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(recordSecret, other.digestOf(b));
        vm.expectPartialRevert(IDisputeErrors.BadSignature.selector);
        disputes.proveEquivocation(a, sigA, b, abi.encodePacked(r, s, v));
    }

    // --- proofs ------------------------------------------------------------------------------------------------

    function test_proofs_ofAnotherShapeClaimNothing() public {
        Payout[] memory payouts = new Payout[](3);
        for (uint256 i; i < 3; ++i) {
            // two leaves differ by nothing but their place
            payouts[i] = Payout(i == 0 ? app : contributor, _net(3 ether) / 3);
        }
        ActionRecord[] memory records = new ActionRecord[](1);
        records[0] = _record(actionLog.nextNonce(agentId), 3 ether);
        BatchHeader memory h = _header(records, payouts);
        _pay(3 ether);
        _anchor(h);
        _passWindow();
        SumNode[] memory proof = Trees.sumProof(payouts, 1);

        // the third leaf's place in a tree of four, and the second's proof for its twin
        _expectBadProof(h, 3);
        pool.claim(h, 3, address(1), 0, Trees.sumProof(payouts, 2));
        _expectBadProof(h, 2);
        pool.claim(h, 2, contributor, payouts[1].amount, proof);
        (proof[0], proof[1]) = (proof[1], proof[0]);
        _expectBadProof(h, 1);
        pool.claim(h, 1, contributor, payouts[1].amount, proof);
        (proof[0], proof[1]) = (proof[1], proof[0]);
        SumNode[] memory cut = new SumNode[](1);
        cut[0] = proof[1];
        _expectBadProof(h, 1);
        pool.claim(h, 1, contributor, payouts[1].amount, cut);
        SumNode[] memory long = new SumNode[](3);
        (long[0], long[1]) = (proof[0], proof[1]);
        _expectBadProof(h, 1);
        pool.claim(h, 1, contributor, payouts[1].amount, long);
        // the sum of a sibling moved into the leaf
        proof[0].sum -= 1;
        _expectBadProof(h, 1);
        pool.claim(h, 1, contributor, payouts[1].amount + 1, proof);
        proof[0].sum = MAX;
        vm.expectRevert(stdError.arithmeticError);
        pool.claim(h, 1, contributor, payouts[1].amount, proof);

        pool.claim(h, 1, contributor, payouts[1].amount, Trees.sumProof(payouts, 1));
        pool.claim(h, 2, contributor, payouts[2].amount, Trees.sumProof(payouts, 2));
        assertEq(pool.remaining(keccak256(abi.encode(h))), payouts[0].amount, "twins are paid once each");
    }

    function test_proofs_oneRecordAtTwoNoncesIsOneFaultOfThem() public {
        // a batch whose leaves are the same record twice: the second place is not its nonce
        ActionRecord[] memory twins = new ActionRecord[](2);
        twins[0] = _record(actionLog.nextNonce(agentId), FEE);
        twins[1] = twins[0];
        BatchHeader memory h = _header(twins, _payouts(2 * FEE));
        _pay(h.sum);
        _anchor(h);
        AnchoredRecord memory first = AnchoredRecord(h, h.firstNonce, twins[0], Trees.recordProof(twins, 0));
        AnchoredRecord memory second =
            AnchoredRecord(h, h.firstNonce + 1, twins[1], Trees.recordProof(twins, 1));
        vm.expectRevert(IDisputeErrors.NoConflict.selector);
        disputes.proveMisdeclared(first);
        assertEq(disputes.proveMisdeclared(second).total, SLASH);
    }

    // --- sales -------------------------------------------------------------------------------------------------

    function test_sale_duringADisputeLeavesTheSellerToAnswer() public {
        uint256 id = _drawn(3);
        vm.prank(operator);
        agents.transferFrom(operator, stranger, agentId);
        vm.prank(stranger);
        vault.deposit(agentId, STAKE);
        _voteAll(id, 5, CLAIMED - 30_000, -80_000);
        assertEq(uint8(disputes.dispute(id).state), uint8(State.Convicted));
        assertEq(vault.positionOf(agentId, operator).active, STAKE - SLASH);
        assertEq(vault.positionOf(agentId, stranger).active, STAKE, "the buyer bought no guilt");
    }

    function test_sale_afterTheFaultAndBackChangesNothing() public {
        vm.prank(operator);
        agents.transferFrom(operator, stranger, agentId);
        uint256 id = _drawn(3);
        vm.prank(stranger);
        agents.transferFrom(stranger, operator, agentId);
        _voteAll(id, 5, CLAIMED - 30_000, -80_000);
        assertEq(vault.stakeOf(agentId), STAKE - SLASH);
    }

    function _expectBadProof(BatchHeader memory h, uint32 index) private {
        vm.expectRevert(
            abi.encodeWithSelector(IRewardPool.BadProof.selector, keccak256(abi.encode(h)), index)
        );
    }

    function _expectShort(address account, uint256 held, uint256 needed) private {
        vm.expectRevert(
            abi.encodeWithSignature(
                "ERC20InsufficientBalance(address,uint256,uint256)", account, held, needed
            )
        );
    }

    function _permit(bytes32 domain, uint256 until) private view returns (uint8, bytes32, bytes32) {
        bytes32 hash = keccak256(abi.encode(PERMIT, payer, app, 3 ether, token.nonces(payer), until));
        return vm.sign(secret, keccak256(abi.encodePacked(hex"1901", domain, hash)));
    }

    function _authorize(bytes32 domain, uint256 from, uint256 until, bytes memory refusal) private {
        bytes32 hash = keccak256(abi.encode(TRANSFER, payer, app, 3 ether, from, until, bytes32(0)));
        (uint8 v, bytes32 r, bytes32 s) =
            vm.sign(secret, keccak256(abi.encodePacked(hex"1901", domain, hash)));
        if (refusal.length != 0) vm.expectRevert(refusal);
        token.transferWithAuthorization(payer, app, 3 ether, from, until, bytes32(0), v, r, s);
    }

    function _tokenDomain(uint256 chainId, address contract_) private pure returns (bytes32) {
        bytes32 kind =
            keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
        return keccak256(abi.encode(kind, keccak256("OPEN"), keccak256("1"), chainId, contract_));
    }
}
