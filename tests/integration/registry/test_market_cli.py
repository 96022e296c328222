"""``openledger asset …`` and ``openledger license …`` as a user types them, on a devnet of its own."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from openledger.contracts import Devnet
from openledger.errors import ChainError, UserError
from openledger.registry import Connection, cid_of

Run = Callable[..., Result]


@pytest.fixture
def terms(tmp_path: Path) -> Path:
    path = tmp_path / "terms.txt"
    path.write_text("Use it, name us.")
    return path


def _asset(read: Callable[..., Any], text: str, *more: object) -> int:
    made = read("asset", "register", "datanet", cid_of(text.encode()), "--licence", "CC-BY-4.0", *more)
    return int(made["assetId"])


def test_assets_are_registered_versioned_and_revoked(run: Run, read: Callable[..., Any]) -> None:
    datanet = _asset(read, "rows", "--royalty", 1000)
    model = int(read("asset", "register", "model", cid_of(b"m", "dag-pb"), "--parent", datanet)["assetId"])
    assert [one["assetId"] for one in read("asset", "lineage", model)] == [model, datanet]
    assert "datanet" in run("asset", "lineage", model).stdout
    assert read("asset", "version", datanet, cid_of(b"more rows"))["version"] == 2
    output = run("asset", "tombstone", datanet, "--dry-run").stdout
    assert "cannot be undone" in output
    assert "nothing was signed or sent" in output
    assert read("asset", "show", datanet)["revoked"] is False
    run("asset", "tombstone", datanet)
    shown = read("asset", "show", datanet)
    assert shown["revoked"] is True
    assert shown["tombstonedAt"] > 0
    assert (shown["kind"], shown["version"], shown["royaltyBps"]) == ("datanet", 2, 1000)
    assert "revoked 20" in run("asset", "show", datanet).stdout
    run("asset", "version", datanet, cid_of(b"again"), fails=ChainError)
    run("asset", "show", 4040, fails=UserError)
    run("asset", "register", "datanet", "nonsense", fails=UserError)


def test_income_is_paid_and_distributed(run: Run, read: Callable[..., Any], devnet: Devnet) -> None:
    datanet = _asset(read, "parent", "--royalty", 1000, "--as", 1)
    child = _asset(read, "child", "--parent", datanet, "--as", 2)
    dry = run("asset", "income", child, "--pay", "2.5", "--dry-run").stdout
    assert "Pays 2.5 OPEN" in dry
    assert "nothing was signed or sent" in dry
    assert read("asset", "income", child)["income"] == "0"
    run("asset", "income", child, "--pay", "2.5")
    found = read("asset", "income", child)
    assert found["income"] == str(25 * 10**17)
    assert found["toParents"] == {str(datanet): str(25 * 10**16)}
    assert "to the owner: 2.25 OPEN" in run("asset", "income", child).stdout
    paid = read("asset", "income", child, "--distribute")["paid"]
    ann, ben = devnet.accounts[1].address, devnet.accounts[2].address
    assert paid == {ben: str(225 * 10**16), ann: str(25 * 10**16)}
    history = read("asset", "income", datanet)["history"]
    assert [line["amount"] for line in history] == [str(25 * 10**16), str(-25 * 10**16)]
    run("asset", "income", child, "--pay", "1", "--distribute", fails=UserError)
    run("asset", "income", child, "--pay", "-1", fails=UserError)


def test_a_licence_is_offered_bought_renewed_and_given_away(
    run: Run, read: Callable[..., Any], terms: Path, devnet: Devnet
) -> None:
    asset = _asset(read, "lease")
    offered = run(
        "license", "offer", asset, "1.5", terms, "--duration", "30d", "--transferable", "--count", 3, "--json"
    )
    offer = json.loads(offered.stdout)
    assert "3 licences" in offered.stderr
    number, buyer = offer["offerId"], devnet.accounts[3].address
    dry = run("license", "buy", number, "--as", 3, "--dry-run").stdout
    assert "Pays 1.5 OPEN" in dry
    assert f"moves     1.5 OPEN from {buyer} to LicenseMarket" in dry
    assert offer["terms"] in dry
    assert read("license", "show", asset)["licences"] == []
    run("license", "show", asset, "--holder", buyer, exits=1)
    licence = read("license", "buy", number, "--as", 3, "--max-price", "1.5")
    assert licence["holder"] == buyer
    assert run("license", "show", asset, "--holder", buyer).stdout.strip() == "licensed"
    renewed = read("license", "renew", licence["licenceId"], "--as", 3)
    assert renewed["expiresAt"] - licence["expiresAt"] == 30 * 86_400
    other = devnet.accounts[4].address
    run("license", "transfer", licence["licenceId"], other, "--as", 3)
    listed = read("license", "show", asset)
    assert listed["licences"][0]["holder"] == other
    assert listed["licences"][0]["inForce"] is True
    assert (listed["offers"][0]["sold"], listed["offers"][0]["maxCount"]) == (1, 3)
    assert "in force until" in run("license", "show", asset).stdout
    changed = read("license", "change", number, "--price", "2", "--close")
    assert (changed["price"], changed["open"]) == (str(2 * 10**18), False)
    run("license", "buy", number, "--max-price", "1.5", fails=UserError)
    error = run("license", "buy", number, "--as", 3, fails=ChainError).exception
    assert isinstance(error, ChainError)
    assert (error.revert or "").startswith("OfferClosed")
    run("license", "buy", number, "--for", "nobody", fails=UserError)
    run("license", "offer", asset, "1", terms, "--duration", "soon", fails=UserError)
    run("license", "offer", asset, "1", "no such file", fails=UserError)


def test_keys_are_granted_or_the_money_goes_back(
    run: Run, read: Callable[..., Any], terms: Path, devnet: Devnet, tmp_path: Path
) -> None:
    asset = _asset(read, "private")
    offer = read("license", "offer", asset, "1", terms, "--grant-within", "2d")["offerId"]
    granted = read("license", "buy", offer, "--as", 3)
    waiting = read("license", "buy", offer, "--as", 3)
    assert granted["held"] == str(10**18)
    assert "key awaited until" in run("license", "show", asset).stdout
    key = tmp_path / "key"
    key.write_bytes(b"wrapped for the holder")
    assert read("license", "grant", granted["licenceId"], key)["released"] == str(10**18)
    assert read("license", "show", asset)["licences"][0]["keys"] == ["0x" + key.read_bytes().hex()]
    run("license", "refund", waiting["licenceId"], "--as", 3, fails=ChainError)
    with Connection.open() as connection:
        connection.chain.advance(2 * 86_400 + 1)
    assert "no key came" in run("license", "show", asset).stdout
    back = read("license", "refund", waiting["licenceId"], "--as", 3)
    assert (back["payer"], back["amount"]) == (devnet.accounts[3].address, str(10**18))
    assert len(read("license", "show", asset)["licences"]) == 1
    run("license", "grant", granted["licenceId"], "no such file", fails=UserError)
    run("license", "refund", 4040, fails=UserError)
