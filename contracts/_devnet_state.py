"""The devnet's folder: its genesis, anvil's dumps of its state, and copies of those that are whole."""

from __future__ import annotations

import fcntl
import json
import shutil
import subprocess
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import ChainError
from ._genesis import devnet_allocations, genesis

__all__ = ["begin", "copy", "keep_copies", "locked", "recover", "write_atomically"]


def begin(folder: Path, chain_id: int, accounts: Iterable[str]) -> None:
    """Write the genesis of a new chain, and the state that anvil starts from: it takes no ``--init`` beside ``--state``."""
    table = devnet_allocations(accounts)
    made = genesis(table, chain_id, timestamp=int(time.time()))
    (folder / "genesis.json").write_text(json.dumps(made, indent=1) + "\n")
    empty: dict[str, Any] = {"nonce": 0, "code": "0x", "storage": {}}
    state: dict[str, Any] = {
        "block": None,
        "accounts": {address: {**empty, **held} for address, held in made["alloc"].items()},
        "best_block_number": 0,
        "blocks": [],
        "transactions": [],
        "historical_states": None,
    }
    write_atomically(folder / "state.json", json.dumps(state))


def recover(state: Path) -> None:
    """A dump cut short by a crash is replaced by the last good one."""
    good = state.with_suffix(".good.json")
    if not state.exists() or copy(state):
        return
    if good.exists():
        state.replace(state.with_suffix(".broken.json"))
        shutil.copyfile(good, state)
    else:
        raise ChainError(
            f"The devnet's state {state} is damaged",
            why="its last dump was cut short and there is no earlier one",
            fix=f"delete {state.parent} to begin a new chain",
        )


def keep_copies(anvil: subprocess.Popen[bytes], state: Path, every: float) -> None:
    """Until ``anvil`` ends: it overwrites its state in place."""
    while True:
        time.sleep(every)
        if anvil.poll() is not None:
            return
        with locked(state.parent):
            copy(state)


def copy(state: Path) -> bool:
    """Keep a copy of a dump that is whole; says whether it is."""
    scratch = state.with_suffix(".copy.json")
    try:
        shutil.copyfile(state, scratch)
        whole = _is_json(scratch)
        if whole:
            scratch.replace(state.with_suffix(".good.json"))
    except OSError:  # a full disk, say: the copy before it stays
        whole = _is_json(state)
    scratch.unlink(missing_ok=True)
    return whole


def _is_json(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            json.load(file)
    except (OSError, ValueError):
        return False
    return True


def write_atomically(path: Path, text: str) -> None:
    scratch = path.with_suffix(".new")
    scratch.write_text(text)
    scratch.replace(path)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
