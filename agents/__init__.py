"""The agent SDK: declare an agent over an ordinary LangGraph graph and run it with its trace captured."""

from __future__ import annotations

from ._chat import HFCodec, PoolChat, chat
from ._declare import DEFAULT_SPLIT, AdapterSpec, Agent, agent
from ._execute import Outcome, abandoned, execute
from ._load import load_agent
from ._mcp_tools import mcp_tools
from ._peers import Peer, PeerAnswer, Peers, aask, ask
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
    "Peer",
    "PeerAnswer",
    "Peers",
    "PoolChat",
    "Seed",
    "Trace",
    "aask",
    "abandoned",
    "agent",
    "ask",
    "chat",
    "current_trace",
    "execute",
    "load_agent",
    "mcp_tools",
    "plain",
    "tracing",
]
