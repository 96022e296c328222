"""An account on-chain: what it holds and sends, epochs and anchored batches; payments and settlement beside it.

One face for operators, clients, auditors and jurors. Amounts are wei of OPEN, times unix seconds.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from ..errors import ChainError, UserError
from ._agents import Epoch, read_epoch
from ._hashing import BatchHeader, word
from ._keccak import keccak
from ._payments import Payments
from ._record import Domain
from ._settlement import Settlement

if TYPE_CHECKING:
    from ..contracts import Contracts, Receipt, Signer
    from ._batch import Batch, RecordProof

__all__ = ["Ledger"]


class Logs(Protocol):
    """Gives every event from a block on, oldest first, as ``Chain.logs`` does."""

    def __call__(
        self, event: Any, from_block: int, to_block: int | None = None, *, where: dict[str, Any] | None = None
    ) -> Iterator[Any]: ...


class Ledger:
    """See the module. ``signer`` signs and pays the gas of what is sent; reading needs none.

    Every method raises ``ChainError`` when the chain refuses (``revert`` is set) or is unreachable.
    """

    def __init__(
        self, contracts: Contracts, signer: Signer | None = None, *, logs: Logs | None = None
    ) -> None:
        """``logs`` reads events; by default the chain does, ``runtime.Index.logs`` reads them from SQL."""
        self.contracts, self._signer = contracts, signer
        self.chain = contracts.chain
        self._logs: Logs = logs or self.chain.logs
        self.domain = Domain(self.chain.chain_id, str(contracts.log.address))
        self._keys: dict[tuple[int, int], str] = {}
        self._values: dict[str, tuple[float, int]] = {}

    @cached_property
    def payments(self) -> Payments:
        """Payments of clients into escrows."""
        return Payments(self)

    @cached_property
    def settlement(self) -> Settlement:
        """What becomes of a batch once its window is over."""
        return Settlement(self)

    # -- the chain -------------------------------------------------------------------------------

    @property
    def signer(self) -> Signer:
        if self._signer is None:
            raise UserError(
                "there is no key to sign with", fix="set OPENLEDGER_KEYSTORE or OPENLEDGER_PRIVATE_KEY"
            )
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

    def send_taking(self, amount: int, function: Any, *arguments: Any) -> Receipt:
        """Send ``function(*arguments)`` of a contract that takes up to ``amount`` wei of the signer's OPEN by it. That is approved
        first: by the same signature where a relayer pays the gas, else by a transaction of its own. Raises as :meth:`approve`."""
        needed = self._approval(function.address, amount)
        call = function(*arguments)
        if needed is not None and self.chain.relay is not None:
            return self.chain.send_together([needed, call], self.signer)
        if needed is not None:
            self.send(needed)
        return self.send(call)

    def call(self, call: Any) -> Any:
        return self.chain.call(call)

    def events(self, event: Any, *, since: int = 0, **where: Any) -> Iterator[dict[str, Any]]:
        """The arguments of every ``event`` (``contract.events.Anchored``) since the deployment, or from block ``since`` on,
        by indexed fields."""
        first = max(since, self.contracts.deployment.block)
        for log in self._logs(event, first, where=where):
            yield dict(log["args"])

    def secret(self, purpose: str, subject: bytes, *numbers: int) -> bytes:
        """32 bytes that only the signer's key can make and can make again after a restart: a salt to commit
        with. RFC 6979 signatures are deterministic; the preimage is no valid transaction or typed data. Raises
        ``UserError`` for a signer whose are not, such as a KMS: after a restart nothing it committed to could be shown."""
        text = f"openledger/{purpose}/{self.domain.chain_id}/{self.domain.verifying_contract}".encode()
        digest = keccak(text + subject + b"".join(word(number) for number in numbers))
        made, again = (bytes(self.signer.unsafe_sign_hash(digest).signature) for _ in range(2))
        if made != again:
            raise UserError(
                f"{self.address} cannot make secrets to commit with",
                why="its signer signs one digest in different ways",
                fix="use a key file (OPENLEDGER_KEYSTORE) for challenges, juries and audits",
            )
        return keccak(made)

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
        needed = self._approval(spender, amount)
        if needed is not None:
            self.send(needed)

    def _approval(self, spender: str, amount: int) -> Any:
        """The call that approves it, or None where it is."""
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
            return functions.approve(spender, amount)
        return None

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

    def covered(self, agent_id: int, fees: Sequence[int], pending: int = 0) -> list[UserError | None]:
        """For actions of these fees, taken one after the other: None, or why the stake could not back it beside ``pending``
        wei of unanchored fees and those before it (code ``user.agent.cover``)."""
        left = int(self.call(self.contracts.log.functions.coverageLeft(agent_id)))
        found: list[UserError | None] = []
        for fee in fees:
            if fee + pending <= left:
                pending += fee
                found.append(None)
                continue
            stake = self.stake_of(agent_id)
            what = (
                f"agent {agent_id} has no stake" if stake == 0 else f"agent {agent_id} has too little stake"
            )
            refused = UserError(
                what,
                why=f"stake {stake} wei can back {left} wei more in open fees; this needs {fee + pending}",
                fix=f"openledger stake add {agent_id} AMOUNT, or settle batches whose window is over",
                code="user.agent.cover",
            )
            found.append(refused)
        return found

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

    def is_anchored(self, header: BatchHeader) -> bool:
        """Whether the chain has this very batch, anchored at this very time."""
        return bool(self.call(self.contracts.log.functions.isAnchored(header.to_abi())))

    def batches(self, agent_id: int | None = None, *, since: int = 0) -> Iterator[BatchHeader]:
        """Every batch anchored from block ``since`` on, oldest first."""
        where = {} if agent_id is None else {"agentId": agent_id}
        for event in self.events(self.contracts.log.events.Anchored, since=since, **where):
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
