"""Stake, verification, challenges and votes: what keeps agents honest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._audit import actions, audit
    from ._batches import BatchDispute, challenge_batch, drift_threshold, request_audit
    from ._challenge import (
        STATES,
        Challenge,
        Evidence,
        Outcome,
        build_evidence,
        open_challenge,
        prove_equivocation,
    )
    from ._delegation import (
        Delegation,
        DelegationExit,
        DelegationPool,
        add_reward,
        cancel_delegation,
        claim_income,
        delegate,
        delegation,
        delegation_pool,
        set_commission,
        undelegate,
        withdraw_delegation,
    )
    from ._devnet_jury import hold_jury
    from ._finding import DEMAND_STATES, FAULTS, Anchored, Demand, Finding, enforce
    from ._juror import Juror, Vote
    from ._proofs import anchored_records
    from ._responder import Answer, Responder
    from ._search import find_fault
    from ._stake import (
        Exit,
        StakePosition,
        join_jury,
        leave_jury,
        position,
        stake,
        unstake,
        withdraw,
        withdraw_jury,
    )
    from ._verify import Action, Check, ReplayerFor, Report, Verdict, fetch_action, generation_of, verify

__all__ = [
    "DEMAND_STATES",
    "FAULTS",
    "STATES",
    "Action",
    "Anchored",
    "Answer",
    "BatchDispute",
    "Challenge",
    "Check",
    "Delegation",
    "DelegationExit",
    "DelegationPool",
    "Demand",
    "Evidence",
    "Exit",
    "Finding",
    "Juror",
    "Outcome",
    "ReplayerFor",
    "Report",
    "Responder",
    "StakePosition",
    "Verdict",
    "Vote",
    "actions",
    "add_reward",
    "anchored_records",
    "audit",
    "build_evidence",
    "cancel_delegation",
    "claim_income",
    "delegate",
    "delegation",
    "delegation_pool",
    "enforce",
    "challenge_batch",
    "drift_threshold",
    "fetch_action",
    "find_fault",
    "generation_of",
    "hold_jury",
    "join_jury",
    "leave_jury",
    "open_challenge",
    "position",
    "prove_equivocation",
    "set_commission",
    "request_audit",
    "stake",
    "undelegate",
    "unstake",
    "verify",
    "withdraw",
    "withdraw_delegation",
    "withdraw_jury",
]

_HOME = {
    "_audit": ("actions", "audit"),
    "_batches": ("BatchDispute", "challenge_batch", "drift_threshold", "request_audit"),
    "_challenge": (
        "STATES",
        "Challenge",
        "Evidence",
        "Outcome",
        "build_evidence",
        "open_challenge",
        "prove_equivocation",
    ),
    "_delegation": (
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
    ),
    "_devnet_jury": ("hold_jury",),
    "_finding": ("DEMAND_STATES", "FAULTS", "Anchored", "Demand", "Finding", "enforce"),
    "_juror": ("Juror", "Vote"),
    "_proofs": ("anchored_records",),
    "_responder": ("Answer", "Responder"),
    "_search": ("find_fault",),
    "_stake": (
        "Exit",
        "StakePosition",
        "join_jury",
        "leave_jury",
        "position",
        "stake",
        "unstake",
        "withdraw",
        "withdraw_jury",
    ),
    "_verify": (
        "Action",
        "Check",
        "ReplayerFor",
        "Report",
        "Verdict",
        "fetch_action",
        "generation_of",
        "verify",
    ),
}
_LAZY = {name: module for module, names in _HOME.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f".{_LAZY[name]}", __name__), name)
