"""A client of one EVM chain: reads, sends, logs and time, with every failure as ``ChainError``."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import ChainError, UserError
from ._nonces import lane
from ._provider import open_provider
from ._reverts import revert_of
from ._signing import Signer

if TYPE_CHECKING:
    from web3 import Web3
    from web3.contract import Contract

__all__ = ["Chain", "Receipt"]

# An estimate is exact for the state it saw. One block later a vote checkpoint may need three new slots
# where the estimate saw an update in place; gas left over is not charged.
_GAS_RATIO, _GAS_EXTRA = (5, 4), 80_000
_NONCE_ATTEMPTS = 8
_BROADCAST_ATTEMPTS = 4


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

    def events(self, event: Any) -> list[dict[str, Any]]:
        """The arguments of each ``event`` (``contract.events.Anchored``) of that contract in this transaction."""
        from web3.logs import DISCARD

        instance = event() if callable(event) else event
        found = instance.process_receipt(self.raw, errors=DISCARD)
        return [dict(log["args"]) for log in found if instance.address in (None, log["address"])]

    def event(self, event: Any) -> dict[str, Any]:
        """The arguments of the one ``event``. Raises ``ChainError`` when it was not emitted."""
        found = self.events(event)
        if not found:
            raise ChainError("A transaction did not emit the expected event", tx=self.tx)
        return found[0]


class Chain:
    """One chain behind one RPC endpoint. Safe to share between threads; make one per process.

    Use one process per sending key: nonces are ordered within a process, and only repaired across them.
    """

    def __init__(self, w3: Web3, rpc_url: str, chain_id: int, timeout: float) -> None:
        self.w3, self.rpc_url, self.chain_id, self.timeout = w3, rpc_url, chain_id, timeout

    def __repr__(self) -> str:
        return f"Chain({self.rpc_url!r}, chain_id={self.chain_id})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _reconnect, (self.rpc_url, self.chain_id, self.timeout)

    @classmethod
    def connect(cls, rpc_url: str, chain_id: int | None = None, timeout: float = 30.0) -> Chain:
        """Connect and check the chain id. ``timeout`` is in seconds, per call and for each receipt.

        Raises ``ChainError`` when the endpoint is unreachable or serves another chain.
        """
        from web3 import Web3

        if not rpc_url.startswith(("http://", "https://")):
            raise UserError(f"{rpc_url!r} is not an RPC endpoint", fix="give an http:// or https:// address")
        w3 = Web3(open_provider(rpc_url, timeout))
        found = _reported_chain_id(w3, rpc_url)
        if chain_id is not None and found != chain_id:
            raise ChainError(
                f"{rpc_url} serves chain {found}, not chain {chain_id}",
                why="signatures made for one chain must not be used on another",
                fix="correct OPENLEDGER_RPC_URL or OPENLEDGER_CHAIN_ID",
                code="chain.id",
            )
        return cls(w3, rpc_url, found, timeout)

    def contract(self, address: str, abi: Any) -> Contract:
        """A contract at ``address``. Structs it returns are named tuples."""
        checksummed = self.w3.to_checksum_address(address)
        return self.w3.eth.contract(address=checksummed, abi=abi, decode_tuples=True)

    def call(self, fn: Any, *, block: int | str = "latest", sender: str | None = None) -> Any:
        """Read ``contract.functions.name(…)``. A revert becomes a decoded ``ChainError``."""
        options = {"from": sender} if sender else {}
        return _translated(lambda: fn.call(options, block_identifier=block), fn)

    def send(self, fn: Any, signer: Signer, value: int = 0, *, gas: int | None = None) -> Receipt:
        """Send ``contract.functions.name(…)`` and wait until it is mined.

        ``value`` in wei. A call that would revert is refused before anything is signed, with the decoded
        error in ``revert``. The transaction is signed once for its nonce; after a lost connection only the
        same bytes are broadcast again, so it can never happen twice. A ``ChainError`` with code
        ``chain.pending`` means that the transaction ``tx`` may still be mined: look it up before sending
        anything again. ``chain.replaced`` means that another program used the nonce.
        """
        base = {"from": signer.address, "value": value}
        if gas is None:
            estimate = _translated(lambda: fn.estimate_gas(base), fn)
            gas = estimate * _GAS_RATIO[0] // _GAS_RATIO[1] + _GAS_EXTRA
        return self._send(fn.build_transaction({**base, "gas": gas, "nonce": 0}), signer, _name(fn))

    def transfer(self, to: str, signer: Signer, value: int) -> Receipt:
        """Send ``value`` wei of the native coin."""
        to = self.w3.to_checksum_address(to)
        what = f"a transfer to {to}"
        asked: Any = {"from": signer.address, "to": to, "value": value}
        gas = _translated(lambda: self.w3.eth.estimate_gas(asked), what)
        fees = self._fees()
        transaction = {"to": to, "value": value, "gas": gas, "chainId": self.chain_id, **fees}
        return self._send(transaction, signer, what)

    def _fees(self) -> dict[str, int]:
        tip = self.w3.eth.max_priority_fee
        base = self.w3.eth.get_block("latest").get("baseFeePerGas", 0)
        return {"maxPriorityFeePerGas": tip, "maxFeePerGas": 2 * base + tip}

    def _send(self, transaction: Any, signer: Signer, what: str) -> Receipt:
        transaction = {key: value for key, value in transaction.items() if key != "from"}
        nonces = lane(self.rpc_url, self.chain_id, signer.address)
        for _ in range(_NONCE_ATTEMPTS):
            with nonces.lock:
                nonce = nonces.choose(self.w3.eth.get_transaction_count(signer.address, "pending"))
                numbered = {**transaction, "nonce": nonce, "chainId": self.chain_id}
                signed = signer.sign_transaction(numbered)
                tx_hash = "0x" + bytes(signed.hash).hex()
                accepted = self._broadcast(bytes(signed.raw_transaction), tx_hash, what)
                if accepted:
                    nonces.sent(nonce)
            if accepted:
                try:
                    return self._wait(bytes(signed.raw_transaction), tx_hash, numbered, signer.address, what)
                finally:
                    nonces.done()
            time.sleep(0.05)  # another program took this nonce; the bytes signed for it can never be mined
        raise ChainError(
            f"{what} could not get a nonce",
            why=f"another program keeps sending from {signer.address}",
            fix="use one program per key",
        )

    def _broadcast(self, raw: bytes, tx_hash: str, what: str) -> bool:
        """Whether the node has the transaction; False when its nonce was taken by another one."""
        from web3.exceptions import Web3RPCError

        for attempt in range(_BROADCAST_ATTEMPTS):
            try:
                self.w3.eth.send_raw_transaction(raw)
                return True
            except Web3RPCError as error:
                message = str(error).lower()
                if "already known" in message or "already imported" in message:
                    return True
                if "nonce too low" in message or "replacement transaction underpriced" in message:
                    return self._known(tx_hash)
                raise ChainError(f"The node refused {what}", why=_reason(error), tx=tx_hash) from None
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
            self.w3.eth.get_transaction(tx_hash)  # type: ignore[arg-type]
        except TransactionNotFound:
            return False
        return True

    def _wait(self, raw: bytes, tx_hash: str, transaction: Any, sender: str, what: str) -> Receipt:
        from web3.exceptions import TransactionNotFound

        deadline, pause, rebroadcast = time.monotonic() + self.timeout, 0.005, time.monotonic() + 5
        nonce, used_up = transaction["nonce"], False
        while True:
            try:
                receipt = self.w3.eth.get_transaction_receipt(tx_hash)  # type: ignore[arg-type]
                break
            except TransactionNotFound:
                why = f"it was not mined within {self.timeout:.0f} s"
                if used_up:  # already on the last look, so the receipt did not come in between
                    raise ChainError(
                        f"{what} was replaced by another transaction",
                        why=f"another program sends from {sender} and took nonce {nonce}",
                        fix="use one program per key; nothing was done, so it may be sent again",
                        tx=tx_hash,
                        code="chain.replaced",
                    ) from None
                used_up = self.w3.eth.get_transaction_count(sender, "latest") > nonce  # type: ignore[arg-type]
            except ChainError as error:
                if error.code != "chain.unreachable":
                    raise
                why = error.why
            if time.monotonic() > deadline:
                raise ChainError(
                    f"It is not known whether {what} was mined",
                    why=why,
                    fix=f"look up {tx_hash} before sending anything again",
                    tx=tx_hash,
                    code="chain.pending",
                )
            if time.monotonic() > rebroadcast:
                self._broadcast(raw, tx_hash, what)
                rebroadcast = time.monotonic() + 10
            time.sleep(pause)
            pause = min(pause * 2, 0.5)
        if receipt["status"] != 1:
            raise self._failed(receipt, transaction, sender, tx_hash, what)
        return Receipt(tx_hash, int(receipt["blockNumber"]), int(receipt["gasUsed"]), receipt)

    def _failed(self, receipt: Any, transaction: Any, sender: str, tx_hash: str, what: str) -> ChainError:
        keys = ("to", "value", "data", "gas")
        replay: Any = {"from": sender, **{key: transaction[key] for key in keys if key in transaction}}
        revert = None
        try:
            self.w3.eth.call(replay, receipt["blockNumber"])
        except ChainError as error:
            revert = error.revert
        except _web3_errors() as error:
            revert = revert_of(error)
        why = revert or (
            "it ran out of gas" if receipt["gasUsed"] >= transaction["gas"] else "the state had changed"
        )
        return ChainError(f"{what} failed on-chain", why=why, tx=tx_hash, revert=revert)

    def logs(
        self,
        event: Any,
        from_block: int,
        to_block: int | None = None,
        *,
        where: dict[str, Any] | None = None,
        step: int = 5_000,
    ) -> Iterator[Any]:
        """Every ``event`` (``contract.events.Anchored``) from ``from_block`` to ``to_block`` (default: now), in order.

        ``where`` filters by indexed arguments. Blocks are asked for ``step`` at a time, fewer when the node
        finds that too much. Each item has ``args``, ``blockNumber``, ``blockHash``, ``transactionHash``, ``logIndex``.
        """
        last = self.block_number() if to_block is None else to_block
        start = from_block
        while start <= last:
            end = min(start + step - 1, last)
            try:
                found = self._logs(event, start, end, where)
            except ChainError as error:
                if step == 1 or error.code == "chain.unreachable":
                    raise
                step = max(step // 4, 1)
                continue
            yield from found
            start = end + 1

    def _logs(self, event: Any, start: int, end: int, where: dict[str, Any] | None) -> Any:
        return _translated(
            lambda: event.get_logs(from_block=start, to_block=end, argument_filters=where),
            f"reading logs {start}-{end}",
        )

    def block_number(self) -> int:
        """The latest block."""
        return int(self.w3.eth.block_number)

    def now(self) -> int:
        """The chain's clock: the latest block's timestamp, in unix seconds."""
        return int(self.w3.eth.get_block("latest")["timestamp"])

    def balance(self, address: str) -> int:
        """Native OPEN of ``address``, in wei."""
        return int(self.w3.eth.get_balance(self.w3.to_checksum_address(address)))

    @property
    def is_devnet(self) -> bool:
        """Whether the node is anvil, whose clock can be moved."""
        return self.w3.client_version.lower().startswith("anvil")

    def advance(self, seconds: int) -> int:
        """Let ``seconds`` pass on a devnet and return its new time. Raises ``ChainError`` on any other chain."""
        if seconds < 0:
            raise UserError(f"Time cannot go back by {-seconds} s")
        self._devnet_only("moving its clock")
        self._request("evm_increaseTime", [seconds])
        self._request("evm_mine", [])
        return self.now()

    def mine(self, blocks: int = 1) -> int:
        """Mine empty blocks on a devnet and return the latest. Raises ``ChainError`` on any other chain."""
        self._devnet_only("mining on demand")
        self._request("anvil_mine", [blocks])
        return self.block_number()

    def _devnet_only(self, what: str) -> None:
        if not self.is_devnet:
            raise ChainError(
                f"Chain {self.chain_id} is no devnet",
                why=f"{what} works on anvil only",
                fix="wait, or use the embedded devnet",
                code="chain.devnet_only",
            )

    def _request(self, method: str, params: list[Any]) -> Any:
        answer = self.w3.provider.make_request(method, params)  # type: ignore[arg-type]
        if "error" in answer:
            raise ChainError(f"The node refused {method}", why=str(answer["error"]))
        return answer["result"]


def _reconnect(rpc_url: str, chain_id: int, timeout: float) -> Chain:
    return Chain.connect(rpc_url, chain_id, timeout)


def _reported_chain_id(w3: Web3, rpc_url: str) -> int:
    try:
        return int(w3.eth.chain_id)
    except _web3_errors() as error:
        raise ChainError(
            f"{rpc_url} is not an EVM endpoint", why=_reason(error), fix="correct OPENLEDGER_RPC_URL"
        ) from None


def _web3_errors() -> tuple[type[Exception], ...]:
    from web3.exceptions import Web3Exception

    return (Web3Exception, ValueError)


def _translated(action: Any, fn: Any) -> Any:
    try:
        return action()
    except _web3_errors() as error:
        revert = revert_of(error)
        what = fn if isinstance(fn, str) else _name(fn)
        if revert is None:
            raise ChainError(f"{what} failed", why=_reason(error)) from error
        raise ChainError(f"{what} was refused", why=revert, revert=revert) from None


def _name(fn: Any) -> str:
    return str(getattr(fn, "fn_name", None) or type(fn).__name__)


def _reason(error: BaseException) -> str:
    response = getattr(error, "rpc_response", None)
    if isinstance(response, dict) and isinstance(response.get("error"), dict):
        return str(response["error"].get("message") or response["error"])
    return str(error) or type(error).__name__
