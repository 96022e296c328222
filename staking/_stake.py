"""Self-stake of agents and stake of jurors. All amounts in wei of OPEN."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..registry import Ledger

__all__ = ["Exit", "StakePosition", "join_jury", "leave_jury", "position", "stake", "unstake", "withdraw",
           "withdraw_jury"]  # fmt: skip


@dataclass(frozen=True)
class Exit:
    """Stake asked back: paid from ``ready_at`` (unix seconds) on, slashable until it is paid."""

    amount: int
    ready_at: int


@dataclass(frozen=True)
class StakePosition:
    """What stands behind an agent's records. Amounts in wei."""

    agent_id: int
    operator: str
    active: int
    pending: int
    """Asked back: backs nothing, stays slashable."""
    claimed: int
    """What open disputes claim."""
    delegated: int
    """Active delegations, slashed after the operator's own."""
    open_fees: int
    """Anchored and not yet final."""
    coverage_left: int
    """What may still be anchored on this stake."""
    exits: tuple[Exit, ...]

    def amounts(self) -> dict[str, int]:
        """The amounts by name."""
        return {name.replace("_", " "): getattr(self, name) for name in _AMOUNTS}

    def to_json(self) -> dict[str, Any]:
        """For ``--json``: wei as text."""
        exits = [{"amount": str(one.amount), "ready_at": one.ready_at} for one in self.exits]
        amounts = {name: str(getattr(self, name)) for name in _AMOUNTS}
        return {"agent_id": self.agent_id, "operator": self.operator, **amounts, "exits": exits}


_AMOUNTS = ("active", "pending", "claimed", "delegated", "open_fees", "coverage_left")


def position(ledger: Ledger, agent_id: int) -> StakePosition:
    """The stake behind an agent's current owner. Raises ``UserError`` for an agent that is not registered."""
    ledger.stake_of(agent_id)  # refuses an unknown agent
    contracts = ledger.contracts
    operator = str(ledger.call(contracts.agents.functions.ownerOf(agent_id)))
    held = ledger.call(contracts.vault.functions.positionOf(agent_id, operator))
    exits = ledger.call(contracts.vault.functions.exitsOf(agent_id, operator))
    pool = ledger.call(contracts.delegations.functions.delegationPoolOf(agent_id, operator))
    return StakePosition(
        agent_id,
        operator,
        int(held.active),
        int(held.pending),
        int(held.claims),
        int(pool.activeAssets),
        int(ledger.call(contracts.log.functions.openFees(agent_id))),
        int(ledger.call(contracts.log.functions.coverageLeft(agent_id))),
        tuple(Exit(int(one.amount), int(one.readyAt)) for one in exits),
    )


def stake(ledger: Ledger, agent_id: int, amount: int) -> int:
    """Add ``amount`` wei to the agent's self-stake; returns the stake after it."""
    vault = ledger.contracts.vault
    ledger.send_taking(amount, vault.functions.deposit, agent_id, amount)
    return ledger.stake_of(agent_id)


def unstake(ledger: Ledger, agent_id: int, amount: int) -> int:
    """Ask ``amount`` wei back. It backs no new action from now on, stays slashable, and may be withdrawn at
    the returned unix time."""
    receipt = ledger.send(ledger.contracts.vault.functions.requestWithdraw(agent_id, amount))
    return int(receipt.event(ledger.contracts.vault.events.WithdrawalRequested)["readyAt"])


def withdraw(ledger: Ledger, agent_id: int) -> int:
    """Pay out what is ready; returns the wei paid."""
    receipt = ledger.send(ledger.contracts.vault.functions.withdraw(agent_id))
    return sum(int(event["amount"]) for event in receipt.events(ledger.contracts.vault.events.StakeWithdrawn))


def join_jury(ledger: Ledger, amount: int) -> int:
    """Stake ``amount`` wei as a juror; returns the juror stake after it."""
    vault = ledger.contracts.vault
    ledger.send_taking(amount, vault.functions.joinJury, amount)
    return int(ledger.call(vault.functions.jurorStake(ledger.address)))


def leave_jury(ledger: Ledger) -> None:
    """Leave the pool at once; the stake may be withdrawn after the delay."""
    ledger.send(ledger.contracts.vault.functions.leaveJury())


def withdraw_jury(ledger: Ledger) -> int:
    """Pay out the stake of a juror who has left, once its delay is over; returns the wei paid."""
    receipt = ledger.send(ledger.contracts.vault.functions.withdrawJury())
    return int(receipt.event(ledger.contracts.vault.events.JurorPaid)["amount"])
