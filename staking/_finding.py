"""What a challenger found: which fault, why, and the transaction that brings it before the Disputes contract."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..registry import Batch, BatchHeader, Ledger, SignedRecord

__all__ = ["DEMAND_STATES", "FAULTS", "QUESTIONS", "Anchored", "Demand", "Finding", "enforce"]

FAULTS = ("None", "Equivocation", "AnchoredMismatch", "OutputMismatch", "DoublePayment", "RefundedCharge", "Misdeclared",
          "FixedSplitBroken", "Omission", "UndeclaredModel", "DataWithheld", "BatchDrift", "WrongShares", "TrainingMismatch",
          "CurationAppeal")  # fmt: skip
"""The contract's ``Fault`` by name."""

QUESTIONS = ("WrongShares", "TrainingMismatch", "CurationAppeal")
"""Those that jurors answer by a digest."""

DEMAND_STATES = ("None", "Open", "Answered", "Enforced")
"""The contract's ``DemandState`` by name."""


@dataclass(frozen=True)
class Anchored:
    """A record where it was anchored."""

    header: BatchHeader
    batch: Batch
    nonce: int
    signed: SignedRecord

    def to_abi(self) -> tuple[Any, ...]:
        """The contracts' ``AnchoredRecord`` struct."""
        record = self.signed.record.to_abi()
        return (self.header.to_abi(), self.nonce, record, self.batch.record_proof(self.nonce))

    @property
    def charge(self) -> int:
        """Wei its leaf charges."""
        return self.batch.entries[self.nonce - self.batch.first_nonce].charge


@dataclass(frozen=True)
class Demand:
    """A demand on-chain, as it stands. ``answer_by`` in unix seconds, ``bond`` in wei."""

    demand_id: int
    state: str
    fault: str
    agent_id: int
    operator: str
    answer_by: int
    bond: int
    subject: bytes
    header_hash: bytes

    @classmethod
    def read(cls, ledger: Ledger, demand_id: int) -> Demand:
        found = ledger.call(ledger.contracts.disputes.functions.demand(demand_id))
        return cls(
            demand_id,
            DEMAND_STATES[int(found.state)],
            FAULTS[int(found.fault)],
            int(found.agentId),
            str(found.operator),
            int(found.answerBy),
            int(found.bond),
            bytes(found.subject),
            bytes(found.headerHash),
        )


@dataclass(frozen=True)
class Finding:
    """A fault that the contract takes. A proof slashes at once; a demand takes a bond and waits for an answer."""

    fault: str
    """One of ``FAULTS``."""
    why: str
    agent_id: int
    function: str
    """Of ``Disputes``, with its ``arguments``."""
    arguments: tuple[Any, ...]
    header_hash: bytes = bytes(32)

    @property
    def is_demand(self) -> bool:
        return self.function.startswith("demand")

    def bond(self, ledger: Ledger) -> int:
        """Wei that bringing it takes now."""
        if not self.is_demand:
            return 0
        return int(ledger.call(ledger.contracts.disputes.functions.demandBondFor(self.header_hash)))

    def bring(self, ledger: Ledger) -> int:
        """Send it as the signer of ``ledger``: wei slashed by a proof, or the number of a demand.

        Raises ``ChainError`` when the contract refuses it (``revert`` says why).
        """
        function = getattr(ledger.contracts.disputes.functions, self.function)
        receipt = ledger.send_taking(self.bond(ledger), function, *self.arguments)
        events = ledger.contracts.disputes.events
        if self.is_demand:
            return int(receipt.event(events.Demanded)["id"])
        return int(receipt.event(events.Convicted)["distribution"]["total"])


def enforce(ledger: Ledger, demand_id: int) -> int:
    """Slash for a demand that nobody answered in time; returns the wei slashed."""
    receipt = ledger.send(ledger.contracts.disputes.functions.enforce(demand_id))
    return int(receipt.event(ledger.contracts.disputes.events.Convicted)["distribution"]["total"])
