"""Run an agent's graph once and return what happened, whatever happened."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import OpenLedgerError
from ..registry import Status, Step
from ._declare import Agent
from ._peers import Peers
from ._plain import plain
from ._trace import CaptureCallbacks, Models, Seed, Trace, tracing

__all__ = ["Outcome", "abandoned", "execute"]


@dataclass(frozen=True)
class Outcome:
    """One executed action. ``output`` is plain data; on failure ``{"error", "code"}``."""

    status: Status
    output: Any
    steps: tuple[Step, ...]
    started: int
    """Unix seconds."""
    ended: int


async def execute(
    agent: Agent,
    graph: Any,
    value: Any,
    *,
    models: Models,
    seed: Seed,
    thread_id: str,
    peers: Peers | None = None,
) -> Outcome:
    """Run ``graph`` on ``value``. Never raises for what the graph does: a node that raises, a refused
    model call or a timeout gives ``Status.FAILED`` with the steps made so far.

    An interrupt ends the action as ``INTERRUPTED``; resume with ``langgraph.types.Command`` as ``value``
    under the same ``thread_id`` (the graph needs a checkpointer for that).
    """
    trace = Trace(models, seed, peers)
    callbacks = CaptureCallbacks(trace)
    config = {"callbacks": [callbacks], "configurable": {"thread_id": thread_id}}
    started = int(time.time())
    status, output = Status.OK, None
    with tracing(trace):
        try:
            state = await asyncio.wait_for(graph.ainvoke(agent.input_state(value), config), agent.timeout)
            if isinstance(state, Mapping) and state.get("__interrupt__"):
                status, output = Status.INTERRUPTED, plain([i.value for i in state["__interrupt__"]])
            else:
                output = plain(agent.output_value(state))
        except TimeoutError:
            status, output = Status.FAILED, _error("timeout", f"the action took over {agent.timeout:g} s")
        except MemoryError:
            status, output = (
                Status.FAILED,
                _error("memory", "the action asked for more memory than it may have"),
            )
        except OpenLedgerError as error:
            status, output = Status.FAILED, _error(error.code, str(error))
        except Exception as error:  # noqa: BLE001 - whatever user code raises is this action's recorded failure
            status, output = Status.FAILED, _error("graph", f"{type(error).__name__}: {error}")
    callbacks.close()
    return Outcome(status, output, tuple(trace.steps()), started, int(time.time()))


def abandoned(started: int, why: str) -> Outcome:
    """The failed outcome of an action that ends whatever process it runs in. ``started`` is unix seconds."""
    return Outcome(Status.FAILED, _error("worker", why), (), started, int(time.time()))


def _error(code: str, message: str) -> Any:
    return plain({"code": code, "error": message})
