"""Stake, verification, challenges and votes: what keeps agents honest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._audit import actions, audit
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
    from ._juror import Juror, Vote
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
    "STATES",
    "Action",
    "Challenge",
    "Check",
    "Delegation",
    "DelegationExit",
    "DelegationPool",
    "Evidence",
    "Exit",
    "Juror",
    "Outcome",
    "ReplayerFor",
    "Report",
    "StakePosition",
    "Verdict",
    "Vote",
    "actions",
    "add_reward",
    "audit",
    "build_evidence",
    "cancel_delegation",
    "claim_income",
    "delegate",
    "delegation",
    "delegation_pool",
    "fetch_action",
    "generation_of",
    "hold_jury",
    "join_jury",
    "leave_jury",
    "open_challenge",
    "position",
    "prove_equivocation",
    "set_commission",
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
    "_juror": ("Juror", "Vote"),
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
