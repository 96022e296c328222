"""Spans of what an action calls, by OpenTelemetry's GenAI conventions.

Sources: https://github.com/open-telemetry/semantic-conventions-genai, docs/gen-ai/client-inference.md and execute-tool.md
"""

from __future__ import annotations

from contextlib import AbstractContextManager

from ..openlora import STOP, Generation, GenerationRequest
from ..telemetry import Span, begun, span

__all__ = ["PROVIDER", "model_call", "model_called", "retrieval", "tool_call"]

PROVIDER = "openledger"


def model_call(
    alias: str | None, request: GenerationRequest, step: int, node: str
) -> AbstractContextManager[Span]:
    """Around a call of a model, by the alias that the graph calls it by."""
    model, sampling = alias or "base", request.sampling
    return span(
        f"chat {model}",
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": PROVIDER,
            "gen_ai.request.model": model,
            "gen_ai.request.max_tokens": _count(sampling.max_tokens),
            "gen_ai.request.temperature": sampling.temperature,
            "gen_ai.request.top_p": sampling.top_p,
            "gen_ai.request.top_k": _count(sampling.top_k) or None,
            "openledger.step": step,
            "openledger.node": node or None,
            "openledger.asset_id": None if request.adapter is None else request.adapter.asset_id,
        },
        kind="client",
    )


def model_called(span: Span, made: Generation) -> None:
    """Tell what a call gave, but for its tokens."""
    model = made.adapter or made.base
    span.set(
        {
            "gen_ai.response.model": None if model is None else model.cid,
            "gen_ai.response.finish_reasons": ["stop" if made.finish == STOP else "length"],
            "gen_ai.usage.input_tokens": len(made.prompt),
            "gen_ai.usage.output_tokens": len(made.tokens),
            "openledger.engine_class": made.engine_class,
        }
    )


def tool_call(name: str, step: int) -> Span:
    """A tool that begins."""
    return begun(
        f"execute_tool {name}",
        {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": name,
            "gen_ai.tool.type": "function",
            "openledger.step": step,
        },
    )


def retrieval(name: str, step: int) -> Span:
    """A retriever that begins."""
    return begun(
        f"retrieval {name}",
        {
            "gen_ai.operation.name": "retrieval",
            "gen_ai.provider.name": PROVIDER,
            "gen_ai.data_source.id": name,
            "openledger.step": step,
        },
        kind="client",
    )


def _count(given: object) -> int | None:
    """A number of tokens, where it is one: whoever asks may have put anything in its place, and it is not checked yet."""
    return given if type(given) is int and 0 <= given < 2**63 else None
