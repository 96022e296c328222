"""The parts of the chain client that need no chain."""

from __future__ import annotations

from pathlib import Path

import pytest
from eth_abi import encode
from eth_utils import keccak

from openledger.contracts import CONTRACTS, Deployment, Devnet, artifact, artifact_names, decode_revert
from openledger.errors import ChainError


def test_every_contract_ships_with_abi_and_bytecode() -> None:
    for name in CONTRACTS:
        assert artifact(name).abi
        assert len(artifact(name).bytecode) > 1000
        assert name in artifact_names()
    with pytest.raises(ChainError, match="Nothing is missing"):
        artifact("Nothing")


def _error(signature: str, types: list[str], values: list[object]) -> bytes:
    return keccak(text=signature)[:4] + encode(types, values)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (_error("UnknownAsset(uint256)", ["uint256"], [7]), "UnknownAsset(assetId=7)"),
        # of two contracts that name its field differently
        (_error("TooEarly(uint256)", ["uint256"], [7]), "TooEarly(7)"),
        (_error("Error(string)", ["string"], ["no"]), "no"),
        (_error("Panic(uint256)", ["uint256"], [0x11]), "Panic(arithmetic overflow)"),
        (_error("Panic(uint256)", ["uint256"], [0x99]), "Panic(0x99)"),
        (b"", "reverted without a reason"),
        (b"\x01\x02\x03\x04", "unknown error 0x01020304"),
        (keccak(text="UnknownAsset(uint256)")[:4] + b"\x01", "undecodable error"),
    ],
)
def test_reverts_are_readable(data: bytes, text: str) -> None:
    assert decode_revert(data).startswith(text)


def test_errors_with_several_fields_name_each() -> None:
    data = _error("ERC20InsufficientBalance(address,uint256,uint256)", ["address", "uint256", "uint256"],
                  ["0x" + "11" * 20, 1, 2])  # fmt: skip
    assert decode_revert(data) == f"ERC20InsufficientBalance(sender=0x{'11' * 20}, balance=1, needed=2)"


def test_a_deployment_record_comes_back(tmp_path: Path) -> None:
    made = Deployment(
        31337, 3, "0x" + "11" * 20, {"OpenToken": "0x" + "22" * 20}, {"OpenToken": "0x33"}, "0x44"
    )
    assert made.save(tmp_path) == tmp_path / "deployments" / "31337.json"
    assert Deployment.load(tmp_path, 31337) == made
    assert Deployment.load(tmp_path, 1) is None


def test_a_missing_anvil_names_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from openledger.contracts import _devnet

    monkeypatch.setattr(_devnet, "_ANVIL", tmp_path / "anvil")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ChainError, match="anvil is missing") as caught:
        Devnet.start(tmp_path)
    assert "make setup" in caught.value.fix


def test_a_stale_note_of_a_devnet_is_not_believed(tmp_path: Path) -> None:
    folder = tmp_path / "devnet"
    folder.mkdir()
    for note in ("", "{}", '{"pid": 1, "port": 9, "chain_id": 31337, "started": 5}', '{"pid": "x"}'):
        (folder / "devnet.json").write_text(note)
        assert Devnet.running(tmp_path) is None
