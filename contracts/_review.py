"""What a command says before it signs: every transaction in plain words and what it moves, and a trial run that
sends none."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ._amounts import show_open
from ._reverts import name_of
from ._sending import Receipt
from ._simulate import Trial, simulate

if TYPE_CHECKING:
    from ._contracts import Contracts
    from ._signing import Signer

__all__ = ["Review", "reviewed"]

_LONGEST = 80  # characters of an argument that are shown


class Review:
    """Explains what a chain is about to send, and what came of it. Made by :func:`reviewed`."""

    def __init__(self, contracts: Contracts, says: str, dry_run: bool, as_json: bool) -> None:
        self.says, self.dry_run, self.as_json = says, dry_run, as_json
        self.calls: list[dict[str, Any]] = []
        self.told = False
        self._chain = contracts.chain
        self._trial: list[Trial] = []
        self._token = contracts.token
        self._names = {address.lower(): name for name, address in contracts.deployment.addresses.items()}
        self.explain(says)

    def before(self, call: Any, signer: Signer, value: int, *, together: bool = False) -> Receipt:
        """Called with each transaction before it is signed; in a dry run, instead of signing it. Returns what a
        trial of it gave, after the call before it where it is sent ``together`` with that. Raises ``ChainError`` when it would
        be refused."""
        address = str(call.address)
        inputs = call.abi["inputs"]
        arguments = {
            given["name"] or str(i): _plain(x)
            for i, (given, x) in enumerate(zip(inputs, _arguments(call), strict=True))
        }
        made: dict[str, Any] = {
            "contract": self._names.get(address.lower(), "contract"),
            "address": address,
            "function": name_of(call),
            "arguments": arguments,
            "from": str(signer.address),
            "value": str(value),
        }
        self.calls.append(made)
        shown = ", ".join(f"{name}={_cut(x)}" for name, x in arguments.items())
        self.explain(f"  signs     {made['contract']}.{made['function']}({shown})")
        self.explain(f"  as        {made['from']}, to {address}")
        if value:
            self.explain(f"  pays      {show_open(value)} of its native coin")
        # in a dry run nothing was sent, so that a call builds on the trials of those before it
        tried = self._trial if self.dry_run or together else []
        self._trial = [*tried, Trial(call, str(signer.address), value)]
        receipt = simulate(self._chain, self._trial)
        made["gas"] = receipt.gas_used
        made["moves"] = self._moves(receipt)
        for move in made["moves"]:
            self.explain(f"  moves     {show_open(int(move['wei']))} from {move['from']} to {move['to']}")
        return receipt

    def sent(self, receipt: Receipt, calls: int = 1) -> None:
        """Called with each mined transaction, which made the last ``calls``."""
        for made in self.calls[-calls:]:
            made["transaction"] = receipt.tx
        self.explain(f"  mined     {receipt.tx} ({receipt.gas_used:,} gas)")

    def done(self, text: str, **fields: Any) -> None:
        """The command's result: ``text`` for people, ``fields`` beside the transactions for ``--json``."""
        self.told = True
        if self.as_json:
            told = {"dryRun": True} if self.dry_run else fields
            print(json.dumps({**told, "says": self.says, "calls": self.calls}, indent=1))
        elif self.dry_run:
            gas = sum(call["gas"] for call in self.calls)
            print(f"dry run: it would succeed with about {gas:,} gas; nothing was signed or sent")
        else:
            print(text)

    def _moves(self, receipt: Receipt) -> list[dict[str, str]]:
        moved = [
            (str(event["from"]), str(event["to"]), int(event["value"]))
            for event in receipt.events(self._token.events.Transfer)
        ]
        return [
            {"from": self._named(source), "to": self._named(target), "wei": str(wei)}
            for source, target, wei in moved
            if wei
        ]

    def _named(self, address: str) -> str:
        if int(address, 16) == 0:
            return "the native coin"  # wrapped, or unwrapped and burned
        return self._names.get(address.lower(), address)

    def explain(self, line: str) -> None:
        """Say a line of it."""
        print(line, file=sys.stderr if self.as_json else sys.stdout)


@contextmanager
def reviewed(
    contracts: Contracts, says: str, *, dry_run: bool = False, as_json: bool = False
) -> Iterator[Review]:
    """Explain every transaction sent inside the block before it is signed.

    ``says`` is the whole in one or two plain sentences: what is signed, what moves, what can be lost. Print the
    result with :meth:`Review.done`, inside the block. With ``dry_run`` the transactions are simulated one after
    another and none is sent. Raises ``ChainError`` with the decoded ``revert`` when one would fail. With ``as_json`` the explanation goes to stderr, the result to stdout.
    """
    review = Review(contracts, says, dry_run, as_json)
    chain = contracts.chain
    outer, chain.review = chain.review, review
    try:
        yield review
        if dry_run and not review.told:
            review.done("")
    finally:
        chain.review = outer


def _arguments(call: Any) -> tuple[Any, ...]:
    from eth_utils.abi import get_normalized_abi_inputs

    return tuple(get_normalized_abi_inputs(call.abi, *call.args, **call.kwargs))


def _plain(value: Any) -> Any:
    if isinstance(value, (bytes, bytearray)):
        return "0x" + bytes(value).hex()
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)  # JSON readers lose what exceeds 53 bits
    return value


def _cut(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
