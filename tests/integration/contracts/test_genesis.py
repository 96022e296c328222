"""The genesis file starts a chain, and the devnet is such a chain."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path

from ports import free_port
from typer.testing import CliRunner

from openledger.cli import app
from openledger.contracts import Chain, Devnet, deploy
from openledger.contracts._deploy import address_of
from openledger.contracts._devnet import _find_anvil
from openledger.errors import ChainError


def test_a_chain_starts_from_the_file(tmp_path: Path) -> None:
    path = tmp_path / "genesis.json"
    deployer = "0x00000000000000000000000000000000000000aA"
    shares = ("community", "team", "investors", "liquidity")
    options = ["--chain-id", "4242", "--out", str(path), "--deployer", deployer]
    for number, share in enumerate(shares, 1):
        options += ["--holder", f"{share}=0x{number:040x}"]
    made = CliRunner().invoke(app, ["genesis", *options])
    assert made.exit_code == 0, made.output
    assert "517,100,000 OPEN" in made.output
    port = free_port()
    command = [str(_find_anvil()), "--port", str(port), "--chain-id", "4242", "--accounts", "1"]
    with subprocess.Popen(
        [*command, "--balance", "0", "--init", str(path), "--quiet"], stdin=subprocess.DEVNULL
    ) as anvil:
        try:
            chain = connect(f"http://127.0.0.1:{port}")
            assert chain.balance(f"0x{1:040x}") == 517_100_000 * 10**18
            # the ecosystem's share waits where the Treasury will be
            assert chain.balance(address_of("Treasury", deployer)) == 100_000_000 * 10**18
            held = json.loads(path.read_text())["alloc"]
            assert sum(chain.balance(address) for address in held) == 10**27
        finally:
            anvil.terminate()


def test_the_devnet_begins_with_all_of_it(tmp_path: Path) -> None:
    with Devnet.start(tmp_path) as devnet:
        chain = devnet.connect()
        assert sum(chain.balance(account.address) for account in devnet.accounts) == 10**27
        alloc = json.loads((devnet.home / "genesis.json").read_text())["alloc"]
        assert set(alloc) == {account.address.lower() for account in devnet.accounts}
        treasury = address_of("Treasury", devnet.accounts[0].address)
        contracts = deploy(chain, devnet.accounts[0], tmp_path)
        assert contracts.treasury.address == treasury
        spent = 10**27 - sum(chain.balance(account.address) for account in devnet.accounts)
        assert 0 < spent < 10**18  # gas
    with Devnet.start(tmp_path) as again:
        assert sum(again.connect().balance(account.address) for account in again.accounts) == 10**27 - spent


def connect(url: str) -> Chain:
    deadline = time.monotonic() + 600
    while True:
        try:
            return Chain.connect(url)
        except ChainError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
