"""The span index finds every maximal stretch of output that stands in a row, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from openledger.attribution import SourceRow, SpanIndex
from openledger.attribution.spans._rarity import Rarity, millibits
from openledger.errors import UserError

HERON = "A quick heron watches nine silver fish below the broken weir."
LAMP = "The lamp in the tower turns slowly and every boat knows it."


def rows() -> list[SourceRow]:
    return [SourceRow("r1", "ann", HERON, 0), SourceRow("r2", "bo", LAMP, 1)]


@pytest.fixture
def index(tokenizer: Path, tmp_path: Path) -> SpanIndex:
    return SpanIndex.build(rows(), tokenizer, tmp_path)


def test_a_clause_is_found_wherever_it_stands(index: SpanIndex) -> None:
    output = index.encode("It is said that a lamp in the tower turns slowly and every cat sleeps")
    (span,) = index.find(output)
    assert "lamp in the tower turns slowly and every" in index.decode(output[span.start : span.end])
    assert [s.row for s in span.sources] == ["r2"]
    assert span.weight == sum(index.costs(output)[span.start : span.end])


def test_the_first_word_of_a_row_matches_a_word_inside_an_output(index: SpanIndex) -> None:
    output = index.encode("then A quick heron watches nine silver fish swim")
    (span,) = index.find(output)
    assert index.decode(output[span.start : span.end]) == " A quick heron watches nine silver fish"


def test_spans_do_not_cross_row_borders(index: SpanIndex) -> None:
    output = index.encode(HERON) + index.encode(LAMP)
    spans = index.find(output)
    border = len(index.encode(HERON))
    assert [(s.start, s.end) for s in spans] == [(0, border), (border, len(output))]


def test_a_special_token_ends_a_span(index: SpanIndex) -> None:
    tokens = index.encode(LAMP)
    (span,) = index.find([*tokens, 1, 0])
    assert (span.start, span.end) == (0, len(tokens))
    assert index.costs([0, 1]) == [0, 0]


@pytest.mark.parametrize("output", [[], [1], [0, 1] * 50])
def test_output_without_words_has_no_spans(index: SpanIndex, output: list[int]) -> None:
    assert index.find(output) == []


def test_ids_the_index_cannot_hold_are_only_unknown(index: SpanIndex) -> None:
    output = [*index.encode(LAMP), 0xFFFF, 0xFFFFFFFF, *index.encode(LAMP)]
    assert [s.tokens for s in index.find(output)] == [len(index.encode(LAMP))] * 2


@pytest.mark.parametrize("output", ["words", [1.5], [-1], [2**32], [True, "x"]])
def test_output_that_is_not_token_ids_is_refused(index: SpanIndex, output: object) -> None:
    with pytest.raises(UserError, match="token id"):
        index.find(output)  # type: ignore[arg-type]


def test_a_hundred_thousand_tokens(index: SpanIndex) -> None:
    lamp = index.encode(LAMP)
    output = (lamp * (100_000 // len(lamp) + 1))[:100_000]
    spans = index.find(output)
    assert all(span.sources[0].row == "r2" for span in spans)
    assert sum(span.tokens for span in spans) >= 100_000 - len(lamp)
    assert {span.source.row for span in index.near(output)} == {"r2"}


def test_a_hundred_thousand_times_the_same_token_in_many_rows(tokenizer: Path, tmp_path: Path) -> None:
    """The worst repetition: nearly every token begins a span, and every row holds it. The rows are named once, not each time."""
    many = [SourceRow(str(n), "ann", "fish " * (600 + n), n) for n in range(400)]
    index = SpanIndex.build(many, tokenizer, tmp_path)
    (fish,) = set(index.encode("fish fish"))
    spans = index.find([fish] * 100_000)
    assert {span.tokens for span in spans} == {999}
    assert len(spans) == 100_000 - 998
    assert len({id(span.sources) for span in spans}) == 1
    assert index.near([fish] * 100_000) == []  # common property


def test_a_hundred_thousand_tokens_of_which_every_ninth_is_special(index: SpanIndex) -> None:
    lamp = index.encode(LAMP)[:8]
    assert len(index.find([*lamp, 1] * 11_000)) == 11_000


def test_one_row_held_by_two_names_both_first_accepted_first(tokenizer: Path, tmp_path: Path) -> None:
    twice = [SourceRow("late", "bo", LAMP, 7), SourceRow("early", "ann", LAMP, 3)]
    index = SpanIndex.build(twice, tokenizer, tmp_path)
    (span,) = index.find(index.encode(LAMP))
    assert [s.row for s in span.sources] == ["early", "late"]


def test_boilerplate_in_very_many_rows_names_them_all(tokenizer: Path, tmp_path: Path) -> None:
    many = [SourceRow(f"r{n:03}", f"c{n}", f"{HERON} {n}", n) for n in range(300)]
    index = SpanIndex.build(many, tokenizer, tmp_path)
    (span,) = index.find(index.encode(HERON))
    assert [source.row for source in span.sources] == [row.row for row in many]


def test_the_order_of_rows_does_not_matter(tokenizer: Path, tmp_path: Path) -> None:
    one = SpanIndex.build(rows(), tokenizer, tmp_path / "a")
    two = SpanIndex.build(reversed(rows()), tokenizer, tmp_path / "b")
    assert one.digest == two.digest
    assert one.find(one.encode(LAMP)) == two.find(two.encode(LAMP))


def test_an_empty_index_finds_nothing(tokenizer: Path, tmp_path: Path) -> None:
    index = SpanIndex.build([], tokenizer, tmp_path)
    assert len(index) == 0
    assert index.find(index.encode(LAMP)) == []


def test_two_rows_with_one_name_are_refused(tokenizer: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="same datanet and row id"):
        SpanIndex.build([*rows(), SourceRow("r1", "cy", "other words", 9)], tokenizer, tmp_path)


def test_a_missing_tokenizer_says_what_to_do(tokenizer: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="tokenizer"):
        SpanIndex.build(rows(), tmp_path / "none.json", tmp_path)
    (tmp_path / "broken.json").write_text("{}")
    with pytest.raises(UserError, match="tokenizer"):
        SpanIndex.build(rows(), tmp_path / "broken.json", tmp_path)


def test_a_row_that_is_not_unicode_is_named(tokenizer: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="row torn"):
        SpanIndex.build([SourceRow("torn", "ann", "half a pair \ud83d", 0)], tokenizer, tmp_path)


def test_rows_are_indexed_whole_whatever_the_model_is_fed_with(tokenizer: Path, tmp_path: Path) -> None:
    cutting = Tokenizer.from_file(str(tokenizer / "tokenizer.json"))
    cutting.enable_truncation(4)
    cutting.enable_padding(length=64)
    cutting.save(str(tmp_path / "tokenizer.json"))
    index = SpanIndex.build(rows(), tmp_path / "tokenizer.json", tmp_path)
    whole = SpanIndex.build(rows(), tokenizer, tmp_path)
    assert len(index) == len(whole)
    assert index.encode(LAMP) == whole.encode(LAMP)


def test_min_tokens_must_be_positive(index: SpanIndex) -> None:
    with pytest.raises(UserError, match="at least 1"):
        index.find([1, 2], min_tokens=0)


def _brute(texts: list[list[int]], output: list[int], at_least: int) -> set[tuple[int, int]]:
    def held(piece: list[int]) -> bool:
        return any(piece == text[i : i + len(piece)] for text in texts for i in range(len(text)))

    found = [
        (i, j) for i in range(len(output)) for j in range(i + at_least, len(output) + 1) if held(output[i:j])
    ]
    return {(i, j) for i, j in found if not any((a, b) != (i, j) and a <= i and j <= b for a, b in found)}


words = st.lists(st.sampled_from(["heron", "lamp", "boat", "rain"]), min_size=0, max_size=12).map(" ".join)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(words, max_size=4), words, st.integers(1, 5))
def test_find_agrees_with_trying_everything(
    tokenizer: Path, tmp_path_factory: pytest.TempPathFactory, texts: list[str], output: str, at_least: int
) -> None:
    index = SpanIndex.build(
        [SourceRow(str(i), "ann", text, i) for i, text in enumerate(texts)],
        tokenizer,
        tmp_path_factory.mktemp("spans"),
    )
    tokens = index.encode(output)
    encoded = [index.encode(text) for text in texts]
    spans = index.find(tokens, at_least)
    assert {(s.start, s.end) for s in spans} == _brute(encoded, tokens, at_least)
    for span in spans:
        piece = tokens[span.start : span.end]
        holders = {
            str(i)
            for i, text in enumerate(encoded)
            if any(piece == text[k : k + len(piece)] for k in range(len(text)))
        }
        assert {source.row for source in span.sources} == holders


@given(st.integers(1, 10**9), st.integers(1, 10**9))
def test_millibits_is_the_exact_floor(a: int, b: int) -> None:
    high, low = max(a, b), min(a, b)
    bits = millibits(high, low)
    assert low**1000 << bits <= high**1000 < low**1000 << (bits + 1)


def test_rare_tokens_cost_more() -> None:
    rarity = Rarity({1: 100, 2: 1}, 50)
    assert rarity.cost(1) < rarity.cost(2) < rarity.cost(3)
    assert Rarity({}, 1).cost(5) == 1
