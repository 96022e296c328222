"""Transactions explained before they are signed, and trial runs that send none."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import NamedTuple

import pytest
from eth_account import Account

from openledger.contracts import Contracts, Devnet, reviewed, sign_permit
from openledger.errors import ChainError


def test_every_transaction_is_explained_before_it_is_sent(
    contracts: Contracts, devnet: Devnet, capsys: pytest.CaptureFixture[str]
) -> None:
    chain, signer = contracts.chain, devnet.accounts[7]
    spender = contracts.address("StakeVault")
    with reviewed(contracts, "Wraps 5 wei and lets the vault take them.") as review:
        before = capsys.readouterr().out
        chain.send(contracts.token.functions.deposit(), signer, value=5)
        chain.send(contracts.token.functions.approve(spender, value=5), signer)
        review.done("wrapped", amount=5)
    assert before.strip() == "Wraps 5 wei and lets the vault take them."
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == "signs     OpenToken.deposit()"
    assert lines[1] == f"as        {signer.address}, to {contracts.address('OpenToken')}"
    assert lines[2] == "pays      0.000000000000000005 OPEN of its native coin"
    assert lines[3] == f"moves     0.000000000000000005 OPEN from the native coin to {signer.address}"
    assert lines[4].startswith("mined     0x")
    assert lines[5] == f"signs     OpenToken.approve(spender={spender}, value=5)"
    assert lines[-1] == "wrapped"
    # outside the block nothing is said
    chain.send(contracts.token.functions.approve(spender, 0), signer)
    assert capsys.readouterr().out == ""


def test_a_dry_run_tries_each_transaction_on_what_the_others_would_leave(
    contracts: Contracts, devnet: Devnet, capsys: pytest.CaptureFixture[str]
) -> None:
    chain, signer = contracts.chain, devnet.accounts[7]
    sent = chain.w3.eth.get_transaction_count(signer.address)
    vault, wealth = contracts.address("StakeVault"), 3 * 10**18
    with reviewed(contracts, "Stakes.", dry_run=True) as review:
        chain.send(contracts.token.functions.deposit(), signer, value=wealth)
        chain.send(contracts.token.functions.approve(vault, wealth), signer)
        receipt = chain.send(contracts.agents.get_function_by_signature("register()")(), signer)
        agent_id = receipt.event(contracts.agents.events.Registered)["agentId"]
        chain.send(contracts.vault.functions.deposit(agent_id, wealth), signer)
    assert chain.w3.eth.get_transaction_count(signer.address) == sent
    assert "dry run: it would succeed with about" in capsys.readouterr().out
    assert [call["function"] for call in review.calls] == ["deposit", "approve", "register", "deposit"]
    assert review.calls[-1]["moves"] == [{"from": signer.address, "to": "StakeVault", "wei": str(wealth)}]
    assert chain.review is None
    with (
        pytest.raises(ChainError, match="ERC20InsufficientBalance") as caught,
        reviewed(contracts, "Gives more than there is.", dry_run=True),
    ):
        chain.send(contracts.token.functions.transfer(vault, 10**30), signer)
    assert caught.value.revert is not None


class Times(NamedTuple):
    """Two fields of a struct, by name."""

    duration: int
    grant_period: int


def test_a_dry_run_is_of_the_block_after_the_latest_and_of_the_data_that_would_be_sent(
    contracts: Contracts, devnet: Devnet
) -> None:
    chain, signer = contracts.chain, devnet.accounts[7]
    abi = [{"type": "function", "name": "f", "stateMutability": "nonpayable", "outputs": [],
            "inputs": [{"name": "x", "type": "tuple", "components": [
                {"name": name, "type": "uint32"} for name in ("duration", "grantPeriod")]}]}]  # fmt: skip
    echo = chain.contract("0x" + "c0" * 20, abi)  # an account without code takes everything
    with reviewed(contracts, "Calls it.", dry_run=True) as review:
        first, second = (chain.send(echo.functions.f(Times(1, 2)), signer) for _ in range(2))
    assert (first.block, second.block) == (chain.block_number() + 1, chain.block_number() + 2)
    assert review.calls[0]["arguments"] == {"x": ["1", "2"]}


def test_a_dry_run_names_the_revert(contracts: Contracts, devnet: Devnet) -> None:
    chain, signer = contracts.chain, devnet.accounts[7]
    call: Callable[..., object] = contracts.agents.functions.setAgentURI
    with (
        pytest.raises(ChainError, match="ERC721NonexistentToken") as caught,
        reviewed(contracts, "Describes.", dry_run=True),
    ):
        chain.send(call(10**9, "ipfs://x"), signer)
    assert caught.value.tx is None
    assert chain.review is None


@pytest.mark.parametrize("dry_run", [False, True])
def test_what_is_late_on_a_quiet_chain_is_refused_before_it_is_signed(
    contracts: Contracts, devnet: Devnet, dry_run: bool
) -> None:
    chain, client = contracts.chain, Account.create()
    deadline = chain.now() + 50
    permit = sign_permit(
        contracts.token_domain, client, spender=client.address, value=1, nonce=0, deadline=deadline
    )
    call = contracts.token.functions.permit(client.address, client.address, 1, deadline, *permit)
    # a hundred seconds in which no block is mined
    chain.w3.provider.make_request("evm_increaseTime", [100])  # type: ignore[arg-type]
    with (
        pytest.raises(ChainError, match="ERC2612ExpiredSignature") as caught,
        reviewed(contracts, "Permits.", dry_run=dry_run),
    ):
        chain.send(call, devnet.accounts[7])
    assert caught.value.tx is None


def test_json_keeps_stdout_for_the_result(
    contracts: Contracts, devnet: Devnet, capsys: pytest.CaptureFixture[str]
) -> None:
    chain, signer = contracts.chain, devnet.accounts[7]
    register = contracts.agents.get_function_by_signature("register(string,(string,bytes)[])")
    with reviewed(contracts, "Registers.", as_json=True) as review:
        receipt = chain.send(register("ipfs://" + "x" * 200, [("name", b"\x01")]), signer)
        review.done("registered", agent=1)
    captured = capsys.readouterr()
    result = json.loads(captured.out)
    assert result["agent"] == 1
    assert result["says"] == "Registers."
    [call] = result["calls"]
    assert (call["contract"], call["function"], call["value"]) == ("AgentRegistry", "register", "0")
    assert call["arguments"] == {"agentURI": "ipfs://" + "x" * 200, "metadata": [["name", "0x01"]]}
    assert call["transaction"] == receipt.tx
    assert "Registers." in captured.err
    assert "x" * 100 not in captured.err, "long arguments are cut where people read them"
    with reviewed(contracts, "Registers.", as_json=True, dry_run=True):
        chain.send(contracts.agents.get_function_by_signature("register()")(), signer)
    result = json.loads(capsys.readouterr().out)
    assert result["dryRun"] is True
    assert result["calls"][0]["gas"] > 50_000
