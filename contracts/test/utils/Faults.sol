// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { IERC20Permit } from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import { MessageHashUtils } from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";
import { Records } from "src/libraries/Records.sol";
import {
    ActionRecord,
    AnchoredRecord,
    BatchHeader,
    Claim,
    FixedSplit,
    Parent,
    Payment,
    StepLeaf,
    Ticket
} from "src/types/Records.sol";
import { IndexedMerkle } from "src/libraries/IndexedMerkle.sol";
import { Payout, Trees } from "./Trees.sol";
import { World } from "./World.sol";

/// @title Payments, tickets, manifests and blocks: what proofs and demands are made of.
abstract contract Faults is World {
    uint256 internal constant FEE = 1 ether;
    bytes32 internal constant MODEL_DIGEST = keccak256("model");
    bytes32 internal constant DATANET_DIGEST = keccak256("datanet");
    bytes32 internal constant TRANSFER_TYPEHASH = keccak256(
        "TransferWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
    );

    uint256 internal clientSecret;
    uint256 internal modelId;
    uint256 internal datanetId;
    /// @dev Manifest: model, datanet, then the fixed shares of partner (10 %) and app (2.5 %).
    bytes32[] internal manifest;
    FixedSplit[2] internal splits;
    bytes internal manifestBlock = hex"a0";
    address internal partner = makeAddr("partner");

    function setUp() public virtual override {
        super.setUp();
        (, clientSecret) = makeAddrAndKey("client");
        uint256[] memory none = new uint256[](0);
        vm.startPrank(contributor);
        modelId = assets.register(2, MODEL_DIGEST, 0x70, none, "MIT", 0, "");
        datanetId = assets.register(1, DATANET_DIGEST, 0x71, none, "MIT", 0, "");
        vm.stopPrank();
        splits[0] = FixedSplit(0, partner, 1000);
        splits[1] = FixedSplit(1, app, 250);
        manifest.push(Records.manifestLeaf(modelId, MODEL_DIGEST));
        manifest.push(Records.manifestLeaf(datanetId, DATANET_DIGEST));
        manifest.push(Records.manifestLeaf(splits[0]));
        manifest.push(Records.manifestLeaf(splits[1]));
        _rotate(operator);
    }

    /// @dev A new epoch of the same key, with the manifest.
    function _rotate(address by) internal {
        bytes32 digest = sha256(manifestBlock);
        vm.prank(by);
        epoch = actionLog.openEpoch(agentId, recordKey, digest, Trees.root(manifest));
    }

    /// @dev The agent's next owner, staked, with an epoch of the same key and manifest.
    function _sell() internal {
        vm.prank(operator);
        agents.transferFrom(operator, stranger, agentId);
        vm.prank(stranger);
        vault.deposit(agentId, STAKE);
        _rotate(stranger);
    }

    function _shown(BatchHeader memory h, ActionRecord[] memory records, uint256 i)
        internal
        pure
        returns (AnchoredRecord memory)
    {
        return AnchoredRecord(h, h.firstNonce + uint64(i), records[i], Trees.recordProof(records, i));
    }

    function _one(ActionRecord memory record) internal pure returns (ActionRecord[] memory records) {
        records = new ActionRecord[](1);
        records[0] = record;
    }

    /// @dev Anchors one record, paid for, with the payouts the manifest asks for.
    function _anchorOne(ActionRecord memory record) internal returns (AnchoredRecord memory) {
        ActionRecord[] memory records = _one(record);
        BatchHeader memory h = _header(records, _honest(Records.chargeOf(record)));
        _pay(h.sum);
        _anchor(h);
        return _shown(h, records, 0);
    }

    /// @dev Partner 10 %, application 2.5 %, the rest to the contributor.
    function _honest(uint256 sum) internal view returns (Payout[] memory payouts) {
        if (sum == 0) return payouts;
        uint256 net = _net(sum);
        payouts = new Payout[](3);
        payouts[0] = Payout(partner, net * 1000 / 10_000);
        payouts[1] = Payout(app, net * 250 / 10_000);
        payouts[2] = Payout(contributor, net - payouts[0].amount - payouts[1].amount);
    }

    function _claim(Payout[] memory payouts, uint32 i) internal pure returns (Claim memory) {
        return Claim(i, payouts[i].account, payouts[i].amount, Trees.sumProof(payouts, i));
    }

    // --- payments and tickets ----------------------------------------------------------------------------------

    /// @dev The client's signature; nothing is moved.
    function _authorize(uint256 value, bytes32 nonce) internal view returns (Payment memory) {
        return _authorize(value, nonce, clientSecret, pool.escrowOf(agentId));
    }

    function _authorize(uint256 value, bytes32 nonce, uint256 secret, address to)
        internal
        view
        returns (Payment memory p)
    {
        p = Payment(client, nonce, value, 0, block.timestamp + 1 hours, "");
        bytes32 hash =
            keccak256(abi.encode(TRANSFER_TYPEHASH, client, to, value, p.validAfter, p.validBefore, nonce));
        bytes32 digest = MessageHashUtils.toTypedDataHash(token.DOMAIN_SEPARATOR(), hash);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(secret, digest);
        p.signature = abi.encodePacked(r, s, v);
    }

    /// @dev Signed and spent.
    function _authorized(uint256 value, bytes32 nonce) internal returns (Payment memory p) {
        p = _authorize(value, nonce);
        _spend(p);
    }

    function _spend(Payment memory p) internal {
        (bytes32 r, bytes32 s, uint8 v) = _split(p.signature);
        token.transferWithAuthorization(
            p.client,
            pool.escrowOf(agentId),
            p.value,
            p.validAfter,
            p.validBefore,
            p.authorizationNonce,
            v,
            r,
            s
        );
    }

    function _paymentId(Payment memory p) internal pure returns (bytes32) {
        return keccak256(abi.encode(p.client, p.authorizationNonce));
    }

    function _ticket(Payment memory p) internal view returns (Ticket memory) {
        return Ticket(agentId, epoch, _paymentId(p), keccak256("request"), uint64(block.timestamp + 1 hours));
    }

    function _signTicket(Ticket memory ticket) internal view returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(recordSecret, actionLog.ticketDigestOf(ticket));
        return abi.encodePacked(r, s, v);
    }

    /// @dev The record an honest operator makes of the ticket.
    function _kept(Ticket memory ticket, uint256 fee) internal view returns (ActionRecord memory record) {
        record = _record(actionLog.nextNonce(agentId), fee);
        record.paymentId = ticket.paymentId;
        record.requestHash = ticket.requestHash;
        record.anchorBy = ticket.anchorBy;
    }

    function _split(bytes memory sig) private pure returns (bytes32 r, bytes32 s, uint8 v) {
        assembly ("memory-safe") {
            r := mload(add(sig, 0x20))
            s := mload(add(sig, 0x40))
            v := byte(0, mload(add(sig, 0x60)))
        }
    }

    // --- steps and blocks --------------------------------------------------------------------------------------

    function _step(uint256 assetId, bytes32 digest) internal pure returns (StepLeaf memory) {
        return StepLeaf(0, 0, assetId, digest, 0, keccak256("generation"), 3, keccak256("detail"));
    }

    function _withStep(ActionRecord memory record, StepLeaf memory step)
        internal
        pure
        returns (ActionRecord memory)
    {
        record.stepsRoot = IndexedMerkle.leafOf(abi.encode(step));
        return record;
    }

    /// @dev A dag-cbor link: codec 0x71 dag-cbor or 0x55 raw.
    function _link(bytes32 digest, uint8 codec) internal pure returns (bytes memory) {
        return abi.encodePacked(hex"d82a58250001", codec, hex"1220", digest);
    }

    /// @dev {"links": [ … ]} of one link, which stands at offset 8.
    function _linksBlock(bytes32 digest, uint8 codec) internal pure returns (bytes memory) {
        return bytes.concat(hex"a1656c696e6b7381", _link(digest, codec));
    }

    function _path(bytes memory data, uint16 offset) internal pure returns (Parent[] memory path) {
        path = new Parent[](1);
        path[0] = Parent(data, offset);
    }

    function _noPath() internal pure returns (Parent[] memory) { }
}
