"""What jurors vote: logprobs where tokens are judged, a digest where a question is asked."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from ..registry import Ledger, answer_commitment, vote_commitment

__all__ = ["ANSWERS", "UNAVAILABLE", "AnswerVote", "Vote", "read_vote"]

UNAVAILABLE = bytes(32)
"""The answer that says: what it would follow from cannot be had."""

ANSWERS = {"accepted": (1).to_bytes(32, "big"), "rejected": (2).to_bytes(32, "big")}
"""Whether content belongs into a datanet."""


@dataclass(frozen=True)
class Vote:
    """Logprobs in 10⁻⁴ nat of each leaf's committed token and of the probe token; no logprobs say that what is to be
    replayed cannot be had."""

    dispute_id: int
    round: int
    token_logprobs: tuple[int, ...]
    probe_logprob: int

    @property
    def unavailable(self) -> bool:
        return not self.token_logprobs

    def commitment(self, ledger: Ledger, salt: bytes) -> bytes:
        """What the signer of ``ledger`` commits to."""
        numbers = (self.token_logprobs, self.probe_logprob)
        disputes = ledger.contracts.disputes.address
        return vote_commitment(
            ledger.domain.chain_id, disputes, self.dispute_id, self.round, ledger.address, *numbers, salt
        )

    def reveal(self, ledger: Ledger, salt: bytes) -> Any:
        """The call that reveals it."""
        return ledger.contracts.disputes.functions.revealVote(
            self.dispute_id, list(self.token_logprobs), self.probe_logprob, salt
        )

    def to_json(self) -> str:
        return json.dumps(self.__dict__)

    def to_plain(self) -> dict[str, Any]:
        """What a command prints of it."""
        return {"tokenLogprobs": list(self.token_logprobs), "probeLogprob": self.probe_logprob}

    def __str__(self) -> str:
        if self.unavailable:
            return "unavailable"
        leaves = ", ".join(f"{logprob / 1e4:.4f}" for logprob in self.token_logprobs)
        return f"{leaves} nat, probe {self.probe_logprob / 1e4:.4f} nat"


@dataclass(frozen=True)
class AnswerVote:
    """A juror's answer, and the digest that only who computed it for this probe has; 32 bytes each."""

    dispute_id: int
    round: int
    answer: bytes
    probe_answer: bytes

    @property
    def unavailable(self) -> bool:
        return self.answer == UNAVAILABLE

    def commitment(self, ledger: Ledger, salt: bytes) -> bytes:
        """What the signer of ``ledger`` commits to."""
        digests = (self.answer, self.probe_answer)
        disputes = ledger.contracts.disputes.address
        return answer_commitment(
            ledger.domain.chain_id, disputes, self.dispute_id, self.round, ledger.address, *digests, salt
        )

    def reveal(self, ledger: Ledger, salt: bytes) -> Any:
        """The call that reveals it."""
        return ledger.contracts.disputes.functions.revealAnswer(
            self.dispute_id, self.answer, self.probe_answer, salt
        )

    def to_json(self) -> str:
        plain = {"answer": self.answer.hex(), "probe_answer": self.probe_answer.hex()}
        return json.dumps(self.__dict__ | plain)

    def to_plain(self) -> dict[str, Any]:
        """What a command prints of it."""
        return {"answer": f"0x{self.answer.hex()}", "probeAnswer": f"0x{self.probe_answer.hex()}"}

    def __str__(self) -> str:
        if self.unavailable:
            return "unavailable"
        names = {digest: name for name, digest in ANSWERS.items()}
        return names.get(self.answer, f"0x{self.answer.hex()}")


def read_vote(text: str) -> Vote | AnswerVote:
    """The inverse of ``to_json``."""
    known = json.loads(text)
    if "answer" in known:
        digests = {key: bytes.fromhex(known[key]) for key in ("answer", "probe_answer")}
        return AnswerVote(**(known | digests))
    return Vote(**(known | {"token_logprobs": tuple(known["token_logprobs"])}))
