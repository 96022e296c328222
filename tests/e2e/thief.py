"""An operator that signs and records as an honest one does, and anchors payouts to itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from openledger.registry import BatchHeader, Payout
from openledger.runtime import Batcher, Receipt


class Thief(Batcher):
    """Anchors everything to its operator; signs and records as an honest one does."""

    thief = ""

    def _payouts(self, epoch: int, charged: int, totals: Mapping[str, int], fixed: list[str]) -> list[Payout]:
        return [Payout(self.thief, self._ledger.settlement.net(self.agent_id, epoch, charged))]


def steal(stack: Any) -> BatchHeader:
    """Anchor what the honest agent of the stack has signed and not anchored yet, all of it paid to its operator."""
    service = stack.honest
    thief = Thief(
        service.registered.agent_id,
        ledger=stack.world.connection.as_(stack.world.people.operator),
        store=stack.world.connection.store,
        outbox=service.outbox,
    )
    thief.thief = service.registered.owner
    (header,) = thief.anchor()
    return header


def call(stack: Any, asked: list[dict[str, str]]) -> list[Receipt]:
    """Pay the honest agent of the stack for these actions; they are signed and not anchored yet."""
    operator = stack.honest.operator
    return [stack.client.call(operator, operator.agent_id, value, operator.agent.price) for value in asked]
