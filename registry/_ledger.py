"""Actions on-chain: payments into escrow, epochs, anchored batches, settlement.

One face for operators, clients, auditors and jurors. Amounts are wei of OPEN, times unix seconds.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ..errors import ChainError, UserError
from ._agents import Epoch, read_epoch
from ._hashing import BatchHeader, authorization_nonce, word
from ._keccak import keccak
from ._record import Domain, recover

if TYPE_CHECKING:
    from ..contracts import Contracts, Receipt, Signer
    from ._batch import Batch, RecordProof
    from ._content import Payment

__all__ = ["Ledger"]


class Ledger:
    """See the module. ``signer`` signs and pays the gas of what is sent; reading needs none.

    Every method raises ``ChainError`` when the chain refuses (``revert`` is set) or is unreachable.
    """

    def __init__(self, contracts: Contracts, signer: Signer | None = None) -> None:
        self.contracts, self._signer = contracts, signer
        self.chain = contracts.chain
        self.domain = Domain(self.chain.chain_id, str(contracts.log.address))
        self._escrows: dict[int, str] = {}
        self._keys: dict[tuple[int, int], str] = {}
        self._cuts: dict[tuple[int, int], int] = {}
        self._values: dict[str, tuple[float, int]] = {}

    # -- the chain -------------------------------------------------------------------------------

    @property
    def signer(self) -> Signer:
        if self._signer is None:
            raise UserError("there is no key to sign with", fix="set OPENLEDGER_PRIVATE_KEY")
        return self._signer

    @property
    def address(self) -> str:
        """The signer's address."""
        return str(self.signer.address)

    def now(self) -> int:
        """The chain's clock: the latest block's timestamp."""
        return self.chain.now()

    def wait_block(self, number: int) -> None:
        """Return once block ``number`` is mined: a devnet mines it now, elsewhere it is waited for, in a dry run it is not.

        Raises ``ChainError`` when it takes longer than ten RPC timeouts.
        """
        if self.chain.is_dry_run:
            return
        deadline = time.monotonic() + 10 * self.chain.timeout
        while (missing := number - self.chain.block_number()) > 0:
            if self.chain.is_devnet:
                self.chain.mine(missing)
            elif time.monotonic() > deadline:
                raise ChainError(
                    f"block {number} is not mined yet", why=f"{missing} to go", fix="try again later"
                )
            else:
                time.sleep(1)

    def send(self, call: Any, value: int = 0) -> Receipt:
        """Send a contract call as the signer and wait for its receipt."""
        return self.chain.send(call, self.signer, value)

    def call(self, call: Any) -> Any:
        return self.chain.call(call)

    def events(self, event: Any, **where: Any) -> Iterator[dict[str, Any]]:
        """The arguments of every ``event`` (``contract.events.Anchored``) since the deployment, by indexed fields."""
        for log in self.chain.logs(event, self.contracts.deployment.block, where=where):
            yield dict(log["args"])

    def secret(self, purpose: str, subject: bytes, *numbers: int) -> bytes:
        """32 bytes that only the signer's key can make and can make again after a restart: a salt to commit
        with. RFC 6979 signatures are deterministic; the preimage is no valid transaction or typed data."""
        text = f"openledger/{purpose}/{self.domain.chain_id}/{self.domain.verifying_contract}".encode()
        digest = keccak(text + subject + b"".join(word(number) for number in numbers))
        return keccak(bytes(self.signer.unsafe_sign_hash(digest).signature))

    @cached_property
    def _parameters(self) -> list[str]:
        functions = self.contracts.parameters.functions
        return [str(self.call(functions.nameOf(i))) for i in range(len(self.call(functions.all())))]

    def parameter(self, name: str) -> int:
        """A protocol parameter by name, e.g. ``challengeWindow``; at most a minute old, and changes of
        parameters bind only what begins after them. Raises ``UserError`` for an unknown one."""
        known = self._values.get(name)
        if known is not None and time.monotonic() - known[0] < 60:
            return known[1]
        if name not in self._parameters:
            raise UserError(f"no parameter {name!r}", fix=f"use one of {', '.join(self._parameters)}")
        value = int(self.call(self.contracts.parameters.functions.get(self._parameters.index(name))))
        self._values[name] = time.monotonic(), value
        return value

    # -- money -----------------------------------------------------------------------------------

    def balance(self, account: str) -> int:
        """OPEN held as token, in wei."""
        return int(self.call(self.contracts.token.functions.balanceOf(account)))

    def wrap(self, amount: int) -> None:
        """Turn native OPEN of the signer into the token, 1:1."""
        self.send(self.contracts.token.functions.deposit(), amount)

    def approve(self, spender: str, amount: int) -> None:
        """Let ``spender`` take at least ``amount`` of the signer's OPEN, wrapping native OPEN where the token is
        short of it. Raises ``UserError`` when both together are not enough."""
        functions = self.contracts.token.functions
        missing = amount - self.balance(self.address)
        if missing > 0:
            native = self.chain.balance(self.address)
            if native <= missing:
                raise UserError(
                    f"{self.address} has too little OPEN",
                    why=f"{amount} wei are needed; it holds {amount - missing} as token and {native} as coin",
                    fix="send OPEN to that address first",
                )
            self.wrap(missing)
        if int(self.call(functions.allowance(self.address, spender))) < amount:
            self.send(functions.approve(spender, amount))

    def escrow_of(self, agent_id: int) -> str:
        """The address payers of the agent pay to."""
        if agent_id not in self._escrows:
            self._escrows[agent_id] = str(self.call(self.contracts.pool.functions.escrowOf(agent_id)))
        return self._escrows[agent_id]

    def authorize(self, signer: Signer, unsigned: Payment, nonce: bytes) -> Payment:
        """``unsigned`` with the client's EIP-3009 signature; no transaction, no gas."""
        from ..contracts import sign_authorization

        signed = sign_authorization(
            self.contracts.token_domain,
            signer,
            to=unsigned.to,
            value=unsigned.value,
            nonce=nonce,
            valid_after=unsigned.valid_after,
            valid_before=unsigned.valid_before,
        )
        return replace(unsigned, signature=signed.signature)

    def payment_signer(self, payment: Payment, agent_id: int, request_hash: bytes) -> str:
        """Who signed the payment for this request. Raises ``ContentError`` for a malformed signature."""
        type_hash = keccak(
            b"TransferWithAuthorization(address from,address to,uint256 value,"
            b"uint256 validAfter,uint256 validBefore,bytes32 nonce)"
        )
        nonce = authorization_nonce(agent_id, request_hash, payment.salt)
        addresses = (int(account, 16) for account in (payment.client, payment.to))
        numbers = (*addresses, payment.value, payment.valid_after, payment.valid_before)
        struct = keccak(type_hash + b"".join(word(number) for number in numbers) + nonce)
        return recover(keccak(b"\x19\x01" + self._token_separator + struct), payment.signature)

    @cached_property
    def _token_separator(self) -> bytes:
        return bytes(self.call(self.contracts.token.functions.DOMAIN_SEPARATOR()))

    def check_payment(self, payment: Payment, agent_id: int, request_hash: bytes) -> None:
        """Refuse a payment that could not be collected. Raises ``UserError`` with the cause."""
        escrow = self.escrow_of(agent_id)
        if payment.to != escrow:
            raise UserError(
                f"the payment goes to {payment.to}", why=f"the agent's escrow is {escrow}", fix="sign again"
            )
        if self.payment_signer(payment, agent_id, request_hash) != payment.client:
            raise UserError(
                "the payment's signature is not the client's",
                why="it was made for another request, agent, chain or by another key",
                fix="sign the authorization again for this request",
            )
        now = self.now()
        if not payment.valid_after < now < payment.valid_before:
            raise UserError(
                "the payment is not valid now",
                why=f"it holds from {payment.valid_after} to {payment.valid_before} and the chain's clock is at {now}",
                fix="sign the authorization again",
            )
        held = self.balance(payment.client)
        if held < payment.value:
            raise UserError(
                f"{payment.client} cannot pay {payment.value} wei",
                why=f"it holds {held}",
                fix="wrap or buy OPEN first",
            )

    def collect(self, payment: Payment, nonce: bytes) -> None:
        """Move an authorised payment into the escrow; done already, by anyone, is done.

        Raises ``UserError`` when the client spent the authorization elsewhere or cancelled it.
        """
        functions = self.contracts.token.functions
        state = functions.authorizationState(payment.client, nonce)
        if not self.call(state):
            signature = payment.signature
            fields = (
                payment.client,
                payment.to,
                payment.value,
                payment.valid_after,
                payment.valid_before,
                nonce,
            )
            try:
                self.send(
                    functions.transferWithAuthorization(
                        *fields, signature[64], signature[:32], signature[32:64]
                    )
                )
                return
            except ChainError as error:
                if error.revert is None or not self.call(state):
                    raise  # else another one relayed it in between
        if not self._arrived(payment, nonce):
            raise UserError(
                "the payment's authorization was cancelled or spent elsewhere",
                why=f"it was used, and {payment.value} wei did not reach {payment.to} by it",
                fix="sign a new authorization",
            )

    def _arrived(self, payment: Payment, nonce: bytes) -> bool:
        """Whether a used authorization paid what it was signed for: another one with its nonce may have been
        used instead, or it may have been cancelled."""
        token = self.contracts.token
        where = {"authorizer": payment.client, "nonce": nonce}
        for used in self.chain.logs(
            token.events.AuthorizationUsed, self.contracts.deployment.block, where=where
        ):
            block = int(used["blockNumber"])
            moved = self.chain.logs(
                token.events.Transfer, block, block, where={"from": payment.client, "to": payment.to}
            )
            for log in moved:
                if (
                    log["transactionHash"] == used["transactionHash"]
                    and log["args"]["value"] == payment.value
                ):
                    return True
        return False

    def refund(self, agent_id: int, payment_id: bytes, client: str, amount: int) -> None:
        """Give back a payment that nothing is charged for; done already is done."""
        functions = self.contracts.pool.functions
        if not self.call(functions.isRefunded(agent_id, payment_id)):
            self.send(functions.refund(agent_id, payment_id, client, amount))

    @cached_property
    def treasury(self) -> str:
        """The account that takes the protocol's cut and what stays unattributed."""
        return str(self.call(self.contracts.pool.functions.treasury()))

    def cut(self, agent_id: int, epoch: int) -> tuple[int, int]:
        """What protocol and audits take of an epoch's charges, in 1/10,000. The sum was fixed when the epoch was
        opened; it is divided by the present parameters, as ``RewardPool`` does."""
        cut = self._cut_bps(agent_id, epoch)
        protocol, audit = self.parameter("protocolCut"), self.parameter("auditShare")
        audits = cut * audit // (protocol + audit)
        return cut - audits, audits

    def net(self, agent_id: int, epoch: int, charged: int) -> int:
        """Wei that a batch charging ``charged`` wei has to pay out: what the epoch's cut leaves."""
        return charged - charged * self._cut_bps(agent_id, epoch) // 10_000

    def _cut_bps(self, agent_id: int, epoch: int) -> int:
        known = self._cuts.get((agent_id, epoch))
        if known is None:
            opened = self.epoch(agent_id, epoch)
            if opened is None:
                raise UserError(f"agent {agent_id} has no epoch {epoch}")
            known = self._cuts[agent_id, epoch] = opened.cut_bps
        return known

    # -- stake -----------------------------------------------------------------------------------

    def stake_of(self, agent_id: int) -> int:
        """Active self-stake behind the agent. Raises ``UserError`` for one that is not registered."""
        try:
            return int(self.call(self.contracts.vault.functions.stakeOf(agent_id)))
        except ChainError as error:
            if not (error.revert or "").startswith("ERC721NonexistentToken"):
                raise
            raise UserError(
                f"agent {agent_id} is not registered", fix="correct the id, or register it"
            ) from None

    def stakers_of(self, agent_id: int, operator: str) -> dict[str, int]:
        """Who bears the agent's risk, in wei by account: the operator, and the pool of those who delegate to it, to
        whom the pool passes its rewards on."""
        pool = self.contracts.delegations
        delegated = int(self.call(pool.functions.delegationPoolOf(agent_id, operator)).activeAssets)
        return {operator: self.stake_of(agent_id)} | ({str(pool.address): delegated} if delegated else {})

    def check_cover(self, agent_id: int, fee: int, pending: int = 0) -> None:
        """Refuse an action whose fee, with ``pending`` unanchored ones, the stake could not back."""
        left = int(self.call(self.contracts.log.functions.coverageLeft(agent_id)))
        if fee + pending > left:
            stake = self.stake_of(agent_id)
            what = (
                f"agent {agent_id} has no stake" if stake == 0 else f"agent {agent_id} has too little stake"
            )
            raise UserError(
                what,
                why=f"stake {stake} wei can back {left} wei more in open fees; this needs {fee + pending}",
                fix=f"openledger stake add {agent_id} AMOUNT, or settle batches whose window is over",
            )

    @property
    def max_anchor_lag(self) -> int:
        """Seconds between a ticket and the anchor it promises."""
        return self.parameter("maxAnchorLag")

    # -- epochs and batches ----------------------------------------------------------------------

    def epoch(self, agent_id: int, number: int) -> Epoch | None:
        """An epoch of the agent, or None if it was never opened."""
        return read_epoch(self.contracts, agent_id, number)

    def record_key(self, agent_id: int, number: int) -> str | None:
        """The key that signs the agent's records in an epoch, which never changes once it is open."""
        key = self._keys.get((agent_id, number))
        if key is None:
            epoch = self.epoch(agent_id, number)
            if epoch is None:
                return None
            key = self._keys[agent_id, number] = epoch.record_key
        return key

    def next_nonce(self, agent_id: int) -> int:
        """The nonce the agent's next batch starts at."""
        return int(self.call(self.contracts.log.functions.nextNonce(agent_id)))

    def anchor(self, batch: Batch, epoch: int) -> BatchHeader:
        """Anchor a batch and return its header as stored."""
        header = batch.header(epoch)
        fields = header.to_abi()[:-1]  # all but the time, which the contract stamps
        receipt = self.send(self.contracts.log.functions.anchor(fields))
        return _header(receipt.event(self.contracts.log.events.Anchored))

    def anchored(self, agent_id: int, first_nonce: int) -> BatchHeader:
        """The header of the batch that starts at ``first_nonce``. Raises ``ChainError`` when there is none."""
        for event in self.events(
            self.contracts.log.events.Anchored, agentId=agent_id, firstNonce=first_nonce
        ):
            return _header(event)
        raise ChainError(f"agent {agent_id} anchored no batch from nonce {first_nonce}")

    def batches(self, agent_id: int | None = None) -> Iterator[BatchHeader]:
        """Every anchored batch, oldest first."""
        where = {} if agent_id is None else {"agentId": agent_id}
        for event in self.events(self.contracts.log.events.Anchored, **where):
            yield _header(event)

    def batch_of(self, agent_id: int, nonce: int) -> BatchHeader | None:
        """The header of the batch that holds ``nonce``, or None while it is not anchored."""
        if nonce >= self.next_nonce(agent_id):
            return None
        for header in self.batches(agent_id):
            if header.first_nonce <= nonce < header.first_nonce + header.count:
                return header
        return None

    def includes(self, header: BatchHeader, struct_hash: bytes, nonce: int, proof: RecordProof) -> bool:
        """Whether the chain finds the record in the anchored batch."""
        functions = self.contracts.log.functions
        try:
            return bool(self.call(functions.verifyRecord(header.to_abi(), struct_hash, nonce, proof)))
        except ChainError as error:
            if error.revert is None:
                raise
            return False

    def challengeable_until(self, header: BatchHeader) -> int:
        """Last unix time at which a challenge of the batch may be committed."""
        return int(self.call(self.contracts.log.functions.challengeableUntil(header.to_abi())))

    def window_over(self, header: BatchHeader) -> bool:
        """Whether the batch can no longer be challenged."""
        return self.now() > self.challengeable_until(header)

    # -- settlement ------------------------------------------------------------------------------

    def finalize(self, header: BatchHeader) -> None:
        """Make a batch final once its window is over; done already is done."""
        functions = self.contracts.log.functions
        if not self.call(functions.isFinal(header.hash())):
            self.send(functions.finalize(header.to_abi()))

    def claim(self, header: BatchHeader, batch: Batch, index: int) -> None:
        """Pay one payout of a final batch to its account; done already is done."""
        functions = self.contracts.pool.functions
        if self.call(functions.isClaimed(header.hash(), index)):
            return
        account, amount = batch.payouts[index]
        proof = batch.payout_tree.proof(index)
        self.send(functions.claim(header.to_abi(), index, account, amount, proof))

    def claim_many(self, header: BatchHeader, batch: Batch, indices: Sequence[int]) -> None:
        """Add several payouts of a final batch to their accounts' credit, which is paid once it reaches
        ``minPayout``. Raises ``ChainError`` when one was paid already."""
        tree = batch.payout_tree
        claims = [(index, *batch.payouts[index], tree.proof(index)) for index in indices]
        self.send(self.contracts.pool.functions.claimMany(header.to_abi(), claims))

    def claim_rest(self, header: BatchHeader, batch: Batch) -> None:
        """Claim every payout of a final batch that is left, a hundred at a time; done already is done."""
        functions = self.contracts.pool.functions
        left = [
            index
            for index, payout in enumerate(batch.payouts)
            if payout.amount and not self.call(functions.isClaimed(header.hash(), index))
        ]
        for start in range(0, len(left), 100):
            self.claim_many(header, batch, left[start : start + 100])

    def credit_of(self, account: str) -> int:
        """Wei owed to an account outside of batches: small payouts, licence income, shares of the cut."""
        return int(self.call(self.contracts.pool.functions.creditOf(account)))

    def withdraw_credit(self, account: str) -> None:
        """Pay an account its whole credit."""
        self.send(self.contracts.pool.functions.withdrawCredit(account))


def _header(event: dict[str, Any]) -> BatchHeader:
    return BatchHeader(
        agent_id=int(event["agentId"]),
        first_nonce=int(event["firstNonce"]),
        count=int(event["count"]),
        record_root=bytes(event["recordRoot"]),
        payout_root=bytes(event["payoutRoot"]),
        payout_count=int(event["payoutCount"]),
        sum=int(event["sum"]),
        epoch=int(event["epoch"]),
        batch_digest=bytes(event["batchDigest"]),
        anchored_at=int(event["anchoredAt"]),
    )
