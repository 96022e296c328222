"""HTTP/1.1 as uvicorn speaks it, for clients that make haste: who sends headers slowly or without end is cut off.

Uvicorn bounds the time between two requests and nothing else of a head; a handful of bytes a minute would hold a connection for
ever. The body's time and size are the guard's.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

__all__ = ["HastyProtocol"]

SECONDS = 20.0
"""From the connection, or the answer before, until a request's head is there."""
MOST = 64 * 1024
"""Bytes of a head."""


class HastyProtocol(HttpToolsProtocol):
    """For ``uvicorn.Config(http=…)``."""

    _clock: asyncio.TimerHandle | None = None
    _head = -1
    """Bytes of the head that is on its way; -1 while none is."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._begin()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._head >= 0:
            self._head += len(data)
            if self._head > MOST:
                self.transport.close()

    def on_message_begin(self) -> None:
        self._head = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._end()
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._begin()

    def _begin(self) -> None:
        if self._clock is not None:
            self._clock.cancel()
        self._clock = self.loop.call_later(SECONDS, self._late)

    def _end(self) -> None:
        self._head = -1
        if self._clock is not None:
            self._clock.cancel()

    def _late(self) -> None:
        if self.cycle is None or self.cycle.response_complete:  # else another request came meanwhile, in full
            self.transport.close()
