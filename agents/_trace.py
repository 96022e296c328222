"""The trace of one running action: every model, tool and retriever call, in call order.

LangGraph copies context variables into every node, so a node's calls find their action's trace
without the graph being changed. Tools and retrievers are seen through LangChain callbacks.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.documents import Document

from ..errors import ExecutionError, OpenLedgerError, UserError
from ..openlora import STOP, AdapterRef, Generation, GenerationRequest, Generator, Sampling
from ..registry import (
    ModelCallStep,
    RetrievalStep,
    Status,
    Step,
    SubActionStep,
    ToolCallStep,
    normalise_cid,
    value_hash,
)
from ..registry import Sampling as StepSampling
from ..telemetry import Span
from ._plain import plain
from ._spans import model_call, model_called, retrieval, tool_call

if TYPE_CHECKING:
    from ._peers import Peers

__all__ = ["SERVER", "CaptureCallbacks", "Codec", "Models", "Seed", "Trace", "current_trace", "tracing"]

SERVER = "openledger_server"
"""In a tool's metadata: whose it is, where that is not this process."""

Seed = Callable[[int], bytes]
"""Step index → the 32-byte seed of that step's sampling."""


class Codec(Protocol):
    """Text ↔ token ids of the base model."""

    def encode_chat(self, messages: Sequence[Mapping[str, str]]) -> list[int]: ...

    def encode(self, text: str) -> list[int]: ...

    def decode(self, tokens: Sequence[int]) -> str:
        """Text without special tokens."""


@dataclass(frozen=True)
class Models:
    """What an action's model calls run on: the generator, its codec, and alias → adapter.

    ``Models()`` is for graphs that call no model: no engine is needed, and a call is refused.
    """

    generator: Generator | None = None
    codec: Codec | None = None
    adapters: Mapping[str, AdapterRef] = field(default_factory=dict)

    def pool(self) -> tuple[Generator, Codec]:
        """The generator and its codec. Raises ``UserError`` when this run has none."""
        if self.generator is None or self.codec is None:
            raise UserError(
                "this run has no model pool",
                why="the agent declares no adapters and no model was given",
                fix="declare adapters in @agent(adapters={…}) or pass models to run()",
            )
        return self.generator, self.codec

    def adapter(self, alias: str | None) -> AdapterRef | None:
        """The adapter behind ``alias``; ``None`` is the base model. Raises ``UserError``."""
        if alias is None:
            return None
        try:
            return self.adapters[alias]
        except KeyError:
            known = ", ".join(sorted(self.adapters)) or "none"
            raise UserError(
                f"no adapter {alias!r} in this agent",
                why=f"it declares {known}",
                fix="add it to @agent(adapters={…})",
            ) from None


class Trace:
    """Collects the steps of one action. Thread-safe: parallel nodes may call at once."""

    def __init__(self, models: Models, seed: Seed, peers: Peers | None = None) -> None:
        self.models, self._seed, self._peers = models, seed, peers
        self._lock = threading.Lock()
        self._steps: dict[int, Step] = {}
        self._next = 0
        self._asked: Counter[tuple[str, bytes]] = Counter()

    def reserve(self) -> int:
        """The index of a step that starts now."""
        with self._lock:
            index, self._next = self._next, self._next + 1
            return index

    def put(self, index: int, step: Step) -> None:
        with self._lock:
            self._steps[index] = step

    def steps(self) -> list[Step]:
        """All steps in call order. A call that never ended is recorded as failed, not dropped."""
        with self._lock:
            return [
                self._steps.get(i)
                or ToolCallStep(name="unknown", arguments=None, result={"error": "never ended"})
                for i in range(self._next)
            ]

    def generate(self, alias: str | None, prompt: list[int], sampling: Sampling, node: str) -> Generation:
        """Run one model call on the pool and record it, its failure included."""
        generator, _ = self.models.pool()
        adapter = self.models.adapter(alias)
        index = self.reserve()
        request = GenerationRequest(
            prompt=tuple(prompt), adapter=adapter, sampling=sampling, seed=self._seed(index)
        )
        try:
            with model_call(alias, request, index, node) as span:
                made = generator.generate(request)
                model_called(span, made)
        except OpenLedgerError as error:
            self.put(
                index, ToolCallStep(name=f"model:{alias or 'base'}", arguments=None, result=_failure(error))
            )
            raise
        self.put(index, _model_step(made, node))
        return made

    def ask(self, alias: str, value: Any) -> Any:
        """Call another agent and record its receipt, or why there is none."""
        if self._peers is None:
            raise ExecutionError(
                "this run can call no other agent",
                why="nobody would pay for it: the agent declares none, or runs without a chain",
                fix="declare it in @agent(uses={…}, budget=…), and deploy the agent",
                code="peer",
            )
        index, value = self.reserve(), plain(value)
        with self._lock:
            same = alias, value_hash(value)
            ordinal = self._asked[same]
            self._asked[same] += 1
        try:
            answer = self._peers.call(alias, value, ordinal)
        except OpenLedgerError as error:
            self.put(index, ToolCallStep(name=f"agent:{alias}", arguments=value, result=_failure(error)))
            raise
        self.put(index, SubActionStep(answer.receipt))
        if answer.status is Status.OK:
            return answer.output
        raise ExecutionError(
            f"the agent {alias!r} {'asks back' if answer.status is Status.INTERRUPTED else 'failed'}",
            why=str(answer.output)[:500],
            fix="handle it in the node; what failed is paid back",
            record=answer.receipt,
            code="peer",
        )


_trace: ContextVar[Trace | None] = ContextVar("openledger_trace", default=None)


def current_trace() -> Trace:
    """The trace of the action this code runs in. Raises ``UserError`` outside of one."""
    trace = _trace.get()
    if trace is None:
        raise UserError(
            "a pool model was called outside an action",
            why="only a running action knows its adapters and its seed",
            fix="run the agent with `openledger run FILE:agent INPUT` or openledger.run(agent, input)",
        )
    return trace


@contextmanager
def tracing(trace: Trace) -> Iterator[Trace]:
    token = _trace.set(trace)
    try:
        yield trace
    finally:
        _trace.reset(token)


def _model_step(made: Generation, node: str) -> ModelCallStep:
    if made.base is None:
        raise UserError(
            "the engine does not know which asset its base model is",
            why="a record must name the base by digest",
            fix="start the pool with base=AssetRef(asset_id, cid)",
        )
    declared = made.adapter or made.base
    sampling = made.sampling
    return ModelCallStep(
        asset_id=declared.asset_id,
        content=declared.cid,
        base_asset_id=made.base.asset_id,
        base=made.base.cid,
        prompt_tokens=made.prompt,
        output_tokens=made.tokens,
        logprobs=made.logprobs,
        sampling=StepSampling(sampling.temperature, sampling.top_p, sampling.top_k, sampling.max_tokens),
        seed=made.seed,
        engine_class=made.engine_class,
        finish="stop" if made.finish == STOP else "length",
        node=node,
    )


def _failure(error: BaseException) -> dict[str, Any]:
    return {"error": plain(str(error)), "code": getattr(error, "code", type(error).__name__)}


class _Opened(NamedTuple):
    """A call that has begun."""

    step: int
    name: str
    asked: Any
    span: Span


class CaptureCallbacks(BaseCallbackHandler):
    """Records tool and retriever calls of one action into its trace."""

    run_inline = True  # in the caller's thread, so that step order is call order

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._open: dict[UUID, _Opened] = {}

    def close(self) -> None:
        """The action is over: end the spans of calls that did not."""
        for run_id, opened in list(self._open.items()):
            opened.span.fail("timeout")
            opened.span.end()
            self._open[run_id] = opened._replace(span=Span())  # its thread may still run

    def on_tool_start(
        self,
        serialized: dict[str, Any],
        input_str: str,
        *,
        run_id: UUID,
        inputs: dict[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
        **_: Any,
    ) -> None:
        arguments = plain(inputs if inputs is not None else input_str)
        called, server = serialized.get("name") or "tool", (metadata or {}).get(SERVER)
        name = f"{called}@{server}" if server else called
        index = self._trace.reserve()
        self._open[run_id] = _Opened(index, name, arguments, tool_call(called, index))

    def on_tool_end(self, output: Any, *, run_id: UUID, **_: Any) -> None:
        index, name, arguments = self._ended(run_id)
        result = plain(output)
        self._trace.put(
            index,
            ToolCallStep(name=name, arguments=arguments, result=result, tx_hash=_tx_hash(output, result)),
        )

    def on_tool_error(self, error: BaseException, *, run_id: UUID, **_: Any) -> None:
        index, name, arguments = self._ended(run_id, error)
        self._trace.put(index, ToolCallStep(name=name, arguments=arguments, result=_failure(error)))

    def on_retriever_start(self, serialized: dict[str, Any], query: str, *, run_id: UUID, **_: Any) -> None:
        index, name = self._trace.reserve(), (serialized or {}).get("name") or "retriever"
        self._open[run_id] = _Opened(index, name, query, retrieval(name, index))

    def on_retriever_end(self, documents: Sequence[Document], *, run_id: UUID, **_: Any) -> None:
        index, name, query = self._ended(run_id)
        found = [{"text": d.page_content, "metadata": plain(d.metadata)} for d in documents]
        asset_id, cid = _datanet(documents)
        body = {"retriever": name, "query": str(query), "documents": found}
        self._trace.put(index, RetrievalStep(asset_id=asset_id, documents=body, content=cid))

    def on_retriever_error(self, error: BaseException, *, run_id: UUID, **_: Any) -> None:
        index, name, query = self._ended(run_id, error)
        self._trace.put(index, ToolCallStep(name=name, arguments=query, result=_failure(error)))

    def _ended(self, run_id: UUID, error: BaseException | None = None) -> tuple[int, str, Any]:
        index, name, asked, span = self._open.pop(run_id)
        if error is not None:
            span.fail(error)
        span.end()
        return index, name, asked


def _datanet(documents: Sequence[Document]) -> tuple[int, str | None]:
    """The datanet version that all documents name; 0 and None where they name none, several, or what is no CID."""
    named = [(d.metadata.get("datanet_id"), d.metadata.get("datanet_cid")) for d in documents]
    if not named or any(one != named[0] for one in named):
        return 0, None
    asset_id, cid = named[0]
    try:
        version = normalise_cid(cid) if isinstance(cid, str) else None
    except UserError:
        version = None
    return (asset_id if type(asset_id) is int and asset_id > 0 else 0), version


def _tx_hash(output: Any, result: Any) -> str | None:
    """The transaction a value-moving tool reports: ``tx_hash`` in its artifact or its result."""
    artifact = getattr(output, "artifact", None)
    for source in (artifact, result):
        if isinstance(source, Mapping) and isinstance(source.get("tx_hash"), str):
            return str(source["tx_hash"])
    return None
