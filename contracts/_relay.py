"""Sends what an account signs through a relayer, which pays the gas: the account needs no native coin."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ..errors import ChainError, OpenLedgerError, OverloadedError, UserError
from ._calls import as_transaction
from ._reverts import name_of
from ._sending import Receipt
from ._signing import Signer
from ._simulate import Trial, simulate
from ._sponsored import (
    Batch,
    BatchCall,
    batch_nonce,
    chain_time,
    delegated_to,
    executed,
    sign_batch,
    sign_code,
    stale,
)

if TYPE_CHECKING:
    from ._contracts import Contracts

__all__ = ["Relay"]

_VALID = 600
"""Seconds for which a batch is valid; less where the relayer takes less."""
_ATTEMPTS = 4


@dataclass(frozen=True)
class _Terms:
    sponsor: str
    window: int


class Relay:
    """The relayer behind ``url``. Thread-safe. ``Chain.send`` goes through it where ``Chain.relay`` is one.

    It is trusted with nothing but the gas: it can submit only what was signed, to this chain, once and before its deadline, and
    what it reports is looked up on the chain. The same signed batch is given to it again after a lost connection.
    """

    def __init__(self, url: str, contracts: Contracts, timeout: float = 90.0) -> None:
        """``timeout`` in seconds, for each answer: it comes once the transaction is mined. Raises ``UserError`` for what is
        no address."""
        if not url.startswith(("http://", "https://")):
            raise UserError(f"{url!r} is not a relayer", fix="give an http:// or https:// address")
        self.url, self._timeout = url.rstrip("/"), timeout
        self._chain, self._delegate = contracts.chain, contracts.address("SponsoredAccount")
        self._locks: dict[str, threading.Lock] = {}
        self._locks_lock = threading.Lock()

    def send(
        self, calls: Sequence[tuple[Any, int]], signer: Signer, tell: Callable[[str], None] = lambda _: None
    ) -> Receipt:
        """Have the contract calls, each with its wei of the account's own coin, made by the signer's account: all or none.

        ``tell`` is given what is signed, in plain words, before it is. Raises ``ChainError`` with ``revert`` where a call would be
        refused, ``UserError`` where the relayer does not pay for it, ``OverloadedError`` where it does not now. With code
        ``chain.pending`` it may still happen.
        """
        account = str(signer.address)
        made = tuple(self._call(call, value) for call, value in calls)
        trials = [Trial(call, account, value) for call, value in calls]
        for number in range(
            len(trials)
        ):  # what is signed could be submitted until its deadline, refused or not
            simulate(self._chain, trials[: number + 1])
        what = " and ".join(name_of(call) for call, _ in calls)
        with self._locks_lock:
            lock = self._locks.setdefault(account.lower(), threading.Lock())
        with lock:  # batches of one account come one after another
            terms = self._terms()
            nonce = batch_nonce(self._chain, account)
            deadline = chain_time(self._chain) + min(_VALID, terms.window)
            bare = self._is_bare(account)
            for line in self._words(account, terms.sponsor, nonce, deadline, bare):
                tell(line)
            code = sign_code(self._chain, signer, self._delegate) if bare else None
            batch = sign_batch(
                self._chain.chain_id,
                signer,
                made,
                sponsor=terms.sponsor,
                nonce=nonce,
                deadline=deadline,
                code=code,
            )
            tx = self._submitted(batch, what)
            return self._checked(batch, tx, what)

    def _call(self, call: Any, value: int) -> BatchCall:
        if getattr(call, "address", None) is None:
            raise UserError(
                "a contract cannot be deployed through a relayer",
                why="an account calls; it does not create",
                fix="unset OPENLEDGER_RELAYER and pay the gas yourself",
            )
        made = as_transaction(call)
        return BatchCall(target=str(made["to"]), value=value, data=made["data"])

    def _is_bare(self, account: str) -> bool:
        """Whether the account has to consent to its code first."""
        found = delegated_to(self._chain, account)
        if found is not None and found.lower() != self._delegate.lower():
            raise UserError(
                f"{account} runs other code (EIP-7702)",
                why=f"it delegates to {found}; a relayer pays for {self._delegate} only",
                fix="end that delegation in the wallet that made it, or use another account",
            )
        return found is None

    def _words(self, account: str, sponsor: str, nonce: int, deadline: int, bare: bool) -> list[str]:
        until = datetime.fromtimestamp(deadline, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        lines = [
            f"  relayed   as one batch, number {nonce}, until {until}: all of it happens or none",
            f"  gas       is paid by {sponsor}, of {self.url}; it may do nothing else",
        ]
        if bare:
            lines.append(
                f"  signs     that {account} runs SponsoredAccount, {self._delegate} (EIP-7702), on chain "
                f"{self._chain.chain_id}: it does only what this key signs"
            )
        return lines

    def _terms(self) -> _Terms:
        told = self._ask("get", "/v1/terms", None)
        try:
            chain_id, delegate = int(told["chainId"]), str(told["delegate"])
            terms = _Terms(str(told["sponsor"]), int(told["windowSeconds"]))
        except (KeyError, TypeError, ValueError):
            raise self._unreachable("it names no terms") from None
        if re.fullmatch("0x[0-9a-fA-F]{40}", terms.sponsor) is None or terms.window < 1:
            raise self._unreachable("its terms are malformed")
        if (chain_id, delegate.lower()) != (self._chain.chain_id, self._delegate.lower()):
            raise UserError(
                f"the relayer {self.url} serves other contracts",
                why=f"it pays on chain {chain_id} for {delegate}",
                fix="correct OPENLEDGER_RELAYER, or OPENLEDGER_RPC_URL and OPENLEDGER_DIRECTORY",
            )
        return terms

    def _submitted(self, batch: Batch, what: str) -> str:
        """The transaction's hash, as the relayer tells it."""
        body = batch.model_dump(mode="json")
        try:
            told = self._ask("post", "/v1/batches", body)
        except ChainError as error:
            if error.revert is not None or error.code not in ("relay.unreachable", "chain.pending"):
                raise
            raise ChainError(
                f"It is not known whether {what} was carried out",
                why=error.why,
                fix=f"look whether {batch.account} has carried out batch {batch.nonce} before repeating it; "
                "after its deadline it cannot be",
                code="chain.pending",
                tx=error.tx,
            ) from None
        tx = str(told.get("tx"))
        if re.fullmatch("0x[0-9a-f]{64}", tx) is None:
            raise self._unreachable("it named no transaction")
        return tx

    def _checked(self, batch: Batch, tx: str, what: str) -> Receipt:
        """The receipt from our own node: the relayer's word counts for nothing."""
        from web3.exceptions import TransactionNotFound, Web3Exception

        deadline = time.monotonic() + self._chain.timeout
        while True:
            try:
                raw = self._chain.w3.eth.get_transaction_receipt(tx)  # type: ignore[arg-type]
                break
            except TransactionNotFound:
                why = "this node has no such transaction"
            except (ChainError, Web3Exception, ValueError) as error:
                why = str(error)
            if time.monotonic() > deadline:
                raise ChainError(
                    f"It is not known whether {what} was carried out",
                    why=f"the relayer told of transaction {tx}, but {why}",
                    fix="look it up before repeating anything",
                    code="chain.pending",
                    tx=tx,
                )
            time.sleep(0.05)
        receipt = Receipt(tx, int(raw["blockNumber"]), int(raw["gasUsed"]), raw)
        if not executed(self._chain, receipt, batch.account, batch.digest(self._chain.chain_id)):
            raise stale(batch.account, tx)
        if (found := delegated_to(self._chain, batch.account)) != self._delegate:
            raise ChainError(f"{batch.account} runs {found}, not {self._delegate}", tx=tx, code="relay.stale")
        return receipt

    def _ask(self, method: str, path: str, body: Any) -> dict[str, Any]:
        """The relayer's answer. What is asked may be asked again: of the same batch comes one transaction."""
        import requests

        for attempt in range(_ATTEMPTS):
            if attempt:
                time.sleep(0.25 * 2**attempt)
            try:
                answer = requests.request(
                    method, self.url + path, json=body, timeout=self._timeout, allow_redirects=False
                )
                told = answer.json()
            except requests.RequestException as lost:
                why = type(lost).__name__
                continue
            if answer.status_code == 200 and isinstance(told, dict):
                return told
            error = told.get("error") if isinstance(told, dict) else None
            if isinstance(error, dict) and answer.status_code < 500:
                raise _told({**told, **error}, answer.headers.get("Retry-After"))
            why = f"HTTP status {answer.status_code}"
            if isinstance(error, dict):
                why = _shown(error.get("message") or why)
        raise self._unreachable(why)

    def _unreachable(self, why: str) -> ChainError:
        return ChainError(
            f"The relayer {self.url} cannot be used now",
            why=why,
            fix="try again later, correct OPENLEDGER_RELAYER, or unset it and pay the gas yourself",
            code="relay.unreachable",
        )


def _told(error: dict[str, Any], retry: str | None) -> OpenLedgerError:
    """The relayer's error as one of ours."""
    what = _shown(error.get("what") or "the relayer refused")
    rest = {key: _shown(error.get(key) or "") for key in ("why", "fix")}
    code = _shown(error.get("code") or "user")
    if retry is not None and retry.isdigit():
        return OverloadedError(what, retry_after=float(retry), code=code, **rest)
    if error.get("revert") or error.get("tx"):
        found = {key: _shown(error[key]) if error.get(key) else None for key in ("revert", "tx")}
        return ChainError(what, code=code, **found, **rest)  # type: ignore[arg-type]
    return UserError(what, code=code, **rest)


def _shown(text: Any) -> str:
    """A stranger's text, on a terminal."""
    return "".join(one for one in str(text)[:1000] if one.isprintable())
