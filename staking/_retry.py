"""How much an auditor does in a pass, and when it looks again at what it could not check."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ATTEMPTS", "POISON", "Budget", "wait_after"]

ATTEMPTS = 4
POISON = (ArithmeticError, AssertionError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What content made to end auditors might raise where no check stops it: it must cost its own action only."""
RETRY = 600  # seconds before what could not be checked is looked at again; doubled each time


def wait_after(attempts: int) -> int:
    """Seconds to wait after so many attempts that failed."""
    return int(min(RETRY * 2 ** (attempts - 1), 3_600))


@dataclass(slots=True)
class Budget:
    """How much may still be done, in this pass and in this hour: tokens replayed, actions whose payouts are recomputed."""

    per_pass: int
    per_hour: int
    spent_pass: int = 0
    spent_hour: int = 0

    def allows(self, amount: int) -> bool:
        """Whether to begin; what is larger than a whole budget gets one for itself, or it would never be done."""
        parts = ((self.spent_pass, self.per_pass), (self.spent_hour, self.per_hour))
        return all(spent == 0 or spent + amount <= limit for spent, limit in parts)

    def spend(self, amount: int) -> None:
        self.spent_pass += amount
        self.spent_hour += amount
