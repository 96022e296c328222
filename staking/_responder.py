"""Answers demands against one's agents, unattended: all it needs is on the chain and in the content store.

Nothing is remembered between runs, so it may be stopped and started at any time, and run twice: what somebody else
answered first is answered.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from ..errors import ChainError, OpenLedgerError
from ..registry import ActionContent, ContentStore, Ledger, Manifest, block_of
from ._demands import keeps, refunded_to
from ._finding import Anchored, Demand
from ._proofs import anchored_records

__all__ = ["Answer", "Responder"]


@dataclass(frozen=True)
class Answer:
    """What became of one demand: ``earned`` is its bond in wei, or ``problem`` says why it could not be answered."""

    demand: Demand
    earned: int = 0
    problem: str | None = None


class Responder:
    """See the module. ``agents`` are the ids to answer for; by default those whose stake is the signer's."""

    def __init__(self, ledger: Ledger, store: ContentStore, agents: Collection[int] | None = None) -> None:
        self.ledger, self.store, self.agents = ledger, store, agents
        self._disputes = ledger.contracts.disputes

    def open_demands(self) -> list[Demand]:
        """The demands to be answered, oldest first."""
        functions = self._disputes.functions
        count = int(self.ledger.call(functions.demandCount()))
        demands = (Demand.read(self.ledger, number) for number in range(1, count + 1))
        return [one for one in demands if one.state == "Open" and self._is_own(one)]

    def respond(self) -> list[Answer]:
        """Answer every open demand once. Raises ``ChainError`` only when the chain is away."""
        return [self._answer(demand) for demand in self.open_demands()]

    def watch(
        self, report: Callable[[Answer], None], *, every: float = 15, stop: Callable[[], bool] = lambda: False
    ) -> None:
        """Answer until ``stop()``; a chain that is away is tried again. A problem is reported once."""
        told: set[tuple[int, str]] = set()
        while not stop():
            try:
                for answer in self.respond():
                    key = (answer.demand.demand_id, answer.problem or "")
                    if key not in told:
                        told.add(key)
                        report(answer)
            except ChainError as error:
                if error.revert is not None:
                    raise
            time.sleep(every)

    def _is_own(self, demand: Demand) -> bool:
        if self.agents is not None:
            return demand.agent_id in self.agents
        return demand.operator.lower() == self.ledger.address.lower()

    def _answer(self, demand: Demand) -> Answer:
        try:
            call = self._call(demand)
            if call is None:
                return Answer(demand, problem="there is nothing to show: this is a fault")
            self.ledger.send(call)
        except ChainError as error:
            if error.revert is None:
                raise
            if Demand.read(self.ledger, demand.demand_id).state == "Answered":
                return Answer(demand)  # by somebody else, meanwhile
            return Answer(demand, problem=str(error))
        except OpenLedgerError as error:
            return Answer(demand, problem=str(error))
        return Answer(demand, earned=demand.bond)

    def _call(self, demand: Demand) -> Any:
        if demand.fault == "DataWithheld":
            data = block_of(demand.subject, self.store.get)
            return None if data is None else self._disputes.functions.answerWithBlock(demand.demand_id, data)
        if demand.fault == "UndeclaredModel":
            return self._model(demand)
        return self._omission(demand)

    def _model(self, demand: Demand) -> Any:
        (asked,) = self.ledger.events(self._disputes.events.ModelDemanded, id=demand.demand_id)
        number, asset_id, digest = int(asked["epoch"]), int(asked["assetId"]), bytes(asked["contentDigest"])
        epoch = self.ledger.epoch(demand.agent_id, number)
        if epoch is None:
            return None
        manifest = Manifest.decode(epoch.manifest, self.store.get)
        position = manifest.index_of(asset_id, digest)
        if position is None:
            return None
        return self._disputes.functions.answerWithModel(
            demand.demand_id, number, asset_id, digest, position, manifest.tree.proof(position)
        )

    def _omission(self, demand: Demand) -> Any:
        (asked,) = self.ledger.events(self._disputes.events.OmissionDemanded, id=demand.demand_id)
        ticket, payment = dict(asked["ticket"]), dict(asked["payment"])
        functions = self._disputes.functions
        given = tuple(ticket.values())
        promised = bytes(ticket["paymentId"]), bytes(ticket["requestHash"]), int(ticket["anchorBy"])
        back = refunded_to(self.ledger, demand.agent_id, promised[0], str(payment["client"]))
        for shown in anchored_records(self.ledger, self.store, demand.agent_id):
            if not keeps(shown, *promised):
                continue
            paid = self._paid(demand, given, payment, shown)
            if shown.charge + back >= paid:
                return functions.answerWithRecord(demand.demand_id, given, shown.to_abi())
        if back >= int(payment["value"]):
            return functions.answerWithRefund(demand.demand_id, given, tuple(payment.values()))
        return None

    def _paid(self, demand: Demand, ticket: Any, claimed: dict[str, Any], shown: Anchored) -> int:
        """What was paid for the action, in wei. A client may sign several payments with one nonce and demand by a larger one
        than it spent: then the one that the record holds is shown first."""
        content = ActionContent.decode(shown.signed.content, self.store.get)
        spent, value = content.payment, int(claimed["value"])
        if spent is None or spent.value >= value:
            return value
        real = spent.to_abi(demand.agent_id, content.request_hash)
        self.ledger.send(self._disputes.functions.correctOmission(demand.demand_id, ticket, real))
        return spent.value
