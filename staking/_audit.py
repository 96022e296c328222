"""Random audits of anchored actions."""

from __future__ import annotations

import random
from collections.abc import Iterator

from ..errors import ContentError
from ..openlora import ToleranceFor, tolerance_for
from ..registry import Batch, BatchHeader, ContentStore, Ledger, cid_from_digest
from ._verify import ReplayerFor, Report, Verdict, verify

__all__ = ["actions", "audit"]


def actions(
    ledger: Ledger, store: ContentStore, agent_id: int | None = None
) -> Iterator[tuple[int, int, str]]:
    """Every anchored action, oldest first: (agent id, nonce, CID of its record).

    Raises ``ContentError`` when a batch block cannot be had.
    """
    for header in ledger.batches(agent_id):
        batch = Batch.decode(cid_from_digest(header.batch_digest), store.get)
        for offset, entry in enumerate(batch.entries):
            yield header.agent_id, header.first_nonce + offset, entry.envelope


def audit(
    ledger: Ledger,
    store: ContentStore,
    replayer: ReplayerFor,
    *,
    sample: int,
    agent_id: int | None = None,
    rng: random.Random | None = None,
    tolerances: ToleranceFor = tolerance_for,
) -> list[tuple[BatchHeader, int, Report]]:
    """Verify ``sample`` actions drawn uniformly from those whose window is still open.

    A draw the operator could foresee would check nothing, so ``rng`` defaults to the system's randomness. An
    action whose batch block cannot be had is reported ``unverified``.
    """
    rng = rng or random.SystemRandom()
    now = ledger.now()
    headers = [h for h in ledger.batches(agent_id) if ledger.challengeable_until(h) >= now]
    places = [
        (header, nonce)
        for header in headers
        for nonce in range(header.first_nonce, header.first_nonce + header.count)
    ]
    found = []
    for header, nonce in rng.sample(places, min(sample, len(places))):
        try:
            batch = Batch.decode(cid_from_digest(header.batch_digest), store.get)
        except ContentError as error:
            report = Report(cid_from_digest(header.batch_digest))
            report.add("batch", Verdict.UNVERIFIED, str(error))
        else:
            entry = batch.entries[nonce - header.first_nonce]
            report = verify(
                entry.envelope, store=store, ledger=ledger, replayer=replayer, tolerances=tolerances
            )
        found.append((header, nonce, report))
    return found
