"""Who attributes many actions at once asks the chain once for what they have in common."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from openledger.agents import Outcome
from openledger.attribution import SpanIndex
from openledger.registry import Split, Status
from openledger.runtime import SpanAttributor


def test_what_all_need_from_the_chain_one_asks_for(tokenizer: Path, tmp_path: Path) -> None:
    asked: list[int] = []
    known: dict[int, tuple[int, int]] = {}

    def cut(epoch: int) -> tuple[int, int]:
        if epoch not in known:
            asked.append(epoch)
            time.sleep(0.05)  # as a chain takes to answer
            known[epoch] = 500, 200
        return known[epoch]

    attributor = SpanAttributor(
        SpanIndex.build([], tokenizer, tmp_path),
        Split(5000, 2000, 2000, 1000),
        lambda calls: [],
        treasury="treasury",
        operator="operator",
        cut=cut,
    )
    outcome = Outcome(Status.OK, "answer", (), 0, 1)
    with ThreadPoolExecutor(8) as threads:
        credits = list(threads.map(lambda fee: attributor.credit(outcome, fee, 1), [10**16] * 8))
    assert asked == [1]
    assert {sum(wei for _, wei in credit.payouts) for credit in credits} == {10**16 * 9300 // 10_000}
