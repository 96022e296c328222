"""The agent that the chaos test serves: one node, one short model call."""

from __future__ import annotations

from openledger.runtime.gateway import model_agent

findings = model_agent("findings", "audit_findings", datanets=("audit_findings",), price=10**16, max_tokens=4)
