"""The side of the one who pays: tries a batch that an account signed, and sends it."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ._calls import as_transaction
from ._reverts import translated
from ._sending import Receipt, Sender, fees
from ._sponsored import Batch, sponsored_account

if TYPE_CHECKING:
    from ._chain import Chain
    from ._signing import Signer

__all__ = ["Sponsoring"]

_GAS_RATIO, _GAS_EXTRA = (5, 4), 80_000  # as for every transaction, see Chain
_AUTHORIZATION_GAS = 25_000


class Sponsoring:
    """Pays from ``signer`` for what accounts signed. Use one process per key."""

    def __init__(self, chain: Chain, signer: Signer) -> None:
        self.chain, self.signer = chain, signer

    @property
    def address(self) -> str:
        return str(self.signer.address)

    def try_(self, batch: Batch) -> int:
        """The gas to give the batch, found by trying it in the block to come. Raises ``ChainError`` with the decoded
        ``revert`` when it would be refused."""
        given: Any = {"from": self.address, "value": 0}
        if batch.code is not None:
            given["authorizationList"] = [batch.code.to_rpc()]
        asked: Any = {**given, **as_transaction(batch.call(self.chain))}
        gas = int(translated(lambda: self.chain.w3.eth.estimate_gas(asked, "pending"), "the batch"))
        extra = _GAS_EXTRA + (_AUTHORIZATION_GAS if batch.code is not None else 0)
        return gas * _GAS_RATIO[0] // _GAS_RATIO[1] + extra

    def fees(self) -> dict[str, int]:
        """What a transaction offers for a unit of gas now, in wei (EIP-1559)."""
        return fees(self.chain.w3)

    def send(
        self,
        batch: Batch,
        *,
        gas: int,
        offer: dict[str, int],
        most: int,
        on_signed: Callable[[str, bytes], None],
    ) -> Receipt:
        """Send it and wait. ``most`` is the highest price of a unit of gas, in wei; ``on_signed`` is given the hash and the
        bytes before they are broadcast. Raises as ``Chain.send`` does."""
        made: dict[str, Any] = {**as_transaction(batch.call(self.chain)), **offer, "gas": gas, "value": 0}
        if batch.code is not None:
            made |= {"type": 4, "accessList": [], "authorizationList": [batch.code.to_rpc()]}
        chain = self.chain
        sender = Sender(
            chain.w3, chain.rpc_url, chain.chain_id, chain.timeout, on_signed=on_signed, most=most
        )
        return sender.send(made, self.signer, "the batch")

    def again(self, raw: bytes, tx: str) -> bool:
        """Broadcast the same bytes once more. False when something else took their nonce: they can never be mined."""
        chain = self.chain
        return Sender(chain.w3, chain.rpc_url, chain.chain_id, chain.timeout).broadcast(raw, tx, "the batch")

    def receipt(self, tx: str) -> Receipt | None:
        """Of a mined transaction, also of one that failed; None where it is not mined."""
        from web3.exceptions import TransactionNotFound

        with suppress(TransactionNotFound):
            raw = self.chain.w3.eth.get_transaction_receipt(tx)  # type: ignore[arg-type]
            return Receipt(tx, int(raw["blockNumber"]), int(raw["gasUsed"]), raw)
        return None

    def carried_out(self, account: str, digest: bytes, since: int) -> str | None:
        """The transaction that carried the batch out, from block ``since`` on; None where none did."""
        event = sponsored_account(self.chain, account).events.Executed
        for log in self.chain.logs(event, since, where={"digest": digest}):
            return "0x" + bytes(log["transactionHash"]).hex()
        return None

    def wait(self, tx: str) -> Receipt | None:
        """Its receipt, or None after the chain's timeout."""
        deadline = time.monotonic() + self.chain.timeout
        while (found := self.receipt(tx)) is None and time.monotonic() < deadline:
            time.sleep(0.2)
        return found
