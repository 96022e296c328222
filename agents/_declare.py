"""Declare an agent: an ordinary LangGraph graph plus what it answers for on-chain."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import UserError
from ..registry import Split, Tariff
from ._peers import Peer

__all__ = ["DEFAULT_SPLIT", "AdapterSpec", "Agent", "agent"]

AdapterSpec = int | str
"""An on-chain asset id, the name of a shipped datanet's adapter, or the path of a PEFT directory."""


DEFAULT_SPLIT = Split(operator=3000, lineage=2000, stakers=500, contributors=4500)


@dataclass(frozen=True)
class Agent:
    """A declared agent. Build one with :func:`agent`; run it with ``openledger.run``."""

    name: str
    build: Callable[[], Any]
    """Returns a ``StateGraph`` or a compiled graph. Called once per worker."""
    adapters: Mapping[str, AdapterSpec] = field(default_factory=dict)
    """Alias used by ``chat(alias)`` inside nodes → the adapter served for it."""
    datanets: tuple[AdapterSpec, ...] = ()
    """Datanets whose contributors are paid by attribution: asset ids, shipped names or paths."""
    price: int = 10**16
    """Wei of OPEN per action; with a ``tariff`` the most that one may cost."""
    split: Split = DEFAULT_SPLIT
    fixed: Mapping[str, int] = field(default_factory=dict)
    """Address → 1/10,000 of all payouts, out of the operator's share; committed on-chain and slashable."""
    input_key: str | None = None
    """State key that a plain string input is put under; ``None`` passes the input through."""
    output_key: str | None = None
    """State key returned as the answer; ``None`` returns the whole final state."""
    description: str = ""
    timeout: float = 120.0
    """Seconds an action may take before it fails."""
    uses: Mapping[str, Peer] = field(default_factory=dict)
    """Alias used by ``ask(alias, …)`` inside nodes → the other agent; no other is ever paid."""
    budget: int = 0
    """Wei of OPEN that one action may spend on them."""
    tariff: Tariff | None = None
    """What an action is charged by its tokens; committed on-chain. What is not charged goes back."""

    def graph(self) -> Any:
        """The compiled graph. Raises ``UserError`` if ``build`` did not return a LangGraph graph."""
        graph = self.build()
        if hasattr(graph, "compile") and not hasattr(graph, "ainvoke"):
            graph = graph.compile()
        if not hasattr(graph, "ainvoke"):
            raise UserError(
                f"agent {self.name!r} did not build a LangGraph graph",
                why=f"the decorated function returned {type(graph).__name__}",
                fix="return a StateGraph or the result of StateGraph.compile()",
            )
        return graph

    def input_state(self, value: Any) -> Any:
        """The graph's input for a caller's ``value``; a LangGraph ``Command`` passes through."""
        if self.input_key is not None and not isinstance(value, Mapping) and not hasattr(value, "resume"):
            return {self.input_key: value}
        return value

    def output_value(self, state: Any) -> Any:
        """The answer within the graph's final ``state``."""
        if self.output_key is None:
            return state
        if not isinstance(state, Mapping) or self.output_key not in state:
            raise UserError(
                f"agent {self.name!r} ended without {self.output_key!r} in its state",
                why="output_key names a key that no node wrote",
                fix="write that key in a node, or declare another output_key",
            )
        return state[self.output_key]


def agent(
    name: str,
    *,
    adapters: Mapping[str, AdapterSpec] | None = None,
    datanets: tuple[AdapterSpec, ...] = (),
    price: int = 10**16,
    split: Split | None = None,
    fixed: Mapping[str, int] | None = None,
    input: str | None = None,
    output: str | None = None,
    description: str = "",
    timeout: float = 120.0,
    uses: Mapping[str, Peer] | None = None,
    budget: int = 0,
    tariff: Tariff | None = None,
) -> Callable[[Callable[[], Any]], Agent]:
    """Turn a function that returns a LangGraph graph into an :class:`Agent`.

    ``price`` and ``budget`` are wei of OPEN per action, ``timeout`` seconds. With a ``tariff`` an action is charged by its
    tokens and ``price`` is the most it may cost. Raises ``UserError`` on an empty name, a negative price or budget, a
    tariff that starts above the price, or a timeout that is not positive.
    """
    if not name.strip():
        raise UserError("an agent needs a name", fix='write @agent("my-agent", …)')
    if price < 0:
        raise UserError(f"agent {name!r} has price {price}", why="a price is wei ≥ 0", fix="use 0 for free")
    if budget < 0:
        raise UserError(f"agent {name!r} has budget {budget}", why="a budget is wei ≥ 0", fix="give wei")
    if tariff is not None and tariff.base > price:
        raise UserError(
            f"agent {name!r} costs more than its price",
            why=f"its tariff begins at {tariff.base} wei, and {price} is the most that an action may cost",
            fix="raise price=, or lower the tariff's base",
        )
    if timeout <= 0:
        raise UserError(f"agent {name!r} has timeout {timeout}", fix="give a number of seconds above 0")

    def declare(build: Callable[[], Any]) -> Agent:
        return Agent(
            name=name,
            build=build,
            adapters=dict(adapters or {}),
            datanets=tuple(datanets),
            price=price,
            split=split or DEFAULT_SPLIT,
            fixed=dict(fixed or {}),
            input_key=input,
            output_key=output,
            description=description or (build.__doc__ or "").strip(),
            timeout=timeout,
            uses=dict(uses or {}),
            budget=budget,
            tariff=tariff,
        )

    return declare
