"""What an agent's actions count, as Ray metrics: Prometheus scrapes them from the node its operator runs on."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial
from typing import Any, get_args

from ..agents import Outcome
from ..registry import ModelCallStep, Status
from ._fleet import WorkerState

__all__ = ["AgentMetrics", "KeeperMetrics"]

_SECONDS = [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0]


def _made(agent: str, kind: Any, name: str, what: str, *tags: str, **more: Any) -> Any:
    metric = kind(f"openledger_agent_{name}", what, tag_keys=("agent", *tags), **more)
    metric.set_default_tags({"agent": agent})
    return metric


class AgentMetrics:
    """Of one agent's runner. Ray prefixes each name with ``ray_``."""

    def __init__(self, agent: str) -> None:
        from ray.util.metrics import Counter, Gauge, Histogram

        made = partial(_made, agent)
        self._workers = made(Gauge, "workers", "workers by state", "state")
        self._ongoing = made(Gauge, "ongoing", "actions that a worker executes")
        self._queued = made(Gauge, "queued", "actions that wait for a worker")
        self._actions = made(Counter, "actions_total", "actions executed, by status", "status")
        self._failures = made(Counter, "failures_total", "actions that failed, by code", "code")
        self._lost = made(Counter, "lost_total", "executions that ended with their worker")
        self._tokens = made(Counter, "output_tokens_total", "tokens of the model calls")
        self._seconds = made(Histogram, "action_seconds", "time of an execution", boundaries=_SECONDS)

    def workers(self, counts: Mapping[WorkerState, int], ongoing: int, waiting: int) -> None:
        for state in get_args(WorkerState):
            self._workers.set(counts.get(state, 0), {"state": state})
        self._ongoing.set(ongoing)
        self._queued.set(waiting)

    def lost(self) -> None:
        self._lost.inc()

    def done(self, outcome: Outcome, seconds: float) -> None:
        self._actions.inc(1, {"status": outcome.status.name.lower()})
        self._seconds.observe(seconds)
        tokens = sum(len(step.output_tokens) for step in outcome.steps if isinstance(step, ModelCallStep))
        if tokens:
            self._tokens.inc(tokens)
        if outcome.status is Status.FAILED:
            self._failures.inc(1, {"code": str(outcome.output.get("code"))})


class KeeperMetrics:
    """Of one agent's batches and deadlines."""

    def __init__(self, agent: str) -> None:
        from ray.util.metrics import Counter, Gauge

        made = partial(_made, agent)
        self._left = made(Gauge, "anchor_seconds_left", "until the next anchorBy; large when nothing waits")
        self._signed = made(Gauge, "unanchored", "actions signed and not anchored")
        self._batches = made(Counter, "batches_total", "batches anchored")
        self._settled = made(Counter, "settled_total", "batches paid out")
        self._failures = made(Counter, "chain_failures_total", "passes that failed")
        self._told: tuple[float, int] | None = None

    def deadlines(self, left: float, signed: int) -> None:
        self._told = time.monotonic() + left, signed
        self.again()

    def again(self) -> None:
        """Tell once more of the deadlines, by now nearer."""
        if self._told is not None:
            ends, signed = self._told
            self._left.set(ends - time.monotonic())
            self._signed.set(signed)

    def anchored(self) -> None:
        self._batches.inc()

    def settled(self, batches: int) -> None:
        self._settled.inc(batches)

    def failed(self) -> None:
        self._failures.inc()
