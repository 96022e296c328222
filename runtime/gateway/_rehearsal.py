"""What a model would refuse, found out before it is paid for.

The graph of a :func:`model_agent` does nothing but make one call of a model, so it can be run here up to that call. What the
call would be is then known exactly: by the same code, with the same tokens.
"""

from __future__ import annotations

import threading
from typing import Any

from ...agents import HFCodec, Models, Trace, tracing
from ...errors import OpenLedgerError, UserError
from ...openlora import EnginePool, Generation, GenerationRequest, Sampling
from ._agents import Served

__all__ = ["Rehearsal"]


class _Taken(Exception):
    """The call would be taken."""


class _UpToTheCall(Trace):
    """Checks the first call instead of making it."""

    def __init__(self, models: Models, pool: EnginePool) -> None:
        super().__init__(models, lambda _: bytes(32))
        self._pool = pool

    def generate(self, alias: str | None, prompt: list[int], sampling: Sampling, node: str) -> Generation:
        adapter = self.models.adapter(alias)
        self._pool.check(GenerationRequest(tuple(prompt), adapter, sampling, seed=bytes(32)))
        raise _Taken


class Rehearsal:
    """Of the model agents on one pool. Thread-safe."""

    def __init__(self, pool: EnginePool) -> None:
        self._pool = pool
        self._lock = threading.Lock()
        self._codec: HFCodec | None = None
        self._graphs: dict[int, Any] = {}

    def check(self, served: Served, value: Any) -> None:
        """Raises ``UserError`` for an input that this agent's model would refuse: too long, or malformed. Knows nothing of other
        agents."""
        if not served.is_model_agent:
            return
        with self._lock:
            codec = self._codec = self._codec or HFCodec(self._pool.base, self._pool.tokenizer)
            graph = self._graphs.setdefault(served.agent_id, served.agent.graph())
        models = Models(self._pool, codec, served.service.registered.adapters)
        try:
            with tracing(_UpToTheCall(models, self._pool)):
                graph.invoke(served.agent.input_state(value))
        except _Taken:
            return
        except OpenLedgerError:
            raise
        except Exception as error:
            raise UserError(
                f"{served.agent.name!r} does not take this input",
                why=f"{type(error).__name__}: {error}"[:1000],
                fix="mend the request; nothing was paid",
            ) from error
