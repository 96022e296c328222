"""The span of an action, by OpenTelemetry's GenAI conventions: from its execution to its receipt.

Source: https://github.com/open-telemetry/semantic-conventions-genai, docs/gen-ai/gen-ai-agent-spans.md
"""

from __future__ import annotations

from contextlib import AbstractContextManager

from ..agents import PROVIDER, Outcome
from ..registry import ActionRecord, ModelCallStep, Status
from ..telemetry import Span, span

__all__ = ["action_span", "executed", "recorded"]


def action_span(name: str, agent_id: int, payment_id: str) -> AbstractContextManager[Span]:
    """Around an action that is carried out."""
    return span(
        f"invoke_agent {name}",
        {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.provider.name": PROVIDER,
            "gen_ai.agent.id": str(agent_id),
            "gen_ai.agent.name": name,
            "openledger.payment_id": payment_id,
        },
    )


def executed(span: Span, outcome: Outcome) -> None:
    """Tell how its execution ended, and what its model calls used."""
    calls = [step for step in outcome.steps if isinstance(step, ModelCallStep)]
    span.set(
        {
            "gen_ai.usage.input_tokens": sum(len(step.prompt_tokens) for step in calls),
            "gen_ai.usage.output_tokens": sum(len(step.output_tokens) for step in calls),
            "openledger.steps": len(outcome.steps),
        }
    )
    if outcome.status is Status.FAILED:
        told = outcome.output if isinstance(outcome.output, dict) else {}
        span.fail(str(told.get("code", "graph")))


def recorded(span: Span, record: ActionRecord, receipt: str) -> None:
    """Tell what was signed, and under which CID."""
    span.set(
        {
            "openledger.receipt": receipt,
            "openledger.status": record.status.name.lower(),
            "openledger.nonce": record.nonce,
            "openledger.charged": str(record.charge),
            "openledger.epoch": record.epoch,
        }
    )
