"""What adapters cost that are not in memory, beside saturated ones that are: a JSON description on stdin, figures as
JSON on stdout, in a process of its own.

``beside``: 8 hot adapters keep 48 requests running all the time; another 100 requests come at a steady rate, each for
another adapter, which is warm (in memory), cold (only in the content store), or there are none. ``registered``: every
adapter is brought into memory, the first half by a request each, and what a request to the first 64 costs before and after.
"""

from __future__ import annotations

import json
import statistics
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from benchmarks._serve import OUTPUT, environment, first_token, request, serving

HOT, RUNNING, OTHERS, INTERVAL = 8, 48, 100, 0.05


class Traffic:
    """A closed loop of ``RUNNING`` requests over the hot adapters; counts the tokens it got."""

    def __init__(self, engine: Any, hot: list[Any]) -> None:
        self._engine, self._hot = engine, hot
        self._lock, self._asked, self._over = threading.Lock(), 0, threading.Event()
        self.tokens = 0
        for _ in range(RUNNING):
            self._ask()

    def _ask(self) -> None:
        with self._lock:
            self._asked += 1
            at = self._asked
        self._engine.submit(request(at, self._hot[at % HOT])).add_done_callback(self._done)

    def _done(self, answer: Any) -> None:
        if answer.cancelled() or answer.exception() is not None:
            return
        with self._lock:
            self.tokens += len(answer.result().tokens)
        if not self._over.is_set():
            # not from the engine's own thread: submitting may ask the registry
            threading.Thread(target=self._ask, daemon=True).start()

    def stop(self) -> None:
        self._over.set()


def window(engine: Any, hot: list[Any], others: list[Any]) -> dict[str, Any]:
    """Hot tokens a second while ``others`` are asked for, and the seconds to their first tokens."""
    traffic = Traffic(engine, hot)
    time.sleep(1)
    tokens, began, answers = traffic.tokens, time.perf_counter(), []
    for at in range(OTHERS):
        time.sleep(max(0.0, began + at * INTERVAL - time.perf_counter()))
        if others:
            answers.append(engine.submit(request(7000 + at, others[at])))
    firsts = [first_token(answer.result(120)) for answer in answers]
    spent = time.perf_counter() - began
    got = traffic.tokens - tokens
    traffic.stop()
    while engine.stats().running:
        time.sleep(0.01)
    return {"hot_tokens_per_second": got / spent, "firsts": firsts}


def beside(base: str, adapters: list[str], options: dict[str, Any], repeats: int) -> dict[str, Any]:
    with serving(base, adapters, options) as (engine, refs):
        hot, warm, cold = refs[:HOT], refs[HOT : HOT + OTHERS], refs[HOT + OTHERS :]
        for ref in (*hot, *warm):
            engine.preload(ref).result(120)
        window(engine, hot, warm)
        found: dict[str, list[dict[str, Any]]] = {"none": [], "warm": [], "cold": []}
        for turn in range(repeats):
            found["none"].append(window(engine, hot, []))
            found["warm"].append(window(engine, hot, warm))
            found["cold"].append(window(engine, hot, cold[turn * OTHERS : (turn + 1) * OTHERS]))
        answer: dict[str, Any] = {}
        for name, turns in found.items():
            firsts = sorted(first for turn in turns for first in turn["firsts"])
            answer[name] = {
                "hot": statistics.median(turn["hot_tokens_per_second"] for turn in turns),
                "hot_all": [round(turn["hot_tokens_per_second"]) for turn in turns],
                "firsts": firsts,
            }
        return answer


def registered(base: str, adapters: list[str], options: dict[str, Any]) -> dict[str, Any]:
    with serving(base, adapters, options, ram_bytes=16 << 30) as (engine, refs):

        def spent(asked: list[Any]) -> float:
            cpu = time.process_time()
            engine.generate_many([request(at, ref) for at, ref in enumerate(asked)])
            return (time.process_time() - cpu) / len(asked)

        first, half = refs[:64] * 4, len(refs) // 2
        spent(first)
        before = [spent(first) for _ in range(3)]
        cold = [spent(refs[at : min(at + 250, half)]) for at in range(64, half, 250)]
        # The other half is only loaded: a request also touches pages of the KV cache for the first time.
        rss, loaded = psutil.Process().memory_info().rss, engine.stats().adapter_bytes
        for answer in [engine.preload(ref) for ref in refs[half:]]:
            answer.result(600)
        rss = psutil.Process().memory_info().rss - rss
        stats = engine.stats()
        after = [spent(first) for _ in range(3)]
        files = sum((Path(path) / "adapter_model.safetensors").stat().st_size for path in adapters[half:])
        return {
            "before": before,
            "after": after,
            "cold": cold,
            "in_memory": len(stats.adapters),
            "memory_to_file": (stats.adapter_bytes - loaded) / files,
            "rss_to_file": rss / files,
            "output": OUTPUT,
        }


if __name__ == "__main__":
    environment()
    asked = json.loads(sys.stdin.read())
    parts: dict[str, Callable[..., dict[str, Any]]] = {"beside": beside, "registered": registered}
    part = parts[asked.pop("part")]
    print(json.dumps(part(**asked)))
