"""Near spans: words of a row but for a few edits are found and counted, what is common or far is not."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers

from openledger.attribution import NearSpan, SourceRow, SpanIndex, shares
from openledger.attribution.spans import EDIT_COST, MAX_GAP, MAX_PLACES, MIN_SCORE, SEEDS, _near
from openledger.attribution.spans._match import Output

ROW = [f"w{n}" for n in range(40)]
"""A row of words that occur once."""
OTHER = [f"w{n}" for n in range(100, 140)]


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer of one token a word, so that an edit of a word is one of a token; token 0 is special."""
    made = Tokenizer(
        models.WordLevel({f"w{n}": n + 1 for n in range(200)} | {"<|end|>": 0}, unk_token="w199")
    )
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made.add_special_tokens(["<|end|>"])
    folder = tmp_path_factory.mktemp("words")
    made.save(str(folder / "tokenizer.json"))
    return folder


@pytest.fixture
def index(words: Path, tmp_path: Path) -> SpanIndex:
    return SpanIndex.build([row("r1", ROW, 0), row("r2", OTHER, 1)], words, tmp_path)


def row(name: str, words: list[str], accepted: int, contributor: str = "ann") -> SourceRow:
    return SourceRow(name, contributor, " ".join(words), accepted)


def near(index: SpanIndex, words: list[str]) -> list[NearSpan]:
    return index.near(index.encode(" ".join(words)))


def test_words_as_they_stand_are_a_span_without_edits(index: SpanIndex) -> None:
    output = index.encode(" ".join(ROW))
    (found,) = index.near(output)
    (exact,) = index.find(output)
    assert (found.start, found.end, found.matched, found.edits) == (0, 40, 40, 0)
    assert (found.weight, found.source) == (exact.weight, exact.sources[0])


@pytest.mark.parametrize(
    ("edited", "matched", "edits"),
    [
        pytest.param([*ROW[:20], "w150", *ROW[21:]], 39, 1, id="replaced"),
        pytest.param([*ROW[:20], *ROW[21:]], 39, 1, id="left out"),
        pytest.param([*ROW[:20], "w150", *ROW[20:]], 40, 1, id="put in"),
        pytest.param([*ROW[:20], ROW[19], *ROW[20:]], 40, 1, id="said twice"),
        pytest.param([*ROW[:20], "w150", "w151", *ROW[23:]], 37, 3, id="three made two"),
        pytest.param(
            [*ROW[:10], "w150", *ROW[11:25], *ROW[26:], "w151"], 38, 2, id="one replaced, one left out"
        ),
        pytest.param([*ROW[:20], "w150", *ROW[21:23], "w151", *ROW[24:]], 38, 2, id="two close together"),
    ],
)
def test_edits_are_counted_and_only_what_matches_weighs(
    index: SpanIndex, edited: list[str], matched: int, edits: int
) -> None:
    output = index.encode(" ".join(edited))
    (found,) = index.near(output)
    assert (found.source.row, found.matched, found.edits) == ("r1", matched, edits)
    assert found.start == 0
    # "said twice" matches one of the two
    assert found.weight == sum(index.costs(index.encode(" ".join(ROW)))[:1]) * matched


def test_an_edit_is_paid_by_matching_tokens_on_both_sides(index: SpanIndex) -> None:
    assert EDIT_COST == 3
    (joined,) = near(index, [*ROW[:6], "w150", "w151", *ROW[8:16]])
    assert (joined.matched, joined.edits) == (14, 2)
    (alone,) = near(index, [*ROW[:5], "w150", "w151", *ROW[7:16]])
    assert (alone.matched, alone.edits) == (9, 0), "five tokens do not pay for two edits"
    (alone,) = near(index, [*ROW[:5], "w150", ROW[6], "w151", *ROW[8:20]])
    assert (alone.matched, alone.edits) == (12, 0), "nor with what matches between them"
    found = near(index, [*ROW[:20], "w150", "w151", *ROW[22:27], "w152", *ROW[28:]])
    assert [(s.matched, s.edits) for s in found] == [(20, 0), (17, 1)], "nor as a bridge to what follows"


def test_a_chain_counts_from_the_score_of_the_shortest_span_on(index: SpanIndex) -> None:
    assert MIN_SCORE == 8
    assert near(index, ROW[:7]) == []
    assert len(near(index, ROW[:8])) == 1
    assert near(index, [*ROW[:5], "w150", *ROW[6:11]]) == []
    assert len(near(index, [*ROW[:5], "w150", *ROW[6:12]])) == 1


def test_a_gap_that_is_too_wide_parts_two_spans(index: SpanIndex) -> None:
    there = [*ROW[:19], *OTHER[:MAX_GAP], *ROW[19:]]
    assert [s.edits for s in near(index, there)] == [MAX_GAP]
    assert [s.edits for s in near(index, [*ROW[:19], *OTHER[:MAX_GAP], "w150", *ROW[19:]])] == [0, 0]


@pytest.mark.parametrize(("left_out", "edits"), [(MAX_GAP, [MAX_GAP]), (MAX_GAP + 1, [0, 0])])
def test_so_do_too_many_tokens_left_out(words: Path, tmp_path: Path, left_out: int, edits: list[int]) -> None:
    long = [f"w{n}" for n in range(80)]
    index = SpanIndex.build([row("r", long, 0)], words, tmp_path)
    assert [span.edits for span in near(index, [*long[:30], *long[30 + left_out :]])] == edits


def test_no_chain_goes_over_a_special_token(index: SpanIndex) -> None:
    tokens = index.encode(" ".join(ROW))
    assert [(s.start, s.end) for s in index.near([*tokens[:20], 0, *tokens[21:]])] == [(0, 20), (21, 40)]


def test_no_chain_goes_over_a_row_border(index: SpanIndex) -> None:
    found = near(index, [*ROW, *OTHER])
    assert [(s.start, s.end, s.source.row) for s in found] == [(0, 40, "r1"), (40, 80, "r2")]


def test_words_in_another_order_are_not_joined(index: SpanIndex) -> None:
    assert [s.edits for s in near(index, [*ROW[20:], *ROW[:20]])] == [0, 0]


def test_what_stands_in_very_many_rows_is_nobodys(words: Path, tmp_path: Path) -> None:
    common = ROW[:8]
    for count, found in [(MAX_PLACES, 1), (MAX_PLACES + 1, 0)]:
        rows = [row(str(n), [f"w{150 + n}", *common], n) for n in range(count)]
        index = SpanIndex.build(rows, words, tmp_path)
        assert len(near(index, common)) == found


@pytest.mark.parametrize(("common", "found"), [(4, ["r"]), (6, ["r"]), (8, [])])
def test_seeds_grow_until_they_are_rare(words: Path, tmp_path: Path, common: int, found: list[str]) -> None:
    """Every stretch of ``common`` tokens of a row stands in very many others too."""
    windows = [ROW[at : at + common] for at in range(8 - common + 1) for _ in range(MAX_PLACES + 1)]
    others = [
        row(f"other {n}", [f"w{100 + n}", *window, f"w{100 + n}"], n) for n, window in enumerate(windows)
    ]
    index = SpanIndex.build([row("r", ROW[:8], 99), *others], words, tmp_path)
    assert [span.source.row for span in near(index, ROW[:8])] == found


def test_of_rows_as_near_as_each_other_the_first_accepted_is_named(words: Path, tmp_path: Path) -> None:
    twice = [row("late", [*ROW, "w150"], 9, "bo"), row("early", [*ROW, "w151"], 3)]
    index = SpanIndex.build(twice, words, tmp_path)
    (found,) = near(index, [*ROW[:20], "w152", *ROW[21:]])
    assert found.source.row == "early"


def test_of_rows_with_the_same_words_the_first_accepted_is_named(words: Path, tmp_path: Path) -> None:
    index = SpanIndex.build([row("late", ROW, 9, "bo"), row("early", ROW, 3)], words, tmp_path)
    (found,) = near(index, ROW)
    assert found.source.row == "early"


def test_the_nearer_of_two_rows_is_named_alone(words: Path, tmp_path: Path) -> None:
    rows = [row("far", [*ROW[:12], "w150", *ROW[13:]], 0), row("nearer", ROW, 1)]
    index = SpanIndex.build(rows, words, tmp_path)
    (found,) = near(index, [*ROW[:25], "w152", *ROW[26:]])
    assert (found.source.row, found.edits) == ("nearer", 1)


def test_a_near_span_is_paid_nothing(index: SpanIndex) -> None:
    """Rule v1-spans knows what stands word for word; seven tokens between edits are no span of it."""
    output = index.encode(" ".join([*ROW[:7], "w150", *ROW[8:15], "w151", *ROW[16:23]]))
    (found,) = index.near(output)
    assert (found.matched, found.edits) == (21, 2)
    assert shares(output, index.find(output), costs=index.costs(output)).credits == ()


@pytest.mark.parametrize("output", [[], [0], [0] * 50, [0xFFFF] * 20, [0xFFFFFFFF] * 20])
def test_output_without_words_has_no_near_spans(index: SpanIndex, output: list[int]) -> None:
    assert index.near(output) == []


def test_an_empty_index_has_no_near_spans(words: Path, tmp_path: Path) -> None:
    assert SpanIndex.build([], words, tmp_path).near(list(range(1, 30))) == []


few = st.lists(st.sampled_from(["w1", "w2", "w3", "w4"]), max_size=30)
fewer = st.lists(st.sampled_from(["w1", "w2"]), min_size=4, max_size=20)


def _edits(piece: list[int], text: list[int]) -> int:
    """Least edits that make ``piece`` a stretch of ``text``."""
    costs = [0] * (len(text) + 1)
    for token in piece:
        above, costs = costs, [costs[0] + 1]
        for at, other in enumerate(text, 1):
            costs.append(min(above[at - 1] + (token != other), above[at] + 1, costs[-1] + 1))
    return min(costs)


def _common(piece: list[int], text: list[int]) -> int:
    """Length of the longest common subsequence."""
    lengths = [0] * (len(text) + 1)
    for token in piece:
        above, lengths = lengths, [0]
        for at, other in enumerate(text, 1):
            lengths.append(above[at - 1] + 1 if token == other else max(above[at], lengths[-1]))
    return lengths[-1]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(few, max_size=4), few)
def test_what_is_claimed_is_there(
    words: Path, tmp_path_factory: pytest.TempPathFactory, texts: list[list[str]], output: list[str]
) -> None:
    rows = [row(str(n), text, n) for n, text in enumerate(texts)]
    index = SpanIndex.build(rows, words, tmp_path_factory.mktemp("near"))
    tokens, costs = index.encode(" ".join(output)), index.costs(index.encode(" ".join(output)))
    spans = index.near(tokens)
    for span in spans:
        piece, text = tokens[span.start : span.end], index.encode(" ".join(texts[span.source.accepted]))
        assert span.matched - EDIT_COST * span.edits >= MIN_SCORE
        assert span.matched <= _common(piece, text)
        assert _edits(piece, text) <= span.edits
        assert len(piece) <= span.matched + span.edits
        assert 0 < span.weight <= sum(costs[span.start : span.end])
        assert not any(
            other is not span and other.start <= span.start and span.end <= other.end
            and other.matched - EDIT_COST * other.edits >= span.matched - EDIT_COST * span.edits
            for other in spans
        )  # fmt: skip
    for exact in index.find(tokens):
        if any(
            _places(index, texts, tokens[exact.start : exact.start + size]) <= MAX_PLACES for size in SEEDS
        ):
            assert any(span.start <= exact.start and exact.end <= span.end for span in spans)


def _places(index: SpanIndex, texts: list[list[str]], wanted: list[int]) -> int:
    """Where ``wanted`` stands in the texts, each text once."""
    held = [index.encode(" ".join(text)) for text in {" ".join(text): text for text in texts}.values()]
    return sum(text[at : at + len(wanted)] == wanted for text in held for at in range(len(text)))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(fewer, min_size=1, max_size=4), fewer)
def test_pieces_are_the_maximal_matches_that_hold_a_seed(
    words: Path, tmp_path_factory: pytest.TempPathFactory, texts: list[list[str]], output: list[str]
) -> None:
    """Against trying every pair of places."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_near, "MAX_PLACES", 2)
        patch.setattr(_near, "MIN_SCORE", 1)
        rows = [row(str(n), text, n) for n, text in enumerate(texts)]
        index = SpanIndex.build(rows, words, tmp_path_factory.mktemp("near"))
        tokens = index.encode(" ".join(output))
        made = Output(tokens, frozenset({0}), 2)
        found = set()
        for shard, seeds in zip(index._shards, _near._seeds(index._shards, made), strict=True):
            for number, pieces in _near._pieces(shard, made, *seeds):
                text = tuple(np.asarray(shard.text(number)).tolist())
                found |= {
                    (text, start, end, at + start - int(shard.starts[number])) for start, end, at in pieces
                }
    seeded = {
        (start, size)
        for start in range(len(tokens))
        for size in SEEDS
        if start + size <= len(tokens)
        and 0 < _places(index, texts, tokens[start : start + size]) <= 2
        and all(_places(index, texts, tokens[start : start + less]) > 2 for less in SEEDS if less < size)
    }
    expected = set()
    for text in {tuple(index.encode(" ".join(text))) for text in texts}:
        for first in range(len(tokens)):
            for place in range(len(text)):
                if first and place and tokens[first - 1] == text[place - 1]:
                    continue
                size = 0
                while (
                    first + size < len(tokens)
                    and place + size < len(text)
                    and tokens[first + size] == text[place + size]
                ):
                    size += 1
                if any(first <= start and start + length <= first + size for start, length in seeded):
                    expected.add((text, first, first + size, place))
    assert found == expected


def test_random_edits_of_a_passage_are_found(words: Path, tmp_path: Path) -> None:
    draw = random.Random(5)
    texts = [[f"w{draw.randrange(199)}" for _ in range(60)] for _ in range(200)]
    index = SpanIndex.build([row(str(n), text, n) for n, text in enumerate(texts)], words, tmp_path)
    for number in range(0, 200, 10):
        passage = texts[number][10:50]
        for at in draw.sample(range(40), 3):
            passage[at] = f"w{draw.randrange(199)}"
        found = near(index, passage)
        assert {span.source.row for span in found} == {str(number)}
        assert sum(span.matched for span in found) >= 24
