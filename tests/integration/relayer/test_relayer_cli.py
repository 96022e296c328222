"""``openledger relay serve`` and a user's command through it, as they are typed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from eth_account import Account
from ports import free_port

from openledger.contracts import Devnet
from openledger.errors import UserError
from openledger.registry import Connection
from openledger.settings import Settings, get_settings

OPEN = 10**18
Run = Callable[..., Any]


def ready(url: str) -> bool:
    """It listens at once, and says that it is starting."""
    try:
        return bool(httpx.get(url + "/healthz", timeout=60).json()["status"] == "ok")
    except httpx.HTTPError:
        return False


def test_a_user_without_coin_types_a_command(
    run: Run, devnet: Devnet, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Connection.open(Settings(home=devnet.home.parent)) as connection:
        agent = connection.agents.register(devnet.accounts[1], "delegated to", "a test")
        rich, user = connection.as_(devnet.accounts[2]), Account.create()
        rich.wrap(5 * OPEN)
        rich.send(rich.contracts.token.functions.transfer(user.address, 5 * OPEN))
    run("stake", "add", agent, 100, "--as", 1)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "openledger.cli", "relay", "serve", "--port", str(port), "--as", "9"]
    relayer = subprocess.Popen(command, env={**os.environ, "OPENLEDGER_HOME": str(devnet.home.parent)})
    try:
        deadline = time.monotonic() + 600
        while not ready(url):
            assert relayer.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        run("relay", "serve", "--port", port, "--as", 9, fails=UserError)  # one process a key
        monkeypatch.setenv("OPENLEDGER_RELAYER", url)
        monkeypatch.setenv("OPENLEDGER_PRIVATE_KEY", "0x" + bytes(user.key).hex())
        get_settings.cache_clear()
        dry = run("delegate", "add", agent, 5, "--dry-run").output
        assert "nothing was signed or sent" in dry
        said = run("delegate", "add", agent, 5).output
        assert f"is paid by {devnet.accounts[9].address}, of {url}" in said
        assert devnet.connect().balance(user.address) == 0
        assert "5" in run("delegate", "show", agent).output
        run("relay", "serve", fails=UserError)  # OPENLEDGER_RELAYER is set
    finally:
        relayer.terminate()
        assert relayer.wait(600) == 0


@pytest.mark.parametrize("options", [["--certificate", "a.pem"], ["--target", "0x12"], ["--cap", "0"]])
def test_serve_refuses_what_makes_no_sense(run: Run, options: list[str]) -> None:
    run("relay", "serve", *options, fails=UserError)
