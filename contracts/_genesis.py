"""The genesis of a chain whose native coin is OPEN: who holds the 1,000,000,000, to the wei."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import UserError

__all__ = ["SHARES", "TOTAL_OPEN", "Allocation", "devnet_allocations", "genesis", "share_allocations"]

TOTAL_OPEN = 1_000_000_000 * 10**18
"""Wei of OPEN in genesis; there is never more."""

SHARES = {"community": 5171, "ecosystem": 1000, "team": 1500, "investors": 1829, "liquidity": 500}
"""1/10,000 of all OPEN by purpose: the allocation published for OPEN. Vesting is up to the holding addresses."""

_BPS = 10_000
_FORKS = (
    "homestead", "eip150", "eip155", "eip158", "byzantium", "constantinople", "petersburg", "istanbul", "berlin",
    "london",
)  # fmt: skip
_ZERO = "0x" + 64 * "0"


@dataclass(frozen=True, slots=True)
class Allocation:
    """``amount`` wei that ``address`` holds in genesis, and what for."""

    name: str
    address: str
    amount: int


def share_allocations(holders: Mapping[str, str]) -> list[Allocation]:
    """The table of :data:`SHARES`, with an address for each. Raises ``UserError`` for a missing or unknown one."""
    if set(holders) != set(SHARES):
        raise UserError(
            "the genesis needs one holder of each share",
            why=f"given {', '.join(sorted(holders)) or 'none'}",
            fix=f"name {', '.join(SHARES)}",
        )
    return [Allocation(name, holders[name], TOTAL_OPEN * share // _BPS) for name, share in SHARES.items()]


def devnet_allocations(addresses: Iterable[str]) -> list[Allocation]:
    """Equal parts for a devnet's known accounts, whose number must divide the whole."""
    known = list(addresses)
    return [Allocation(f"account {i}", address, TOTAL_OPEN // len(known)) for i, address in enumerate(known)]


def genesis(allocations: Iterable[Allocation], chain_id: int, *, timestamp: int) -> dict[str, Any]:
    """A genesis file (go-ethereum's format, which reth, Besu, Nethermind and anvil read as well), every fork up to
    Prague active. Consensus settings are the client's and not in it.

    Raises ``UserError`` unless the allocations have distinct addresses, positive amounts and add up to
    :data:`TOTAL_OPEN` exactly.
    """
    alloc: dict[str, Any] = {}
    total = 0
    for one in allocations:
        address = one.address.lower()
        if not re.fullmatch(r"0x[0-9a-f]{40}", address) or int(address, 16) == 0:
            raise UserError(f"{one.address!r} is no address", why=f"it should hold the share {one.name}")
        if address in alloc:
            raise UserError(f"{one.address} is named twice", fix="give each share an address of its own")
        if one.amount <= 0:
            raise UserError(f"the share {one.name} is empty", why=f"it is {one.amount} wei")
        alloc[address] = {"balance": hex(one.amount)}
        total += one.amount
    if total != TOTAL_OPEN:
        raise UserError(
            "the allocations do not add up to 1,000,000,000 OPEN",
            why=f"they are {total - TOTAL_OPEN:+} wei off",
        )
    if timestamp <= 0:
        raise UserError("the genesis needs a time", why="a clock that starts in 1970 breaks every deadline")
    config: dict[str, Any] = {"chainId": chain_id} | {f"{fork}Block": 0 for fork in _FORKS}
    config |= {"terminalTotalDifficulty": 0, "terminalTotalDifficultyPassed": True}
    config |= {"shanghaiTime": 0, "cancunTime": 0, "pragueTime": 0}
    return {
        "config": config,
        "nonce": "0x0",
        "timestamp": hex(timestamp),
        "extraData": "0x",
        "gasLimit": hex(30_000_000),
        "difficulty": "0x0",
        "mixHash": _ZERO,
        "coinbase": "0x" + 40 * "0",
        "alloc": alloc,
    }
