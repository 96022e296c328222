"""What a juror computes where a question is asked: payouts, a training run, an opinion about content."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ..attribution import SpanIndex, shares_of
from ..datanets import Datanet, fetch, source_rows, span_index
from ..errors import ChallengeError, ContentError
from ..openlora import fetch_base, fetch_tokenizer
from ..registry import (
    AssetRef,
    Assets,
    BatchHeader,
    Connection,
    ContentStore,
    Ledger,
    Manifest,
    ModelCallStep,
    TrainingStep,
    cid_from_digest,
    decode_step,
    digest_of,
    encode,
)
from ._batches import header_of
from ._influence import InfluenceFor, Trainer, influence_for
from ._shares import IndexFor, Payouts, recompute_payouts
from ._votes import ANSWERS

__all__ = [
    "Examiner",
    "Opinion",
    "Retrain",
    "SharesExaminer",
    "TrainingExaminer",
    "examiners_for",
    "index_for",
    "recompute_for",
]

Retrain = Callable[[TrainingStep, Path, Sequence[Datanet], int | None], str]
"""Repeats a training run over the base model in a directory and its datanets, and gives the CID of what came out: of
the whole run, or of its beginning, as long as the number draws. Raises ``UserError`` where this machine would not give
the same bits."""


class Examiner(Protocol):
    """Answers one kind of question."""

    def answer(self, ledger: Ledger, dispute_id: int, probe: int) -> tuple[bytes, bytes]:
        """The answer, and what shows that it was computed for this probe; 32 bytes each.

        Raises ``ContentError`` when what it follows from cannot be had.
        """
        ...


@dataclass(frozen=True)
class SharesExaminer:
    """Recomputes a batch's payouts.

    For the probe it attributes the output of one of the batch's actions with one row of the datanets behind it, both
    drawn by the probe: only who holds the index and runs the rule knows what comes out.
    """

    store: ContentStore
    assets: Assets
    index_for: IndexFor
    influence_for: InfluenceFor | None = None

    def answer(self, ledger: Ledger, dispute_id: int, probe: int) -> tuple[bytes, bytes]:
        found = ledger.call(ledger.contracts.disputes.functions.dispute(dispute_id))
        header = header_of(int(found.agentId), int(found.nonce), ledger)
        paid = recompute_payouts(
            header,
            store=self.store,
            ledger=ledger,
            assets=self.assets,
            index_for=self.index_for,
            influence_for=self.influence_for,
        )
        index = self.index_for(paid.manifest)
        steps = paid.actions[probe % len(paid.actions)].steps
        tokens = [t for step in steps if isinstance(step, ModelCallStep) for t in step.output_tokens]
        rows = source_rows([fetch(self.store, ref.cid) for ref in paid.manifest.datanets])
        if rows:
            tokens += index.encode(rows[probe % len(rows)].text)
        return paid.answer, _digest([probe, shares_of(index, [tokens]).to_block()])


@dataclass(frozen=True)
class TrainingExaminer:
    """Repeats a training run; for the probe, its beginning, as long as the probe draws."""

    store: ContentStore
    base_for: Callable[[AssetRef], Path]
    retrain: Retrain

    def answer(self, ledger: Ledger, dispute_id: int, probe: int) -> tuple[bytes, bytes]:
        events = ledger.events(ledger.contracts.disputes.events.TrainingDisputed, id=dispute_id)
        event = next(iter(events), None)
        if event is None:
            raise ChallengeError(f"dispute {dispute_id} is about no training run", fix="check the id")
        cid = cid_from_digest(bytes(event["step"]["detailDigest"]))
        step = decode_step(cid, self.store.get)
        opened = bytes(event["step"]["generationRoot"])
        if not isinstance(step, TrainingStep) or digest_of(step.adapter) != opened:
            raise ContentError(f"the step of dispute {dispute_id} is not the one that was opened", cid=cid)
        base = self.base_for(AssetRef(step.base_asset_id, step.base))
        nets = [fetch(self.store, ref.cid) for ref in step.datanets]
        made = self.retrain(step, base, nets, None)
        return digest_of(made), _digest([probe, digest_of(self.retrain(step, base, nets, probe))])


@dataclass(frozen=True)
class Opinion:
    """A person's judgement of whether content belongs into a datanet; for the probe, the content's bytes, which shows
    at least that it was fetched."""

    store: ContentStore
    accepted: bool

    def answer(self, ledger: Ledger, dispute_id: int, probe: int) -> tuple[bytes, bytes]:
        found = ledger.call(ledger.contracts.disputes.functions.dispute(dispute_id))
        block = self.store.get(cid_from_digest(bytes(found.structHash)))
        return ANSWERS["accepted" if self.accepted else "rejected"], _digest([probe, block])


def index_for(connection: Connection) -> IndexFor:
    """Span indexes over any manifest's datanets, kept in the connection's cache."""

    def get(manifest: Manifest) -> SpanIndex:
        store, cache = connection.store, connection.settings.cache_dir
        if not manifest.models:
            raise ChallengeError(
                f"manifest {manifest.cid} names no base model", why="its words have no tokens", fix="abstain"
            )
        nets = [ref.cid for ref in manifest.datanets]
        return span_index(nets, store, fetch_tokenizer(manifest.models[0].cid, store, cache), cache)

    return get


def recompute_for(
    connection: Connection, ledger: Ledger, trainer: Trainer | None = None
) -> Callable[[BatchHeader], Payouts]:
    """What any batch had to pay, by ``ledger``'s chain and the connection's store; under a rule that pays by influence
    only with a ``trainer``."""
    indexes, influences = index_for(connection), _influences(connection, trainer)

    def get(header: BatchHeader) -> Payouts:
        return recompute_payouts(
            header,
            store=connection.store,
            ledger=ledger,
            assets=connection.assets,
            index_for=indexes,
            influence_for=influences,
        )

    return get


def examiners_for(
    connection: Connection, *, trainer: Trainer | None = None, accepted: bool | None = None
) -> Mapping[str, Examiner]:
    """Who answers which fault's question: payouts always (those by influence with a ``trainer``), training runs with a
    ``trainer``, appeals of curation with an opinion."""
    store = connection.store
    found: dict[str, Examiner] = {
        "WrongShares": SharesExaminer(
            store, connection.assets, index_for(connection), _influences(connection, trainer)
        )
    }
    if trainer is not None:
        found["TrainingMismatch"] = TrainingExaminer(
            store, lambda ref: fetch_base(connection, ref), trainer.retrain
        )
    if accepted is not None:
        found["CurationAppeal"] = Opinion(store, accepted)
    return found


def _influences(connection: Connection, trainer: Trainer | None) -> InfluenceFor | None:
    return None if trainer is None else influence_for(connection, trainer.divide)


def _digest(value: Any) -> bytes:
    return hashlib.sha256(encode(value)).digest()
