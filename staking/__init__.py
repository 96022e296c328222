"""Stake, verification, challenges and votes: what keeps agents honest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._audit import actions, audit
    from ._auditor import Auditor, AuditPolicy
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
    from ._daemon import DaemonLog, Entry, MeteredLedger, metrics_text, serve
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
    from ._examine import (
        Examiner,
        Opinion,
        Retrain,
        SharesExaminer,
        TrainingExaminer,
        examiners_for,
        index_for,
        recompute_for,
    )
    from ._finding import DEMAND_STATES, FAULTS, QUESTIONS, Anchored, Demand, Finding, enforce
    from ._influence import Divide, InfluenceFor, Trainer, influence_for
    from ._journal import Case, Draw, Journal, PayoutDraw
    from ._juror import Juror
    from ._jury_service import JuryPolicy, JuryService
    from ._payout_auditor import PayoutAuditor
    from ._proofs import anchored_records
    from ._prosecutor import Prosecutor
    from ._questions import challenge_shares, challenge_training, claim_found
    from ._receipt import ActionReceipt, OutputText, StatedFor, read_receipt, stated_for
    from ._recompute import Difference, Found, Line, Recomputed, recompute
    from ._responder import Answer, Responder
    from ._retry import Budget
    from ._search import find_fault
    from ._shares import IndexFor, Judged, Payouts, Terms, recompute_payouts
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
    from ._votes import ANSWERS, UNAVAILABLE, AnswerVote, Vote
    from ._worth import Worth, worth_of_challenge, worth_of_finding, worth_of_shares

__all__ = [
    "ANSWERS",
    "DEMAND_STATES",
    "FAULTS",
    "QUESTIONS",
    "STATES",
    "UNAVAILABLE",
    "Action",
    "ActionReceipt",
    "Anchored",
    "Answer",
    "AnswerVote",
    "AuditPolicy",
    "Auditor",
    "BatchDispute",
    "Budget",
    "Case",
    "Challenge",
    "Check",
    "DaemonLog",
    "Delegation",
    "DelegationExit",
    "DelegationPool",
    "Demand",
    "Difference",
    "Divide",
    "Draw",
    "Entry",
    "Evidence",
    "Examiner",
    "Exit",
    "Finding",
    "Found",
    "IndexFor",
    "InfluenceFor",
    "Journal",
    "Judged",
    "Juror",
    "JuryPolicy",
    "JuryService",
    "Line",
    "MeteredLedger",
    "Opinion",
    "Outcome",
    "OutputText",
    "PayoutAuditor",
    "PayoutDraw",
    "Payouts",
    "Prosecutor",
    "Recomputed",
    "ReplayerFor",
    "Report",
    "Responder",
    "Retrain",
    "SharesExaminer",
    "StakePosition",
    "StatedFor",
    "Terms",
    "Trainer",
    "TrainingExaminer",
    "Verdict",
    "Vote",
    "Worth",
    "actions",
    "add_reward",
    "anchored_records",
    "audit",
    "build_evidence",
    "cancel_delegation",
    "challenge_batch",
    "challenge_shares",
    "challenge_training",
    "claim_found",
    "claim_income",
    "delegate",
    "delegation",
    "delegation_pool",
    "drift_threshold",
    "enforce",
    "examiners_for",
    "fetch_action",
    "find_fault",
    "generation_of",
    "hold_jury",
    "index_for",
    "influence_for",
    "join_jury",
    "leave_jury",
    "metrics_text",
    "open_challenge",
    "position",
    "prove_equivocation",
    "read_receipt",
    "recompute",
    "recompute_for",
    "recompute_payouts",
    "request_audit",
    "serve",
    "set_commission",
    "stake",
    "stated_for",
    "undelegate",
    "unstake",
    "verify",
    "withdraw",
    "withdraw_delegation",
    "withdraw_jury",
    "worth_of_challenge",
    "worth_of_finding",
    "worth_of_shares",
]

_HOME = {
    "_audit": ("actions", "audit"),
    "_auditor": ("Auditor", "AuditPolicy"),
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
    "_daemon": ("DaemonLog", "Entry", "MeteredLedger", "metrics_text", "serve"),
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
    "_examine": (
        "Examiner",
        "Opinion",
        "Retrain",
        "SharesExaminer",
        "TrainingExaminer",
        "examiners_for",
        "index_for",
        "recompute_for",
    ),
    "_finding": ("DEMAND_STATES", "FAULTS", "QUESTIONS", "Anchored", "Demand", "Finding", "enforce"),
    "_influence": ("Divide", "InfluenceFor", "Trainer", "influence_for"),
    "_journal": ("Case", "Draw", "Journal", "PayoutDraw"),
    "_juror": ("Juror",),
    "_jury_service": ("JuryPolicy", "JuryService"),
    "_payout_auditor": ("PayoutAuditor",),
    "_proofs": ("anchored_records",),
    "_prosecutor": ("Prosecutor",),
    "_questions": ("challenge_shares", "challenge_training", "claim_found"),
    "_receipt": ("ActionReceipt", "OutputText", "StatedFor", "read_receipt", "stated_for"),
    "_recompute": ("Difference", "Found", "Line", "Recomputed", "recompute"),
    "_responder": ("Answer", "Responder"),
    "_retry": ("Budget",),
    "_search": ("find_fault",),
    "_shares": ("IndexFor", "Judged", "Payouts", "Terms", "recompute_payouts"),
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
    "_votes": ("ANSWERS", "UNAVAILABLE", "AnswerVote", "Vote"),
    "_worth": ("Worth", "worth_of_challenge", "worth_of_finding", "worth_of_shares"),
}
_LAZY = {name: module for module, names in _HOME.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f".{_LAZY[name]}", __name__), name)
