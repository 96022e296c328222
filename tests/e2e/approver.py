"""An agent that asks before it acts."""

from __future__ import annotations

from typing import Any, TypedDict

from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import interrupt

from openledger.agents import agent


class State(TypedDict, total=False):
    amount: int
    done: str


@agent("approver", price=10**16, input="amount", output="done")
def approver() -> Any:
    graph = StateGraph(State)
    graph.add_node("ask", lambda state: {"done": f"{interrupt('send ' + str(state['amount']) + '?')}, sent"})
    graph.add_edge(START, "ask")
    graph.add_edge("ask", END)
    return graph.compile(checkpointer=InMemorySaver())
