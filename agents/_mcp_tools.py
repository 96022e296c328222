"""The tools of an MCP server as LangChain tools: every call is a tool call of the record, under the server's address.

Source: https://modelcontextprotocol.io/specification
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

from langchain_core.tools import BaseTool, StructuredTool

from ..errors import ExecutionError, OpenLedgerError, UserError
from ._plain import plain
from ._trace import SERVER

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mcp import Client
    from mcp_types import CallToolResult, Tool

__all__ = ["mcp_tools"]

T = TypeVar("T")
_MOST = 1000
"""Tools of one server."""


def mcp_tools(
    url: str,
    *,
    only: Sequence[str] = (),
    headers: Mapping[str, str] | None = None,
    timeout: float = 30.0,
) -> list[BaseTool]:
    """The tools that the MCP server at ``url`` (streamable HTTP) has now, or those named in ``only``.

    Call it where the graph is built. Each call of a tool is a connection of its own, has to be answered within ``timeout``
    seconds, and gives the structured content of the result, else its text. ``headers`` go with every request, for a
    key, say; they are not recorded, nor is the query of ``url``.

    Raises ``UserError`` for a name in ``only`` that the server does not have, and ``ExecutionError``, code ``tool``, when the server
    cannot be reached; so does a tool, and when the server says that the call failed.
    """
    server = _Server(url, dict(headers or {}), timeout)
    found = {tool.name: tool for tool in _blocking(server.list)}
    missing = sorted(set(only) - set(found))
    if missing:
        raise UserError(
            f"the MCP server {server.name} has no tool {missing}",
            why=f"it has {sorted(found)}",
            fix="correct the names in only=…",
        )
    return [server.tool(tool) for name, tool in found.items() if not only or name in only]


class _Server:
    def __init__(self, url: str, headers: dict[str, str], timeout: float) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UserError(f"{url!r} is no MCP server", fix="give its http:// or https:// address")
        if timeout <= 0:
            raise UserError(f"a timeout of {timeout:g} s was refused", fix="give seconds above 0")
        self._url, self._headers, self._timeout = url, headers, timeout
        self.name = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))

    def tool(self, tool: Tool) -> BaseTool:
        async def call(**arguments: Any) -> Any:
            return await self.call(tool.name, arguments)

        def call_and_wait(**arguments: Any) -> Any:
            return _blocking(lambda: self.call(tool.name, arguments))

        return StructuredTool(
            name=tool.name,
            description=tool.description or tool.name,
            args_schema=dict(tool.input_schema),
            func=call_and_wait,
            coroutine=call,
            metadata={SERVER: self.name},
        )

    async def list(self) -> list[Tool]:
        async with self._connected("list its tools") as client:
            tools: list[Tool] = []
            cursor: str | None = None
            while len(tools) < _MOST:
                page = await client.list_tools(cursor=cursor)
                tools += page.tools
                cursor = page.next_cursor
                if cursor is None:
                    break
            return tools[:_MOST]

    async def call(self, name: str, arguments: dict[str, Any]) -> Any:
        async with self._connected(f"answer {name!r}") as client:
            result = await client.call_tool(name, arguments)
        if result.is_error:
            raise ExecutionError(
                f"the tool {name!r} of {self.name} failed",
                why=_text(result)[:2000],
                fix="correct its arguments, or handle the error in the node",
                code="tool",
            )
        return _text(result) if result.structured_content is None else plain(result.structured_content)

    @asynccontextmanager
    async def _connected(self, what: str) -> AsyncIterator[Client]:
        import httpx2
        from mcp import Client
        from mcp.client.streamable_http import streamable_http_client

        try:
            async with (
                asyncio.timeout(self._timeout),
                # Never seen before the other, which bounds no request made after it: the session's end, say.
                httpx2.AsyncClient(headers=self._headers, timeout=2 * self._timeout) as http,
                Client(streamable_http_client(self._url, http_client=http)) as client,
            ):
                yield client
        except OpenLedgerError:
            raise
        except Exception as error:
            late = isinstance(error, TimeoutError)
            raise ExecutionError(
                f"the MCP server {self.name} did not {what}",
                why=f"there was no answer in {self._timeout:g} s" if late else _cause(error),
                fix="see that it runs and takes the headers; nothing was recorded of its answer",
                code="tool",
            ) from error


def _cause(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"[:500]


def _text(result: CallToolResult) -> str:
    """Text as it is; pictures and the like as the JSON of what they are."""
    parts = []
    for block in result.content:
        text = getattr(block, "text", None)
        parts.append(text if text is not None else json.dumps(block.model_dump(mode="json", by_alias=True)))
    return "\n".join(parts)


def _blocking(work: Callable[[], Awaitable[T]]) -> T:
    """In a thread of its own: the caller's may have a running loop."""

    async def run() -> T:
        return await work()

    with ThreadPoolExecutor(1, thread_name_prefix="mcp") as thread:
        return thread.submit(asyncio.run, run()).result()
