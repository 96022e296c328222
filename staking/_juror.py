"""A juror: replay the opened leaves of a dispute, one step each, or recompute what is asked, and vote with the result.

A vote on tokens is a logprob for the committed token of each leaf, and one for a probe token in the first leaf's place;
a vote on a question is a digest, and another that follows from the probe. The probe is drawn after the committee froze:
so copying the record or another juror does not pay.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import ChallengeError, ContentError
from ..openlora import Generation, vote
from ..registry import (
    ContentStore,
    Ledger,
    ModelCallStep,
    StepLeaf,
    cid_from_digest,
    decode_step,
    prefix_hash,
)
from ._challenge import Challenge
from ._examine import Examiner
from ._finding import QUESTIONS
from ._verify import ReplayerFor, generation_of
from ._votes import UNAVAILABLE, AnswerVote, Vote, read_vote

__all__ = ["Juror"]


class Juror:
    """Votes in disputes whose committee holds ``ledger.signer``. Restartable: the vote is kept in ``journal``
    before it is committed, and its salt follows from the key.

    ``examiners`` answer questions, by the fault they are about.
    """

    def __init__(
        self,
        ledger: Ledger,
        store: ContentStore,
        replayer: ReplayerFor,
        journal: Path,
        examiners: Mapping[str, Examiner] | None = None,
    ) -> None:
        self._ledger, self._store, self._replayer, self._journal = ledger, store, replayer, journal
        self._examiners = examiners or {}

    @property
    def address(self) -> str:
        return self._ledger.address

    def seated(self, dispute_id: int) -> bool:
        """Whether this juror sits on the dispute's present committee."""
        return self.address in Challenge(self._ledger, dispute_id).committee

    def compute(self, dispute_id: int, *, unavailable: bool = False) -> Vote | AnswerVote:
        """Replay the opened leaves under the declared adapters, or answer what is asked.

        Raises ``ContentError`` when something cannot be had or is not what was opened. If nobody can get it, vote
        ``unavailable``: when most jurors say so, the operator is convicted. Otherwise abstain.
        """
        challenge = Challenge(self._ledger, dispute_id)
        kept = self._path(dispute_id, round_ := challenge.round)
        if kept.exists():
            return read_vote(kept.read_text())
        fault = challenge.fault
        made: Vote | AnswerVote
        if fault in QUESTIONS:
            made = self._answer(challenge, fault, round_, unavailable)
        elif unavailable:
            made = Vote(dispute_id, round_, (), 0)
        else:
            made = self._replay(challenge, round_)
        self._keep(kept, made)
        return made

    def _answer(self, challenge: Challenge, fault: str, round_: int, unavailable: bool) -> AnswerVote:
        if unavailable:
            return AnswerVote(challenge.id, round_, UNAVAILABLE, UNAVAILABLE)
        if fault not in self._examiners:
            raise ChallengeError(
                f"dispute {challenge.id} ({fault}) cannot be judged here",
                why="nothing was given that answers it",
                fix="of an appeal, vote with --accept or --reject; else abstain",
            )
        digests = self._examiners[fault].answer(self._ledger, challenge.id, challenge.probe)
        return AnswerVote(challenge.id, round_, *digests)

    def _replay(self, challenge: Challenge, round_: int) -> Vote:
        opened = self._opened(challenge.id)
        if not opened:
            raise ChallengeError(f"dispute {challenge.id} was never opened", fix="check the id and the chain")
        logprobs = []
        probed: int | None = None
        for leaf, token in opened:
            prefix, generation = self._prefix(challenge.id, leaf, token)
            assert generation.base is not None  # generation_of always names it
            engine = self._replayer(generation.base)
            probe = challenge.probe % engine.vocab_size
            committed, there = vote(engine, prefix, generation.adapter, int(token["token"]), probe)
            logprobs.append(committed)
            probed = there if probed is None else probed
        assert probed is not None
        return Vote(challenge.id, round_, tuple(logprobs), probed)

    def _opened(self, dispute_id: int) -> list[tuple[Any, Any]]:
        """The step and token leaves to judge, in their order."""
        events = self._ledger.contracts.disputes.events
        found = [(e["step"], e["leaf"]) for e in self._ledger.events(events.ChallengeOpened, id=dispute_id)]
        for kind in (events.ChallengeJoined, events.LeafOpened):
            more = sorted(self._ledger.events(kind, id=dispute_id), key=lambda event: int(event["leaf"]))
            found += [(event["step"], event["token"]) for event in more]
        return found

    def _prefix(self, dispute_id: int, leaf: Any, token: Any) -> tuple[list[int], Generation]:
        step = decode_step(cid_from_digest(bytes(leaf["detailDigest"])), self._store.get)
        if not isinstance(step, ModelCallStep) or step.leaf(leaf["index"]) != _leaf(leaf):
            raise ContentError(
                f"the step of dispute {dispute_id} is not the one that was opened", cid=step.cid
            )
        position = int(token["t"])
        prefix = [*step.prompt_tokens, *step.output_tokens[:position]]
        if position and step.generation.prefixes[position] != bytes(token["prefixHash"]):
            raise ContentError(f"the prefix of dispute {dispute_id} is not the opened one", cid=step.cid)
        if not position and prefix_hash(prefix) != bytes(token["prefixHash"]):
            raise ContentError(f"the prompt of dispute {dispute_id} is not the opened one", cid=step.cid)
        return prefix, generation_of(step)

    def commit(self, dispute_id: int, *, unavailable: bool = False) -> Vote | AnswerVote:
        """Compute and commit the vote."""
        made = self.compute(dispute_id, unavailable=unavailable)
        commitment = made.commitment(self._ledger, self._salt(made))
        self._ledger.send(self._ledger.contracts.disputes.functions.commitVote(dispute_id, commitment))
        return made

    def reveal(self, dispute_id: int) -> Vote | AnswerVote:
        """Reveal the committed vote."""
        made = self.compute(dispute_id)
        self._ledger.send(made.reveal(self._ledger, self._salt(made)))
        return made

    def act(self, dispute_id: int, *, unavailable: bool = False) -> tuple[Vote | AnswerVote, str]:
        """Commit, or reveal what was committed; returns the vote and ``committed`` or ``revealed``."""
        challenge = Challenge(self._ledger, dispute_id)
        disputes = self._ledger.contracts.disputes.functions
        cast = self._ledger.call(disputes.voteOf(dispute_id, challenge.round, self.address))
        if int.from_bytes(bytes(cast.commitment), "big") == 0:
            return self.commit(dispute_id, unavailable=unavailable), "committed"
        return self.reveal(dispute_id), "revealed"

    def _salt(self, made: Vote | AnswerVote) -> bytes:
        return self._ledger.secret("vote", bytes(32), made.dispute_id, made.round)

    def _path(self, dispute_id: int, round_: int) -> Path:
        domain = self._ledger.domain
        return (
            self._journal
            / f"{domain.chain_id}-{domain.verifying_contract}-{self.address}-{dispute_id}-{round_}.json"
        )

    def _keep(self, path: Path, made: Vote | AnswerVote) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = path.with_suffix(".new")
        scratch.write_text(made.to_json())
        scratch.replace(path)


def _leaf(value: Any) -> StepLeaf:
    return StepLeaf(
        index=int(value["index"]),
        kind=int(value["kind"]),
        asset_id=int(value["assetId"]),
        content_digest=bytes(value["contentDigest"]),
        prompt_hash=bytes(value["promptHash"]),
        generation_root=bytes(value["generationRoot"]),
        count=int(value["count"]),
        detail_digest=bytes(value["detailDigest"]),
    )
