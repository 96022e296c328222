"""The agent SDK: declare an agent over an ordinary LangGraph graph and run it with its trace captured."""

from __future__ import annotations

from ._chat import HFCodec, PoolChat, chat
from ._declare import DEFAULT_SPLIT, AdapterSpec, Agent, agent
from ._execute import Outcome, abandoned, execute
from ._load import load_agent
from ._plain import plain
from ._spans import PROVIDER
from ._trace import Codec, Models, Seed, Trace, current_trace, tracing

__all__ = [
    "DEFAULT_SPLIT",
    "AdapterSpec",
    "Agent",
    "Codec",
    "HFCodec",
    "Models",
    "PROVIDER",
    "Outcome",
    "PoolChat",
    "Seed",
    "Trace",
    "abandoned",
    "agent",
    "chat",
    "current_trace",
    "execute",
    "load_agent",
    "plain",
    "tracing",
]
