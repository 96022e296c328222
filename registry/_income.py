"""The income of assets: paid in, split along the lineage, distributed to owners, by the ``LicenseMarket`` of one chain.

Amounts are wei of OPEN.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ._ledger import Ledger
from ._royalties import payout_order

if TYPE_CHECKING:
    from ..contracts import Chain, Contracts, Signer

__all__ = ["Income", "IncomeLine"]


@dataclass(frozen=True, slots=True)
class IncomeLine:
    """One movement of an asset's income: ``kind`` is ``paid`` (by a buyer or payer), ``royalty`` (from a child, or to a parent
    when negative) or ``owner`` (paid out; negative). ``other`` is the account or asset on the other side."""

    kind: str
    amount: int
    other: str | int
    block: int


class Income:
    """See the module. Methods that send take the signer first and raise ``ChainError`` with the decoded ``revert`` when
    the market refuses; the others only read."""

    def __init__(self, contracts: Contracts) -> None:
        self._contracts, self._market = contracts, contracts.market

    @property
    def chain(self) -> Chain:
        return self._contracts.chain

    def pay(self, signer: Signer, asset_id: int, amount: int) -> None:
        """Add ``amount`` wei of ``signer``'s OPEN to an asset's income."""
        ledger = Ledger(self._contracts, signer)
        ledger.send_taking(amount, self._market.functions.payAsset, asset_id, amount)

    def due(self, asset_id: int) -> int:
        """Wei credited to the asset and not yet distributed."""
        return int(self.chain.call(self._market.functions.incomeOf(asset_id)))

    def split(self, asset_id: int, amount: int) -> tuple[int, dict[int, int]]:
        """What of ``amount`` wei the asset's owner and each parent would get now, by the chain."""
        found = self.chain.call(self._market.functions.split(asset_id, amount))
        owner, parents, parts = found
        return int(owner), {int(parent): int(part) for parent, part in zip(parents, parts, strict=True)}

    def distribute(self, signer: Signer, asset_id: int, *, lineage: bool = True) -> dict[str, int]:
        """Pay the asset's income on, and with ``lineage`` its ancestors' too, every child before its parents. Anyone may.

        Returns what each owner was paid, in wei, by address.
        """
        ids = [asset_id]
        if lineage:
            parents: dict[int, Sequence[int]] = {}
            for current in ids:
                if current not in parents:
                    found = self.chain.call(self._contracts.assets.functions.royaltiesOf(current))
                    parents[current] = [int(parent) for parent in found[0]]
                    ids.extend(parents[current])
            ids = payout_order(asset_id, parents)
        receipt = self.chain.send(self._market.functions.distributeMany(ids), signer)
        paid: dict[str, int] = {}
        for event in receipt.events(self._market.events.IncomeDistributed):
            owner = str(event["owner"])
            paid[owner] = paid.get(owner, 0) + int(event["toOwner"])
        return paid

    def history(self, asset_id: int) -> list[IncomeLine]:
        """Every movement of an asset's income, in order; the amounts add up to :meth:`due`."""
        events = self._market.events
        lines: list[tuple[tuple[int, int], IncomeLine]] = []

        def add(log: Any, kind: str, amount: int, other: str | int) -> None:
            block = int(log["blockNumber"])
            lines.append(((block, int(log["logIndex"])), IncomeLine(kind, amount, other, block)))

        for log in self._logs(events.IncomeAdded, assetId=asset_id):
            add(log, "paid", int(log["args"]["amount"]), str(log["args"]["payer"]))
        for log in self._logs(events.RoyaltyPaid, parentId=asset_id):
            add(log, "royalty", int(log["args"]["amount"]), int(log["args"]["assetId"]))
        for log in self._logs(events.RoyaltyPaid, assetId=asset_id):
            add(log, "royalty", -int(log["args"]["amount"]), int(log["args"]["parentId"]))
        for log in self._logs(events.IncomeDistributed, assetId=asset_id):
            add(log, "owner", -int(log["args"]["toOwner"]), str(log["args"]["owner"]))
        return [line for _, line in sorted(lines, key=lambda item: item[0])]

    def _logs(self, event: Any, **where: Any) -> Iterator[Any]:
        return self.chain.logs(event, self._contracts.deployment.block, where=where)
