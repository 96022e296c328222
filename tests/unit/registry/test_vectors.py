"""The vectors shared with the contracts: unchanged, and right by independent libraries."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from eth_abi import encode as abi_encode
from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_utils import keccak

VECTORS = Path(__file__).parents[2] / "vectors"


def _make() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_vectors", VECTORS / "make.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


MAKE = _make()


@pytest.mark.parametrize("name", sorted(MAKE.FILES))
def test_the_committed_vectors_are_what_the_code_computes(name: str) -> None:
    assert json.loads((VECTORS / name).read_text()) == MAKE.FILES[name](), "run python tests/vectors/make.py"


def _load(name: str) -> Any:
    return json.loads((VECTORS / name).read_text())


RECORD = (
    "uint256 agentId,uint64 nonce,uint32 epoch,address client,bytes32 paymentId,uint8 status,bytes32 requestHash,"
    "bytes32 outputHash,bytes32 stepsRoot,bytes32 ruleId,uint256 fee,uint8 replayClass,uint8 seedSource,"
    "uint64 anchorBy,bytes32 contentDigest"
)
TICKET = "uint256 agentId,uint32 epoch,bytes32 paymentId,bytes32 requestHash,uint64 anchorBy"


@pytest.mark.parametrize(
    ("key", "name", "fields"), [("records", "ActionRecord", RECORD), ("tickets", "Ticket", TICKET)]
)
def test_eip712_agrees_with_eth_account(key: str, name: str, fields: str) -> None:
    vectors = _load("eip712.json")
    types = [dict(zip(("type", "name"), field.split(), strict=True)) for field in fields.split(",")]
    domain = {
        "name": "OpenLedger",
        "version": "1",
        "chainId": int(vectors["chainId"]),
        "verifyingContract": vectors["verifyingContract"],
    }
    rows = vectors[key]
    for i in range(len(rows["agentId"])):
        message = {
            field["name"]: int(rows[field["name"]][i])
            if field["type"].startswith("uint")
            else rows[field["name"]][i]
            for field in types
        }
        signable = encode_typed_data(domain_data=domain, message_types={name: types}, message_data=message)
        assert "0x" + signable.body.hex() == rows["structHash"][i]
        assert "0x" + signable.header.hex() == vectors["domainSeparator"]
        assert Account.recover_message(signable, signature=rows["signature"][i]) == vectors["signer"]


def _leaf(types: list[str], values: list[Any]) -> str:
    return "0x" + keccak(keccak(abi_encode(types, values))).hex()


def _raw(text: str) -> bytes:
    return bytes.fromhex(text[2:])


def test_leaves_agree_with_eth_abi() -> None:
    vectors = _load("prefix_hash.json")
    for number in range(int(vectors["cases"])):
        case = vectors[f"case{number}"]
        tokens, count = [int(token) for token in case["tokens"]], int(case["count"])
        prefix = keccak(b"".join(int(token).to_bytes(4, "big") for token in case["prompt"]))
        for i in range(count):
            assert case["prefixes"][i] == "0x" + prefix.hex()
            last = i == count - 1
            token = 0xFFFFFFFF if last else tokens[i]
            values = [i, prefix, token, 0 if last else int(case["logprobs"][i]), _raw(case["seed"]),
                      int(case["finish"]) if last else 0]  # fmt: skip
            assert case["leaves"][i] == _leaf(
                ["uint32", "bytes32", "uint32", "int32", "bytes32", "uint8"], values
            )
            if not last:
                prefix = keccak(prefix + token.to_bytes(4, "big"))
        types = ["uint16", "uint8", "uint256", "bytes32", "bytes32", "bytes32", "uint32", "bytes32"]
        step = [0, 0, 5, _raw(case["contentDigest"]), _raw(case["prefixes"][0]), _raw(case["generationRoot"]), count,
                _raw(case["detailDigest"])]  # fmt: skip
        assert case["stepLeaf"] == _leaf(types, step)
    sums = _load("merkle_sum.json")
    for number in range(int(sums["cases"])):
        case = sums[f"case{number}"]
        for i, leaf in enumerate(case["leaves"]):
            values = [i, case["accounts"][i], int(case["amounts"][i])]
            assert leaf == _leaf(["uint32", "address", "uint256"], values)
    one = sums["case0"]
    assert (one["root"], one["sum"]) == (one["leaves"][0], one["amounts"][0])
    two = sums["case1"]
    node = [_raw(two["leaves"][0]), int(two["amounts"][0]), _raw(two["leaves"][1]), int(two["amounts"][1])]
    assert two["root"] == "0x" + keccak(abi_encode(["bytes32", "uint256", "bytes32", "uint256"], node)).hex()


def test_identifiers_agree_with_eth_abi() -> None:
    case = _load("hashing.json")
    request, salt = _raw(case["requestHash"]), _raw(case["salt"])

    def hashed(types: list[str], values: list[Any]) -> str:
        return "0x" + keccak(abi_encode(types, values)).hex()

    nonce = hashed(["uint256", "bytes32", "bytes32"], [3, request, salt])
    assert case["authorizationNonce"] == nonce
    assert case["paymentId"] == hashed(["address", "bytes32"], [case["client"], _raw(nonce)])
    for step, seed in enumerate(case["seeds"]):
        assert seed == "0x" + keccak(_raw(case["signature"]) + request + step.to_bytes(4, "big")).hex()
    assert case["manifestLeaf"] == _leaf(["uint256", "bytes32"], [5, _raw(case["manifestDigest"])])
    assert case["evidenceHash"] == hashed(
        ["address", "bytes32", "bytes32", "uint256", "uint256"],
        [case["client"], salt, _raw(case["structHash"]), 2, 31],
    )
    types = ["uint256", "address", "uint256", "uint256", "address", "int32[]", "int32", "bytes32"]
    values = [31337, case["disputes"], 4, 0, case["client"], [-12345, 0, -77], -1_000_000, salt]
    assert case["voteCommitment"] == hashed(types, values)
    types = [
        "uint256",
        "uint64",
        "uint32",
        "bytes32",
        "bytes32",
        "uint32",
        "uint256",
        "uint32",
        "bytes32",
        "uint64",
    ]
    given = [_raw(value) if value.startswith("0x") else int(value) for value in case["header"]]
    assert case["headerHash"] == hashed(types, given)
