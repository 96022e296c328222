"""A relayer over HTTP on a devnet, and new accounts that hold OPEN and no coin. All of it is real."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from listening import listening

from openledger.contracts import (
    Batch,
    BatchCall,
    Signer,
    batch_nonce,
    chain_time,
    delegated_to,
    sign_batch,
    sign_code,
)
from openledger.registry import Connection, Ledger
from openledger.runtime.relayer import Book, Relayer, Terms, create_app
from openledger.settings import Settings

OPEN = 10**18


@dataclass
class World:
    """The operator's connection, whose account 0 holds the coin; the relayer's key is account 9."""

    connection: Connection
    relayer: Relayer
    book: Book
    url: str

    @property
    def sponsor(self) -> Signer:
        assert self.connection.devnet is not None
        return self.connection.devnet.accounts[9]

    def newcomer(self, amount: int = 100 * OPEN) -> Ledger:
        """A new account with OPEN as token and no coin, as the gas of others paid for it."""
        rich = self.connection.as_(self.connection.signer_for(1))
        made = Account.create()
        if amount:
            rich.wrap(amount)
            rich.send(rich.contracts.token.functions.transfer(made.address, amount))
        return self.connection.as_(made)

    def through(self, url: str) -> Connection:
        """Another connection to the same chain, with the setting that a user makes."""
        devnet = self.connection.devnet
        assert devnet is not None
        return Connection.open(Settings(home=devnet.home.parent, relayer=url))

    def relayer_with(self, book: Book, **terms: Any) -> Relayer:
        return Relayer(self.connection.contracts, self.sponsor, book, Terms(**terms))

    def batch(self, user: Ledger, *calls: Any, **changes: Any) -> Batch:
        """What a wallet would sign, or something near it."""
        chain, account = user.chain, user.address
        made = tuple(_call(call) if not isinstance(call, BatchCall) else call for call in calls)
        code = None
        if delegated_to(chain, account) is None:
            code = sign_code(chain, user.signer, user.contracts.address("SponsoredAccount"))
        fields = {
            "sponsor": str(self.sponsor.address),
            "nonce": batch_nonce(chain, account),
            "deadline": chain_time(chain) + 600,
            "code": code,
        } | changes
        return sign_batch(chain.chain_id, user.signer, made, **fields)


def _call(call: Any) -> BatchCall:
    data = call.build_transaction({"gas": 0, "gasPrice": 0, "nonce": 0, "chainId": 0})[
        "data"
    ]  # as web3 makes it
    return BatchCall(target=str(call.address), data=str(data))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    home = tmp_path_factory.mktemp("home")
    with Connection.open(Settings(home=home)) as connection:
        assert connection.devnet is not None
        book = Book(home / "relayer.db")
        relayer = Relayer(connection.contracts, connection.devnet.accounts[9], book)
        with listening(create_app(relayer)) as url:
            yield World(connection, relayer, book, url)
        book.close()


@pytest.fixture
def books(tmp_path: Path) -> Iterator[Callable[..., Book]]:
    """Makes books of their own."""
    made: list[Book] = []

    def make(**options: Any) -> Book:
        made.append(Book(tmp_path / f"{len(made)}.db", **options))
        return made[-1]

    yield make
    for book in made:
        book.close()
