"""The agent that the chaos test serves: one node, one short model call, charged by its tokens."""

from __future__ import annotations

from openledger.registry import Tariff
from openledger.runtime.gateway import model_agent

findings = model_agent(
    "findings",
    "audit_findings",
    datanets=("audit_findings",),
    price=10**16,
    tariff=Tariff(prompt=10**12, output=10**13, base=10**15),
    max_tokens=4,
)
