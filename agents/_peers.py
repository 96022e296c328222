"""Calling other agents: which ones an agent may pay, and the call itself from within a node.

Whoever runs the action pays and checks what comes back; it is handed in behind :class:`Peers`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from langchain_core.runnables.config import run_in_executor as run_in_thread

from ..errors import UserError
from ..registry import Status
from ._trace import current_trace

__all__ = ["Peer", "PeerAnswer", "Peers", "aask", "ask"]


@dataclass(frozen=True)
class Peer:
    """Another agent, and the gateway that serves it."""

    url: str
    """The gateway's, e.g. ``https://agents.example``."""
    agent_id: int
    timeout: float = 120.0
    """Seconds until its answer has to be there."""

    def __post_init__(self) -> None:
        if not self.url.startswith(("https://", "http://")) or self.agent_id < 1 or self.timeout <= 0:
            raise UserError(
                f"{self} is no agent that could be called",
                fix="give its gateway's URL, its id on-chain, and seconds above 0",
            )


@dataclass(frozen=True)
class PeerAnswer:
    """What another agent's action ended as. ``receipt`` is the CID of its record, which was checked and is in the content
    store."""

    output: Any
    status: Status
    receipt: str


class Peers(Protocol):
    """Pays and calls the agents that the running action may use."""

    def call(self, alias: str, value: Any, ordinal: int) -> PeerAnswer:
        """``ordinal`` counts the action's earlier calls of the same agent with the same ``value``: the same three, after a
        crash, are paid once. Raises ``ExecutionError`` when no receipt came that holds."""


def ask(alias: str, value: Any) -> Any:
    """The answer of the agent that ``@agent(uses={alias: …})`` names, paid by x402 out of the action's ``budget``; its
    receipt becomes a step of the record. ``value`` is its input.

    Raises ``ExecutionError``: code ``budget`` before anything is paid beyond the budget; code ``peer`` for an alias that is not
    declared, and when the agent cannot be reached, failed, asked back, or gave a receipt that would not hold.
    """
    return current_trace().ask(alias, value)


async def aask(alias: str, value: Any) -> Any:
    """:func:`ask` for asynchronous nodes."""
    return await run_in_thread(None, ask, alias, value)
