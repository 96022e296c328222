"""A relayer killed between any two steps: the batch is carried out by exactly one transaction."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from openledger.runtime.relayer import Book, Relayed, Relayer

CHILD = Path(__file__).with_name("crash_child.py")


def _start(world: Any, folder: Path, batch: Any, moment: str) -> subprocess.Popen[bytes]:
    (folder / "batch.json").write_text(batch.model_dump_json())
    home = world.connection.settings.home_dir
    command = [
        sys.executable,
        str(CHILD),
        str(home),
        str(folder / "0.db"),
        str(folder / "batch.json"),
        moment,
    ]
    return subprocess.Popen(command)


def _sent(world: Any, block: str = "latest") -> int:
    return int(world.connection.chain.w3.eth.get_transaction_count(world.sponsor.address, block))


def _checked(world: Any, user: Any, done: Relayed, sent: int) -> None:
    assert _sent(world, "pending") == sent + 1
    assert user.call(user.contracts.token.functions.delegates(user.address)) == user.address
    receipt = world.connection.chain.w3.eth.get_transaction_receipt(done.tx)
    assert (receipt["status"], receipt["from"]) == (1, world.sponsor.address)


@pytest.mark.parametrize("moment", ["begun", "signed", "mined"])
def test_killed_it_sends_a_batch_once(
    world: Any, books: Callable[..., Book], tmp_path: Path, moment: str
) -> None:
    user, sent = world.newcomer(0), _sent(world)
    batch = world.batch(user, user.contracts.token.functions.delegate(user.address))
    child = _start(world, tmp_path, batch, moment)
    assert child.wait(600) == -9
    assert _sent(world) == sent + (moment == "mined")
    book = books()
    assert [entry.nonce for entry in book.open()] == [0]
    relayer = world.relayer_with(book)
    relayer.recover()
    done = relayer.submit(batch)
    _checked(world, user, done, sent)
    assert book.open() == []
    receipt = world.connection.chain.w3.eth.get_transaction_receipt(done.tx)
    assert book.spent(user.address) == receipt["gasUsed"] * receipt["effectiveGasPrice"]
    assert relayer.submit(batch) == done


def test_killed_while_it_waits_it_sends_a_batch_once(
    world: Any, books: Callable[..., Book], tmp_path: Path
) -> None:
    user, sent, rpc = world.newcomer(0), _sent(world), world.connection.chain.w3.provider.make_request
    batch = world.batch(user, user.contracts.token.functions.delegate(user.address))
    rpc("evm_setAutomine", [False])
    try:
        child = _start(world, tmp_path, batch, "never")
        deadline = time.monotonic() + 600
        while _sent(world, "pending") == sent:
            assert child.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        child.kill()
        child.wait(600)
        relayer: Relayer = world.relayer_with(books())
        found: list[Relayed] = []
        thread = threading.Thread(target=lambda: found.append(relayer.submit(batch)))
        thread.start()
        time.sleep(1)
        assert found == [], "it is not mined yet"
        rpc("evm_mine", [])
        thread.join(600)
    finally:
        rpc("evm_setAutomine", [True])
    _checked(world, user, found[0], sent)
