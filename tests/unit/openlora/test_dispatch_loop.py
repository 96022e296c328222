"""What a pool does happens in one event loop of its process, whoever asks first."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

import pytest

from openledger.openlora import _dispatch


def test_threads_that_come_first_together_get_one_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    make = asyncio.new_event_loop

    def slowly() -> Any:
        time.sleep(0.05)
        return make()

    async def where() -> int:
        return id(asyncio.get_running_loop())

    monkeypatch.setattr(asyncio, "new_event_loop", slowly)
    # as in a process that is new; the pools of this one keep their loop
    monkeypatch.setattr(_dispatch, "_loop", lru_cache(_dispatch._loop.__wrapped__))
    with ThreadPoolExecutor(8) as threads:
        found = set(threads.map(lambda _: _dispatch.run(where()).result(600), range(8)))
    assert len(found) == 1
