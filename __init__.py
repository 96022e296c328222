"""OpenLedger: the settlement layer for AI work."""

from __future__ import annotations

__version__ = "0.1.0"
