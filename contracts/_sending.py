"""Broadcasts signed transactions: one call a nonce, so that it happens once. Sent again are the same bytes, or the same call
for a higher fee."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import ChainError
from ._nonces import lane
from ._reverts import NO_REASON, reason_of, revert_of, web3_errors
from ._signing import Signer

if TYPE_CHECKING:
    from web3 import Web3

__all__ = ["Receipt", "Sender"]

_NONCE_ATTEMPTS = 8
_BROADCAST_ATTEMPTS = 4
_RAISE = (5, 4)
"""By how much the fee is raised each time; nodes replace what pays at least a tenth more."""
_RAISES = 3
"""At most, at each quarter of the wait for a receipt."""
_RECEIPT_LAG = 3.0
"""Seconds for which a node may count a transaction's nonce before it has its receipt: nodes behind one address, or one
that is short of processor time, do. To call it replaced too soon is to have it sent, and paid, twice."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """A mined, successful transaction. ``tx`` is its 0x… hash, ``raw`` web3's receipt."""

    tx: str
    block: int
    gas_used: int
    raw: Any

    @property
    def contract_address(self) -> str | None:
        """The address of the contract this transaction created, if any."""
        created: str | None = self.raw["contractAddress"]
        return created

    @property
    def cost(self) -> int:
        """What its sender paid for the gas, in wei; 0 in a dry run."""
        return self.gas_used * int(self.raw.get("effectiveGasPrice") or 0)

    def events(self, event: Any) -> list[dict[str, Any]]:
        """The arguments of each ``event`` (``contract.events.Anchored``) of that contract in this transaction."""
        from eth_utils.abi import event_abi_to_log_topic

        instance = event() if callable(event) else event
        topic = event_abi_to_log_topic(instance.abi)
        return [
            dict(instance.process_log(log)["args"])
            for log in self.raw["logs"]
            if instance.address in (None, log["address"])
            and log["topics"]
            and bytes(log["topics"][0]) == topic
        ]

    def event(self, event: Any) -> dict[str, Any]:
        """The arguments of the one ``event``. Raises ``ChainError`` when it was not emitted."""
        found = self.events(event)
        if not found:
            raise ChainError("A transaction did not emit the expected event", tx=self.tx)
        return found[0]


def fees(w3: Web3) -> dict[str, int]:
    """What a transaction offers now (EIP-1559): room for six full blocks in a row, each an eighth dearer."""
    tip = w3.eth.max_priority_fee
    base = w3.eth.get_block("latest").get("baseFeePerGas", 0)
    return {"maxPriorityFeePerGas": tip, "maxFeePerGas": 2 * base + tip}


class Sender:
    """Sends from any address on one chain. ``timeout`` is in seconds, for each receipt."""

    def __init__(
        self,
        w3: Web3,
        rpc_url: str,
        chain_id: int,
        timeout: float,
        *,
        on_signed: Callable[[str, bytes], None] | None = None,
        most: int | None = None,
    ) -> None:
        """``on_signed`` is given hash and bytes of a transaction before it is broadcast, but not of the same call for a
        higher fee; ``most`` is how far that fee is raised, in wei for a unit of gas."""
        self._w3, self._rpc_url, self._chain_id, self._timeout = w3, rpc_url, chain_id, timeout
        self._on_signed, self._most = on_signed, most

    def send(self, transaction: Any, signer: Signer, what: str) -> Receipt:
        transaction = {key: value for key, value in transaction.items() if key != "from"}
        nonces = lane(self._rpc_url, self._chain_id, signer.address)
        for _ in range(_NONCE_ATTEMPTS):
            with nonces.lock:
                nonce = nonces.choose(self._w3.eth.get_transaction_count(signer.address, "pending"))
                numbered = {**transaction, "nonce": nonce, "chainId": self._chain_id}
                signed = signer.sign_transaction(numbered)
                tx_hash = "0x" + bytes(signed.hash).hex()
                if self._on_signed is not None:
                    self._on_signed(tx_hash, bytes(signed.raw_transaction))
                accepted = self.broadcast(bytes(signed.raw_transaction), tx_hash, what)
                if accepted:
                    nonces.sent(nonce)
            if accepted:
                try:
                    return self._wait(bytes(signed.raw_transaction), tx_hash, numbered, signer, what)
                finally:
                    nonces.done()
            time.sleep(0.05)  # another program took this nonce; the bytes signed for it can never be mined
        raise ChainError(
            f"{what} could not get a nonce",
            why=f"another program keeps sending from {signer.address}",
            fix="use one program per key",
        )

    def broadcast(self, raw: bytes, tx_hash: str, what: str) -> bool:
        """Whether the node has the transaction; False when its nonce was taken by another one."""
        from web3.exceptions import Web3RPCError

        for attempt in range(_BROADCAST_ATTEMPTS):
            try:
                self._w3.eth.send_raw_transaction(raw)
                return True
            except Web3RPCError as error:
                message = str(error).lower()
                if "already known" in message or "already imported" in message:
                    return True
                if "nonce too low" in message or "replacement transaction underpriced" in message:
                    return self._known(tx_hash)
                raise ChainError(f"The node refused {what}", why=reason_of(error), tx=tx_hash) from None
            except ChainError as error:  # the connection failed: it may or may not have arrived
                lost = error
            with suppress(ChainError):
                if self._known(tx_hash):
                    return True
            time.sleep(0.2 * 2**attempt)
        raise ChainError(
            f"It is not known whether {what} was sent",
            why=lost.why,
            fix=f"look up {tx_hash} before sending anything again",
            tx=tx_hash,
            code="chain.pending",
        )

    def _known(self, tx_hash: str) -> bool:
        from web3.exceptions import TransactionNotFound

        try:
            self._w3.eth.get_transaction(tx_hash)  # type: ignore[arg-type]
        except TransactionNotFound:
            return False
        return True

    def _wait(self, raw: bytes, tx_hash: str, transaction: Any, signer: Signer, what: str) -> Receipt:
        started, pause, rebroadcast = time.monotonic(), 0.005, time.monotonic() + 5
        deadline, step = started + self._timeout, self._timeout / (_RAISES + 1)
        nonce, used_up, raises, hashes = transaction["nonce"], math.inf, 0, [tx_hash]
        while True:
            try:
                if (receipt := self._mined(hashes)) is not None:
                    break
                why = f"it was not mined within {self._timeout:.0f} s"
                if time.monotonic() > used_up + _RECEIPT_LAG:
                    raise ChainError(
                        f"{what} was replaced by another transaction",
                        why=f"another program sends from {signer.address} and took nonce {nonce}",
                        fix="use one program per key; nothing was done, so it may be sent again",
                        tx=hashes[-1],
                        code="chain.replaced",
                    )
                if self._w3.eth.get_transaction_count(signer.address, "latest") > nonce:  # type: ignore[arg-type]
                    used_up = min(used_up, time.monotonic())
            except ChainError as error:
                if error.code != "chain.unreachable":
                    raise
                why = error.why
            if time.monotonic() > deadline:
                raise ChainError(
                    f"It is not known whether {what} was mined",
                    why=why + (f"; sent also as {', '.join(hashes[:-1])}" if len(hashes) > 1 else ""),
                    fix=f"look up {hashes[-1]} before sending anything again",
                    tx=hashes[-1],
                    code="chain.pending",
                )
            if time.monotonic() > rebroadcast:
                self.broadcast(raw, hashes[-1], what)
                rebroadcast = time.monotonic() + 10
            if used_up is math.inf and raises < _RAISES and time.monotonic() > started + (raises + 1) * step:
                raises += 1
                raw = self._raise_fee(raw, transaction, signer, hashes, what)
            time.sleep(pause)
            pause = min(pause * 2, 0.5)
        if receipt["status"] != 1:
            raise self._failed(receipt, transaction, signer.address, hashes[-1], what)
        return Receipt(
            "0x" + bytes(receipt["transactionHash"]).hex(),
            int(receipt["blockNumber"]),
            int(receipt["gasUsed"]),
            receipt,
        )

    def _mined(self, hashes: list[str]) -> Any:
        """The receipt of whichever of one nonce's transactions was mined, or None."""
        from web3.exceptions import TransactionNotFound

        for tx_hash in reversed(hashes):
            with suppress(TransactionNotFound):
                return self._w3.eth.get_transaction_receipt(tx_hash)  # type: ignore[arg-type]
        return None

    def _raise_fee(self, raw: bytes, transaction: Any, signer: Signer, hashes: list[str], what: str) -> bytes:
        """Offer a higher fee for the same call at the same nonce (EIP-1559): only one of them can be mined. Gives what
        to broadcast from now on."""
        if "maxFeePerGas" not in transaction:
            return raw
        try:
            asked = fees(self._w3)
            for name in asked:
                transaction[name] = max(transaction[name] * _RAISE[0] // _RAISE[1] + 1, asked[name])
            if self._most is not None and transaction["maxFeePerGas"] > self._most:
                return raw
            signed = signer.sign_transaction(transaction)
            tx_hash = "0x" + bytes(signed.hash).hex()
            if self.broadcast(bytes(signed.raw_transaction), tx_hash, what):
                hashes.append(tx_hash)
                return bytes(signed.raw_transaction)
        except ChainError as error:
            if error.code == "chain.pending":  # it may have arrived
                hashes.append(tx_hash)
        return raw  # its account may not have so much; what was sent before still counts

    def _failed(self, receipt: Any, transaction: Any, sender: str, tx_hash: str, what: str) -> ChainError:
        keys = ("to", "value", "data", "gas")
        replay: Any = {"from": sender, **{key: transaction[key] for key in keys if key in transaction}}
        revert = None
        try:
            self._w3.eth.call(replay, receipt["blockNumber"])
        except ChainError as error:
            revert = error.revert
        except web3_errors() as error:
            revert = revert_of(error)
        what = f"{what} failed on-chain"
        # A call inside that runs dry leaves its caller a 64th of the gas.
        if revert in (None, NO_REASON) and receipt["gasUsed"] * 64 >= transaction["gas"] * 60:
            return ChainError(what, why="it ran out of gas", fix="repeat it", tx=tx_hash, code="chain.gas")
        return ChainError(what, why=revert or "the state had changed", tx=tx_hash, revert=revert)
