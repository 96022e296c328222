"""An engine's counters as Ray metrics: what Prometheus scrapes from the node it runs on."""

from __future__ import annotations

from typing import Any

from ._engine import EngineStats

__all__ = ["EngineMetrics"]

_TAGS = ("pool", "replica")


class EngineMetrics:
    """Of one engine, tagged with its pool and its place there. Ray prefixes each name with ``ray_``."""

    def __init__(self, pool: str, place: int) -> None:
        from ray.util.metrics import Counter, Gauge

        def made(kind: Any, name: str, what: str) -> Any:
            metric = kind(f"openledger_engine_{name}", what, _TAGS)
            metric.set_default_tags({"pool": pool, "replica": str(place)})
            return metric

        self._gauges = {
            "waiting": made(Gauge, "waiting", "requests that have not begun"),
            "running": made(Gauge, "running", "requests in the engine's batch"),
            "adapter_bytes": made(Gauge, "adapter_bytes", "memory taken by adapters"),
            "rss_bytes": made(Gauge, "rss_bytes", "memory of the process"),
        }
        self._counters = {
            "requests": made(Counter, "requests_total", "requests that were answered"),
            "prompt_tokens": made(Counter, "prompt_tokens_total", "tokens of their prompts"),
            "output_tokens": made(Counter, "output_tokens_total", "tokens of their outputs"),
            "busy_seconds": made(Counter, "busy_seconds_total", "seconds inside the engine's step"),
        }
        self._adapters = made(Gauge, "adapters", "adapters in memory")
        self._told = dict.fromkeys(self._counters, 0.0)

    def report(self, stats: EngineStats) -> None:
        """Tell what has changed since the last report."""
        for name, gauge in self._gauges.items():
            gauge.set(getattr(stats, name))
        self._adapters.set(len(stats.adapters))
        for name, counter in self._counters.items():
            grown = getattr(stats, name) - self._told[name]
            if grown > 0:  # Ray refuses a counter that grows by nothing
                counter.inc(grown)
                self._told[name] += grown
