"""Everything a program needs to take part, from settings alone: chain, contracts, content store, keys."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ..contracts import Chain, Contracts, Devnet, Relay, Signer, configured_signer, deploy, load_contracts
from ..errors import ContentError, UserError
from ..settings import Settings, get_settings
from ._agents import Agents
from ._assets import Assets
from ._curation import Curation
from ._governance import Governance
from ._income import Income
from ._ledger import Ledger
from ._licences import Licences
from ._reputation import Reputation
from ._validations import Validations
from .store import ContentStore, open_store

__all__ = ["Connection"]


class Connection:
    """A chain with the contracts on it, a content store, and the face of each registry.

    Without ``rpc_url`` the embedded devnet of ``home`` is started (or joined), the contracts are deployed on
    it once, and its accounts are at hand. Use it as a context manager: leaving stops a devnet it started.
    """

    def __init__(
        self,
        settings: Settings,
        contracts: Contracts,
        store: ContentStore,
        devnet: Devnet | None,
        signer: Signer | None,
    ) -> None:
        self.settings, self.contracts, self.store, self.devnet = settings, contracts, store, devnet
        self.signer = signer
        self.assets = Assets(contracts)
        self.agents = Agents(contracts, store)
        self.reputation = Reputation(contracts, store)
        self.validations = Validations(contracts, store)
        self.licences = Licences(contracts)
        self.income = Income(contracts)
        self.curation = Curation(contracts)
        self.governance = Governance(contracts)
        self.ledger = Ledger(contracts, signer)
        if settings.relayer is not None:
            self.chain.relay = Relay(settings.relayer, contracts)

    @classmethod
    def open(cls, settings: Settings | None = None) -> Connection:
        """Connect. Raises ``ChainError`` or ``ContentError`` naming what cannot be reached and what to do."""
        settings = settings or get_settings()
        home = settings.home_dir
        signer = configured_signer(settings)
        store = open_store(settings)
        if settings.rpc_url is not None:
            chain = Chain.connect(settings.rpc_url, settings.chain_id, settings.rpc_timeout)
            return cls(settings, load_contracts(chain, home, settings.directory), store, None, signer)
        devnet = Devnet.start(home) if settings.chain_id is None else Devnet.start(home, settings.chain_id)
        try:
            contracts = deploy(devnet.connect(settings.rpc_timeout), devnet.accounts[0], home)
        except BaseException:
            devnet.stop()
            raise
        return cls(settings, contracts, store, devnet, signer or devnet.accounts[0])

    @property
    def chain(self) -> Chain:
        return self.contracts.chain

    def as_(self, signer: Signer) -> Ledger:
        """The ledger, sending as ``signer``."""
        return Ledger(self.contracts, signer)

    def signer_for(self, account: int | None = None) -> Signer:
        """The key that signs: the configured one, or ``account`` of the embedded devnet. Raises ``UserError``."""
        if account is None:
            return self.ledger.signer
        if self.devnet is None:
            raise UserError(
                "--as works on the embedded devnet only",
                fix="set OPENLEDGER_KEYSTORE or OPENLEDGER_PRIVATE_KEY instead",
            )
        return self.devnet.accounts[account]

    def record_key(self, agent_id: int) -> Any:
        """The key that signs an agent's records, made on first use and kept under ``home/keys``, mode 600.

        It can anchor and be slashed for what it signs; it holds no money.
        """
        from eth_account import Account

        domain = self.ledger.domain
        path = (
            self.settings.home_dir / "keys" / f"{domain.chain_id}-{domain.verifying_contract}-{agent_id}.json"
        )
        if not path.exists():
            _write_secret(path, json.dumps({"private_key": "0x" + bytes(Account.create().key).hex()}))
        try:
            return Account.from_key(json.loads(path.read_text())["private_key"])
        except (ValueError, KeyError, TypeError) as error:
            raise ContentError(
                f"the record key {path} is damaged",
                why=str(error),
                fix="restore it, or delete it and open a new epoch",
            ) from error

    def close(self) -> None:
        if self.devnet is not None:
            self.devnet.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _write_secret(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_suffix(f".{os.getpid()}.new")
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    scratch.replace(path)
