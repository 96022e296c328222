"""The agents behind a gateway, and the names they are called by."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ...agents import Agent
from ...errors import UserError
from ...registry import Connection, Tariff
from .._deploy import Service
from ._model_agent import model_agent

__all__ = ["Agents", "Served"]


@dataclass(frozen=True)
class Served:
    """One agent: its service, what its actions cost, and what its graph takes."""

    service: Service
    escrow: str

    @property
    def agent(self) -> Agent:
        return self.service.operator.agent

    @property
    def agent_id(self) -> int:
        return self.service.operator.agent_id

    @property
    def price(self) -> int:
        """Wei that a client authorises for an action."""
        return self.agent.price

    @property
    def tariff(self) -> Tariff | None:
        """What of that is charged, as its epoch commits to it; None where it is all."""
        return self.service.registered.manifest.tariff

    @property
    def costs(self) -> str:
        """What an action costs, in words."""
        tariff = self.tariff
        if tariff is None:
            return f"Costs {self.price} wei of OPEN an action."
        return (
            f"Costs {tariff.base} wei of OPEN an action, {tariff.prompt} a prompt token and {tariff.output} an output "
            f"token, {self.price} at most: that is paid first, and the rest goes back."
        )

    @cached_property
    def keys(self) -> frozenset[str]:
        """The keys of its graph's state."""
        return frozenset(getattr(self.agent.graph(), "channels", ()))

    def check(self, value: Any) -> None:
        """Refuse what its graph would refuse or not look at, before it is paid for. Raises ``UserError``."""
        taken, state = self._taken, self.agent.input_state(value)
        if taken is None:
            return
        if not isinstance(state, dict):
            why = f"its graph takes a state with the keys {sorted(taken)}"
        elif unknown := sorted(str(key)[:40] for key in set(state) - taken)[:8]:
            why = f"its graph takes {sorted(taken)} and not {unknown}"
        else:
            return
        raise UserError(
            f"{self.agent.name!r} does not take this input",
            why=why,
            fix="send an object with these keys" + (", or a text" if self.agent.input_key else ""),
        )

    @cached_property
    def _taken(self) -> frozenset[str] | None:
        """The keys of what its graph is given; None where that can be anything."""
        builder = getattr(self.agent.graph(), "builder", None)
        schemas = getattr(builder, "schemas", {})
        found = frozenset(schemas.get(getattr(builder, "input_schema", None), ()))
        return None if not found or "__root__" in found else found

    @property
    def is_model(self) -> bool:
        """Whether it is a :func:`model_agent`: its answer is the text of its only model call."""
        return {"messages", "prompt", "text"} <= self.keys

    @property
    def is_model_agent(self) -> bool:
        """Whether its graph is :func:`model_agent`'s own: one call, and nothing else."""
        return self.agent.build.__module__ == model_agent.__module__

    @property
    def adapter(self) -> int | None:
        """The asset id of the one adapter that answers here by itself, as :func:`model_agent` has it."""
        adapters = {ref.asset_id for ref in self.service.registered.adapters.values()}
        return adapters.pop() if len(adapters) == 1 and self.is_model else None

    def describe(self, created: int) -> dict[str, Any]:
        """As OpenAI describes a model, with what a payer has to know under ``openledger``."""
        registered = self.service.registered
        return {
            "id": self.agent.name,
            "object": "model",
            "created": created,
            "owned_by": registered.owner,
            "openledger": {
                "agent": self.agent_id,
                "description": self.agent.description,
                "price": str(self.price),
                "tariff": None if self.tariff is None else self.tariff.to_json(),
                "escrow": self.escrow,
                "epoch": registered.epoch,
                "manifest": registered.manifest.cid,
                "adapters": sorted(ref.asset_id for ref in registered.manifest.adapters),
            },
        }


class Agents:
    """By id, by ``agent:<id>``, by name where only one has it, and a model alone by ``adapter:<asset id>``."""

    def __init__(self, services: Sequence[Service], connection: Connection) -> None:
        """Raises ``UserError`` when two services are of one agent, or there is none."""
        escrow_of = connection.ledger.payments.escrow_of
        self._created = int(time.time())
        self._all = [Served(service, escrow_of(service.operator.agent_id)) for service in services]
        self._by_id = {served.agent_id: served for served in self._all}
        if len(self._by_id) != len(self._all) or not self._all:
            raise UserError(
                "a gateway needs one service for each of its agents",
                why=f"it got {[served.agent_id for served in self._all]}",
                fix="run one operator an agent",
            )
        names = Counter(served.agent.name for served in self._all)
        self._by_name = {s.agent.name: s for s in self._all if names[s.agent.name] == 1}

    def __iter__(self) -> Iterator[Served]:
        return iter(self._all)

    def get(self, agent_id: int) -> Served:
        """Raises ``UserError``, code ``user.agent.unknown``."""
        try:
            return self._by_id[agent_id]
        except KeyError:
            raise UserError(
                f"agent {agent_id} is not served here",
                fix="GET /v1/models lists those that are",
                code="user.agent.unknown",
            ) from None

    def named(self, model: str) -> Served:
        """The agent that a request calls ``model``. Raises ``UserError``, code ``user.model.unknown``."""
        found = self._by_name.get(model)
        kind, _, digits = model.partition(":")
        number = int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 20 else 0
        if found is None and kind == "agent":
            found = self._by_id.get(number)
        if found is None and kind == "adapter":
            found = next((served for served in self._all if served.adapter == number), None)
        if found is None:
            raise UserError(
                f"there is no model {model[:80]!r} here",
                fix="GET /v1/models lists the models; agent:<id> names any agent",
                code="user.model.unknown",
            )
        return found

    def listed(self) -> list[dict[str, Any]]:
        """Every model, under a name that finds it."""
        return [self.described(served) for served in self._all]

    def described(self, served: Served) -> dict[str, Any]:
        name = served.agent.name if served.agent.name in self._by_name else f"agent:{served.agent_id}"
        return served.describe(self._created) | {"id": name}
