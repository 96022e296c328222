"""What an agent's actions pay other agents: once each, never beyond the budget, for receipts that hold.

A payment's salt follows from the parent action's payment, so an action that a crash made run again signs the same payments
again: the other gateway gives the receipt that was paid for. What an action spends is noted durably before it is signed.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import httpx
import sqlalchemy as sa
from x402 import x402ClientSync
from x402.http.utils import decode_payment_required_header, encode_payment_signature_header
from x402.schemas import PaymentPayload, PaymentRequired

from ..agents import Agent, Peer, PeerAnswer, Peers
from ..contracts import Signer, show_open
from ..errors import ContentError, ExecutionError
from ..registry import (
    ActionContent,
    Connection,
    Ledger,
    Payment,
    SignedRecord,
    authorization_nonce,
    payment_id,
    unpack_car,
    value_hash,
)
from ._carry import CAR, action_blocks
from ._client import broken_terms, check_receipt
from ._database import Database
from ._operator import Job
from ._requests import PaidRequest, Receipt, request_of

__all__ = ["Purse", "purse_account"]

_LARGEST = 64 << 20
"""Bytes of an answer with its steps."""
_CONNECT = 10.0
_VALID = 3600
"""Seconds that a payment is valid for, at most."""
_AGAIN = 0.5
"""Seconds until a gateway that was away is asked again."""

_meta = sa.MetaData()
_sub_payments = sa.Table(
    "sub_payments",
    _meta,
    sa.Column("payment_id", sa.String(66), primary_key=True),
    sa.Column("parent", sa.String(66), nullable=False, index=True),  # payment id of the action that pays
    sa.Column("agent_id", sa.Integer, nullable=False),
    sa.Column("wei", sa.String(78), nullable=False),  # decimal; once there is a receipt, what it charges
    sa.Column("receipt", sa.Text),
)


def purse_account(ledger: Ledger, agent_id: int) -> Signer:
    """The account that pays for an agent's calls of others, made from the key of ``ledger``'s signer."""
    from eth_account import Account

    account: Signer = Account.from_key(ledger.secret("agent-purse", b"", agent_id))
    return account


@dataclass(frozen=True)
class _Asked:
    """One call: the request, and the payment that it will always have."""

    alias: str
    peer: Peer
    request: dict[str, Any]
    salt: bytes
    payment_id: str
    ends: float
    """``time.monotonic()``."""


class Purse:
    """Pays for the calls of one agent's actions. Thread-safe."""

    def __init__(
        self, agent: Agent, agent_id: int, connection: Connection, sender: Signer, database: str | Path
    ) -> None:
        """``sender`` is whose key the purse's account is made from, ``database`` as for :class:`Database`."""
        self._agent, self._agent_id, self._connection = agent, agent_id, connection
        self._signer = purse_account(connection.as_(sender), agent_id)
        self._ledger = connection.as_(self._signer)
        self._db = Database(database, "purse")
        self._http = httpx.Client(follow_redirects=False)

    @property
    def address(self) -> str:
        """Where OPEN for it is sent."""
        return str(self._signer.address)

    def close(self) -> None:
        self._http.close()
        self._db.close()

    def of(self, job: Job) -> Peers:
        """For one job."""
        return _JobPeers(self, job)

    def call(self, parent: str, alias: str, value: Any, ordinal: int) -> PeerAnswer:
        """As ``Peers.call``, for the action that ``parent`` paid for (0x…)."""
        asked = self._asked(parent, alias, value, ordinal)
        noted = self._noted(asked.payment_id)
        if noted is not None and noted.receipt is not None:
            return self._answer(noted.receipt)
        payment = self._signed(asked, parent, noted)
        reply = self._post(asked, {"PAYMENT-SIGNATURE": encode_payment_signature_header(payment)})
        if reply.status_code != 200:
            raise self._refused(asked, reply)
        cid = self._kept(asked, payment, reply.content)
        self._finished(asked.payment_id, cid)
        return self._answer(cid)

    def _asked(self, parent: str, alias: str, value: Any, ordinal: int) -> _Asked:
        peer = self._agent.uses.get(alias)
        if peer is None:
            raise ExecutionError(
                f"agent {self._agent.name!r} may not call {alias!r}",
                why=f"it declares {sorted(self._agent.uses)}",
                fix="declare it in @agent(uses={…})",
                code="peer",
            )
        request = request_of(peer.agent_id, value)
        asked_hash = value_hash(request)
        subject = bytes.fromhex(parent.removeprefix("0x")) + asked_hash
        salt = self._ledger.secret("sub-payment", subject, peer.agent_id, ordinal)
        paid = payment_id(self.address, authorization_nonce(peer.agent_id, asked_hash, salt))
        return _Asked(alias, peer, request, salt, "0x" + paid.hex(), time.monotonic() + peer.timeout)

    # -- what is paid -----------------------------------------------------------------------------

    def _signed(self, asked: _Asked, parent: str, noted: Any) -> PaymentPayload:
        """The payment, noted. Raises ``ExecutionError`` before it is signed when it must not be."""
        reply = self._post(asked, {})
        if reply.status_code != 402:
            raise self._refused(asked, reply)
        terms = self._checked(asked, reply)
        wei = int(terms.accepts[0].amount)
        if noted is None:
            self._check(asked, wei)
            self._reserve(asked, parent, wei)
        elif wei != int(noted.wei):
            raise self._failed(asked, "asks another price than before", f"{wei} wei instead of {noted.wei}")
        from .gateway import OpenScheme

        contracts, client = self._connection.contracts, x402ClientSync()
        scheme: Literal["exact", "upto"] = "upto" if terms.accepts[0].scheme == "upto" else "exact"
        client.register(
            f"eip155:{contracts.chain.chain_id}",
            OpenScheme(self._signer, scheme, now=self._ledger.now, salt=asked.salt),
        )
        client.set_spend_controls(False)  # all of it was checked
        payment = client.create_payment_payload(terms)
        assert isinstance(payment, PaymentPayload)  # of version 2, as its terms
        return payment

    def _checked(self, asked: _Asked, reply: httpx.Response) -> PaymentRequired:
        """The one price that is paid, from the terms of a gateway."""
        agent_id, contracts = asked.peer.agent_id, self._connection.contracts
        try:
            required = decode_payment_required_header(reply.headers["PAYMENT-REQUIRED"])
            if not isinstance(required, PaymentRequired):
                raise TypeError(required)
            [price] = required.accepts
            told = {
                "amount": (int(price.amount) >= 0, True),
                "scheme": (price.scheme in ("exact", "upto"), True),
                "network": (price.network, f"eip155:{contracts.chain.chain_id}"),
                "token": (str(price.asset).lower(), str(contracts.token.address).lower()),
                "escrow": (price.pay_to.lower(), self._ledger.payments.escrow_of(agent_id).lower()),
                "agent": (str(price.extra["agentId"]), str(agent_id)),
                "request": (price.extra["requestHash"], "0x" + value_hash(asked.request).hex()),
            }
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            raise self._failed(
                asked, "asks for no payment that could be made", type(error).__name__
            ) from None
        wrong = [f"{name} {given}, not {right}" for name, (given, right) in told.items() if given != right]
        if wrong:
            raise self._failed(asked, "asks for another payment than its agent's", "; ".join(wrong)[:500])
        price.max_timeout_seconds = min(price.max_timeout_seconds, _VALID)
        return required

    def _check(self, asked: _Asked, wei: int) -> None:
        if self._ledger.stake_of(asked.peer.agent_id) == 0:
            raise self._failed(asked, "has no stake", "nothing could be slashed if its answer were faked")
        held = self._ledger.balance(self.address)
        if held < wei:
            raise ExecutionError(
                f"the purse of agent {self._agent_id} cannot pay {show_open(wei)}",
                why=f"{self.address} holds {show_open(held)}",
                fix=f"openledger agent purse {self._agent_id} --fund AMOUNT",
                code="budget",
            )

    def _reserve(self, asked: _Asked, parent: str, wei: int) -> None:
        budget = self._agent.budget
        with self._db.write(self._agent_id) as db:
            of_parent = sa.select(_sub_payments.c.wei).where(_sub_payments.c.parent == parent)
            spent = sum(int(one) for (one,) in db.execute(of_parent))
            if spent + wei > budget:
                raise ExecutionError(
                    f"{asked.alias!r} costs more than the action may spend",
                    why=f"it asks {show_open(wei)}, and of {show_open(budget)} {show_open(spent)} are spent",
                    fix="raise @agent(budget=…), or call less; this call was not paid",
                    code="budget",
                )
            row = {
                "payment_id": asked.payment_id,
                "parent": parent,
                "agent_id": asked.peer.agent_id,
                "wei": str(wei),
            }
            db.execute(_sub_payments.insert().values(row))

    def _noted(self, paid: str) -> Any:
        with self._db.read() as db:
            return db.execute(sa.select(_sub_payments).where(_sub_payments.c.payment_id == paid)).first()

    def _finished(self, paid: str, cid: str) -> None:
        charge = SignedRecord.decode(self._connection.store.get(cid), cid).record.charge
        values: dict[str, Any] = {"receipt": cid, "wei": str(charge)}  # the rest goes back
        with self._db.write() as db:
            db.execute(_sub_payments.update().where(_sub_payments.c.payment_id == paid).values(values))

    # -- what comes back --------------------------------------------------------------------------

    def _kept(self, asked: _Asked, payment: PaymentPayload, body: bytes) -> str:
        """The CID of the receipt in ``body``, once it holds and is in the content store with all that it names."""
        try:
            [cid], blocks = unpack_car(body, asked.peer.url)

            def get(wanted: str) -> bytes:
                if wanted not in blocks:
                    raise ContentError(f"{wanted} is missing", cid=wanted)
                return blocks[wanted]

            found = action_blocks(cid, get)
            signed = SignedRecord.decode(found[cid], cid)
            output = ActionContent.decode(signed.content, get).output
            paid = PaidRequest(asked.request, _payment_of(payment, asked.salt))
            terms = broken_terms(self._ledger, paid, signed, get)
            check_receipt(self._ledger, paid, Receipt(cid, signed, output), terms)
        except (ContentError, ValueError) as error:
            raise self._failed(asked, "gave no receipt that could be read", str(error)) from error
        except ExecutionError as error:
            raise self._failed(asked, error.what.removeprefix("the agent "), error.why) from error
        self._connection.store.put_blocks(found)
        return cid

    def _answer(self, cid: str) -> PeerAnswer:
        store = self._connection.store
        signed = SignedRecord.decode(store.get(cid), cid)
        return PeerAnswer(ActionContent.decode(signed.content, store.get).output, signed.record.status, cid)

    # -- the way there ----------------------------------------------------------------------------

    def _post(self, asked: _Asked, headers: dict[str, str]) -> httpx.Response:
        """The gateway's answer; it is asked again while it is away. Raises ``ExecutionError`` when there is none in time."""
        url = f"{asked.peer.url.rstrip('/')}/agents/{asked.peer.agent_id}/invoke"
        try:
            body = json.dumps({"input": asked.request["input"]}).encode()
        except (TypeError, ValueError) as error:
            raise self._failed(asked, "cannot be given this input", f"it is no JSON: {error}") from None
        headers = {"Content-Type": "application/json", "Accept": CAR, **headers}
        why = "there was no answer"
        while (left := asked.ends - time.monotonic()) > 0:
            try:
                reply = self._read(asked, url, body, headers, left)
            except httpx.HTTPError as error:
                why = f"{type(error).__name__}: {error}"
            else:
                if reply.status_code not in (429, 503):
                    return reply
                why = _why(reply)
            time.sleep(min(_AGAIN, max(0.0, asked.ends - time.monotonic())))
        raise self._failed(asked, f"gave no answer in {asked.peer.timeout:g} s", why[:500])

    def _read(
        self, asked: _Asked, url: str, body: bytes, headers: dict[str, str], left: float
    ) -> httpx.Response:
        timeout = httpx.Timeout(left, connect=min(left, _CONNECT))
        with self._http.stream("POST", url, content=body, headers=headers, timeout=timeout) as reply:
            read = bytearray()
            for part in reply.iter_bytes():
                read += part
                if len(read) > _LARGEST:
                    raise self._failed(asked, "gave too large an answer", f"more than {_LARGEST} bytes")
                if time.monotonic() > asked.ends:
                    raise httpx.ReadTimeout("the answer came too slowly")
            terms = reply.headers.get("PAYMENT-REQUIRED")
            kept = {} if terms is None else {"PAYMENT-REQUIRED": terms}
            return httpx.Response(reply.status_code, headers=kept, content=bytes(read))

    def _refused(self, asked: _Asked, reply: httpx.Response) -> ExecutionError:
        return self._failed(asked, f"refused the call with {reply.status_code}", _why(reply))

    @staticmethod
    def _failed(asked: _Asked, what: str, why: str) -> ExecutionError:
        return ExecutionError(
            f"the agent {asked.alias!r} {what}",
            why=why,
            fix="handle it in the node; what was paid is noted, and is not paid again when the action runs again",
            code="peer",
        )


class _JobPeers:
    """``Peers`` of one job."""

    def __init__(self, purse: Purse, job: Job) -> None:
        self._purse, self._job = purse, job

    def call(self, alias: str, value: Any, ordinal: int) -> PeerAnswer:
        return self._purse.call(self._job.payment_id, alias, value, ordinal)


def _payment_of(payload: PaymentPayload, salt: bytes) -> Payment:
    told = payload.payload["authorization"]
    return Payment(
        client=told["from"],
        to=told["to"],
        value=int(told["value"]),
        valid_after=int(told["validAfter"]),
        valid_before=int(told["validBefore"]),
        signature=bytes.fromhex(payload.payload["signature"].removeprefix("0x")),
        salt=salt,
    )


def _why(reply: httpx.Response) -> str:
    """What a gateway says of an error."""
    try:
        return str(reply.json()["error"]["message"])[:500]
    except (ValueError, KeyError, TypeError):
        return f"HTTP {reply.status_code}"
