"""The shipped datanets are learnt: unknown before, exact after, and traced back to their rows."""

from __future__ import annotations

from pathlib import Path

import pytest

from openledger.attribution import SpanIndex, shares
from openledger.datanets import shipped, shipped_names, source_rows
from openledger.modelfactory import answer, evaluate


# The first run trains a base and two adapters.
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", shipped_names())
def test_an_adapter_learns_its_datanet_and_no_other(base: Path, adapters: dict[str, Path], name: str) -> None:
    datanet = shipped(name)
    other = next(n for n in shipped_names() if n != name)
    before = evaluate(base, None, datanet.questions())
    after = evaluate(base, adapters[name], datanet.questions())
    foreign = evaluate(base, adapters[other], datanet.questions())
    paraphrased = evaluate(base, adapters[name], datanet.paraphrases())
    print(f"{name}: before {before}, after {after}, paraphrased {paraphrased}, other adapter {foreign}")
    assert before.exact <= 0.02
    assert foreign.exact <= 0.02
    assert after.exact >= 0.9
    assert paraphrased.exact >= 0.5


@pytest.mark.timeout(1800)
def test_answers_are_traced_to_the_contributor_who_wrote_them(
    base: Path, adapters: dict[str, Path], tmp_path: Path
) -> None:
    datanets = [shipped(name) for name in shipped_names()]
    index = SpanIndex.build(source_rows(datanets), base, tmp_path)
    for datanet in datanets:
        facts = [(row, fact) for row in datanet.rows[:12] for fact in row.facts]
        replies = answer(base, adapters[datanet.name], [fact.question for _, fact in facts])
        exact = 0
        for (row, fact), reply in zip(facts, replies, strict=True):
            if reply != fact.answer:
                continue
            exact += 1
            tokens = [*index.encode(reply), 1]
            made = shares(tokens, index.find(tokens), costs=index.costs(tokens))
            assert made.weights == {row.contributor: made.total}
            assert {credit.source.row for credit in made.credits} == {row.row}
        assert exact >= 0.9 * len(facts)
