"""Spans of an agent's tools and retrievers, whether anything is traced at all, and that nothing is made when nothing is."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import Any, TypedDict

import pytest
from collector import collecting
from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_core.tools import tool
from langgraph.graph import END, START, StateGraph

from openledger import telemetry
from openledger.agents import Models, agent, execute
from openledger.agents._spans import model_call
from openledger.errors import ContentError, UserError
from openledger.openlora import GenerationRequest, Sampling

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01", "baggage": "who=zq7"}
CLIENT, INTERNAL = 3, 1


class State(TypedDict, total=False):
    asked: str
    answer: Any


class Shelf(BaseRetriever):
    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun
    ) -> list[Document]:
        return [Document(page_content=f"a row about {query}")]


@tool
def weigh(what: str) -> str:
    """Weighs it."""
    return f"{what}: 3 g"


@tool
def lose(what: str) -> str:
    """Fails."""
    raise ContentError(f"no {what} here", code="content.missing")


@tool
async def wait(what: str) -> str:
    """Once it has begun, an hour passes."""
    loop = asyncio.get_running_loop()
    clock = loop.time
    loop.time = lambda: clock() + 3600  # type: ignore[method-assign]
    await asyncio.Event().wait()
    return what


def run(*calls: Any) -> Any:
    """An action that makes these calls."""

    async def node(state: State) -> State:
        for call in calls:
            if isinstance(call, Shelf):
                await call.ainvoke(state["asked"])
            else:
                await call.ainvoke({"what": state["asked"]})
        return {"answer": f"about {state['asked']}"}

    graph = StateGraph(State)
    graph.add_node("node", node)
    graph.add_edge(START, "node")
    graph.add_edge("node", END)
    declared = agent("subject", input="asked", output="answer", timeout=1800)(graph.compile)
    made = execute(
        declared, declared.graph(), "zq7", models=Models(), seed=lambda _: bytes(32), thread_id="t"
    )
    with telemetry.continued(PARENT):
        return asyncio.run(made)


def test_tools_and_retrievers_are_spans_without_what_they_were_given_or_gave() -> None:
    with collecting() as collector:
        run(weigh, Shelf(), lose)
        spans = collector.within(TRACE, "execute_tool weigh", "retrieval retriever", "execute_tool lose")
    assert {span.parent for span in spans.values()} == {"b7ad6b7169203331"}
    assert spans["execute_tool weigh"].attributes == {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "weigh",
        "gen_ai.tool.type": "function",
        "openledger.step": 0,
    }
    assert spans["retrieval retriever"].attributes == {
        "gen_ai.operation.name": "retrieval",
        "gen_ai.provider.name": "openledger",
        "gen_ai.data_source.id": "retriever",
        "openledger.step": 1,
    }
    assert {name: span.kind for name, span in spans.items()} == {
        "execute_tool weigh": INTERNAL,
        "execute_tool lose": INTERNAL,
        "retrieval retriever": CLIENT,
    }
    failed = spans["execute_tool lose"]
    assert (failed.failed, failed.attributes["error.type"]) == (True, "content.missing")
    assert not any("zq7" in span.raw for span in collector.spans)


def test_a_tool_that_is_cut_off_has_a_span() -> None:
    with collecting() as collector:
        assert run(wait).output["code"] == "timeout"
        cut = collector.within(TRACE, "execute_tool wait")["execute_tool wait"]
    assert cut.failed


def test_a_number_that_is_none_is_in_no_span() -> None:
    sampling: Any = Sampling(max_tokens="zq7", top_k=10**30)  # type: ignore[arg-type]  # as a graph may pass it on
    request = GenerationRequest((1, 2), None, sampling, bytes(32))
    with collecting() as collector:
        with telemetry.continued(PARENT), pytest.raises(UserError), model_call(None, request, 0, "node"):
            sampling.check()
        span = collector.within(TRACE, "chat base")["chat base"]
    assert (span.failed, span.kind) == (True, CLIENT)
    assert "gen_ai.request.max_tokens" not in span.attributes
    assert "gen_ai.request.top_k" not in span.attributes
    assert "zq7" not in span.raw


def test_an_error_is_told_by_its_kind_and_never_by_its_text() -> None:
    with collecting() as collector:
        for error in (
            ValueError("zq7"),
            ContentError("zq7", code="content.missing"),
            KeyboardInterrupt("zq7"),
        ):
            with pytest.raises(type(error)), telemetry.span("work", {}, parent=PARENT):
                raise error
    told = [(span.attributes["error.type"], span.failed) for span in collector.spans]
    assert told == [("ValueError", True), ("content.missing", True), ("KeyboardInterrupt", True)]
    assert not any("zq7" in span.raw for span in collector.spans)


def test_spans_of_another_process_go_on() -> None:
    with collecting() as collector:
        with telemetry.span("here", {}, parent=PARENT):
            headers, given = telemetry.carrier(), telemetry.environment()
        code = f"""
from openledger import telemetry
telemetry.start({given!r})
with telemetry.continued({headers!r}), telemetry.span("there", {{}}):
    pass
"""
        subprocess.run([sys.executable, "-c", code], check=True, timeout=600)
        spans = collector.within(TRACE, "here", "there")
    assert "baggage" not in headers
    assert spans["there"].parent == spans["here"].id


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_SDK_DISABLED": "true"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_TRACES_EXPORTER": "none"},
    ],
    ids=["no endpoint", "disabled", "no exporter"],
)
def test_nothing_is_loaded_or_done_when_nothing_is_traced(
    said: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code = """
import sys
from openledger import telemetry
with telemetry.span("work", {"some": 1}) as span, telemetry.continued({"traceparent": "x"}):
    span.set({"more": 2})
    span.fail("x")
telemetry.begun("more", {}).end()
assert not telemetry.start() and telemetry.carrier() == telemetry.environment() == {}
assert not [name for name in sys.modules if name.startswith("opentelemetry")]
"""
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in said.items():
        monkeypatch.setenv(name, value)
    subprocess.run([sys.executable, "-c", code], check=True, timeout=600)


def test_spans_that_nobody_wants_are_one_and_the_same_nothing() -> None:
    telemetry.stop()
    assert not telemetry.start()
    assert telemetry.begun("more", {"some": 1}) is telemetry._NOTHING
    with telemetry.span("work", {"some": 1}) as span:
        assert span is telemetry._NOTHING
        span.set({"more": 2})
    assert vars(span) == {"_of": None}
