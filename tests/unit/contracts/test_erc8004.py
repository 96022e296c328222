"""The registries have every function and event that the ERC-8004 reference contracts publish."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from eth_utils.crypto import keccak

from openledger.contracts import artifact

PUBLISHED = json.loads((Path(__file__).parents[2] / "vectors/erc8004.json").read_text())
OURS = {
    "IdentityRegistry": "AgentRegistry",
    "ReputationRegistry": "ReputationRegistry",
    "ValidationRegistry": "ValidationRegistry",
}
ROWS = [
    pytest.param(OURS[registry], row, id=f"{registry}.{row['signature']}")
    for registry, rows in PUBLISHED["registries"].items()
    for row in rows
]


def kind(given: dict[str, Any]) -> str:
    """The canonical type of a parameter, tuples spelt out."""
    name = str(given["type"])
    if name.startswith("tuple"):
        return "(" + ",".join(kind(part) for part in given["components"]) + ")" + name[5:]
    return name


def signature(entry: dict[str, Any]) -> str:
    return f"{entry['name']}({','.join(kind(given) for given in entry['inputs'])})"


@pytest.mark.parametrize(("contract", "row"), ROWS)
def test_published_is_ours(contract: str, row: dict[str, Any]) -> None:
    published = row["abi"]
    assert signature(published) == row["signature"]
    found = [
        entry
        for entry in artifact(contract).abi
        if entry["type"] == published["type"] and signature(entry) == row["signature"]
    ]
    assert len(found) == 1, f"{contract} has no {row['signature']}"
    ours = found[0]
    digest = keccak(row["signature"].encode())
    if published["type"] == "event":
        assert row["topic"] == "0x" + digest.hex()
        assert ours["anonymous"] == published["anonymous"]
        # what indexers decode by: which fields are topics, and what they are called
        assert [(given["name"], given["indexed"]) for given in ours["inputs"]] == [
            (given["name"], given["indexed"]) for given in published["inputs"]
        ]
        return
    assert row["selector"] == "0x" + digest[:4].hex()
    assert [kind(given) for given in ours["outputs"]] == [kind(given) for given in published["outputs"]]
    assert ours["stateMutability"] == published["stateMutability"]


def test_every_registry_is_covered() -> None:
    assert set(PUBLISHED["registries"]) == set(OURS)
    signatures = {row["signature"] for rows in PUBLISHED["registries"].values() for row in rows}
    assert {"register()", "register(string)", "register(string,(string,bytes)[])"} <= signatures
    assert "isAuthorizedOrOwner(address,uint256)" in signatures
    assert not {name.split("(")[0] for name in signatures} & set(PUBLISHED["omitted"]["functions"])
