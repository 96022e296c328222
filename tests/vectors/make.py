"""Write the vectors that the Python and the Solidity tests share: ``python tests/vectors/make.py``.

Flat JSON for forge's ``vm.parseJson``: bytes as 0x…, every integer a decimal string, one array a field.
The unit tests fail when these files and the code differ.
"""

from __future__ import annotations

import json
from fractions import Fraction
from math import comb
from pathlib import Path
from typing import Any

from eth_account import Account

from openledger.registry import (
    ActionRecord,
    BatchHeader,
    Domain,
    Generation,
    MerkleTree,
    ReplayClass,
    SeedSource,
    Status,
    StepLeaf,
    SumTree,
    Ticket,
    answer_commitment,
    authorization_nonce,
    evidence_hash,
    keccak,
    manifest_leaf,
    payment_id,
    payout_leaf,
    payout_tree,
    payouts_answer,
    position_word,
    record_leaf,
    shares_evidence_hash,
    split_income,
    step_seed,
    steps_tree,
    training_evidence_hash,
    vote_commitment,
)

HERE = Path(__file__).parent
DOMAIN = Domain(31337, "0x5FbDB2315678afecb367f032d93F642f64180aa3")
CLIENT = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"


def h(label: str) -> bytes:
    return keccak(label.encode())


def x(value: bytes) -> str:
    return "0x" + value.hex()


def _columns(rows: list[dict[str, Any]]) -> dict[str, list[str]]:
    return {key: [str(row[key]) for row in rows] for key in rows[0]}


def eip712() -> dict[str, Any]:
    key = Account.from_key(h("record key"))
    records, tickets = [], []
    for i in range(4):
        big = i == 3  # every integer at its type's maximum
        record = ActionRecord(
            agent_id=2**256 - 1 if big else i + 1, nonce=2**64 - 1 if big else 7 * i, epoch=2**32 - 1 if big else i,
            client=CLIENT, payment_id=h(f"payment{i}"), status=Status(1 + i % 3), request_hash=h(f"request{i}"),
            output_hash=h(f"output{i}"), steps_root=h(f"steps{i}") if i else bytes(32), rule_id=h("rule"),
            fee=2**256 - 1 if big else 10**18 + i, replay_class=ReplayClass(1 + i % 3),
            seed_source=SeedSource(1 + i % 2), anchor_by=2**64 - 1 if big else 1_790_000_000 + i,
            content_digest=h(f"content{i}"),
        )  # fmt: skip
        ticket = Ticket(
            record.agent_id, record.epoch, record.payment_id, record.request_hash, record.anchor_by
        )
        for struct, rows in ((record, records), (ticket, tickets)):
            rows.append(
                struct.to_json()
                | {
                    "structHash": x(struct.struct_hash()),
                    "digest": x(struct.digest(DOMAIN)),
                    "signature": x(struct.sign(key, DOMAIN)),
                }
            )
    return {
        "chainId": str(DOMAIN.chain_id),
        "verifyingContract": DOMAIN.verifying_contract,
        "domainSeparator": x(DOMAIN.separator()),
        "recordTypeHash": x(keccak(ActionRecord.type_string().encode())),
        "ticketTypeHash": x(keccak(Ticket.type_string().encode())),
        "signer": key.address,
        "records": _columns(records),
        "tickets": _columns(tickets),
    }


def merkle() -> dict[str, Any]:
    cases: dict[str, Any] = {"cases": "7"}
    for number, count in enumerate((1, 2, 3, 5, 8, 13, 64)):
        structs = [h(f"struct{count}.{i}") for i in range(count)]
        leaves = [record_leaf(value, 0)[0] for value in structs]
        tree = MerkleTree(leaves)
        index = count // 2 if count > 1 else 0
        cases[f"case{number}"] = {
            "count": str(count),
            "index": str(index),
            "structHashes": [x(value) for value in structs],
            "leaves": [x(value) for value in leaves],
            "root": x(tree.root),
            "proof": [x(value) for value in tree.proof(index)],
            "lastProof": [x(value) for value in tree.proof(count - 1)],
        }
    return cases


def merkle_sum() -> dict[str, Any]:
    cases: dict[str, Any] = {"cases": "6"}
    for number, count in enumerate((1, 2, 3, 5, 8, 13)):
        payouts = [(x(h(f"account{i}")[:20]), 10**18 * i + 7 * count) for i in range(count)]
        tree = payout_tree(payouts)
        structs = [h(f"struct{count}.{i}") for i in range(count)]
        charged = zip(structs, (amount for _, amount in payouts), strict=True)
        records = SumTree([record_leaf(value, amount) for value, amount in charged])
        index = count // 2 if count > 1 else 0
        proof, last = tree.proof(index), tree.proof(count - 1)
        cases[f"case{number}"] = {
            "count": str(count),
            "index": str(index),
            "accounts": [account for account, _ in payouts],
            "amounts": [str(amount) for _, amount in payouts],
            "leaves": [x(payout_leaf(i, *payout)[0]) for i, payout in enumerate(payouts)],
            "root": x(tree.root[0]),
            "sum": str(tree.root[1]),
            "structHashes": [x(value) for value in structs],
            "recordRoot": x(records.root[0]),
            "proofHashes": [x(node) for node, _ in proof],
            "proofSums": [str(amount) for _, amount in proof],
            "lastProofHashes": [x(node) for node, _ in last],
            "lastProofSums": [str(amount) for _, amount in last],
        }
    return cases


def prefix_hash() -> dict[str, Any]:
    cases: dict[str, Any] = {"cases": "3"}
    for number, (prompt, tokens, finish) in enumerate(
        (
            ([1, 2, 3], [10, 4_294_967_294, 0, 77, 5], 1),
            ([9], [], 2),
            (list(range(300)), list(range(1000, 1064)), 2),
        )
    ):
        logprobs = [-17 * i if i % 5 else -1_000_000 for i in range(len(tokens))]
        made = Generation(prompt, tokens, logprobs, h(f"seed{number}"), finish)
        index = len(tokens) // 2
        step = StepLeaf(0, 0, 5, h("adapter"), made.prefixes[0], made.root, made.count, h("detail"))
        tool = StepLeaf(1, 1, detail_digest=h("tool"))
        steps = steps_tree([step, tool])
        cases[f"case{number}"] = {
            "prompt": [str(token) for token in prompt],
            "tokens": [str(token) for token in tokens],
            "logprobs": [str(value) for value in logprobs],
            "seed": x(made.seed),
            "finish": str(finish),
            "prefixes": [x(value) for value in made.prefixes],
            "leaves": [x(made.leaf(i).hash()) for i in range(made.count)],
            "count": str(made.count),
            "generationRoot": x(made.root),
            "index": str(index),
            "proof": [x(value) for value in made.proof(index)],
            "endProof": [x(value) for value in made.proof(made.count - 1)],
            "assetId": "5",
            "contentDigest": x(h("adapter")),
            "detailDigest": x(h("detail")),
            "stepLeaf": x(step.hash()),
            "toolLeaf": x(tool.hash()),
            "stepsRoot": x(steps.root),
            "stepProof": [x(value) for value in steps.proof(0)],
        }
    return cases


def hashing() -> dict[str, Any]:
    header = BatchHeader(3, 17, 5, h("records"), h("payouts"), 4, 10**20, 2, h("batch"), 1_790_000_000)
    nonce = authorization_nonce(3, h("request"), h("salt"))
    signature = Account.from_key(h("client")).unsafe_sign_hash(h("authorization")).signature
    return {
        "header": [str(value) if isinstance(value, int) else x(value) for value in header.to_abi()],
        "headerHash": x(header.hash()),
        "agentId": "3",
        "requestHash": x(h("request")),
        "salt": x(h("salt")),
        "client": CLIENT,
        "authorizationNonce": x(nonce),
        "paymentId": x(payment_id(CLIENT, nonce)),
        "signature": x(bytes(signature)),
        "seeds": [x(step_seed(bytes(signature), h("request"), step)) for step in range(3)],
        "manifestAssetId": "5",
        "manifestDigest": x(h("adapter")),
        "manifestLeaf": x(manifest_leaf(5, h("adapter"))),
        "structHash": x(h("struct")),
        "stepIndex": "2",
        "tokenIndex": "31",
        "evidenceHash": x(evidence_hash(CLIENT, h("salt"), h("struct"), 2, 31)),
        "disputes": DOMAIN.verifying_contract,
        "disputeId": "4",
        "round": "0",
        "tokenLogprobs": ["-12345", "0", "-77"],
        "probeLogprob": "-1000000",
        "voteCommitment": x(
            vote_commitment(
                31337, DOMAIN.verifying_contract, 4, 0, CLIENT, [-12345, 0, -77], -1_000_000, h("salt")
            )
        ),
        "sharesEvidence": x(shares_evidence_hash(CLIENT, h("salt"), h("struct"))),
        "trainingEvidence": x(training_evidence_hash(CLIENT, h("salt"), h("struct"), 2)),
        "payoutRoot": x(h("payouts")),
        "payoutCount": "64",
        "payoutsAnswer": x(payouts_answer(h("payouts"), 64)),
        "answer": x(h("answer")),
        "probeAnswer": x(h("probe")),
        "answerCommitment": x(
            answer_commitment(
                31337, DOMAIN.verifying_contract, 4, 0, CLIENT, h("answer"), h("probe"), h("salt")
            )
        ),
    }


def royalties() -> dict[str, Any]:
    cases: dict[str, Any] = {}
    given = [
        (10**18, []),
        (0, [500, 250]),
        (1, [10_000]),
        (100, [10_000, 5_000]),
        (10**18 + 7, [0, 1, 333, 9_999]),
        (2**256 - 1, [10_000] * 16),
        (2**256 - 1, [1_234, 77]),
        (123_456_789_012_345_678, [601 + 13 * i for i in range(16)]),
    ]
    for number, (amount, asked) in enumerate(given):
        to_owner, to_parents = split_income(amount, asked)
        cases[f"case{number}"] = {
            "amount": str(amount),
            "royalties": [str(bps) for bps in asked],
            "toOwner": str(to_owner),
            "toParents": [str(part) for part in to_parents],
        }
    return {"cases": str(len(given)), **cases}


def drift() -> dict[str, Any]:
    """Thresholds by an exact search over binomial coefficients, and the words that fix drawn positions."""
    rows = [
        {"leaves": leaves, "rate": rate, "threshold": threshold(leaves, rate)}
        for leaves in (1, 2, 3, 32, 33, 64, 65, 100, 128, 200, 255, 256)
        for rate in (1, 2, 10, 42, 999, 1000, 1001, 9_999, 10_000)
    ]
    words = [
        {"position": i, "what": what, "word": position_word(h("seed"), i, what)}
        for i in (0, 1, 63)
        for what in ("record", "step", "token")
    ]
    return {"thresholds": _columns(rows), "seed": x(h("seed")), "words": _columns(words)}


def threshold(leaves: int, rate: int) -> int:
    bound = Fraction(rate, 10**9)
    return next(m for m in range(1, leaves + 60) if comb(leaves, m) * Fraction(1, 1000) ** m <= bound)


FILES = {
    "eip712.json": eip712,
    "merkle.json": merkle,
    "merkle_sum.json": merkle_sum,
    "prefix_hash.json": prefix_hash,
    "hashing.json": hashing,
    "royalties.json": royalties,
    "drift.json": drift,
}

if __name__ == "__main__":
    for name, build in FILES.items():
        (HERE / name).write_text(json.dumps(build(), indent=1) + "\n")
