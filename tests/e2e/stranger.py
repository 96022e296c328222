"""Somebody who knows the chain, the content store and a CID; and what is missing from that store."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from blocks import lose

from openledger.datanets import Row


def account_of(stack: Any, row: Row) -> str:
    return str(stack.world.people.contributors[row.contributor].address)


def fresh(stack: Any, cache: Path, *words: str, exits: int = 0) -> Any:
    """What a new process prints as JSON that has the chain and the content store, and no cache."""
    settings = stack.world.connection.settings
    environment = {**os.environ, "OPENLEDGER_HOME": str(settings.home_dir), "OPENLEDGER_CACHE": str(cache)}
    line = [sys.executable, "-m", "openledger.cli", "attribution", *words, "--json"]
    done = subprocess.run(line, capture_output=True, text=True, timeout=900, env=environment, check=False)
    assert done.returncode == exits, done.stdout + done.stderr
    return json.loads(done.stdout)


def found_in(told: Any) -> dict[str, str]:
    return {part["part"]: part["found"] for part in told["parts"]}


@contextmanager
def hidden(stack: Any, cid: str) -> Iterator[None]:
    """A block is not in the content store."""
    store = stack.world.connection.store
    data = lose(store, cid)
    try:
        yield
    finally:
        store.put_blocks({cid: data})
