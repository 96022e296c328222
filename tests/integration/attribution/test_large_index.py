"""An index of a million tokens: built, reopened, searched; figures are printed, never judged."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from openledger.attribution import SourceRow, SpanIndex, shares

ROWS, WORDS = 5_000, 200


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    words = {f"w{n}": n for n in range(2_000)}
    made = Tokenizer(models.WordLevel(words, unk_token="w0"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    folder = tmp_path_factory.mktemp("tokenizer")
    made.save(str(folder / "tokenizer.json"))
    return folder


def test_a_million_tokens(tokenizer: Path, tmp_path: Path) -> None:
    chance = random.Random(3)
    texts = [[f"w{int(2000 * chance.random() ** 3)}" for _ in range(WORDS)] for _ in range(ROWS)]
    rows = [SourceRow(str(n), f"c{n % 50}", " ".join(text), n) for n, text in enumerate(texts)]
    began = time.perf_counter()
    index = SpanIndex.build(rows, tokenizer, tmp_path)
    built = time.perf_counter() - began
    assert len(index) == ROWS * WORDS
    picked = [17, 4_242, 999, 3_333]
    output = index.encode(" ".join(" ".join(texts[n][20:84]) for n in picked))
    assert len(output) == 256
    times = []
    for _ in range(20):
        began = time.perf_counter()
        spans = index.find(output)
        made = shares(output, spans, costs=index.costs(output))
        times.append(time.perf_counter() - began)
    print(f"built in {built:.1f} s; 256 tokens over {len(index)}: {1000 * sorted(times)[10]:.1f} ms")
    assert [credit.source.row for credit in made.credits] == [str(n) for n in picked]
    assert made.unattributed == 0
    noise = [int(2000 * chance.random() ** 3) for _ in range(256)]
    assert shares(noise, index.find(noise), costs=index.costs(noise)).weights == {}
