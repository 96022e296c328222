"""One line of JSON for each request and each call: what, when, how it ended. Never what was asked or answered."""

from __future__ import annotations

import json
import logging
import time
from typing import Any

__all__ = ["logger", "note"]

logger = logging.getLogger("openledger.gateway")


def note(what: str, **fields: Any) -> None:
    """Log an event; fields that are None are left out."""
    if logger.isEnabledFor(logging.INFO):
        told = {name: value for name, value in fields.items() if value is not None}
        logger.info(json.dumps({"at": round(time.time(), 3), "event": what, **told}))
