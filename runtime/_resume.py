"""An agent's registration across restarts: made once, completed where it was interrupted, renewed when the agent changes."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from .. import datanets, modelfactory
from ..agents import Agent
from ..attribution import RULE_V1
from ..errors import ContentError, UserError
from ..registry import Connection
from ._deploy import Registered, declaration

__all__ = ["Deployment", "Uses"]


@dataclass(frozen=True)
class Uses:
    """What a deployed agent runs on, as assets of the chain."""

    base: int
    adapters: Mapping[str, int]
    """By alias."""
    datanet_ids: Sequence[int]
    directory: Path
    """The base model's."""


class Deployment:
    """One agent of one home on one chain, by the agent's name. Held by one process at a time.

    Its folder keeps the agent's id, and the ids of what was published for it; the rest is read from the chain.
    """

    def __init__(self, agent: Agent, connection: Connection) -> None:
        """Raises ``UserError`` when another process of this home runs the agent: two operators could sign two records with
        one nonce, which is slashed."""
        domain = connection.ledger.domain
        slug = re.sub(r"[^A-Za-z0-9_.-]", "-", agent.name)
        self.folder = (
            connection.settings.home_dir / "agents" / f"{domain.chain_id}-{domain.verifying_contract}" / slug
        )
        self.folder.mkdir(parents=True, exist_ok=True)
        self._agent, self._connection = agent, connection
        self._lock = FileLock(self.folder / "lock")
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise UserError(
                f"agent {agent.name!r} is deployed by another process here",
                why=f"it holds {self.folder}",
                fix="let it work, or stop it first; never run two operators for one agent",
            ) from None
        self._noted = self._read()

    def close(self) -> None:
        self._lock.release()

    def __enter__(self) -> Deployment:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def agent_id(self) -> int | None:
        """None before it is registered."""
        found = self._noted.get("agentId")
        return None if found is None else int(found)

    def registered(
        self, signer: Any, uses: Uses, *, stake: int, engine_class: str, rule: str = RULE_V1
    ) -> Registered:
        """The agent in an epoch that declares what it is and uses now: registered, with ``stake`` wei behind it, if it was
        not; with what an interruption left out; in a new epoch when code, assets, split, ``rule`` or record key have changed. The
        epoch before is accepted for another ``maxAnchorLag``.

        Raises ``UserError`` when somebody else owns the agent by now, otherwise as ``register_agent``.
        """
        connection = self._connection
        manifest, base, adapters = declaration(
            self._agent,
            connection,
            base=uses.base,
            adapters=uses.adapters,
            datanet_ids=uses.datanet_ids,
            engine_class=engine_class,
            rule=rule,
        )
        agent_id = self.agent_id
        if agent_id is None:
            least = connection.ledger.parameter("minSelfStake")
            if stake < least:
                raise UserError(
                    f"a stake of {stake} wei is too little",
                    why=f"an agent needs at least {least}",
                    fix="stake more",
                )
            agent_id = connection.agents.register(
                signer, self._agent.name, self._agent.description or self._agent.name
            )
            self._note("agentId", agent_id)
        owner = connection.agents.get(agent_id).owner
        if owner != str(signer.address):
            raise UserError(
                f"agent {agent_id} belongs to {owner}",
                why=f"{signer.address} deploys here",
                fix=f"sign with its owner's key, or remove {self.folder} to register another agent",
            )
        epoch = self._epoch(agent_id)
        if epoch is None:
            self._complete(signer, agent_id, stake)
        key = str(connection.record_key(agent_id).address)
        if epoch is None or (epoch.manifest, epoch.record_key) != (manifest.cid, key):
            number = connection.agents.open_epoch(signer, agent_id, key, manifest)
        else:
            number = epoch.number
        return Registered(agent_id, number, manifest, base, adapters, owner)

    def _epoch(self, agent_id: int) -> Any:
        try:
            return self._connection.agents.current_epoch(agent_id)
        except UserError as error:
            if error.code != "user.agent.epoch":
                raise
            return None

    def _complete(self, signer: Any, agent_id: int, stake: int) -> None:
        """What is missing of the stake, and the escrow: where there is one, nothing is made."""
        contracts, ledger = self._connection.contracts, self._connection.as_(signer)
        missing = stake - ledger.stake_of(agent_id)
        if missing > 0:
            ledger.approve(str(contracts.vault.address), missing)
            ledger.send(contracts.vault.functions.deposit(agent_id, missing))
        ledger.send(contracts.pool.functions.createEscrow(agent_id))

    # What the agent names

    def published(self, signer: Any) -> Uses:
        """The assets of an agent that names shipped datanets and their adapters, and the small base model under them:
        published and registered once, trained where the cache has none. On the embedded devnet only: elsewhere assets
        belong to those who made them, and ``UserError`` says how to name them."""
        connection, cache = self._connection, self._connection.settings.cache_dir
        named = [*self._agent.adapters.values(), *self._agent.datanets]
        foreign = [one for one in named if isinstance(one, str) and one not in datanets.shipped_names()]
        if connection.devnet is None or foreign:
            raise UserError(
                f"agent {self._agent.name!r} does not say which assets of this chain it uses",
                why=f"{foreign} are not shipped"
                if foreign
                else "only the embedded devnet publishes what is shipped",
                fix="register them by `openledger asset register`, then give --base ID, --adapter ALIAS=ID and --datanet ID",
            )
        directory = modelfactory.ensure_base(cache)
        base = self._register("model", signer, connection.store.add_path(directory), licence="Apache-2.0")
        nets = {str(one): self._datanet(str(one), signer) for one in named if isinstance(one, str)}
        adapters = {}
        for alias, spec in self._agent.adapters.items():
            if isinstance(spec, int):
                adapters[alias] = spec
                continue
            path = modelfactory.ensure_adapter(cache, directory, datanets.shipped(spec))
            cid = connection.store.add_path(path)
            adapters[alias] = self._register("adapter", signer, cid, parents=[base, nets[spec]])
        ids = [one if isinstance(one, int) else nets[one] for one in self._agent.datanets]
        return Uses(base, adapters, ids, directory)

    def _datanet(self, name: str, signer: Any) -> int:
        net, devnet = datanets.shipped(name), self._connection.devnet
        assert devnet is not None  # checked by its caller
        makers = devnet.accounts[-4:]
        accounts = {who: str(makers[at % 4].address) for at, who in enumerate(net.contributors)}
        cid = datanets.publish(net, self._connection.store, accounts=accounts)
        return self._register("datanet", signer, cid, licence=" AND ".join(net.licences), royalty_bps=500)

    def _register(self, kind: str, signer: Any, cid: str, **more: Any) -> int:
        """The id of the asset with this content: noted before and still so, or registered now."""
        assets = self._connection.assets
        known = self._noted.get("assets", {}).get(cid)
        if known is not None and assets.get(int(known)).cid == cid:
            return int(known)
        made = int(getattr(assets, f"register_{kind}")(signer, cid, **more))
        self._note("assets", {**self._noted.get("assets", {}), cid: made})
        return made

    def _read(self) -> dict[str, Any]:
        path = self.folder / "agent.json"
        try:
            found = json.loads(path.read_text())
            if not isinstance(found, dict):
                raise ValueError("it is no object")
            return found
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise ContentError(
                f"{path} is damaged", why=str(error), fix='restore it: {"agentId": N} with your agent\'s id'
            ) from None

    def _note(self, name: str, value: Any) -> None:
        self._noted[name] = value
        scratch = self.folder / "agent.new"
        scratch.write_text(json.dumps(self._noted, indent=1) + "\n")
        scratch.replace(self.folder / "agent.json")
