"""An agent that looks things up: it puts what its retriever finds into its prompt, or only says so."""

from __future__ import annotations

from typing import Any, TypedDict

from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.messages import HumanMessage
from langchain_core.retrievers import BaseRetriever
from langgraph.graph import END, START, StateGraph

from openledger.agents import Agent, agent, chat


class Shelf(BaseRetriever):
    """Finds what it was given."""

    found: list[dict[str, Any]]

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun
    ) -> list[Document]:
        return [Document(page_content=one["text"], metadata=one["metadata"]) for one in self.found]


class Ask(TypedDict, total=False):
    question: str
    documents: list[dict[str, Any]]
    """``text``, ``metadata``, and ``read``: whether it is put into the prompt."""
    answer: str


def look_up(state: Ask) -> Ask:
    found = Shelf(found=state["documents"]).invoke(state["question"])
    read = [doc.page_content for doc, one in zip(found, state["documents"], strict=True) if one["read"]]
    reply = chat("findings").invoke([HumanMessage("\n".join([*read, state["question"]]))])
    return {"answer": str(reply.text)}


@agent(
    "librarian",
    adapters={"findings": "audit_findings"},
    datanets=("audit_findings", "environmental_sensing"),
    price=10**17,
    output="answer",
)
def librarian() -> StateGraph:
    """Answers with documents at hand."""
    graph = StateGraph(Ask)
    graph.add_node("look up", look_up)
    graph.add_edge(START, "look up")
    graph.add_edge("look up", END)
    return graph


__all__ = ["Agent", "librarian"]
