"""An MCP server's tools in a graph: over HTTP, with the SDK's own server."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from typing import Any, TypedDict

import pytest
from langgraph.graph import END, START, StateGraph
from listening import listening
from mcp.server import MCPServer

from openledger.agents import Models, agent, execute, mcp_tools
from openledger.agents._mcp_tools import _Server
from openledger.errors import ExecutionError, UserError
from openledger.registry import Status, ToolCallStep

TX = "0x" + "ab" * 32


class State(TypedDict, total=False):
    x: Any
    y: Any


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    mcp = MCPServer("tools")

    @mcp.tool()
    def double(n: int) -> int:
        """Twice the number."""
        return 2 * n

    @mcp.tool()
    def send(to: str) -> dict[str, str]:
        """Moves value."""
        return {"to": to, "tx_hash": TX}

    @mcp.tool()
    def broken() -> str:
        """Always fails."""
        raise ValueError("the pump is dry")

    @mcp.tool()
    async def slow() -> str:
        """Takes as long as the server lives."""
        await asyncio.to_thread(over.wait)
        return "late"

    over = threading.Event()
    with listening(mcp.streamable_http_app(stateless_http=True, json_response=True)) as url:
        yield f"{url}/mcp"
        over.set()


def run(node: Any, value: Any) -> Any:
    graph = StateGraph(State)
    graph.add_node("node", node)
    graph.add_edge(START, "node")
    graph.add_edge("node", END)
    subject = agent("subject", input="x", output="y")(graph.compile)
    return asyncio.run(
        execute(subject, subject.graph(), value, models=Models(), seed=lambda _: bytes(32), thread_id="t")
    )


def test_a_call_is_a_step_under_the_servers_address(server: str) -> None:
    tools = {tool.name: tool for tool in mcp_tools(f"{server}?token=secret")}
    assert set(tools) == {"double", "send", "broken", "slow"}
    assert tools["double"].description == "Twice the number."
    assert set(tools["double"].args) == {"n"}
    outcome = run(lambda state: {"y": tools["double"].invoke({"n": state["x"]})}, 3)
    assert outcome.output == {"result": 6}
    assert outcome.steps == (ToolCallStep(f"double@{server}", {"n": 3}, {"result": 6}),)


def test_asynchronous_nodes_and_transactions(server: str) -> None:
    [send] = mcp_tools(server, only=["send"])

    async def node(state: State) -> State:
        return {"y": await send.ainvoke({"to": state["x"]})}

    [step] = run(node, "bob").steps
    assert step.tx_hash == TX
    assert step.result == {"to": "bob", "tx_hash": TX}


async def test_a_synchronous_call_where_a_loop_runs(server: str) -> None:
    [double] = mcp_tools(server, only=["double"])
    assert double.invoke({"n": 2}) == {"result": 4}


def test_a_tool_that_fails_is_a_failed_step_and_an_error_with_its_cause(server: str) -> None:
    [broken] = mcp_tools(server, only=["broken"])
    outcome = run(lambda _: {"y": broken.invoke({})}, 1)
    assert outcome.status is Status.FAILED
    assert outcome.output["code"] == "tool"
    [step] = outcome.steps
    assert step.name == f"broken@{server}"
    assert step.result == outcome.output | {"error": outcome.output["error"]}
    assert "broken" in step.result["error"]


def test_a_tool_that_takes_too_long(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = _Server.list

    async def unhurried(self: _Server) -> Any:
        limit, self._timeout = self._timeout, 600.0
        tools = await listed(self)
        self._timeout = limit
        return tools

    monkeypatch.setattr(_Server, "list", unhurried)
    [slow] = mcp_tools(server, only=["slow"], timeout=0.5)
    with pytest.raises(ExecutionError, match=r"did not answer 'slow'.*no answer in 0\.5 s") as caught:
        slow.invoke({})
    assert caught.value.code == "tool"


def test_arguments_that_the_tool_does_not_take_are_told(server: str) -> None:
    [double] = mcp_tools(server, only=["double"])
    with pytest.raises(ExecutionError, match="failed"):
        double.invoke({"n": "many"})


def test_what_cannot_be_had_is_said_when_the_graph_is_built(server: str) -> None:
    with pytest.raises(UserError, match=r"has no tool \['treble'\]"):
        mcp_tools(server, only=["treble"])
    with pytest.raises(UserError, match="no MCP server"):
        mcp_tools("tools.example")
    with pytest.raises(UserError, match="timeout"):
        mcp_tools(server, timeout=0)
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))  # and does not listen
        with pytest.raises(ExecutionError, match="did not list its tools") as caught:
            mcp_tools(f"http://127.0.0.1:{deaf.getsockname()[1]}/mcp")
    assert caught.value.code == "tool"


def test_headers_are_not_recorded(server: str) -> None:
    [double] = mcp_tools(server, only=["double"], headers={"Authorization": "Bearer secret"})
    outcome = run(lambda _: {"y": double.invoke({"n": 1})}, 1)
    assert "secret" not in json.dumps([step.name for step in outcome.steps]) + str(outcome)
