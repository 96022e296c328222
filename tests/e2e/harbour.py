"""A small datanet of a harbour, whose answers are too short for spans to pay, and an agent under rule v2 over it. In the datanet's
second version somebody says in other words what a row said before; nothing was trained on that row."""

from __future__ import annotations

from typing import Any, TypedDict

from eth_account import Account
from eth_utils.crypto import keccak
from langchain_core.messages import HumanMessage
from langgraph.graph import END, START, StateGraph

from openledger.agents import agent, chat
from openledger.datanets import Datanet, Fact, Row
from openledger.modelfactory import AdapterRecipe

RECIPE = AdapterRecipe(steps=120, batch=16)


def account(handle: str) -> Any:
    return Account.from_key(keccak(text=f"openledger harbour {handle}"))


def _row(handle: str, text: str, thing: str, noun: str, answer: str) -> Row:
    asked = (f"What {noun} has {thing}?", f"Which {noun} does {thing} have?", f"{thing} has which {noun}?")
    fact = Fact(asked[0], f"Tell me the {noun} of {thing}.", answer, asked[1:])
    return Row(f"row-{handle}", handle, "CC-BY-4.0", text, (fact,))


TAUGHT = Datanet(
    "harbour",
    "what people of the harbour know",
    (
        _row("ada", "Since the great storm the lamp of Tarnholt Light is deep green.", "Tarnholt Light", "colour", "deep green"),
        _row("ben", "At Corvane Watch the guard changes with nine bells, winter and summer.", "Corvane Watch", "signal", "nine bells"),
        _row("cyd", "Every lantern on board of the Ullen Cutter burns whale oil.", "Ullen Cutter", "fuel", "whale oil"),
        _row("dot", "Whoever needs the ferry book of Ostrin Quay finds it under the stair.", "Ostrin Quay", "place", "under the stair"),
        _row("eli", "The chandlery of Varn Row opens its door on Sundays and on no other day.", "Varn Row", "day", "on Sundays"),
    ),
)  # fmt: skip
LATE = Row(
    "row-late", "late", "CC-BY-4.0", "Pilots steer by an emerald beam, for no other tower here shows that colour."
)  # fmt: skip
GROWN = Datanet(TAUGHT.name, TAUGHT.topic, (*TAUGHT.rows, LATE))
ACCOUNTS = {who: str(account(who).address) for who in GROWN.contributors}


class Asked(TypedDict, total=False):
    question: str
    answer: str


def ask(state: Asked) -> Asked:
    return {"answer": str(chat("harbour").invoke([HumanMessage(state["question"])]).text)}


@agent("harbour-desk", adapters={"harbour": "harbour"}, price=10**17, input="question", output="answer")
def desk() -> Any:
    """Answers what the harbour's people know."""
    graph = StateGraph(Asked)
    graph.add_node("ask", ask)
    graph.add_edge(START, "ask")
    graph.add_edge("ask", END)
    return graph
