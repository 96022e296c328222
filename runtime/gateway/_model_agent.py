"""A model as an agent: one adapter, or the base model, behind a graph of one node."""

from __future__ import annotations

from typing import Any, TypedDict

from ...agents import AdapterSpec, Agent, agent, chat, current_trace
from ...openlora import Sampling
from ...registry import Tariff

__all__ = ["model_agent"]

_ALIAS = "model"


class Asked(TypedDict, total=False):
    """The state: a conversation or a text, how to sample, and the answer."""

    messages: list[Any]
    prompt: str
    """Continued as it is, without a chat template."""
    temperature: float
    top_p: float
    max_tokens: int
    text: str


def model_agent(
    name: str,
    adapter: AdapterSpec | None,
    *,
    datanets: tuple[AdapterSpec, ...] = (),
    price: int = 10**16,
    tariff: Tariff | None = None,
    max_tokens: int = 64,
    description: str = "",
    timeout: float = 120.0,
) -> Agent:
    """An agent whose answers are the model's alone, for callers who want an adapter and no graph.

    ``adapter`` is an asset id, a shipped datanet's name or a PEFT directory, as in ``@agent(adapters=…)``, where it has
    the alias ``model``; ``None`` is the base model. Callers choose temperature, top_p and max_tokens (default
    ``max_tokens``). Register and deploy it like any other agent.
    """
    alias = None if adapter is None else _ALIAS

    @agent(
        name,
        adapters={} if adapter is None else {_ALIAS: adapter},
        datanets=datanets,
        price=price,
        tariff=tariff,
        input="prompt",
        output="text",
        description=description or f"The model {adapter or 'that the others are based on'}, as it is.",
        timeout=timeout,
    )
    def build() -> Any:
        from langgraph.graph import END, START, StateGraph

        def answer(state: Asked) -> Asked:
            said: dict[str, Any] = dict(state)
            sampling: dict[str, Any] = {"max_tokens": max_tokens}
            sampling |= {key: said[key] for key in ("temperature", "top_p", "max_tokens") if key in said}
            if "messages" in state:
                return {"text": str(chat(alias, **sampling).invoke(state["messages"]).text)}
            trace = current_trace()
            _, codec = trace.models.pool()
            made = trace.generate(alias, codec.encode(state["prompt"]), Sampling(**sampling), "answer")
            return {"text": codec.decode(made.tokens)}

        graph = StateGraph(Asked)
        graph.add_node("answer", answer)
        graph.add_edge(START, "answer")
        graph.add_edge("answer", END)
        return graph

    return build
