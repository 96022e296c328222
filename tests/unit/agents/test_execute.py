"""What running a graph records. No model is called here; model calls are tested over the real pool."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any, TypedDict

import pytest
from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.messages import AIMessage
from langchain_core.retrievers import BaseRetriever
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, interrupt

from openledger.agents import Models, agent, chat, execute, load_agent, plain
from openledger.errors import UserError
from openledger.registry import RetrievalStep, Status, ToolCallStep, cid_of, decode_step, encode


class State(TypedDict, total=False):
    x: int
    y: Any


@tool
def double(n: int) -> int:
    """Twice the number."""
    return 2 * n


@tool
def transfer(n: int) -> dict[str, Any]:
    """Moves value."""
    return {"sent": n, "tx_hash": "0x" + "ab" * 32}


@tool
def broken(n: int) -> int:
    """Always fails."""
    raise ValueError("the pump is dry")


class Shelf(BaseRetriever):
    found: list[Document] = []  # noqa: RUF012 - a pydantic field

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun
    ) -> list[Document]:
        return self.found or [Document(page_content="a row", metadata={"row": "r-1"})]


def graph_of(*nodes: Any, checkpointer: Any = None) -> Any:
    graph = StateGraph(State)
    names = [START, *(f"node{i}" for i in range(len(nodes))), END]
    for name, node in zip(names[1:], nodes, strict=False):
        graph.add_node(name, node)
    for before, after in pairwise(names):
        graph.add_edge(before, after)
    return graph.compile(checkpointer=checkpointer)


def run(graph: Any, value: Any, **declared: Any) -> Any:
    declared.setdefault("output", "y")
    subject = agent("subject", input="x", **declared)(lambda: graph)
    return asyncio.run(
        execute(subject, subject.graph(), value, models=Models(), seed=lambda _: bytes(32), thread_id="t")
    )


def test_tool_calls_become_steps_in_call_order() -> None:
    outcome = run(graph_of(lambda s: {"y": transfer.invoke({"n": double.invoke({"n": s["x"]})})}), 3)
    assert outcome.status is Status.OK
    assert outcome.output == {"sent": 6, "tx_hash": "0x" + "ab" * 32}
    assert outcome.steps == (
        ToolCallStep("double", {"n": 3}, 6),
        ToolCallStep("transfer", {"n": 6}, {"sent": 6, "tx_hash": "0x" + "ab" * 32}, "0x" + "ab" * 32),
    )


def test_retrieved_documents_become_a_step() -> None:
    outcome = run(graph_of(lambda s: {"y": len(Shelf().invoke("what?"))}), 1)
    (step,) = outcome.steps
    assert isinstance(step, RetrievalStep)
    assert step.documents["query"] == "what?"
    assert step.documents["documents"] == [{"text": "a row", "metadata": {"row": "r-1"}}]


NET, OTHER = cid_of(b"net"), cid_of(b"other")


@pytest.mark.parametrize(
    ("named", "asset_id", "content"),
    [
        ([{"datanet_id": 3, "datanet_cid": NET}] * 2, 3, NET),
        ([{"datanet_id": 3, "datanet_cid": NET}, {"datanet_id": 3, "datanet_cid": OTHER}], 0, None),
        ([{"datanet_id": 3, "datanet_cid": NET}, {}], 0, None),
        ([{"datanet_id": "three", "datanet_cid": "audit_findings"}], 0, None),
        ([{"datanet_id": [3], "datanet_cid": {"a": 1}}], 0, None),
        ([{"datanet_id": -1, "datanet_cid": NET}], 0, NET),
    ],
)
def test_a_retrieval_names_the_one_version_its_documents_name(
    named: list[dict[str, Any]], asset_id: int, content: str | None
) -> None:
    shelf = Shelf(found=[Document(page_content="a row", metadata=one) for one in named])
    (step,) = run(graph_of(lambda s: {"y": len(shelf.invoke("what?"))}), 1).steps
    assert isinstance(step, RetrievalStep)
    assert (step.asset_id, step.content) == (asset_id, content)
    assert decode_step(step.cid, step.encoded.blocks.__getitem__) == step, "it can be recorded"


def test_a_node_that_raises_fails_the_action_and_keeps_its_steps() -> None:
    def node(state: State) -> State:
        double.invoke({"n": 1})
        raise RuntimeError("no such contract")

    outcome = run(graph_of(node), 1)
    assert outcome.status is Status.FAILED
    assert outcome.output == {"code": "graph", "error": "RuntimeError: no such contract"}
    assert [step.name for step in outcome.steps] == ["double"]


def test_a_failing_tool_is_recorded_as_failed() -> None:
    outcome = run(graph_of(lambda s: {"y": broken.invoke({"n": 1})}), 1)
    assert outcome.status is Status.FAILED
    (step,) = outcome.steps
    assert step.result["error"] == "the pump is dry"


def test_an_action_over_its_time_fails() -> None:
    async def slow(state: State) -> State:
        await asyncio.sleep(30)
        return {"y": 1}

    outcome = run(graph_of(slow), 1, timeout=0.05)
    assert outcome.status is Status.FAILED
    assert outcome.output["code"] == "timeout"


def test_an_interrupt_ends_the_action_and_a_command_resumes_it() -> None:
    graph = graph_of(lambda s: {"y": interrupt("approve?")}, checkpointer=InMemorySaver())
    paused = run(graph, 1)
    assert paused.status is Status.INTERRUPTED
    assert paused.output == ["approve?"]
    resumed = run(graph, Command(resume="yes"))
    assert resumed.status is Status.OK
    assert resumed.output == "yes"


def test_messages_and_odd_values_become_plain_data() -> None:
    outcome = run(graph_of(lambda s: {"y": [AIMessage("hi"), {1, 2}, ("a", 1.5)]}), 1)
    assert outcome.output == [{"role": "ai", "content": "hi"}, [1, 2], ["a", 1.5]]


def test_a_model_call_without_a_pool_is_refused_by_name() -> None:
    outcome = run(graph_of(lambda s: {"y": chat("findings").invoke("?").content}), 1)
    assert outcome.status is Status.FAILED
    assert "no model pool" in outcome.output["error"]


def test_a_pool_model_outside_an_action_says_how_to_run_it() -> None:
    with pytest.raises(UserError, match="outside an action"):
        chat("findings").invoke("?")


def test_missing_output_key_names_the_key() -> None:
    outcome = run(graph_of(lambda s: {"x": 1}), 1, output="answer")
    assert outcome.status is Status.FAILED
    assert "'answer'" in outcome.output["error"]


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("desk", "cannot read agent"),
        ("nowhere.py:desk", "no file nowhere.py"),
        ("examples/desk.py:other", "has no agent 'other'"),
        ("no_such_module:desk", "cannot import no_such_module"),
    ],
)
def test_load_agent_names_what_is_wrong(target: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_agent(target)


def test_load_agent_from_a_file() -> None:
    assert load_agent("examples/desk.py:desk").name == "risk-desk"


@pytest.mark.parametrize("wrong", [{"price": -1}, {"timeout": 0}])
def test_impossible_declarations_are_refused(wrong: Any) -> None:
    with pytest.raises(UserError):
        agent("subject", **wrong)


def test_an_agent_must_build_a_graph() -> None:
    with pytest.raises(UserError, match="did not build a LangGraph graph"):
        agent("subject")(lambda: 42).graph()


@pytest.mark.parametrize(
    ("value", "held"),
    [
        (2**70, str(2**70)),
        (float("nan"), "nan"),
        (float("inf"), "inf"),
        ("a\ud800b", "a?b"),
        ({1: object}, {"1": repr(object)}),
        ({"a": {2.5, 1.5}}, {"a": [1.5, 2.5]}),
    ],
)
def test_every_answer_can_be_recorded(value: Any, held: Any) -> None:
    assert plain(value) == held
    encode(plain(value))


def test_an_endless_nesting_ends_as_text() -> None:
    loop: list[Any] = []
    loop.append(loop)
    encode(plain(loop))
