"""The span index finds every maximal stretch of output that stands in a row, and nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from openledger.attribution import SourceRow, SpanIndex
from openledger.attribution._rarity import Rarity, millibits
from openledger.attribution._suffixes import Suffixes, build_suffixes, pack
from openledger.errors import ContentError, UserError

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


def test_a_built_index_is_reused_and_a_damaged_one_rebuilt(tokenizer: Path, tmp_path: Path) -> None:
    SpanIndex.build(rows(), tokenizer, tmp_path)
    (folder,) = [p for p in tmp_path.iterdir() if p.name.startswith("spans-")]
    before = (folder / "suffixes.bin").stat().st_mtime_ns
    SpanIndex.build(rows(), tokenizer, tmp_path)
    assert (folder / "suffixes.bin").stat().st_mtime_ns == before
    data = bytearray((folder / "tokens.bin").read_bytes())
    data[0] ^= 1
    (folder / "tokens.bin").write_bytes(data)
    with pytest.raises(ContentError, match=r"tokens\.bin"):
        SpanIndex.open(folder, tokenizer)
    index = SpanIndex.build(rows(), tokenizer, tmp_path)
    assert len(index.find(index.encode(LAMP))) == 1
    assert [p.name for p in tmp_path.iterdir()] == [folder.name]


def test_a_missing_index_or_tokenizer_says_what_to_do(tokenizer: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"SpanIndex\.build"):
        SpanIndex.open(tmp_path / "none", tokenizer)
    with pytest.raises(UserError, match="tokenizer"):
        SpanIndex.build(rows(), tmp_path / "none.json", tmp_path)


def test_an_index_of_another_tokenizer_is_refused(tokenizer: Path, tmp_path: Path) -> None:
    SpanIndex.build(rows(), tokenizer, tmp_path)
    (folder,) = [p for p in tmp_path.iterdir() if p.name.startswith("spans-")]
    other = tmp_path / "other"
    shutil.copytree(tokenizer, other)
    text = (other / "tokenizer.json").read_text()
    (other / "tokenizer.json").write_text(text + "\n")
    with pytest.raises(UserError, match="another tokenizer"):
        SpanIndex.open(folder, other)


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


@given(st.lists(st.integers(0, 300), max_size=40), st.lists(st.integers(0, 300), min_size=1, max_size=4))
def test_suffix_ranges_hold_every_occurrence(text: list[int], wanted: list[int]) -> None:
    data = pack(text, 2)
    order = [int(p) for p in build_suffixes(data, 2)] if text else []
    low, high = Suffixes(data, order, 2).interval(pack(wanted, 2))
    expected = {i for i in range(len(text)) if text[i : i + len(wanted)] == wanted}
    assert set(order[low:high]) == expected


@given(st.integers(1, 10**9), st.integers(1, 10**9))
def test_millibits_is_the_exact_floor(a: int, b: int) -> None:
    high, low = max(a, b), min(a, b)
    bits = millibits(high, low)
    assert low**1000 << bits <= high**1000 < low**1000 << (bits + 1)


def test_rare_tokens_cost_more() -> None:
    rarity = Rarity({1: 100, 2: 1}, 50)
    assert rarity.cost(1) < rarity.cost(2) < rarity.cost(3)
    assert Rarity({}, 1).cost(5) == 1
