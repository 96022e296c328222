"""The server in front of an application."""

from __future__ import annotations

import logging
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ._limits import Limits
from ._log import logger

if TYPE_CHECKING:
    from fastapi import FastAPI

__all__ = ["listen"]


def listen(
    app: FastAPI, *, host: str, port: int, tls: tuple[Path, Path] | None = None, limits: Limits | None = None
) -> None:
    """Answer requests to ``app`` until SIGINT or SIGTERM, then return, with one log line for each on standard error."""
    import uvicorn

    from ._hasty import HastyProtocol

    for number in (signal.SIGINT, signal.SIGTERM):
        # uvicorn raises what ended it once more, for whoever was there before: Ray would exit with its number
        signal.signal(number, lambda *_: None)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    certificate, key = tls or (None, None)
    uvicorn.run(
        app,
        host=host,
        port=port,
        ssl_certfile=certificate,
        ssl_keyfile=key,
        access_log=False,  # a path may hold what no log should
        log_level="warning",
        server_header=False,
        http=HastyProtocol,
        timeout_keep_alive=20,
        limit_concurrency=16 * (limits or Limits()).running,
    )
