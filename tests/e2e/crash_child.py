"""One operator process for the crash tests: recover, take the requests given, anchor, settle; die where told.

Usage: crash_child.py HOME CACHE REGISTERED REQUESTS KILL, where KILL is ``phase:begin``, ``phase:end`` or ``-``.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
from pathlib import Path
from typing import Any, TypedDict

from langchain_core.tools import tool
from langgraph.graph import END, START, StateGraph

from openledger.agents import Models, agent
from openledger.datanets import span_index
from openledger.registry import Connection, Tariff
from openledger.runtime import Batcher, LocalRunner, Operator, Outbox, SpanAttributor, Spent
from openledger.settings import Settings


class State(TypedDict, total=False):
    x: int
    y: int


@tool
def double(n: int) -> int:
    """Twice the number."""
    return 2 * n


@agent("doubler", price=10**16, input="x", output="y", tariff=Tariff(0, 0, base=4 * 10**15))
def doubler() -> Any:
    graph = StateGraph(State)
    graph.add_node("double", lambda state: {"y": double.invoke({"n": state["x"]})})
    graph.add_edge(START, "double")
    graph.add_edge("double", END)
    return graph


def main() -> None:
    home, cache, registered_at, requests_at, kill = sys.argv[1:]
    settings = Settings(home=Path(home), cache=Path(cache))
    registered, base = pickle.loads(Path(registered_at).read_bytes())

    def observe(phase: str, spent: Spent | None) -> None:
        if kill == f"{phase}:{'begin' if spent is None else 'end'}":
            os.kill(os.getpid(), signal.SIGKILL)

    with Connection.open(settings) as connection:
        assert connection.devnet is not None
        owner = next(a for a in connection.devnet.accounts if str(a.address) == registered.owner)
        ledger, outbox = connection.as_(owner), Outbox(Path(home) / "crash.db")
        common = {"ledger": ledger, "store": connection.store, "outbox": outbox, "observe": observe}
        attributor = SpanAttributor(
            span_index(
                [ref.cid for ref in registered.manifest.datanets], connection.store, base, Path(cache)
            ),
            registered.manifest.split,
            lambda steps: [],
            treasury=str(connection.contracts.treasury.address),
            operator=registered.owner,
        )
        operator = Operator(
            doubler,
            agent_id=registered.agent_id,
            epoch=registered.epoch,
            manifest=registered.manifest,
            record_key=connection.record_key(registered.agent_id),
            runner=LocalRunner(doubler, Models()),
            attributor=attributor,
            **common,  # type: ignore[arg-type]
        )
        batcher = Batcher(registered.agent_id, **common)  # type: ignore[arg-type]
        operator.recover()
        for paid in pickle.loads(Path(requests_at).read_bytes()):
            operator.submit(paid)
        batcher.anchor()
        if kill.startswith("settle"):
            connection.chain.advance(ledger.parameter("challengeWindow") + 1)
        batcher.settle()


if __name__ == "__main__":
    main()
