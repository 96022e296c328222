"""Calls to and from their bytes: the same as web3's own, on every shape that the contracts have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from openledger.contracts import Chain, Contracts
from openledger.contracts._calls import as_transaction
from openledger.errors import ChainError

ACCOUNT = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
OFFER = {"gas": 0, "gasPrice": 0, "nonce": 0, "chainId": 0}

READS: dict[str, Callable[[Contracts], Any]] = {
    "a number": lambda c: c.token.functions.balanceOf(ACCOUNT),
    "a string": lambda c: c.token.functions.name(),
    "bytes": lambda c: c.token.functions.DOMAIN_SEPARATOR(),
    "an address": lambda c: c.pool.functions.escrowOf(1),
    "a truth": lambda c: c.token.functions.authorizationState(ACCOUNT, bytes(32)),
    "several, one of them an array": lambda c: c.token.functions.eip712Domain(),
    "several with names": lambda c: c.parameters.functions.bounds(0),
    "an array": lambda c: c.parameters.functions.all(),
    "strings": lambda c: c.directory.functions.names(),
    "a struct": lambda c: c.directory.functions.current("OpenToken"),
    "a struct of a struct's key": lambda c: c.vault.functions.positionOf(1, ACCOUNT),
    "no structs": lambda c: c.vault.functions.exitsOf(1, ACCOUNT),
    "with addresses in an array": lambda c: c.reputation.functions.getSummary(1, [ACCOUNT], "", ""),
}
SENDS: dict[str, Callable[[Contracts], Any]] = {
    "nothing given": lambda c: c.token.functions.deposit(),
    "an address and a number": lambda c: c.token.functions.transfer(ACCOUNT, 2**255),
    "one of several of its name": lambda c: c.agents.functions.register("ipfs://x"),
    "structs": lambda c: c.pool.functions.repay(1, [(bytes(range(32)), ACCOUNT, 5, 7), (b"\1" * 32, ACCOUNT, 0, 1)]),
    "an empty array": lambda c: c.pool.functions.repay(1, []),
    "bytes as hex": lambda c: c.token.functions.authorizationState(ACCOUNT, "0x" + "ab" * 32),
    "many": lambda c: c.collector.functions.collect([(ACCOUNT, ACCOUNT, 1, 2, 3, bytes(32), 27, bytes(32), b"\2" * 32)]),
}  # fmt: skip


@pytest.mark.parametrize("name", READS)
def test_what_is_read_is_what_web3_reads(chain: Chain, contracts: Contracts, name: str) -> None:
    fn = READS[name](contracts)
    mine, theirs = chain.call(fn), fn.call()
    assert mine == theirs
    assert type(mine) is type(theirs) or mine._fields == theirs._fields


@pytest.mark.parametrize("name", SENDS)
def test_what_is_sent_is_what_web3_sends(contracts: Contracts, name: str) -> None:
    fn = SENDS[name](contracts)
    made = fn.build_transaction(OFFER)
    assert as_transaction(fn) == {"to": made["to"], "data": made["data"]}


def test_a_contract_that_is_not_there_is_named(chain: Chain, contracts: Contracts) -> None:
    nowhere = chain.contract(ACCOUNT, contracts.token.abi)
    with pytest.raises(ChainError, match="balanceOf failed") as caught:
        chain.call(nowhere.functions.balanceOf(ACCOUNT))
    assert "nothing came back" in caught.value.why
    assert ACCOUNT in caught.value.fix


def test_another_contract_than_expected_is_named(chain: Chain, contracts: Contracts) -> None:
    other = chain.contract(contracts.token.address, contracts.parameters.abi)
    short = next(one for one in contracts.directory.abi if one.get("name") == "current")
    lies = chain.contract(contracts.token.address, [{**short, "name": "totalSupply", "inputs": []}])
    with pytest.raises(ChainError, match="totalSupply failed") as caught:
        chain.call(lies.functions.totalSupply())
    assert "not what it returns" in caught.value.why
    with pytest.raises(ChainError):
        chain.call(other.functions.all())
