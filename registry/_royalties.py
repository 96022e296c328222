"""Income of assets along their lineage, in exact integers: the rule of ``LicenseMarket`` (IRoyalties.sol)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..errors import UserError

__all__ = ["MAX_PARENTS", "flow_income", "split_income"]

MAX_PARENTS = 16
_WHOLE = 10_000


def split_income(amount: int, royalties: Sequence[int]) -> tuple[int, list[int]]:
    """What of ``amount`` wei an asset's owner keeps, and what each parent gets that asks these basis points.

    Each parent gets ``amount * bps // max(10_000, sum of bps)``, the owner the rest, so nothing is lost and
    parents that ask for more than everything share it in proportion.
    """
    if amount < 0 or len(royalties) > MAX_PARENTS or any(not 0 <= bps <= _WHOLE for bps in royalties):
        raise UserError(
            "This income cannot be split",
            why=f"{amount} wei over royalties of {list(royalties)} basis points",
            fix="use an amount of at least 0, at most 16 parents and 0 to 10,000 basis points each",
        )
    whole = max(sum(royalties), _WHOLE)
    parts = [amount * bps // whole for bps in royalties]
    return amount - sum(parts), parts


def flow_income(
    asset_id: int, amount: int, parents: Mapping[int, Sequence[int]], royalties: Mapping[int, int]
) -> dict[int, int]:
    """What each asset's owner is paid once ``amount`` wei of one asset's income has reached everybody.

    ``parents`` of every asset in the lineage, ``royalties`` in basis points; the order of payment is
    :func:`payout_order`. Rounding follows the contract: each asset's income is split once, as a whole.
    """
    income = {asset_id: amount}
    paid: dict[int, int] = {}
    for current in payout_order(asset_id, parents):
        above = parents.get(current, ())
        paid[current], parts = split_income(income.get(current, 0), [royalties[parent] for parent in above])
        for parent, part in zip(above, parts, strict=True):
            income[parent] = income.get(parent, 0) + part
    return paid


def payout_order(asset_id: int, parents: Mapping[int, Sequence[int]]) -> list[int]:
    """The asset and its ancestors, each once and every child before its parents."""
    done: list[int] = []
    seen: set[int] = set()
    stack: list[tuple[int, bool]] = [(asset_id, False)]
    while stack:
        current, left = stack.pop()
        if left:
            done.append(current)
        elif current not in seen:
            seen.add(current)
            stack.append((current, True))
            stack.extend((parent, False) for parent in parents.get(current, ()))
    return done[::-1]
