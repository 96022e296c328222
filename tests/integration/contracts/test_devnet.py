"""The devnet across restarts and crashes, and the deployment on it."""

from __future__ import annotations

import json
import os
import signal
import time
from contextlib import suppress
from pathlib import Path

import pytest
from ports import free_port

from openledger.contracts import CONTRACTS, Chain, Contracts, Deployment, Devnet, _devnet, deploy
from openledger.errors import ChainError, UserError


def _deposits(contracts: Contracts) -> list[int]:
    found = contracts.chain.logs(contracts.token.events.Deposit, 0)
    return [log["args"]["amount"] for log in found]


def test_state_logs_and_deployment_survive_a_restart(tmp_path: Path) -> None:
    with Devnet.start(tmp_path) as devnet:
        chain, signer = devnet.connect(), devnet.accounts[0]
        contracts = deploy(chain, signer, tmp_path)
        chain.send(contracts.token.functions.deposit(), signer, value=7)
        ahead = chain.advance(5 * 86_400)
        balance, block = chain.balance(signer.address), chain.block_number()
        assert devnet.owned
    assert Devnet.running(tmp_path) is None
    with Devnet.start(tmp_path) as devnet:
        chain = devnet.connect()
        again = deploy(chain, signer, tmp_path)
        assert again.deployment == contracts.deployment
        assert chain.block_number() == block, "nothing was deployed again"
        assert chain.balance(signer.address) == balance
        assert _deposits(again) == [7]
        chain.send(again.token.functions.deposit(), signer, value=8)
        assert chain.now() >= ahead, "the clock never goes back"
        assert _deposits(again) == [7, 8]
        assert Contracts.load(chain, tmp_path).deployment == contracts.deployment


def _kill(devnet: Devnet, block: int) -> None:
    """Kill it where it has written its state up to a block in full."""
    ends = time.monotonic() + 600
    while True:
        os.kill(devnet.pid, signal.SIGSTOP)
        _, status = os.waitpid(devnet.pid, os.WUNTRACED)  # until each of its threads has stopped
        assert os.WIFSTOPPED(status)
        with suppress(ValueError):  # it was writing
            if json.loads((devnet.home / "state.json").read_text())["best_block_number"] >= block:
                os.kill(devnet.pid, signal.SIGKILL)
                assert devnet._process is not None
                devnet._process.wait()  # its port is free
                return
        os.kill(devnet.pid, signal.SIGCONT)
        assert time.monotonic() < ends, "it does not write its state"
        time.sleep(0.1)


def test_a_killed_devnet_keeps_what_it_wrote_each_second(tmp_path: Path) -> None:
    with Devnet.start(tmp_path) as devnet:
        chain, signer = devnet.connect(), devnet.accounts[0]
        contracts = deploy(chain, signer, tmp_path)
        block = chain.send(contracts.token.functions.deposit(), signer, value=7).block
        _kill(devnet, block)
        with Devnet.start(tmp_path) as restarted:
            assert restarted.owned
            assert restarted.pid != devnet.pid
            again = deploy(restarted.connect(), signer, tmp_path)
            assert again.deployment == contracts.deployment
            assert _deposits(again) == [7]


def test_a_devnet_comes_back_where_its_clients_look_for_it(tmp_path: Path) -> None:
    with Devnet.start(tmp_path, port=free_port()) as first:
        chain = first.connect()
        _kill(first, 0)
        with Devnet.start(tmp_path, port=first.port) as again:
            assert again.rpc_url == first.rpc_url
            assert chain.block_number() >= 0, "a client of the first one reaches the second"
            with pytest.raises(UserError, match=f"port {first.port} cannot be had"):
                Devnet.start(tmp_path / "another", port=first.port)


def test_a_dump_cut_short_falls_back_to_the_last_good_one(tmp_path: Path) -> None:
    with Devnet.start(tmp_path) as devnet:
        contracts = deploy(devnet.connect(), devnet.accounts[0], tmp_path)
    state = tmp_path / "devnet" / "state.json"
    state.write_text(state.read_text()[:1000])
    with Devnet.start(tmp_path) as devnet:
        assert deploy(devnet.connect(), devnet.accounts[0], tmp_path).deployment == contracts.deployment
    state.write_text("{")
    (tmp_path / "devnet" / "state.good.json").unlink()
    with pytest.raises(ChainError, match="damaged"):
        Devnet.start(tmp_path)


def test_a_dump_cut_short_in_the_first_run_falls_back_to_a_copy_made_while_it_ran(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_devnet, "COPIED", 0.2)
    state = tmp_path / "devnet" / "state.json"
    with Devnet.start(tmp_path) as devnet:
        contracts = deploy(devnet.connect(), devnet.accounts[0], tmp_path)
        block = devnet.status()["block"]
        kept = state.with_suffix(".good.json")
        deadline = time.monotonic() + 600
        while not kept.is_file() or json.loads(kept.read_text())["best_block_number"] < block:
            assert time.monotonic() < deadline, "no copy was made"
            time.sleep(0.1)
        os.kill(devnet.pid, signal.SIGKILL)
    state.write_text(state.read_text()[:1000])
    with Devnet.start(tmp_path) as devnet:
        assert deploy(devnet.connect(), devnet.accounts[0], tmp_path).deployment == contracts.deployment


def test_a_running_devnet_is_joined_and_left_running(tmp_path: Path) -> None:
    with Devnet.start(tmp_path) as owner:
        with Devnet.start(tmp_path) as guest:
            assert not guest.owned
            assert (guest.pid, guest.port) == (owner.pid, owner.port)
            assert guest.status()["alive"]
        assert owner.status()["alive"]
        assert owner.status()["block"] == 0
        with pytest.raises(UserError, match="chain id 31337"):
            Devnet.start(tmp_path, chain_id=31338)
        guest.stop(force=True)
        assert not owner.status()["alive"]
    with Devnet.start(tmp_path, chain_id=31338) as other:
        assert other.connect().chain_id == 31338


def test_beside_a_devnet_that_does_not_answer_no_other_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Devnet.start(tmp_path) as owner:
        monkeypatch.setattr(_devnet, "_START_TIMEOUT", 0.1)
        os.kill(owner.pid, signal.SIGSTOP)
        try:
            with pytest.raises(ChainError, match=f"process {owner.pid} is alive"):
                Devnet.start(tmp_path)
        finally:
            os.kill(owner.pid, signal.SIGCONT)
        monkeypatch.undo()
        with Devnet.start(tmp_path) as guest:
            assert (guest.owned, guest.pid) == (False, owner.pid)


def test_a_port_that_another_devnet_took_meanwhile_is_left_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Devnet.start(tmp_path / "first") as first:
        first.connect().advance(86_400)
        ports = iter([first.port, first.port, _devnet._free_port()])
        monkeypatch.setattr(_devnet, "_free_port", lambda: next(ports))
        with Devnet.start(tmp_path / "second") as second:
            assert second.port != first.port
            assert second.status()["block"] == 0
            assert first.status()["block"] > 0


def test_a_fresh_chain_with_a_stale_record_is_deployed_to(tmp_path: Path) -> None:
    with Devnet.start(tmp_path / "old") as devnet:
        deployed = deploy(devnet.connect(), devnet.accounts[0], tmp_path)
        assert list(deployed.deployment.addresses) == list(CONTRACTS)
    with Devnet.start(tmp_path / "new") as devnet:
        chain = devnet.connect()
        with pytest.raises(ChainError, match="names addresses without that code") as caught:
            Contracts.load(chain, tmp_path)
        assert caught.value.code == "chain.not_deployed"
        contracts = deploy(chain, devnet.accounts[1], tmp_path)
        assert contracts.deployment.addresses != deployed.deployment.addresses
        assert Contracts.load(chain, tmp_path).deployment == contracts.deployment


def test_the_contracts_know_each_other(chain: Chain, contracts: Contracts) -> None:
    log = contracts.address("ActionLog")
    for contract in (contracts.vault, contracts.pool):
        assert chain.call(contract.functions.actionLog()) == log
    assert chain.call(contracts.agents.functions.observer()) == log
    assert chain.call(contracts.vault.functions.disputes()) == contracts.address("Disputes")
    assert chain.call(contracts.log.functions.vault()) == contracts.address("StakeVault")


def test_a_missing_or_damaged_record_is_named(chain: Chain, tmp_path: Path) -> None:
    with pytest.raises(ChainError, match="not deployed on chain 31337"):
        Contracts.load(chain, tmp_path)
    path = Deployment.path(tmp_path, 31337)
    path.parent.mkdir()
    path.write_text("{")
    with pytest.raises(ChainError, match=f"{path} is damaged"):
        Contracts.load(chain, tmp_path)
