"""Runs paid actions: workers on Ray, the outbox, the operator, batches and settlement, the client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._outbox import ActionRow, BatchRow, Outbox, State
from ._phases import Observe, Spent
from ._requests import PaidRequest, Receipt, SignedTicket, request_of

if TYPE_CHECKING:
    from ._attribute import LateInfluence, Settle, Settled, SpanAttributor, explain_action
    from ._batcher import Batcher
    from ._client import Client, check_receipt
    from ._deploy import Lineage, Registered, Service, deploy_agent, register_agent
    from ._fleet import Scaling, WorkerState
    from ._index import Index
    from ._keeper import Keeper, Keeping
    from ._local import LocalRun, run
    from ._operator import Attributor, Credit, Job, Operator, Runner
    from ._purse import Purse, purse_account
    from ._resume import Deployment, Uses
    from ._worker import LocalRunner, RayRunner, run_job

__all__ = [
    "ActionRow",
    "Attributor",
    "BatchRow",
    "Batcher",
    "Client",
    "Credit",
    "Deployment",
    "Index",
    "Job",
    "Keeper",
    "Keeping",
    "LateInfluence",
    "Lineage",
    "LocalRun",
    "LocalRunner",
    "Observe",
    "Operator",
    "Outbox",
    "PaidRequest",
    "Purse",
    "RayRunner",
    "Receipt",
    "Registered",
    "Runner",
    "Scaling",
    "Service",
    "Settle",
    "Settled",
    "SignedTicket",
    "SpanAttributor",
    "Spent",
    "State",
    "Uses",
    "WorkerState",
    "check_receipt",
    "deploy_agent",
    "explain_action",
    "purse_account",
    "register_agent",
    "request_of",
    "run",
    "run_job",
]

_LAZY = {
    "LateInfluence": "_attribute",
    "Settle": "_attribute",
    "Settled": "_attribute",
    "SpanAttributor": "_attribute",
    "explain_action": "_attribute",
    "Lineage": "_deploy",
    "Registered": "_deploy",
    "Service": "_deploy",
    "deploy_agent": "_deploy",
    "register_agent": "_deploy",
    "Batcher": "_batcher",
    "Client": "_client",
    "check_receipt": "_client",
    "Deployment": "_resume",
    "Uses": "_resume",
    "Keeper": "_keeper",
    "Keeping": "_keeper",
    "Scaling": "_fleet",
    "WorkerState": "_fleet",
    "Index": "_index",
    "LocalRun": "_local",
    "run": "_local",
    "Attributor": "_operator",
    "Credit": "_operator",
    "Job": "_operator",
    "Operator": "_operator",
    "Runner": "_operator",
    "Purse": "_purse",
    "purse_account": "_purse",
    "LocalRunner": "_worker",
    "RayRunner": "_worker",
    "run_job": "_worker",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f".{_LAZY[name]}", __name__), name)
