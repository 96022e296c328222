"""Dividing a fee in whole wei: every unit that comes in goes out, and rounding never favours a payee.

Every division rounds down, but for the cut, which rounds up. What rounding leaves over joins the unattributed
part, which goes to the treasury as insurance; it is less than one wei per payee. So no order of payees and no
splitting of one account into two can gain a wei, and the actions of a batch never pay out more than the chain
leaves of what they charge together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..errors import UserError
from ._shares import Credit, Portion, Shares

if TYPE_CHECKING:
    from ..registry import Split

__all__ = [
    "AUDIT_BPS",
    "BPS",
    "PROTOCOL_BPS",
    "Accounts",
    "ModelUse",
    "Payout",
    "Royalty",
    "batch_payouts",
    "by_account",
    "claimable",
    "give_back",
    "split",
    "with_shares",
]

BPS = 10_000
PROTOCOL_BPS = 500
"""Protocol cut, in 1/10,000 of the fee; the chain takes it for the treasury."""
AUDIT_BPS = 200
"""Audit share, in 1/10,000 of the fee; the chain takes it for random audits."""


@dataclass(frozen=True, slots=True)
class Royalty:
    """What an ancestor of a model takes of that model's part: its royalty from ``AssetRegistry``, in 1/10,000."""

    asset_id: int
    account: str
    bps: int


@dataclass(frozen=True, slots=True)
class ModelUse:
    """A model or adapter used in an action, who owns it, and how many output tokens it produced."""

    asset_id: int
    account: str
    output_tokens: int
    ancestors: tuple[Royalty, ...] = ()
    """The base model and everything above it; each takes its royalty, the owner keeps the rest."""


@dataclass(frozen=True, slots=True)
class Accounts:
    """Who is paid. Addresses (0x…) on a chain; any name in a run without one."""

    treasury: str
    operator: str
    stakers: str | None = None
    """The account that shares among those who stake, on a chain the DelegationPool's; without one their part is the
    operator's. One account, whoever stakes: how much each does changes by the block, and what is paid must follow
    from the record alone."""
    contributors: Mapping[str, str] = field(default_factory=dict)
    """Account of each handle in the index; a contributor that is not listed is its own account."""
    fixed: Mapping[str, int] = field(default_factory=dict)
    """Shares committed in the manifest, in 1/10,000, by account; paid out of the operator's part."""
    audits: str = "audits"
    """The fund of random audits."""


@dataclass(frozen=True, slots=True)
class Payout:
    """An amount in wei to an account, and why."""

    account: str
    amount: int
    reason: str
    """``protocol``, ``audit``, ``fixed``, ``operator``, ``model``, ``royalty``, ``staker``, ``contributor``,
    ``unattributed``, or ``overcharged``: back to the client."""
    asset_id: int | None = None
    """The model or adapter a ``model`` or ``royalty`` payout is for."""
    credits: tuple[Credit, ...] = ()
    """The stretches of output a ``contributor`` payout is for."""
    portions: tuple[Portion, ...] = ()
    """The influence a ``contributor`` payout is for."""


def split(
    fee: int,
    split_bps: Split,
    lineage: Sequence[ModelUse],
    shares: Shares,
    accounts: Accounts,
    *,
    protocol_bps: int = PROTOCOL_BPS,
    audit_bps: int = AUDIT_BPS,
) -> list[Payout]:
    """Payouts of one action's ``fee`` (wei) that sum to it exactly; amounts of 0 are left out.

    Protocol cut and audit share come first and are taken by the chain (see :func:`claimable`); the agent's fixed ``split_bps`` divides the rest. The model part is
    shared among the models used by their output tokens (equally if there were none), and within each by
    royalties; the contributors' part by ``shares``. Unattributed weight, parts nobody is there to take, and
    the remainders of rounding go to the treasury as ``unattributed``.

    Raises ``UserError`` for a negative fee, negative or excessive shares, or accounts that are missing.
    """
    _check(fee, split_bps, lineage, shares, accounts, protocol_bps, audit_bps)
    cut = -(-fee * (protocol_bps + audit_bps) // BPS)
    audit = cut * audit_bps // (protocol_bps + audit_bps) if cut else 0
    payouts = [
        Payout(accounts.treasury, cut - audit, "protocol"),
        Payout(accounts.audits, audit, "audit"),
    ]
    rest = fee - cut
    stakers = rest * split_bps.stakers // BPS
    operator = rest * split_bps.operator // BPS
    if accounts.stakers is None:
        operator, stakers = operator + stakers, 0
    fixed = [Payout(account, rest * bps // BPS, "fixed") for account, bps in accounts.fixed.items()]
    payouts.extend(fixed)
    payouts.append(Payout(accounts.operator, operator - sum(p.amount for p in fixed), "operator"))
    payouts.extend(_models(rest * split_bps.lineage // BPS, lineage))
    if accounts.stakers is not None:
        payouts.append(Payout(accounts.stakers, stakers, "staker"))
    payouts.extend(_contributors(rest * split_bps.contributors // BPS, shares, accounts.contributors))
    payouts.append(Payout(accounts.treasury, fee - sum(payout.amount for payout in payouts), "unattributed"))
    return [payout for payout in payouts if payout.amount]


def give_back(excess: int, client: str, treasury: str, cut_bps: int) -> list[Payout]:
    """Of what an action was charged beyond its fee (wei) the client gets all but the chain's cut, which is taken of every
    charge."""
    cut = -(-excess * cut_bps // BPS)
    parts = [Payout(treasury, cut, "protocol"), Payout(client, excess - cut, "overcharged")]
    return [payout for payout in parts if payout.amount]


def with_shares(
    payouts: Sequence[Payout],
    split_bps: Split,
    shares: Shares,
    treasury: str,
    contributors: Mapping[str, str] | None = None,
) -> list[Payout]:
    """What :func:`split` would have made of the same fee with other ``shares``: only the payouts to ``contributors`` and
    the unattributed part, which goes to ``treasury``, are new."""
    kept = [payout for payout in payouts if payout.reason not in ("contributor", "unattributed")]
    fee = sum(payout.amount for payout in payouts)
    cut = sum(payout.amount for payout in payouts if payout.reason in ("protocol", "audit"))
    made = [*kept, *_contributors((fee - cut) * split_bps.contributors // BPS, shares, contributors or {})]
    made.append(Payout(treasury, fee - sum(payout.amount for payout in made), "unattributed"))
    return [payout for payout in made if payout.amount]


def claimable(payouts: Sequence[Payout]) -> list[Payout]:
    """What a batch has to pay out: all but the cut, which the chain takes itself."""
    return [payout for payout in payouts if payout.reason not in ("protocol", "audit")]


def by_account(payouts: Sequence[Payout]) -> dict[str, int]:
    """One amount per account, sorted by account: the leaves of a payout tree."""
    summed: dict[str, int] = {}
    for payout in payouts:
        summed[payout.account] = summed.get(payout.account, 0) + payout.amount
    return dict(sorted(summed.items()))


def batch_payouts(
    net: int, totals: Mapping[str, int], *, treasury: str, fixed: Sequence[str] = ()
) -> list[tuple[str, int]]:
    """What a batch pays, in the order of its payout tree: the fixed payees in their manifest's order, then everyone
    else by account.

    ``net`` (wei) is what the chain leaves of all charges; ``totals`` is what the actions pay each account. What
    rounding each action's cut up left over goes to the treasury.
    """
    summed = dict(totals)
    summed[treasury] = summed.get(treasury, 0) + net - sum(summed.values())
    others = sorted(account for account, amount in summed.items() if amount and account not in fixed)
    return [(account, summed.get(account, 0)) for account in (*fixed, *others)]


def _models(part: int, lineage: Sequence[ModelUse]) -> list[Payout]:
    produced = sum(use.output_tokens for use in lineage)
    payouts: list[Payout] = []
    for use in lineage:
        # An action that failed before its first token still owes its models nothing but an equal share of nothing.
        own = part * use.output_tokens // produced if produced else part // len(lineage)
        taken = 0
        for royalty in use.ancestors:
            amount = own * royalty.bps // BPS
            taken += amount
            payouts.append(Payout(royalty.account, amount, "royalty", royalty.asset_id))
        payouts.append(Payout(use.account, own - taken, "model", use.asset_id))
    return payouts


def _contributors(part: int, shares: Shares, contributors: Mapping[str, str]) -> list[Payout]:
    if shares.total == 0:
        return []
    payouts = []
    for contributor, weight in shares.weights.items():
        account = contributors.get(contributor, contributor)
        amount = part * weight // shares.total
        payouts.append(Payout(account, amount, "contributor", None, *shares.of(contributor)))
    return payouts


def _check(
    fee: int,
    split_bps: Split,
    lineage: Sequence[ModelUse],
    shares: Shares,
    accounts: Accounts,
    protocol_bps: int,
    audit_bps: int,
) -> None:
    if type(fee) is not int or fee < 0:
        raise UserError(
            f"A fee of {fee!r} cannot be split", why="fees are whole wei", fix="pass the fee that was paid"
        )
    if protocol_bps < 0 or audit_bps < 0 or protocol_bps + audit_bps > BPS:
        raise UserError(
            f"Protocol cut {protocol_bps} and audit share {audit_bps} are out of range", fix="use 0 to 10,000"
        )
    if not accounts.treasury or not accounts.operator:
        raise UserError("Treasury and operator need an account")
    if any(bps < 0 for bps in accounts.fixed.values()) or sum(accounts.fixed.values()) > split_bps.operator:
        raise UserError(
            f"Fixed shares of {sum(accounts.fixed.values())}/10,000 exceed the operator's {split_bps.operator}/10,000",
            fix="fixed shares are paid out of the operator's part",
        )
    for use in lineage:
        royalties = [royalty.bps for royalty in use.ancestors]
        if use.output_tokens < 0 or any(bps < 0 for bps in royalties) or sum(royalties) > BPS:
            raise UserError(
                f"Model {use.asset_id} has negative tokens or royalties of {sum(royalties)}/10,000 in all",
                fix="royalties along one lineage may not exceed the whole",
            )
    weights = [credit.weight for credit in shares.credits] + [part.weight for part in shares.portions]
    if (
        shares.unattributed < 0
        or shares.claimed + shares.unattributed != shares.total
        or min(weights, default=0) < 0
    ):
        raise UserError("The shares do not add up to their total", fix="compute them again with shares()")
