"""Pays the gas of what accounts signed, within terms, and sends each batch at most once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ...contracts import (
    Batch,
    Contracts,
    Receipt,
    Signer,
    Sponsoring,
    batch_nonce,
    chain_time,
    delegated_to,
    executed,
)
from ...errors import ChainError, OverloadedError, UserError
from ..gateway import Limiter, Limits
from ._book import Book, Entry
from ._terms import Terms, check_calls

__all__ = ["Relayed", "Relayer"]

_RAISE = 2
"""How many times the first offer a unit of gas may cost in the end."""
_LOCKS = 1021
"""Accounts share them: strangers have any number of accounts."""


@dataclass(frozen=True)
class Relayed:
    """A batch that was carried out. ``id`` is its EIP-712 digest, ``tx`` the transaction, both 0x…."""

    id: str
    tx: str


class Relayer:
    """Pays from ``signer``. Thread-safe; one process for a key.

    A batch is noted with its cost before it is sent, and the signed transaction before it is broadcast. After a crash the
    account's nonce on-chain decides what became of it, and what is sent again is the same bytes.
    """

    def __init__(self, contracts: Contracts, signer: Signer, book: Book, terms: Terms | None = None) -> None:
        self.contracts, self.terms, self._book = contracts, terms or Terms(), book
        self.delegate = contracts.address("SponsoredAccount")
        self._chain, self._sponsoring = contracts.chain, Sponsoring(contracts.chain, signer)
        limits = Limits(rate=self.terms.account_rate, burst=self.terms.account_burst)
        self._limiter = Limiter(limits)
        self._locks = [threading.Lock() for _ in range(_LOCKS)]

    @property
    def address(self) -> str:
        """Who pays."""
        return self._sponsoring.address

    def submit(self, batch: Batch) -> Relayed:
        """Carry the batch out and return once it is mined; one that was, is not sent again.

        Raises ``UserError`` or ``OverloadedError`` for what is not paid for, ``ChainError`` with ``revert`` for what the
        chain would refuse; nothing was sent then. ``ChainError`` with code ``chain.pending``: submit the same again.
        """
        self._check_form(batch)
        id = "0x" + batch.digest(self._chain.chain_id).hex()
        with self._one_at_a_time(batch.account):
            entry = self._book.find(id)
            if entry is not None and entry.state == "sending":
                entry = self._resolve(entry)
            if entry is not None and entry.state == "done":
                return Relayed(id, str(entry.tx))
            return self._send(id, batch)

    def recover(self) -> None:
        """After a start: find out what became of the batches that were on their way. Raises ``ChainError``."""
        for entry in self._book.open():
            with self._one_at_a_time(entry.account):
                self._resolve(entry)

    # -- what is paid for ------------------------------------------------------------------------

    def _check_form(self, batch: Batch) -> None:
        """All that can be told without the chain."""
        if batch.sponsor.lower() != self.address.lower():
            raise UserError(
                "the batch names another sponsor",
                why=f"it is for {batch.sponsor}, this is {self.address}",
                fix="sign it for this relayer",
                code="relay.signature",
            )
        check_calls(self.terms, self.contracts, batch)
        if (found := batch.signed_by(self._chain.chain_id)) is None or found.lower() != batch.account.lower():
            raise UserError(
                "the account did not sign this batch",
                why=f"the signature is of {found or 'nobody'}",
                fix=f"sign it with the account's key for chain {self._chain.chain_id}",
                code="relay.signature",
            )

    def _check_now(self, batch: Batch) -> None:
        self._limiter.admit(batch.account.lower())
        now = chain_time(self._chain)
        if not now < batch.deadline <= now + self.terms.window:
            raise UserError(
                "the batch's deadline is not in time",
                why=f"it is {batch.deadline}, and has to be after {now} and at most {self.terms.window} s later",
                fix="sign it again with another deadline; check the clock",
                code="relay.deadline",
            )
        if (expected := batch_nonce(self._chain, batch.account)) != batch.nonce:
            raise UserError(
                "the batch has a wrong nonce",
                why=f"it is batch {batch.nonce} of the account, and the next is {expected}",
                fix="if it was carried out, there is nothing to do; else sign it again",
                code="relay.nonce",
            )
        self._check_code(batch)

    def _check_code(self, batch: Batch) -> None:
        found, code = delegated_to(self._chain, batch.account), batch.code
        if code is None:
            if found is not None and found.lower() == self.delegate.lower():
                return
            why = f"it runs {found or 'no code'}, and the batch has no authorization (EIP-7702)"
        elif code.chain_id != self._chain.chain_id or code.address.lower() != self.delegate.lower():
            why = f"the authorization is for {code.address} on chain {code.chain_id}"
        elif (signer := code.signed_by()) is None or signer.lower() != batch.account.lower():
            why = f"the authorization is of {signer or 'nobody'}"
        else:
            account = self._chain.w3.to_checksum_address(batch.account)
            nonce = int(self._chain.w3.eth.get_transaction_count(account))
            if nonce == code.nonce:
                return
            why = f"the authorization has nonce {code.nonce}, and the account's next is {nonce}"
        raise UserError(
            "the account does not run SponsoredAccount",
            why=why,
            fix=f"sign an authorization for {self.delegate} with the account's next nonce",
            code="relay.signature",
        )

    # -- sending ---------------------------------------------------------------------------------

    def _send(self, id: str, batch: Batch) -> Relayed:
        self._check_now(batch)
        gas = self._sponsoring.try_(batch)
        if gas > self.terms.max_gas:
            raise UserError(
                "the batch needs too much gas",
                why=f"it needs {gas}, and {self.terms.max_gas} are paid for",
                fix="sign fewer calls at a time",
                code="relay.target",
            )
        offer = self._sponsoring.fees()
        price = offer["maxFeePerGas"]
        if price > self.terms.fee_cap:
            raise OverloadedError(
                "gas is too dear now",
                retry_after=60,
                why=f"a unit costs up to {price} wei, and {self.terms.fee_cap} are paid",
                fix="send it again later; nothing was sent",
                code="relay.fee",
            )
        most = min(self.terms.fee_cap, _RAISE * price)
        caps = {"account_cap": self.terms.account_cap, "cap": self.terms.cap}
        self._book.begin(id, batch.account, batch.nonce, gas * most, self._chain.block_number(), **caps)
        try:
            receipt = self._sponsoring.send(
                batch,
                gas=gas,
                offer=offer,
                most=most,
                on_signed=lambda tx, raw: self._book.signed(id, tx, raw),
            )
        except ChainError as error:
            if error.code in ("chain.pending", "chain.unreachable"):
                raise  # the entry stays: the same batch, given again, is looked up
            mined = self._sponsoring.receipt(error.tx) if error.tx else None
            if mined is None:
                self._book.drop(id)
                raise ChainError(
                    "The relayer could not send the batch", why=error.why, fix="try again later", code="relay"
                ) from error
            self._book.failed(id, error.why, mined.tx, mined.cost)
            raise
        return self._settle(id, batch.account, receipt)

    def _settle(self, id: str, account: str, receipt: Receipt) -> Relayed:
        """Of a mined transaction of ours. Raises ``ChainError`` where it did not carry the batch out."""
        if executed(self._chain, receipt, account, bytes.fromhex(id[2:])):
            self._book.done(id, receipt.tx, receipt.cost)
            return Relayed(id, receipt.tx)
        why = "the state had changed" if receipt.raw["status"] != 1 else "the authorization had become stale"
        self._book.failed(id, why, receipt.tx, receipt.cost)
        raise ChainError(
            "The batch was sent and did nothing",
            why=why,
            fix="sign it again",
            tx=receipt.tx,
            code="relay.stale",
        )

    def _resolve(self, entry: Entry) -> Entry | None:
        """What became of a batch that was being sent; None where nothing did, and nothing can. Raises ``ChainError`` with code
        ``chain.pending`` while that is open."""
        with_nonce = batch_nonce(self._chain, entry.account) > entry.nonce
        tx = self._sponsoring.carried_out(entry.account, bytes.fromhex(entry.id[2:]), entry.since)
        tx = tx or entry.tx
        receipt = self._sponsoring.receipt(tx) if tx else None
        if receipt is None and not with_nonce and entry.raw is not None and entry.tx is not None:
            if self._sponsoring.again(entry.raw, entry.tx):
                receipt = self._sponsoring.wait(entry.tx)
                if receipt is None:
                    raise ChainError(
                        "It is not known whether the batch was mined",
                        why=f"it was not within {self._chain.timeout:.0f} s",
                        fix="submit the same again",
                        tx=entry.tx,
                        code="chain.pending",
                    )
            elif batch_nonce(self._chain, entry.account) > entry.nonce:
                return self._resolve(entry)  # a transaction of ours with a higher fee, a moment ago
        if receipt is None:
            self._book.drop(entry.id)
            return None
        try:
            self._settle(entry.id, entry.account, receipt)
        except ChainError:
            return None  # it is noted as failed, and may be tried anew
        return self._book.find(entry.id)

    @contextmanager
    def _one_at_a_time(self, account: str) -> Iterator[None]:
        with self._locks[int(account, 16) % _LOCKS]:
            yield
