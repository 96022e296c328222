"""Agents as the tools of an MCP server: one tool an agent, paid by the request's API key or by x402 in ``_meta``.

Sources: https://modelcontextprotocol.io/specification and x402's ``transports-v2/mcp.md``
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Any

import mcp_types as types
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.transport_security import TransportSecuritySettings
from starlette.applications import Starlette
from x402.mcp.constants import MCP_PAYMENT_META_KEY, MCP_PAYMENT_RESPONSE_META_KEY

from ...errors import OpenLedgerError, UserError
from ...registry import Status
from ._agents import Agents, Served
from ._answers import begun, ended, payer_of
from ._calls import Calls
from ._errors import PaymentRefused, body_of, failure, status_of
from ._openai import text_of

__all__ = ["Mcp", "tool_name"]

Context = ServerRequestContext[Any, Any]


class Mcp:
    """An MCP server over what is served; ``app`` is to be mounted, ``running`` around it."""

    def __init__(self, agents: Agents, calls: Calls, body_bytes: int) -> None:
        self._calls = calls
        self._tools = {tool_name(served, agents): served for served in agents}
        self._server: Server[Any] = Server("OpenLedger", on_list_tools=self._list, on_call_tool=self._call)
        self.app: Starlette = self._server.streamable_http_app(
            streamable_http_path="/",
            json_response=True,
            stateless_http=True,
            max_request_body_size=body_bytes,
            # Callers are known by what they pay with, never by cookies or by where they are.
            transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False),
        )

    def running(self) -> AbstractAsyncContextManager[None]:
        """Serves while it is entered."""
        return self._server.session_manager.run()

    async def _list(self, _: Context, __: types.PaginatedRequestParams | None) -> types.ListToolsResult:
        return types.ListToolsResult(tools=[_tool(name, served) for name, served in self._tools.items()])

    async def _call(self, context: Context, params: types.CallToolRequestParams) -> types.CallToolResult:
        try:
            return await self._answer(context, params)
        except PaymentRefused as error:
            terms = error.required.model_dump(by_alias=True, exclude_none=True)
            return _result(json.dumps(terms), terms, failed=True)
        except OpenLedgerError as error:
            told = body_of(error, status_of(error))
            return _result(told["error"]["message"], told, failed=True)

    async def _answer(self, context: Context, params: types.CallToolRequestParams) -> types.CallToolResult:
        served = self._tools.get(params.name)
        if served is None:
            raise UserError(
                f"there is no tool {params.name[:80]!r}", fix="list the tools", code="user.model.unknown"
            )
        given = params.arguments or {}
        if set(given) != {"input"}:
            raise UserError(
                "the arguments are wrong", why="there is one, `input`", fix="give it, and no other"
            )
        assert context.request is not None  # HTTP is the only transport here
        payer = payer_of(context.request)
        payment = (context.meta or {}).get(MCP_PAYMENT_META_KEY)
        if payment is not None:
            payer = replace(payer, payment=b64encode(json.dumps(payment).encode()).decode())
        call = self._calls.begin(served, given["input"], payer)
        await begun(call)
        receipt, extension = await ended(call)
        failed = receipt.record.status is Status.FAILED
        text = str(failure(receipt.output)) if failed else text_of(receipt.output)
        told = {"output": None if failed else receipt.output, "openledger": extension}
        meta = None
        if call.settled is not None:
            settled = call.settled.model_dump(by_alias=True, exclude_none=True)
            meta = {MCP_PAYMENT_RESPONSE_META_KEY: settled}
        return _result(text, told, failed=failed, meta=meta)


def _result(
    text: str, structured: Any, *, failed: bool, meta: dict[str, Any] | None = None
) -> types.CallToolResult:
    return types.CallToolResult(
        content=[types.TextContent(type="text", text=text)],
        structured_content=structured,
        is_error=failed,
        _meta=meta,
    )


def tool_name(served: Served, agents: Agents) -> str:
    """The agent's name where a tool may be called so and no other agent is; else ``agent_<id>``."""
    model = str(agents.described(served)["id"])
    return model if re.fullmatch(r"[A-Za-z0-9_-]{1,64}", model) else f"agent_{served.agent_id}"


def _tool(name: str, served: Served) -> types.Tool:
    takes: dict[str, Any] = {"description": "the state the agent's graph takes"}
    if served.agent.input_key is not None:
        takes = {"type": "string", "description": "what to ask"}
    return types.Tool(
        name=name,
        description=f"{served.agent.description} {served.costs}",
        input_schema={"type": "object", "properties": {"input": takes}, "required": ["input"]},
    )
