"""Runs paid actions: workers on Ray, the outbox, the operator, batches and settlement, the client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._outbox import ActionRow, BatchRow, Outbox, State
from ._requests import PaidRequest, Receipt, request_of

if TYPE_CHECKING:
    from ._batcher import Batcher
    from ._client import Client, Submit
    from ._operator import Attributor, Credit, Job, Operator, Runner
    from ._worker import LocalRunner, RayRunner, run_job

__all__ = [
    "ActionRow",
    "Attributor",
    "BatchRow",
    "Batcher",
    "Client",
    "Credit",
    "Job",
    "LocalRunner",
    "Operator",
    "Outbox",
    "PaidRequest",
    "RayRunner",
    "Receipt",
    "Runner",
    "State",
    "Submit",
    "request_of",
    "run_job",
]

_LAZY = {
    "Batcher": "_batcher",
    "Client": "_client",
    "Submit": "_client",
    "Attributor": "_operator",
    "Credit": "_operator",
    "Job": "_operator",
    "Operator": "_operator",
    "Runner": "_operator",
    "LocalRunner": "_worker",
    "RayRunner": "_worker",
    "run_job": "_worker",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f".{_LAZY[name]}", __name__), name)
