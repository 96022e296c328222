"""An agent as an ordinary LangGraph workflow: two nodes, each on its own adapter.

Try it without a chain:  openledger run examples/desk.py:desk '{"finding": "How was Brindlow Vault fixed?"}'
"""

from __future__ import annotations

from typing import TypedDict

from langchain_core.messages import HumanMessage
from langgraph.graph import END, START, StateGraph

from openledger.agents import Agent, agent, chat


class Brief(TypedDict, total=False):
    finding: str
    """A question about a smart-contract audit."""
    reading: str
    """A question about an environmental sensor."""
    answers: list[str]
    brief: str


def ask_findings(state: Brief) -> Brief:
    if "finding" not in state:
        return {"answers": []}
    reply = chat("findings").invoke([HumanMessage(state["finding"])])
    return {"answers": [str(reply.text)]}


def ask_sensors(state: Brief) -> Brief:
    if "reading" not in state:
        return {}
    reply = chat("sensors").invoke([HumanMessage(state["reading"])])
    return {"answers": [*state["answers"], str(reply.text)]}


def write_brief(state: Brief) -> Brief:
    return {"brief": ". ".join(answer[:1].upper() + answer[1:] for answer in state["answers"]) + "."}


@agent(
    "risk-desk",
    adapters={"findings": "audit_findings", "sensors": "environmental_sensing"},
    datanets=("audit_findings", "environmental_sensing"),
    price=10**17,
    input="finding",
    output="brief",
)
def desk() -> StateGraph:
    """Answers an underwriter's two questions: what the code's auditors found, and what the sensors say."""
    graph = StateGraph(Brief)
    graph.add_node("findings", ask_findings)
    graph.add_node("sensors", ask_sensors)
    graph.add_node("brief", write_brief)
    graph.add_edge(START, "findings")
    graph.add_edge("findings", "sensors")
    graph.add_edge("sensors", "brief")
    graph.add_edge("brief", END)
    return graph


__all__ = ["Agent", "desk"]
