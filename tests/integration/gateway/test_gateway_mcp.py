"""The gateway's agents as tools, through the MCP SDK's own client."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from x402 import x402Client
from x402.schemas import PaymentRequired

from openledger.runtime.gateway import register_open


@asynccontextmanager
async def connected(site: Any, headers: dict[str, str]) -> AsyncIterator[Client]:
    async with (
        httpx2.AsyncClient(headers=headers, timeout=600) as http,
        Client(streamable_http_client(f"{site.url}/mcp/", http_client=http)) as client,
    ):
        yield client


async def test_each_agent_is_a_tool_and_a_key_pays_for_it(site: Any) -> None:
    headers, key = site.house.key()
    async with connected(site, headers) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert set(tools) == {"echo", "talk"}
        assert "10000000000000000 wei" in str(tools["echo"].description)
        result = await client.call_tool("echo", {"input": "louder"})
    assert not result.is_error
    assert result.content[0].text == "LOUDER"  # type: ignore[union-attr]
    row = site.house.echo.outbox.signed_as(result.structured_content["openledger"]["receipt"])
    assert row.accepted["request"]["input"] == "louder"
    assert site.house.keys.get(key.id).spent == 10**16


async def test_a_tool_is_paid_by_x402(site: Any) -> None:
    house, paying = site.house, x402Client()
    contracts = house.connection.contracts
    register_open(
        paying,
        house.client,
        network="eip155:*",
        token=str(contracts.token.address),
        most=10**16,
        now=house.connection.ledger.now,
    )
    before = house.balance(house.client)
    async with connected(site, {}) as client:
        asked = await client.call_tool("echo", {"input": "paid"})
        assert asked.is_error
        required = PaymentRequired.model_validate(asked.structured_content)
        payment = await paying.create_payment_payload(required)
        meta: Any = {"x402/payment": payment.model_dump(by_alias=True, exclude_none=True)}
        results = [await client.call_tool("echo", {"input": "paid"}, meta=meta) for _ in range(2)]
        other = await client.call_tool("echo", {"input": "not paid"}, meta=meta)
    assert [result.content[0].text for result in results] == ["PAID", "PAID"]  # type: ignore[union-attr]
    assert results[0].structured_content == results[1].structured_content
    assert results[0].meta["x402/payment-response"]["success"] is True  # type: ignore[index]
    assert other.is_error
    assert before - house.balance(house.client) == 10**16


async def test_what_goes_wrong_is_told_as_an_error_with_its_cause(site: Any) -> None:
    headers, key = site.house.key()
    async with connected(site, headers) as client:
        unknown = await client.call_tool("nobody", {"input": "x"})
        wrong = await client.call_tool("echo", {"question": "x"})
        failed = await client.call_tool("echo", {"input": "fail"})
    assert [result.is_error for result in (unknown, wrong, failed)] == [True] * 3
    assert "no tool" in unknown.content[0].text  # type: ignore[union-attr]
    assert "`input`" in wrong.content[0].text  # type: ignore[union-attr]
    assert "no answer to this" in failed.content[0].text  # type: ignore[union-attr]
    assert site.house.keys.get(key.id).spent == 0
