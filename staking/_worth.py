"""Whether bringing a fault pays: what its challenger would get, what it stands to lose, and the gas. All in wei."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..contracts import show_open
from ..registry import ActionRecord, BatchHeader, Ledger
from ._finding import Finding

__all__ = ["Worth", "worth_of_challenge", "worth_of_finding", "worth_of_shares"]

CHALLENGE_GAS = 3_500_000
"""From the first approval to the settled jurors, when the challenger sends every step itself; measured 2.3 to
3.1 million, of a dispute of payouts 2.2 million."""
RECORDS_A_FEE = 64
"""What a juror attributes again for one fee (contracts' ``QuestionIntake``)."""
PROOF_GAS = 600_000
DEMAND_GAS = 1_200_000
"""Demand and enforcement, with a path of a few blocks."""


@dataclass(frozen=True, slots=True)
class Worth:
    """What a challenge brings and costs. ``obstacle`` says why it can bring nothing at all."""

    reward: int
    """Wei beside the bond, if it convicts."""
    bond: int
    """Wei lost, if it does not."""
    gas: int
    """Wei for all transactions, at the present gas price."""
    obstacle: str = ""

    def expected(self, confidence: int) -> int:
        """Wei it brings on average when ``confidence`` of 10,000 such challenges convict; rounded down."""
        return (confidence * self.reward - (10_000 - confidence) * self.bond) // 10_000 - self.gas

    def pays(self, confidence: int, least: int) -> bool:
        """Whether it is worth bringing: nothing is in the way, and it brings at least ``least`` wei and more than
        nothing."""
        return not self.obstacle and self.expected(confidence) >= max(least, 1)

    def explain(self, confidence: int, least: int) -> str:
        """One sentence for the log."""
        if self.obstacle:
            return f"does not pay: {self.obstacle}"
        said = (
            f"reward {show_open(self.reward)}, bond at risk {show_open(self.bond)}, gas {show_open(self.gas)}: "
            f"{show_open(self.expected(confidence))} expected if {confidence / 100:g} % convict"
        )
        if self.pays(confidence, least):
            return f"pays: {said}"
        return f"does not pay: {said}, and {show_open(max(least, 1))} is the least"


def worth_of_challenge(ledger: Ledger, header: BatchHeader, record: ActionRecord, *, gross: bool) -> Worth:
    """Of a challenge of one of the record's tokens by the signer, as the chain stands.

    The jury decides by logprobs, so a deviation that is not ``gross`` is worth nothing.
    """
    disputes = ledger.contracts.disputes.functions
    settled = int(ledger.call(disputes.settledOf(header.agent_id, _operator(ledger, header), record.nonce)))
    worth = _before_jury(ledger, header, record.fee, settled, juries=1)
    if not gross:
        return replace(worth, obstacle="the deviation is too small for one leaf to convict; see `accuse`")
    return worth


def worth_of_shares(ledger: Ledger, header: BatchHeader) -> Worth:
    """Of a dispute of the batch's payouts by the signer, as the chain stands, if nobody disputed them before."""
    if header.payout_count == 0:
        return Worth(0, 0, 0, obstacle="the batch pays nothing")
    return _before_jury(ledger, header, header.sum, 0, juries=-(-header.count // RECORDS_A_FEE))


def _before_jury(ledger: Ledger, header: BatchHeader, fee: int, settled: int, *, juries: int) -> Worth:
    """Of a dispute about ``fee`` wei of which ``settled`` wei were slashed before, with so many fees for each juror."""
    disputes, vault = ledger.contracts.disputes.functions, ledger.contracts.vault.functions
    operator = _operator(ledger, header)
    least = ledger.parameter("minSlash")
    due = max(0, max(least, fee * ledger.parameter("outputSlash")) - settled)
    position = ledger.call(vault.positionOf(header.agent_id, operator))
    held = int(position.active) + int(position.pending)
    stake, jurors = ledger.call(vault.juryAt(ledger.chain.block_number() - 1, [ledger.address, operator]))
    claim = min(due, int(stake) // 2, held)
    at_commit, _ = ledger.call(disputes.bondFor(fee))
    worth = Worth(
        reward=min(max(claim, least), held) * ledger.parameter("challengerShare") // 10_000,
        bond=max(int(at_commit) * juries, claim * ledger.parameter("challengerBond") // 10_000),
        gas=CHALLENGE_GAS * gas_price(ledger),
    )
    if due == 0:
        return replace(worth, obstacle="the action was slashed in full")
    if held < least:
        return replace(worth, obstacle="the operator has too little stake to slash")
    if int(jurors) < 5 or int(stake) // 2 < least:
        return replace(worth, obstacle="the jury is too small")
    return _affordable(ledger, worth)


def worth_of_finding(ledger: Ledger, found: Finding) -> Worth:
    """Of a proof, exactly as the chain would settle it now; of a demand, as if it were about the least slash.

    Raises ``ChainError`` with ``revert`` when the contract refuses it, e.g. because it was brought before.
    """
    call = getattr(ledger.contracts.disputes.functions, found.function)(*found.arguments)
    price = gas_price(ledger)
    if not found.is_demand:
        paid = ledger.chain.call(call, sender=ledger.address)
        worth = Worth(int(paid.toChallenger), 0, PROOF_GAS * price)
        return replace(worth, obstacle="there is no stake to slash") if not worth.reward else worth
    reward = ledger.parameter("minSlash") * ledger.parameter("challengerShare") // 10_000
    return _affordable(ledger, Worth(reward, found.bond(ledger), DEMAND_GAS * price))


def gas_price(ledger: Ledger) -> int:
    """Wei for a unit of gas now."""
    return int(ledger.chain.w3.eth.gas_price)


def _operator(ledger: Ledger, header: BatchHeader) -> str:
    epoch = ledger.epoch(header.agent_id, header.epoch)
    assert epoch is not None  # the chain anchors nothing in an epoch that was not opened
    return epoch.operator


def _affordable(ledger: Ledger, worth: Worth) -> Worth:
    held = ledger.balance(ledger.address) + ledger.chain.balance(ledger.address)
    if held <= worth.bond + worth.gas:
        return replace(worth, obstacle=f"{ledger.address} holds {show_open(held)}, too little for it")
    return worth
