"""Runs calls on a node without sending them, each on the state the ones before it left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ..errors import ChainError
from ._calls import as_transaction
from ._reverts import decode_revert, name_of, translated
from ._sending import Receipt

if TYPE_CHECKING:
    from ._chain import Chain

__all__ = ["Trial", "refusal", "simulate", "simulated_block"]

_UNKNOWN_METHOD = -32601


@dataclass(frozen=True)
class Trial:
    """A contract call (``contract.functions.name(…)``), who would send it, and the wei it would carry."""

    call: Any
    sender: str
    value: int = 0

    @cached_property
    def transaction(self) -> dict[str, str]:
        """As ``eth_simulateV1`` takes it."""
        made = as_transaction(self.call)
        return {"from": self.sender, "to": made["to"], "value": hex(self.value), "input": made["data"]}


def simulate(chain: Chain, trials: Sequence[Trial]) -> Receipt:
    """What the last of ``trials`` would give after the others, each in a block of its own as they would be mined, by
    ``eth_simulateV1``; its ``tx`` is empty.

    A node without that method can try one call only, and tells of no events. Raises ``ChainError`` with the decoded
    ``revert`` when the last would be refused.
    """
    blocks = _simulated(chain, [[trial.transaction] for trial in trials])
    if blocks is None:
        return _single(chain, trials)
    block, last = blocks[-1], trials[-1]
    made = block["calls"][-1]
    reason = refusal(made)
    if reason is not None:
        raise ChainError(f"{name_of(last.call)} was refused", why=reason, revert=reason)
    return Receipt("", int(block["number"], 16), int(made["gasUsed"], 16), _raw(chain, made))


def simulated_block(chain: Chain, calls: Sequence[dict[str, str]]) -> dict[str, Any] | None:
    """The block that would hold ``calls`` (``from``, ``to``, ``value``, ``input``; all 0x…), one after another, by
    ``eth_simulateV1``; None from a node without that method. Raises ``ChainError`` when the node cannot."""
    blocks = _simulated(chain, [calls])
    return None if blocks is None else blocks[0]


def _simulated(chain: Chain, blocks: Sequence[Sequence[dict[str, str]]]) -> list[dict[str, Any]] | None:
    """The blocks after the latest that would hold these calls, the first one now and then one a second."""
    latest, pending = chain.w3.eth.get_block("latest"), chain.w3.eth.get_block("pending")
    number = int(latest["number"])
    due = max(int(latest["timestamp"]) + 1, int(pending["timestamp"]))
    asked = [
        # anvil 1.7 would run the first of them under the latest block's number
        {"blockOverrides": {"number": hex(number + 1 + i), "time": hex(due + i)}, "calls": list(calls)}
        for i, calls in enumerate(blocks)
    ]
    options = [{"blockStateCalls": asked, "validation": False}, hex(number)]
    # web3 types the methods it knows; this one is newer
    answer = chain.w3.provider.make_request("eth_simulateV1", options)  # type: ignore[arg-type]
    if "error" in answer:
        if answer["error"].get("code") == _UNKNOWN_METHOD:
            return None
        raise ChainError("The node could not simulate the calls", why=str(answer["error"]))
    found: list[dict[str, Any]] = answer["result"]
    return found


def refusal(made: dict[str, Any]) -> str | None:
    """Why one call of a simulated block was refused, decoded; None if it was not."""
    if int(made["status"], 16) == 1:
        return None
    data = made["returnData"] if len(made["returnData"]) > 2 else (made.get("error") or {}).get("data")
    return decode_revert(bytes.fromhex(str(data or "0x").removeprefix("0x")))


def _raw(chain: Chain, made: dict[str, Any]) -> Any:
    """As web3 gives a mined transaction's receipt, so that events are read the same way."""
    from hexbytes import HexBytes
    from web3.datastructures import AttributeDict

    logs = [
        AttributeDict(
            {
                **log,
                "address": chain.w3.to_checksum_address(log["address"]),
                "topics": [HexBytes(topic) for topic in log["topics"]],
                "data": HexBytes(log["data"]),
                "blockNumber": int(log["blockNumber"], 16),
                "logIndex": int(log["logIndex"], 16),
                "transactionIndex": int(log["transactionIndex"], 16),
                "blockHash": HexBytes(log["blockHash"]),
                "transactionHash": HexBytes(log["transactionHash"]),
            }
        )
        for log in made["logs"]
    ]
    return AttributeDict({"logs": logs, "contractAddress": None})


def _single(chain: Chain, trials: Sequence[Trial]) -> Receipt:
    if len(trials) > 1:
        raise ChainError(
            f"The node cannot try {len(trials)} calls one after another",
            why="it does not know eth_simulateV1",
            fix="use a node that does, or run the command without --dry-run: each call is tried before it is signed",
        )
    trial = trials[0]
    options: Any = {"from": trial.sender, "value": trial.value}
    translated(lambda: trial.call.call(options, block_identifier="pending"), trial.call)
    gas = int(translated(lambda: trial.call.estimate_gas(options, block_identifier="pending"), trial.call))
    return Receipt("", chain.block_number(), gas, _raw(chain, {"logs": []}))
