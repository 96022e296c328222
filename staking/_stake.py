"""Self-stake of agents and stake of jurors. All amounts in wei of OPEN."""

from __future__ import annotations

from ..registry import Ledger

__all__ = ["join_jury", "leave_jury", "stake", "unstake", "withdraw", "withdraw_jury"]


def stake(ledger: Ledger, agent_id: int, amount: int) -> int:
    """Add ``amount`` wei to the agent's self-stake; returns the stake after it."""
    vault = ledger.contracts.vault
    ledger.approve(vault.address, amount)
    ledger.send(vault.functions.deposit(agent_id, amount))
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
    ledger.approve(vault.address, amount)
    ledger.send(vault.functions.joinJury(amount))
    return int(ledger.call(vault.functions.jurorStake(ledger.address)))


def leave_jury(ledger: Ledger) -> None:
    """Leave the pool at once; the stake may be withdrawn after the delay."""
    ledger.send(ledger.contracts.vault.functions.leaveJury())


def withdraw_jury(ledger: Ledger) -> None:
    """Pay out the stake of a juror who has left, once its delay is over."""
    ledger.send(ledger.contracts.vault.functions.withdrawJury())
