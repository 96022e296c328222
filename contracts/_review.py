"""What a command says before it signs: every transaction in plain words, and a trial run that sends none."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ._reverts import name_of, translated

if TYPE_CHECKING:
    from ._contracts import Contracts
    from ._sending import Receipt
    from ._signing import Signer

__all__ = ["Review", "reviewed"]

_LONGEST = 80  # characters of an argument that are shown


class _Stop(Exception):
    """Ends a dry run at its first transaction."""


class Review:
    """Explains what a chain is about to send, and what came of it. Made by :func:`reviewed`."""

    def __init__(self, contracts: Contracts, says: str, dry_run: bool, as_json: bool) -> None:
        self.says, self.dry_run, self.as_json = says, dry_run, as_json
        self.calls: list[dict[str, Any]] = []
        self._names = {address.lower(): name for name, address in contracts.deployment.addresses.items()}
        self._explain(says)

    def before(self, call: Any, signer: Signer, value: int) -> None:
        """Called with each transaction before it is signed; in a dry run, instead of signing it."""
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
        self._explain(f"  signs     {made['contract']}.{made['function']}({shown})")
        self._explain(f"  as        {made['from']}, to {address}")
        if value:
            self._explain(f"  pays      {value / 1e18:g} OPEN of its native coin")
        if self.dry_run:
            options: Any = {"from": signer.address, "value": value}
            translated(lambda: call.call(options), call)
            made["gas"] = int(translated(lambda: call.estimate_gas(options), call))
            raise _Stop

    def sent(self, receipt: Receipt) -> None:
        """Called with each mined transaction."""
        self.calls[-1]["transaction"] = receipt.tx
        self._explain(f"  mined     {receipt.tx} ({receipt.gas_used:,} gas)")

    def done(self, text: str, **fields: Any) -> None:
        """The command's result: ``text`` for people, ``fields`` beside the transactions for ``--json``."""
        if self.as_json:
            print(json.dumps({**fields, "says": self.says, "calls": self.calls}, indent=1))
        else:
            print(text)

    def _stopped(self) -> None:
        if self.as_json:
            print(json.dumps({"dryRun": True, "says": self.says, "calls": self.calls}, indent=1))
        else:
            print(
                f"dry run: it would succeed with about {self.calls[-1]['gas']:,} gas; nothing was signed or sent"
            )

    def _explain(self, line: str) -> None:
        print(line, file=sys.stderr if self.as_json else sys.stdout)


@contextmanager
def reviewed(
    contracts: Contracts, says: str, *, dry_run: bool = False, as_json: bool = False
) -> Iterator[Review]:
    """Explain every transaction sent inside the block before it is signed.

    ``says`` is the whole in one or two plain sentences: what is signed, what moves, what can be lost. Print the
    result with :meth:`Review.done`, inside the block. With ``dry_run`` the first transaction is only simulated and
    ends the block: the ones after it depend on a state that does not exist. Raises ``ChainError`` with the decoded
    ``revert`` when it would fail. With ``as_json`` the explanation goes to stderr, the result to stdout.
    """
    review = Review(contracts, says, dry_run, as_json)
    chain = contracts.chain
    outer, chain.review = chain.review, review
    try:
        yield review
    except _Stop:
        review._stopped()
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
