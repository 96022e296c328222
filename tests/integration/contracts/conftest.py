"""One anvil for the session, with every contract deployed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from openledger.contracts import Chain, Contracts, Devnet, deploy


@pytest.fixture(scope="session")
def devnet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Devnet]:
    with Devnet.start(tmp_path_factory.mktemp("home")) as devnet:
        yield devnet


@pytest.fixture(scope="session")
def chain(devnet: Devnet) -> Chain:
    return devnet.connect()


@pytest.fixture(scope="session")
def contracts(devnet: Devnet, chain: Chain) -> Contracts:
    return deploy(chain, devnet.accounts[0], devnet.home.parent)
