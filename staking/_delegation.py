"""Stake of others behind an operator. All amounts in wei of OPEN, times unix seconds.

A pool belongs to (agent, operator). ``operator`` is the agent's owner where it is left out; name the former owner to
deal with what was delegated before a sale.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..errors import ChainError, UserError
from ..registry import Ledger

__all__ = [
    "Delegation",
    "DelegationExit",
    "DelegationPool",
    "add_reward",
    "cancel_delegation",
    "claim_income",
    "delegate",
    "delegation",
    "delegation_pool",
    "set_commission",
    "undelegate",
    "withdraw_delegation",
]


@dataclass(frozen=True, slots=True)
class DelegationPool:
    """The delegations to one operator of one agent."""

    agent_id: int
    operator: str
    active: int
    """Earns rewards, slashable."""
    shares: int
    """What ``active`` is divided into."""
    exiting: int
    """Asked back: earns nothing, slashable until paid."""
    pending: int
    """Becomes active at ``activates_at``: neither earns nor is slashable."""
    activates_at: int
    commission: int
    """Basis points of rewards that are the operator's."""
    next_commission: int
    """The commission from ``commission_at`` on; the present one where no change is due."""
    commission_at: int
    """0 where no change is due."""
    income: int
    """Commissions that the operator has not claimed."""

    @property
    def price(self) -> float:
        """Wei a share, for display; 1 at first."""
        return (self.active + 1) / (self.shares + 1)


@dataclass(frozen=True, slots=True)
class DelegationExit:
    """A request to leave: what it is worth now, less than asked for after a slash, and when it may be paid."""

    worth: int
    ready_at: int


@dataclass(frozen=True, slots=True)
class Delegation:
    """One account's part in a pool."""

    delegator: str
    shares: int
    worth: int
    """What the active shares are worth now."""
    pending: int
    """Not active yet."""
    exits: tuple[DelegationExit, ...]

    @property
    def total(self) -> int:
        """Everything that is the delegator's, asked back or not."""
        return self.worth + self.pending + sum(one.worth for one in self.exits)


def delegation_pool(ledger: Ledger, agent_id: int, operator: str | None = None) -> DelegationPool:
    """The delegations to an operator, as of now. Raises ``UserError`` for an unknown agent."""
    operator = _operator(ledger, agent_id, operator)
    found = ledger.call(_functions(ledger).delegationPoolOf(agent_id, operator))
    (active, shares, _, exiting, _, _, pending, at, _, commission, following, following_at, income) = (
        int(value) for value in found
    )
    return DelegationPool(
        agent_id=agent_id,
        operator=operator,
        active=active,
        shares=shares,
        exiting=exiting,
        pending=pending,
        activates_at=at if pending else 0,
        commission=commission,
        next_commission=following if following_at else commission,
        commission_at=following_at,
        income=income,
    )


def delegation(
    ledger: Ledger, agent_id: int, delegator: str | None = None, operator: str | None = None
) -> Delegation:
    """What ``delegator`` (default the signer) has delegated, as of now."""
    operator = _operator(ledger, agent_id, operator)
    delegator = delegator or ledger.address
    (shares, pending, _), worth = ledger.call(_functions(ledger).delegationOf(agent_id, operator, delegator))
    waiting, worths = ledger.call(_functions(ledger).delegationExitsOf(agent_id, operator, delegator))
    exits = (DelegationExit(int(worth), int(one[1])) for one, worth in zip(waiting, worths, strict=True))
    return Delegation(delegator, int(shares), int(worth), int(pending), tuple(exits))


def delegate(ledger: Ledger, agent_id: int, amount: int, operator: str | None = None) -> int:
    """Put ``amount`` wei behind the operator; returns when it becomes active: from then on it earns, and can be
    slashed after the operator's own stake."""
    operator = _operator(ledger, agent_id, operator)
    contract = ledger.contracts.delegations
    receipt = ledger.send_taking(amount, contract.functions.delegate, agent_id, operator, amount)
    return int(receipt.event(contract.events.Delegated)["activatesAt"])


def cancel_delegation(ledger: Ledger, agent_id: int, operator: str | None = None) -> int:
    """Take back what is not active yet; returns the wei paid."""
    operator = _operator(ledger, agent_id, operator)
    contract = ledger.contracts.delegations
    receipt = ledger.send(contract.functions.cancelDelegation(agent_id, operator))
    return int(receipt.event(contract.events.DelegationCancelled)["amount"])


def undelegate(
    ledger: Ledger, agent_id: int, amount: int | None = None, operator: str | None = None
) -> tuple[int, int]:
    """Ask back ``amount`` wei of active delegation, to the nearest share above; everything active if left out.

    It earns nothing from now on and stays slashable. Returns the wei asked back and when they may be withdrawn.
    Raises ``UserError`` when less than ``amount`` is active.
    """
    operator = _operator(ledger, agent_id, operator)
    mine = delegation(ledger, agent_id, operator=operator)
    if mine.shares == 0 or (amount is not None and amount > mine.worth):
        raise UserError(
            f"{ledger.address} has not delegated that much",
            why=f"{mine.worth} wei are active, {mine.pending} pending",
            fix="ask less back; what is pending can be cancelled",
        )
    shares = mine.shares if amount is None else min(mine.shares, -(-amount * mine.shares // mine.worth))
    contract = ledger.contracts.delegations
    receipt = ledger.send(contract.functions.requestUndelegate(agent_id, operator, shares))
    asked = receipt.event(contract.events.UndelegationRequested)
    return int(asked["amount"]), int(asked["readyAt"])


def withdraw_delegation(ledger: Ledger, agent_id: int, operator: str | None = None) -> int:
    """Pay out what is ready; returns the wei paid."""
    operator = _operator(ledger, agent_id, operator)
    contract = ledger.contracts.delegations
    receipt = ledger.send(contract.functions.withdrawDelegation(agent_id, operator))
    return int(receipt.event(contract.events.DelegationWithdrawn)["amount"])


def add_reward(ledger: Ledger, agent_id: int, amount: int, operator: str | None = None) -> tuple[int, int]:
    """Pay ``amount`` wei to a pool; returns what went to delegators and what to the operator."""
    operator = _operator(ledger, agent_id, operator)
    contract = ledger.contracts.delegations
    receipt = ledger.send_taking(amount, contract.functions.addReward, agent_id, operator, amount)
    shared = receipt.event(contract.events.RewardAdded)
    return int(shared["toDelegators"]), int(shared["toOperator"])


def set_commission(ledger: Ledger, agent_id: int, bps: int) -> int:
    """Set the commission of the signer's own pool; returns when it takes effect: an increase only after the
    withdrawal delay."""
    contract = ledger.contracts.delegations
    receipt = ledger.send(contract.functions.setCommission(agent_id, bps))
    return int(receipt.event(contract.events.CommissionSet)["effectiveAt"])


def claim_income(ledger: Ledger, agent_id: int) -> int:
    """Pay the signer the commissions of its own pool; returns the wei paid."""
    contract = ledger.contracts.delegations
    receipt = ledger.send(contract.functions.claimIncome(agent_id))
    return int(receipt.event(contract.events.IncomeClaimed)["amount"])


def _functions(ledger: Ledger) -> Any:
    return ledger.contracts.delegations.functions


def _operator(ledger: Ledger, agent_id: int, operator: str | None) -> str:
    """The named operator, or the agent's owner."""
    if operator is not None:
        return operator
    try:
        return str(ledger.call(ledger.contracts.agents.functions.ownerOf(agent_id)))
    except ChainError as error:
        if not (error.revert or "").startswith("ERC721NonexistentToken"):
            raise
        raise UserError(
            f"agent {agent_id} is not registered",
            fix="correct the id, or register it",
            code="user.agent.unknown",
        ) from None
