"""A client of one EVM chain: reads, sends, logs and time, with every failure as ``ChainError``."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import ChainError, UserError
from ._calls import as_transaction, decode_result
from ._provider import open_provider
from ._reverts import name_of, reason_of, translated, web3_errors
from ._review import Review
from ._sending import Receipt, Sender, fees
from ._signing import Signer

if TYPE_CHECKING:
    from web3 import Web3
    from web3.contract import Contract

    from ._relay import Relay

__all__ = ["Chain", "Receipt"]

# An estimate is exact for the state it saw. One block later a vote checkpoint may need three new slots
# where the estimate saw an update in place; gas left over is not charged.
_GAS_RATIO, _GAS_EXTRA = (5, 4), 80_000
_ESTIMATE_ATTEMPTS = 50
_OFFER_STANDS = 2.0
"""Seconds for which the same fees are offered: there is room in them for six blocks."""


class Chain:
    """One chain behind one RPC endpoint. Safe to share between threads; make one per process.

    Use one process per sending key: nonces are ordered within a process, and only repaired across them.
    """

    def __init__(self, w3: Web3, rpc_url: str, chain_id: int, timeout: float) -> None:
        self.w3, self.rpc_url, self.chain_id, self.timeout = w3, rpc_url, chain_id, timeout
        self._sender = Sender(w3, rpc_url, chain_id, timeout)
        self._offered: tuple[float, dict[str, int]] = -math.inf, {}
        self.review: Review | None = None
        """Told of every contract call before it is signed, see :func:`reviewed`."""
        self.relay: Relay | None = None
        """Pays the gas of every contract call, see :class:`Relay`."""

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
        # they cost every call time: addresses, fees and the chain's id, which every signature carries, are given here
        for unused in ("ens_name_to_address", "gas_price_strategy", "gas_estimate", "validation"):
            w3.middleware_onion.remove(unused)
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
        at: Any = block
        asked = translated(lambda: as_transaction(fn), fn)
        if sender:
            asked["from"] = sender
        return decode_result(fn, bytes(translated(lambda: self.w3.eth.call(asked, at), fn)))

    @property
    def is_dry_run(self) -> bool:
        """Whether what is sent is only tried, inside a dry run of :func:`reviewed`."""
        return self.review is not None and self.review.dry_run

    def send(self, fn: Any, signer: Signer, value: int = 0, *, gas: int | None = None) -> Receipt:
        """Send ``contract.functions.name(…)`` and wait until it is mined.

        ``value`` in wei. A call that would revert is refused before anything is signed, with the decoded
        error in ``revert``. Its nonce is used for nothing else: after a lost connection the same bytes are
        broadcast again, and while it is not mined its fee is raised, so it can never happen twice. A ``ChainError`` with code
        ``chain.pending`` means that the transaction ``tx`` may still be mined: look it up before sending
        anything again. ``chain.replaced`` means that another program used the nonce.

        Where there is a ``relay`` it pays the gas, and the signer needs no coin.
        """
        if self.relay is not None:
            return self._relayed(self.relay, [(fn, value)], signer)
        if self.review is None:
            return self._send(fn, signer, value, gas)
        tried = self.review.before(fn, signer, value)
        if self.review.dry_run:
            return tried
        receipt = self._send(fn, signer, value, gas)
        self.review.sent(receipt)
        return receipt

    def send_together(self, fns: Sequence[Any], signer: Signer) -> Receipt:
        """Send several calls as one: all are made or none. Raises ``UserError`` without a ``relay``."""
        if self.relay is None:
            raise UserError(
                "several calls cannot be sent as one", why="there is no relayer", fix="set OPENLEDGER_RELAYER"
            )
        return self._relayed(self.relay, [(fn, 0) for fn in fns], signer)

    def _relayed(self, relay: Relay, calls: Sequence[tuple[Any, int]], signer: Signer) -> Receipt:
        if self.review is None:
            return relay.send(calls, signer)
        for number, (fn, value) in enumerate(calls):
            tried = self.review.before(fn, signer, value, together=number > 0)
        if self.review.dry_run:
            return tried
        receipt = relay.send(calls, signer, self.review.explain)
        self.review.sent(receipt, len(calls))
        return receipt

    def _send(self, fn: Any, signer: Signer, value: int, gas: int | None) -> Receipt:
        what, given = name_of(fn), gas
        call = {**translated(lambda: as_transaction(fn), fn), "value": value}
        if gas is None:
            gas = (
                self._estimate(what, {**call, "from": signer.address}) * _GAS_RATIO[0] // _GAS_RATIO[1]
                + _GAS_EXTRA
            )
        try:
            return self._sender.send({**call, "gas": gas, **self._offer()}, signer, what)
        except ChainError as error:
            if error.code != "chain.gas" or given is not None:
                raise
        # It changed nothing. A block after the estimate, checkpoints take new slots instead of being overwritten.
        return self._sender.send({**call, "gas": 4 * gas, **self._offer()}, signer, what)

    def _offer(self) -> dict[str, int]:
        made, offer = self._offered
        if time.monotonic() > made + _OFFER_STANDS:
            offer = fees(self.w3)
            self._offered = time.monotonic(), offer
        return offer

    def _estimate(self, what: str, call: Any) -> int:
        block = -1
        for _ in range(_ESTIMATE_ATTEMPTS):
            try:
                # in the block to come, at its time: on a quiet chain the latest block is long past
                return int(translated(lambda: self.w3.eth.estimate_gas(call, "pending"), what))
            except ChainError as error:
                # While it mines, anvil 1.7 runs estimates on the new state under the old block number, and
                # vote checkpoints then revert. A refusal counts once no block came in between.
                latest = self.block_number()
                if error.revert is None or latest == block:
                    raise
                block, refused = latest, error
        raise refused

    def transfer(self, to: str, signer: Signer, value: int) -> Receipt:
        """Send ``value`` wei of the native coin."""
        to = self.w3.to_checksum_address(to)
        what = f"a transfer to {to}"
        asked: Any = {"from": signer.address, "to": to, "value": value}
        gas = translated(lambda: self.w3.eth.estimate_gas(asked), what)
        return self._sender.send({"to": to, "value": value, "gas": gas, **self._offer()}, signer, what)

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
        for _, found in self._chunks(
            lambda start, end: self._logs(event, start, end, where), from_block, last, step
        ):
            yield from found

    def raw_logs(
        self, addresses: Sequence[str], from_block: int, to_block: int, *, step: int = 5_000
    ) -> Iterator[tuple[int, bytes, list[Any]]]:
        """Every log of ``addresses`` as the node gives it, in order and in chunks: a chunk's last block, the hash this had
        before and after the logs were read, and the logs. Ends early where the chain becomes shorter."""
        asked = [self.w3.to_checksum_address(address) for address in addresses]

        def read(start: int, end: int) -> Any:
            where: Any = {"address": asked, "fromBlock": start, "toBlock": end}
            while (before := self.block_hash(end)) is not None:
                found = translated(lambda: self.w3.eth.get_logs(where), f"reading logs {start}-{end}")
                if self.block_hash(end) == before:
                    return before, found
            return None

        for end, found in self._chunks(read, from_block, to_block, step):
            if found is None:
                return
            yield end, *found

    @staticmethod
    def _chunks(
        read: Callable[[int, int], Any], start: int, last: int, step: int
    ) -> Iterator[tuple[int, Any]]:
        while start <= last:
            end = min(start + step - 1, last)
            try:
                found = read(start, end)
            except ChainError as error:
                if step == 1 or error.code == "chain.unreachable":
                    raise
                step = max(step // 4, 1)
                continue
            yield end, found
            start = end + 1

    def _logs(self, event: Any, start: int, end: int, where: dict[str, Any] | None) -> Any:
        return translated(
            lambda: event.get_logs(from_block=start, to_block=end, argument_filters=where),
            f"reading logs {start}-{end}",
        )

    def block_number(self) -> int:
        """The latest block."""
        return int(self.w3.eth.block_number)

    def block_hash(self, number: int) -> bytes | None:
        """The hash of a block, or None where the chain has none of that number."""
        from web3.exceptions import BlockNotFound

        try:
            return bytes(self.w3.eth.get_block(number)["hash"])
        except BlockNotFound:
            return None

    def now(self) -> int:
        """The chain's clock: the latest block's timestamp, in unix seconds."""
        # eth.get_block formats all of a block, which takes longer than to ask for it
        block = self.w3.manager.request_blocking("eth_getBlockByNumber", ["latest", False])  # type: ignore[arg-type]
        return int(block["timestamp"], 16)

    def time_of(self, block: int) -> int:
        """The timestamp of a block, in unix seconds."""
        return int(self.w3.eth.get_block(block)["timestamp"])

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
    except web3_errors() as error:
        raise ChainError(
            f"{rpc_url} is not an EVM endpoint", why=reason_of(error), fix="correct OPENLEDGER_RPC_URL"
        ) from None
