"""An agent's ERC-8004 registration file says where it is, and it is there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import httpx2
import pytest
from a2a.client import ClientConfig, ClientFactory
from a2a.types import Message, Part, Role, SendMessageRequest
from listening import listening
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from ports import free_port

from openledger.errors import UserError
from openledger.runtime.gateway import announce


@contextmanager
def announced(house: Any) -> Iterator[tuple[str, Any]]:
    """A gateway that knows its address, and its application."""
    port = free_port()
    app = house.app(url=f"http://127.0.0.1:{port}/")
    with listening(app, port=port) as url:
        yield url, app


def file_of(house: Any) -> dict[str, Any]:
    """The file of the agent echo, as the chain has it."""
    found = house.connection.agents.get(house.echo.operator.agent_id).registration
    assert found is not None
    return dict(found)


async def test_the_file_on_chain_names_what_is_served_and_each_of_it_answers(another_house: Any) -> None:
    house = another_house
    connection, agent_id = house.connection, house.echo.operator.agent_id
    web = {"name": "web", "endpoint": "https://echo.example"}
    mine = [web, {"name": "MCP", "endpoint": "https://elsewhere.example"}]
    connection.agents.describe(house.owner, agent_id, "Echo", "It echoes.", image="i", services=mine)
    agents = [service.operator.agent_id for service in (house.echo, house.talk)]
    with announced(house) as (before, app):
        announce(app, house.owner)
    with announced(house) as (url, app):
        assert url != before
        assert announce(app, house.owner)[0] == f"agent {agent_id} is registered at {url} now"
        file, block = file_of(house), connection.chain.block_number()
        assert announce(app, house.owner) == [f"agent {number} is registered at {url}" for number in agents]
        assert connection.chain.block_number() == block

        async with httpx.AsyncClient(timeout=600) as http:
            assert (await http.get(f"{url}/agents/{agent_id}/registration.json")).json() == file
            domain = (await http.get(f"{url}/.well-known/agent-registration.json")).json()
        assert (file["name"], file["description"], file["image"]) == ("Echo", "It echoes.", "i")
        [entry] = file["registrations"]
        assert entry == {"agentId": agent_id, "agentRegistry": connection.agents.registry}
        assert entry in domain["registrations"]
        services = {one["name"]: one for one in file["services"]}
        assert len(services) == len(file["services"]) == 3
        assert services["web"] == web
        headers, _ = house.key()
        assert await by_mcp(services["MCP"], headers) == "FOUND BY MCP"
        assert await by_a2a(services["A2A"], headers) == "FOUND BY A2A"


async def by_mcp(service: Any, headers: dict[str, str]) -> str:
    [tool] = service["mcpTools"]
    async with (
        httpx2.AsyncClient(headers=headers, timeout=600) as http,
        Client(streamable_http_client(service["endpoint"], http_client=http)) as client,
    ):
        result = await client.call_tool(tool, {"input": "found by mcp"})
    return str(result.content[0].text)  # type: ignore[union-attr]


async def by_a2a(service: Any, headers: dict[str, str]) -> str:
    base, _, card = service["endpoint"].partition("/.well-known/")
    message = Message(message_id="m", role=Role.ROLE_USER, parts=[Part(text="found by a2a")])
    async with httpx.AsyncClient(headers=headers, timeout=600) as http:
        factory = ClientFactory(ClientConfig(httpx_client=http, streaming=False))
        client = await factory.create_from_url(base, relative_card_path=f"/.well-known/{card}")
        assert client._card.supported_interfaces[0].protocol_version == service["version"]
        [event] = [one async for one in client.send_message(SendMessageRequest(message=message))]
    return event.task.artifacts[0].parts[0].text


def test_who_does_not_own_the_agent_changes_no_file(house: Any) -> None:
    with announced(house) as (url, app):
        before = file_of(house)
        said = announce(app, house.client)
    assert f"have {house.owner.address} publish {url}" in said[0]
    assert file_of(house) == before


def test_without_an_address_nothing_is_announced(house: Any) -> None:
    assert announce(house.app(), house.owner) == []


@pytest.mark.parametrize("url", ["agents.example", "ftp://agents.example", "https://agents.example/?a"])
def test_what_is_no_address(house: Any, url: str) -> None:
    with pytest.raises(UserError, match="no address of a gateway"):
        house.app(url=url)
