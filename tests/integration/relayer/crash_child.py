"""A relayer that is killed (SIGKILL) at the moment it is told: HOME BOOK BATCH MOMENT."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from openledger.contracts import Batch, Contracts, Devnet
from openledger.runtime.relayer import Book, Relayer

home, book, batch, moment = sys.argv[1:]


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Dying(Book):
    """Ends its process around one of its commits."""

    def signed(self, id: str, tx: str, raw: bytes) -> None:
        if moment == "begun":
            die()
        super().signed(id, tx, raw)
        if moment == "signed":
            die()

    def done(self, id: str, tx: str, wei: int) -> None:
        if moment == "mined":
            die()
        super().done(id, tx, wei)


devnet = Devnet.running(Path(home))
assert devnet is not None
contracts = Contracts.load(devnet.connect(), Path(home))
relayer = Relayer(contracts, devnet.accounts[9], Dying(Path(book)))
relayer.submit(Batch.model_validate_json(Path(batch).read_text()))
