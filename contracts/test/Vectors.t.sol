// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { ECDSA } from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import { Test } from "forge-std/Test.sol";
import { ActionLog } from "src/ActionLog.sol";
import { OpenToken } from "src/OpenToken.sol";
import { IActionLog } from "src/interfaces/IActionLog.sol";
import { IAgentRegistry } from "src/interfaces/IAgentRegistry.sol";
import { IParameters } from "src/interfaces/IParameters.sol";
import { IRewardPool } from "src/interfaces/IRewardPool.sol";
import { IStakeVault } from "src/interfaces/IStakeVault.sol";
import { Drift } from "src/libraries/Drift.sol";
import { IndexedMerkle } from "src/libraries/IndexedMerkle.sol";
import { MerkleSum } from "src/libraries/MerkleSum.sol";
import { Records } from "src/libraries/Records.sol";
import { ActionRecord, BatchHeader, StepLeaf, SumNode, Ticket, TokenLeaf } from "src/types/Records.sol";
import { Payout, Trees } from "./utils/Trees.sol";

/// @dev Calldata entry points to the libraries.
contract Verifier {
    function leafIn(bytes32 root, uint256 count, uint256 index, bytes32 leaf, bytes32[] calldata proof)
        external
        pure
        returns (bool)
    {
        return IndexedMerkle.verify(root, count, index, leaf, proof);
    }

    function sums(
        SumNode calldata root,
        uint256 count,
        uint32 index,
        Payout calldata payout,
        SumNode[] calldata proof
    ) external pure returns (bool) {
        bytes32 leaf = MerkleSum.leafOf(index, payout.account, payout.amount);
        return MerkleSum.verify(root.hash, root.sum, count, index, leaf, payout.amount, proof);
    }

    function step(bytes32 root, StepLeaf calldata leaf, bytes32[] calldata proof)
        external
        pure
        returns (bool)
    {
        return Records.inSteps(root, leaf, proof);
    }

    function generated(StepLeaf calldata leaf, TokenLeaf calldata token, bytes32[] calldata proof)
        external
        pure
        returns (bool)
    {
        return Records.inGeneration(leaf, token, proof);
    }
}

/// @title What Python computes, recomputed here: tests/vectors/*.json.
contract VectorsTest is Test {
    ActionLog private actionLog;
    Verifier private verifier;

    function setUp() public {
        verifier = new Verifier();
    }

    function test_eip712() public {
        string memory json = _read("eip712");
        _deployLog(vm.parseJsonAddress(json, ".verifyingContract"), vm.parseJsonUint(json, ".chainId"));
        assertEq(actionLog.domainSeparator(), vm.parseJsonBytes32(json, ".domainSeparator"));
        assertEq(Records.ACTION_TYPEHASH, vm.parseJsonBytes32(json, ".recordTypeHash"));
        assertEq(Records.TICKET_TYPEHASH, vm.parseJsonBytes32(json, ".ticketTypeHash"));
        address signer = vm.parseJsonAddress(json, ".signer");
        uint256 n = vm.parseJsonUintArray(json, ".records.nonce").length;
        assertGt(n, 0);
        for (uint256 i; i < n; ++i) {
            ActionRecord memory r = _recordAt(json, i);
            assertEq(actionLog.structHashOf(r), _bytes32At(json, ".records.structHash", i));
            assertEq(actionLog.digestOf(r), _bytes32At(json, ".records.digest", i));
            bytes memory signature = vm.parseJsonBytesArray(json, ".records.signature")[i];
            assertEq(ECDSA.recover(actionLog.digestOf(r), signature), signer);

            Ticket memory t = Ticket(r.agentId, r.epoch, r.paymentId, r.requestHash, r.anchorBy);
            assertEq(Records.structHash(t), _bytes32At(json, ".tickets.structHash", i));
            assertEq(actionLog.ticketDigestOf(t), _bytes32At(json, ".tickets.digest", i));
        }
    }

    function test_merkle() public view {
        string memory json = _read("merkle");
        uint256 cases = vm.parseJsonUint(json, ".cases");
        assertGt(cases, 0);
        for (uint256 c; c < cases; ++c) {
            string memory at = string.concat(".case", vm.toString(c));
            bytes32[] memory hashes = vm.parseJsonBytes32Array(json, string.concat(at, ".structHashes"));
            bytes32[] memory leaves = vm.parseJsonBytes32Array(json, string.concat(at, ".leaves"));
            for (uint256 i; i < hashes.length; ++i) {
                assertEq(IndexedMerkle.leafOf(abi.encode(hashes[i])), leaves[i]);
            }
            bytes32 root = vm.parseJsonBytes32(json, string.concat(at, ".root"));
            assertEq(Trees.root(leaves), root);
            uint256 index = vm.parseJsonUint(json, string.concat(at, ".index"));
            bytes32[] memory proof = _hashes(json, string.concat(at, ".proof"), leaves.length);
            assertTrue(verifier.leafIn(root, leaves.length, index, leaves[index], proof));
            assertFalse(verifier.leafIn(root, leaves.length, leaves.length, leaves[index], proof));
            proof = _hashes(json, string.concat(at, ".lastProof"), leaves.length);
            uint256 last = leaves.length - 1;
            assertTrue(verifier.leafIn(root, leaves.length, last, leaves[last], proof));
        }
    }

    function test_merkleSum() public view {
        string memory json = _read("merkle_sum");
        uint256 cases = vm.parseJsonUint(json, ".cases");
        assertGt(cases, 0);
        for (uint256 c; c < cases; ++c) {
            string memory at = string.concat(".case", vm.toString(c));
            address[] memory accounts = vm.parseJsonAddressArray(json, string.concat(at, ".accounts"));
            uint256[] memory amounts = vm.parseJsonUintArray(json, string.concat(at, ".amounts"));
            bytes32[] memory leaves = vm.parseJsonBytes32Array(json, string.concat(at, ".leaves"));
            Payout[] memory payouts = new Payout[](accounts.length);
            for (uint256 i; i < accounts.length; ++i) {
                payouts[i] = Payout(accounts[i], amounts[i]);
                assertEq(MerkleSum.leafOf(uint32(i), accounts[i], amounts[i]), leaves[i]);
            }
            SumNode memory root = SumNode(
                vm.parseJsonBytes32(json, string.concat(at, ".root")),
                vm.parseJsonUint(json, string.concat(at, ".sum"))
            );
            assertEq(Trees.sumRoot(payouts).hash, root.hash);
            assertEq(Trees.sumRoot(payouts).sum, root.sum);
            uint32 index = uint32(vm.parseJsonUint(json, string.concat(at, ".index")));
            _assertPayout(json, string.concat(at, ".proof"), root, payouts, index);
            _assertPayout(json, string.concat(at, ".lastProof"), root, payouts, uint32(payouts.length - 1));
        }
    }

    /// @dev The tree of a batch's records and what they charge.
    function test_recordTrees() public view {
        string memory json = _read("merkle_sum");
        uint256 cases = vm.parseJsonUint(json, ".cases");
        for (uint256 c; c < cases; ++c) {
            string memory at = string.concat(".case", vm.toString(c));
            bytes32[] memory hashes = vm.parseJsonBytes32Array(json, string.concat(at, ".structHashes"));
            uint256[] memory charges = vm.parseJsonUintArray(json, string.concat(at, ".amounts"));
            SumNode[] memory leaves = new SumNode[](hashes.length);
            for (uint256 i; i < hashes.length; ++i) {
                leaves[i] = SumNode(IndexedMerkle.leafOf(abi.encode(hashes[i])), charges[i]);
            }
            SumNode memory root = Trees.sumRoot(leaves);
            assertEq(root.hash, vm.parseJsonBytes32(json, string.concat(at, ".recordRoot")));
            assertEq(root.sum, vm.parseJsonUint(json, string.concat(at, ".sum")));
        }
    }

    function test_generations() public view {
        string memory json = _read("prefix_hash");
        uint256 cases = vm.parseJsonUint(json, ".cases");
        assertGt(cases, 0);
        for (uint256 c; c < cases; ++c) {
            string memory at = string.concat(".case", vm.toString(c));
            TokenLeaf[] memory tokens = _tokens(json, at);
            bytes32[] memory leaves = vm.parseJsonBytes32Array(json, string.concat(at, ".leaves"));
            for (uint256 t; t < tokens.length; ++t) {
                assertEq(IndexedMerkle.leafOf(abi.encode(tokens[t])), leaves[t]);
            }
            StepLeaf memory step;
            step.assetId = vm.parseJsonUint(json, string.concat(at, ".assetId"));
            step.contentDigest = vm.parseJsonBytes32(json, string.concat(at, ".contentDigest"));
            step.promptHash = tokens[0].prefixHash;
            step.generationRoot = vm.parseJsonBytes32(json, string.concat(at, ".generationRoot"));
            step.count = uint32(vm.parseJsonUint(json, string.concat(at, ".count")));
            step.detailDigest = vm.parseJsonBytes32(json, string.concat(at, ".detailDigest"));
            assertEq(step.count, tokens.length);
            assertEq(
                IndexedMerkle.leafOf(abi.encode(step)),
                vm.parseJsonBytes32(json, string.concat(at, ".stepLeaf"))
            );
            uint256 index = vm.parseJsonUint(json, string.concat(at, ".index"));
            assertTrue(
                verifier.generated(
                    step, tokens[index], _hashes(json, string.concat(at, ".proof"), tokens.length)
                )
            );
            assertTrue(
                verifier.generated(
                    step,
                    tokens[tokens.length - 1],
                    _hashes(json, string.concat(at, ".endProof"), tokens.length)
                )
            );
            assertTrue(
                verifier.step(
                    vm.parseJsonBytes32(json, string.concat(at, ".stepsRoot")),
                    step,
                    vm.parseJsonBytes32Array(json, string.concat(at, ".stepProof"))
                )
            );
        }
    }

    function test_header() public view {
        string memory json = _read("hashing");
        uint256[] memory words = vm.parseJsonUintArray(json, ".header");
        BatchHeader memory h = BatchHeader(
            words[0],
            uint64(words[1]),
            uint32(words[2]),
            bytes32(words[3]),
            bytes32(words[4]),
            uint32(words[5]),
            words[6],
            uint32(words[7]),
            bytes32(words[8]),
            uint64(words[9])
        );
        assertEq(Records.headerHash(h), vm.parseJsonBytes32(json, ".headerHash"));
    }

    function test_paymentAndSeeds() public view {
        string memory json = _read("hashing");
        bytes32 request = vm.parseJsonBytes32(json, ".requestHash");
        bytes32 authorization = keccak256(
            abi.encode(vm.parseJsonUint(json, ".agentId"), request, vm.parseJsonBytes32(json, ".salt"))
        );
        assertEq(authorization, vm.parseJsonBytes32(json, ".authorizationNonce"));
        address client = vm.parseJsonAddress(json, ".client");
        assertEq(keccak256(abi.encode(client, authorization)), vm.parseJsonBytes32(json, ".paymentId"));
        bytes memory signature = vm.parseJsonBytes(json, ".signature");
        bytes32[] memory seeds = vm.parseJsonBytes32Array(json, ".seeds");
        assertGt(seeds.length, 0);
        for (uint32 k; k < seeds.length; ++k) {
            assertEq(keccak256(abi.encodePacked(signature, request, k)), seeds[k]);
        }
        bytes memory entry = abi.encode(
            vm.parseJsonUint(json, ".manifestAssetId"), vm.parseJsonBytes32(json, ".manifestDigest")
        );
        assertEq(IndexedMerkle.leafOf(entry), vm.parseJsonBytes32(json, ".manifestLeaf"));
    }

    function test_commitments() public view {
        string memory json = _read("hashing");
        bytes memory evidence = abi.encode(
            vm.parseJsonAddress(json, ".client"),
            vm.parseJsonBytes32(json, ".salt"),
            vm.parseJsonBytes32(json, ".structHash"),
            vm.parseJsonUint(json, ".stepIndex"),
            vm.parseJsonUint(json, ".tokenIndex")
        );
        assertEq(keccak256(evidence), vm.parseJsonBytes32(json, ".evidenceHash"));
        int256[] memory logprobs = vm.parseJsonIntArray(json, ".tokenLogprobs");
        bytes memory vote = abi.encode(
            31_337,
            vm.parseJsonAddress(json, ".disputes"),
            vm.parseJsonUint(json, ".disputeId"),
            vm.parseJsonUint(json, ".round"),
            vm.parseJsonAddress(json, ".client"),
            logprobs,
            vm.parseJsonInt(json, ".probeLogprob"),
            vm.parseJsonBytes32(json, ".salt")
        );
        assertEq(keccak256(vote), vm.parseJsonBytes32(json, ".voteCommitment"));
        _checkQuestions(json);
    }

    function _checkQuestions(string memory json) private pure {
        address client_ = vm.parseJsonAddress(json, ".client");
        bytes32 salt = vm.parseJsonBytes32(json, ".salt");
        bytes32 subject = vm.parseJsonBytes32(json, ".structHash");
        assertEq(
            keccak256(abi.encode(client_, salt, subject, "shares")),
            vm.parseJsonBytes32(json, ".sharesEvidence")
        );
        bytes memory training =
            abi.encode(client_, salt, subject, uint16(vm.parseJsonUint(json, ".stepIndex")), "training");
        assertEq(keccak256(training), vm.parseJsonBytes32(json, ".trainingEvidence"));
        bytes memory payouts = abi.encode(
            vm.parseJsonBytes32(json, ".payoutRoot"), uint32(vm.parseJsonUint(json, ".payoutCount"))
        );
        assertEq(keccak256(payouts), vm.parseJsonBytes32(json, ".payoutsAnswer"));
        bytes memory answer = abi.encode(
            31_337,
            vm.parseJsonAddress(json, ".disputes"),
            vm.parseJsonUint(json, ".disputeId"),
            vm.parseJsonUint(json, ".round"),
            client_,
            vm.parseJsonBytes32(json, ".answer"),
            vm.parseJsonBytes32(json, ".probeAnswer"),
            salt
        );
        assertEq(keccak256(answer), vm.parseJsonBytes32(json, ".answerCommitment"));
    }

    function test_driftThresholds() public view {
        string memory json = _read("drift");
        uint256[] memory leaves = vm.parseJsonUintArray(json, ".thresholds.leaves");
        uint256[] memory rates = vm.parseJsonUintArray(json, ".thresholds.rate");
        uint256[] memory found = vm.parseJsonUintArray(json, ".thresholds.threshold");
        assertGt(leaves.length, 100);
        for (uint256 i; i < leaves.length; ++i) {
            assertEq(Drift.threshold(leaves[i], rates[i]), found[i]);
        }
        uint256[] memory positions = vm.parseJsonUintArray(json, ".words.position");
        string[] memory whats = vm.parseJsonStringArray(json, ".words.what");
        uint256[] memory words = vm.parseJsonUintArray(json, ".words.word");
        bytes32 seed = vm.parseJsonBytes32(json, ".seed");
        for (uint256 i; i < words.length; ++i) {
            assertEq(uint256(keccak256(abi.encode(seed, positions[i], whats[i]))), words[i]);
        }
    }

    function _deployLog(address at, uint256 chainId) private {
        vm.chainId(chainId);
        bytes memory args = abi.encode(
            new OpenToken(),
            IAgentRegistry(address(1)),
            IParameters(address(2)),
            IStakeVault(address(3)),
            IRewardPool(address(4))
        );
        deployCodeTo("ActionLog.sol:ActionLog", args, at);
        actionLog = ActionLog(at);
    }

    function _recordAt(string memory json, uint256 i) private pure returns (ActionRecord memory r) {
        r.agentId = _uintAt(json, ".records.agentId", i);
        r.nonce = uint64(_uintAt(json, ".records.nonce", i));
        r.epoch = uint32(_uintAt(json, ".records.epoch", i));
        r.client = vm.parseJsonAddressArray(json, ".records.client")[i];
        r.paymentId = _bytes32At(json, ".records.paymentId", i);
        r.status = uint8(_uintAt(json, ".records.status", i));
        r.requestHash = _bytes32At(json, ".records.requestHash", i);
        r.outputHash = _bytes32At(json, ".records.outputHash", i);
        r.stepsRoot = _bytes32At(json, ".records.stepsRoot", i);
        r.ruleId = _bytes32At(json, ".records.ruleId", i);
        r.fee = _uintAt(json, ".records.fee", i);
        r.replayClass = uint8(_uintAt(json, ".records.replayClass", i));
        r.seedSource = uint8(_uintAt(json, ".records.seedSource", i));
        r.anchorBy = uint64(_uintAt(json, ".records.anchorBy", i));
        r.contentDigest = _bytes32At(json, ".records.contentDigest", i);
    }

    /// @dev The leaves as this side understands them: prefix hashes are recomputed from the token ids.
    function _tokens(string memory json, string memory at) private pure returns (TokenLeaf[] memory leaves) {
        uint256[] memory ids = _uints(json, string.concat(at, ".tokens"));
        int256[] memory logprobs =
            ids.length == 0 ? new int256[](0) : vm.parseJsonIntArray(json, string.concat(at, ".logprobs"));
        bytes32[] memory prefixes = vm.parseJsonBytes32Array(json, string.concat(at, ".prefixes"));
        bytes32 seed = vm.parseJsonBytes32(json, string.concat(at, ".seed"));
        uint256[] memory prompt = _uints(json, string.concat(at, ".prompt"));
        bytes memory packed;
        for (uint256 i; i < prompt.length; ++i) {
            packed = abi.encodePacked(packed, uint32(prompt[i]));
        }
        bytes32 prefix = keccak256(packed);
        leaves = new TokenLeaf[](ids.length + 1);
        for (uint32 t; t < ids.length; ++t) {
            assertEq(prefix, prefixes[t]);
            leaves[t] = TokenLeaf(t, prefix, uint32(ids[t]), int32(logprobs[t]), seed, 0);
            prefix = keccak256(abi.encodePacked(prefix, uint32(ids[t])));
        }
        assertEq(prefix, prefixes[ids.length]);
        uint8 finish = uint8(vm.parseJsonUint(json, string.concat(at, ".finish")));
        leaves[ids.length] = TokenLeaf(uint32(ids.length), prefix, type(uint32).max, 0, seed, finish);
    }

    function _assertPayout(
        string memory json,
        string memory at,
        SumNode memory root,
        Payout[] memory payouts,
        uint32 index
    ) private view {
        bytes32[] memory hashes = _hashes(json, string.concat(at, "Hashes"), payouts.length);
        SumNode[] memory proof = new SumNode[](hashes.length);
        if (hashes.length != 0) {
            uint256[] memory sums = vm.parseJsonUintArray(json, string.concat(at, "Sums"));
            for (uint256 i; i < proof.length; ++i) {
                proof[i] = SumNode(hashes[i], sums[i]);
            }
        }
        assertTrue(verifier.sums(root, payouts.length, index, payouts[index], proof));
        payouts[index].amount += 1;
        assertFalse(verifier.sums(root, payouts.length, index, payouts[index], proof));
        payouts[index].amount -= 1;
    }

    /// @dev A proof; the tree of one leaf has an empty one.
    function _hashes(string memory json, string memory key, uint256 count)
        private
        pure
        returns (bytes32[] memory hashes)
    {
        if (count > 1) hashes = vm.parseJsonBytes32Array(json, key);
    }

    function _uints(string memory json, string memory key) private pure returns (uint256[] memory) {
        return vm.parseJsonUintArray(json, key);
    }

    function _uintAt(string memory json, string memory key, uint256 i) private pure returns (uint256) {
        return vm.parseJsonUintArray(json, key)[i];
    }

    function _bytes32At(string memory json, string memory key, uint256 i) private pure returns (bytes32) {
        return vm.parseJsonBytes32Array(json, key)[i];
    }

    function _read(string memory name) private view returns (string memory) {
        return vm.readFile(string.concat("../tests/vectors/", name, ".json"));
    }
}
