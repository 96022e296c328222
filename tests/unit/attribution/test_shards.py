"""Shards: an index over many says what an index over one would, and only new texts are ever indexed."""

from __future__ import annotations

import os
import random
import stat
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from openledger.attribution import SourceRow, SpanIndex, shares
from openledger.attribution.spans import _cache, _shard
from openledger.errors import UserError

HERON = "A quick heron watches nine silver fish below the broken weir."
LAMP = "The lamp in the tower turns slowly and every boat knows it."
WORDS = [
    "heron",
    "lamp",
    "boat",
    "rain",
    "tower",
    "silver",
    "harbour",
    "mill",
    "slowly",
    "weir",
    "colour",
    "rhythm",
    "falls",
    "knows",
    "fish",
]


def text(seed: int, words: int = 60) -> str:
    draw = random.Random(seed)
    return " ".join(draw.choice(WORDS) for _ in range(words))


def numbered(texts: list[str], first: int = 0) -> list[SourceRow]:
    return [SourceRow(f"r{n}", f"c{n}", words, n) for n, words in enumerate(texts, first)]


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Bytes of each text that was sorted, in order."""
    done: list[int] = []
    sort = _shard.build_suffixes

    def counted(data: bytes, width: int) -> object:
        done.append(len(data))
        return sort(data, width)

    monkeypatch.setattr(_shard, "build_suffixes", counted)
    return done


def folders(cache: Path) -> list[Path]:
    return sorted(cache.glob("*"))


def sizes(index: SpanIndex) -> list[int]:
    return sorted(len(shard.order) for shard in index._shards)


words = st.lists(st.sampled_from(WORDS[:3]), max_size=14).map(" ".join)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(st.tuples(words, st.sampled_from("abc"), st.sampled_from(["one", "two"])), max_size=12),
    cuts=st.lists(st.integers(1, 8), min_size=1, max_size=3),
    gone=st.sets(st.integers(0, 11)),
    merging=st.booleans(),
    output=words,
    at_least=st.integers(1, 10),
)
def test_many_shards_answer_as_one(
    tokenizer: Path,
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[str, str, str]],
    cuts: list[int],
    gone: set[int],
    merging: bool,
    output: str,
    at_least: int,
) -> None:
    """Versions of two datanets that grow, then lose rows, on one cache; against an index made at once on an empty one."""
    every = [
        SourceRow(f"r{n}", contributor, words, n, datanet)
        for n, (words, contributor, datanet) in enumerate(rows)
    ]
    left = [row for n, row in enumerate(every) if n not in gone]
    cache = tmp_path_factory.mktemp("many")
    with pytest.MonkeyPatch.context() as patch:
        if not merging:
            patch.setattr(_cache, "_merged", lambda parts, most: [[part] for part in parts])
        for cut in [*sorted(cuts), len(every)]:
            SpanIndex.build(every[:cut], tokenizer, cache)
        many = SpanIndex.build(left, tokenizer, cache)
    one = SpanIndex.build(left, tokenizer, tmp_path_factory.mktemp("one"))
    assert len(one._shards) <= 1
    event(f"{len(many._shards)} shards")
    tokens = one.encode(output)
    assert many.digest == one.digest
    assert len(many) == len(one)
    assert many.sources == one.sources
    assert many.costs(tokens) == one.costs(tokens)
    assert many.find(tokens, at_least) == one.find(tokens, at_least)
    assert many.near(tokens) == one.near(tokens)
    spans, costs = many.find(tokens), many.costs(tokens)
    assert shares(tokens, spans, costs=costs) == shares(tokens, one.find(tokens), costs=one.costs(tokens))


def test_a_span_in_one_shard_is_dropped_for_a_longer_one_in_another(tokenizer: Path, tmp_path: Path) -> None:
    rows = numbered([*(text(n) for n in range(5)), "heron watches nine silver fish below the broken weir"])
    SpanIndex.build(rows, tokenizer, tmp_path)
    index = SpanIndex.build([*rows, SourceRow("whole", "dee", HERON, 9)], tokenizer, tmp_path)
    assert len(index._shards) == 2
    (span,) = index.find(index.encode(HERON))
    assert [source.row for source in span.sources] == ["whole"]


@pytest.mark.parametrize("first", ["short", "long"])
def test_of_two_shards_that_have_a_beginning_the_one_that_goes_further_counts(
    tokenizer: Path, tmp_path: Path, first: str
) -> None:
    words = {"short": "A quick heron watches nine silver fish below the mill", "long": HERON}
    other = "long" if first == "short" else "short"
    large = [SourceRow(first, "ann", f"{words[first]} {text(1)}", 0)]
    SpanIndex.build(large, tokenizer, tmp_path)
    index = SpanIndex.build([*large, SourceRow(other, "bo", words[other], 1)], tokenizer, tmp_path)
    assert len(index._shards) == 2
    (span,) = index.find(index.encode(HERON))
    assert (span.start, span.end) == (0, len(index.encode(HERON)))
    assert [source.row for source in span.sources] == ["long"]


@pytest.mark.parametrize(("accepted", "order"), [(3, ["new", "old"]), (9, ["old", "new"])])
def test_holders_of_one_span_come_from_all_shards_in_order_of_acceptance(
    tokenizer: Path, tmp_path: Path, accepted: int, order: list[str]
) -> None:
    old = [SourceRow("old", "ann", f"{LAMP} {text(1)} {text(2)}", 5)]
    SpanIndex.build(old, tokenizer, tmp_path)
    index = SpanIndex.build([*old, SourceRow("new", "bo", LAMP, accepted)], tokenizer, tmp_path)
    assert len(index._shards) == 2
    (span,) = index.find(index.encode(LAMP))
    assert [source.row for source in span.sources] == order


def test_only_new_rows_are_indexed(tokenizer: Path, tmp_path: Path, work: list[int]) -> None:
    rows = numbered([text(n) for n in range(50)])
    SpanIndex.build(rows, tokenizer, tmp_path)
    index = SpanIndex.build([*rows, SourceRow("new", "bo", LAMP, 50)], tokenizer, tmp_path)
    assert work == [2 * (size + count) for size, count in zip(reversed(sizes(index)), (50, 1), strict=True)]
    assert [span.sources[0].row for span in index.find(index.encode(LAMP))] == ["new"]


def test_new_names_numbers_and_accounts_index_nothing(
    tokenizer: Path, tmp_path: Path, work: list[int]
) -> None:
    """A new version renames its datanet, an earlier datanet that grew moves every number, a contributor has an account now."""
    SpanIndex.build([SourceRow("r", "ann", LAMP, 0, "v1")], tokenizer, tmp_path)
    index = SpanIndex.build([SourceRow("r9", "0xA11", f"  {LAMP} ", 70, "v2")], tokenizer, tmp_path)
    assert len(work) == 1
    (source,) = index.sources
    assert (source.accepted, source.datanet, source.row, source.contributor) == (70, "v2", "r9", "0xA11")


def test_a_revoked_contributor_is_never_found_and_nothing_is_sorted_again(
    tokenizer: Path, tmp_path: Path, work: list[int]
) -> None:
    rows = [*numbered([text(n) for n in range(20)]), SourceRow("gone", "eve", LAMP, 20)]
    before = SpanIndex.build(rows, tokenizer, tmp_path)
    assert before.find(before.encode(LAMP))
    after = SpanIndex.build(rows[:-1], tokenizer, tmp_path)
    assert len(work) == 1
    assert after.find(after.encode(LAMP)) == after.near(after.encode(LAMP)) == []
    assert "eve" not in {source.contributor for source in after.sources}
    assert len(after) == len(before) - len(before.encode(LAMP))
    (shard,) = after._shards
    assert len(shard.keys) == 20, "her words are not in the shard either"


def test_a_text_two_contributors_gave_stays_while_one_of_them_does(tokenizer: Path, tmp_path: Path) -> None:
    both = [SourceRow("hers", "ann", LAMP, 0), SourceRow("his", "bo", LAMP, 1)]
    index = SpanIndex.build(both, tokenizer, tmp_path)
    assert len(index) == 2 * len(index.encode(LAMP))
    assert sizes(index) == [len(index.encode(LAMP))], "stored once"
    (span,) = SpanIndex.build(both[1:], tokenizer, tmp_path).find(index.encode(LAMP))
    assert [source.contributor for source in span.sources] == ["bo"]


def test_many_small_versions_leave_few_shards_and_little_work(
    tokenizer: Path, tmp_path: Path, work: list[int]
) -> None:
    rows = numbered([text(n, 30) for n in range(128)])
    for version in range(1, 129):
        index = SpanIndex.build(rows[:version], tokenizer, tmp_path)
        have = sizes(index)
        assert all(larger > 2 * smaller for smaller, larger in pairwise(have))
    whole = 2 * (len(index) + 128)
    assert sum(work) < 8 * whole  # one rebuild for each version would be 64


def test_small_datanets_side_by_side_are_made_one_shard(tokenizer: Path, tmp_path: Path) -> None:
    rows = numbered([text(n) for n in range(8)])
    for row in rows:
        SpanIndex.build([row], tokenizer, tmp_path)
    assert len(SpanIndex.build(rows, tokenizer, tmp_path)._shards) == 1


def test_few_wanted_texts_in_a_large_shard_are_indexed_on_their_own(
    tokenizer: Path, tmp_path: Path, work: list[int]
) -> None:
    rows = numbered([text(n) for n in range(40)])
    SpanIndex.build(rows, tokenizer, tmp_path)
    SpanIndex.build(rows[:2], tokenizer, tmp_path)
    assert len(work) == 2
    SpanIndex.build(rows[:2], tokenizer, tmp_path)
    assert len(work) == 2


def test_more_text_than_can_be_sorted_becomes_several_shards(
    tokenizer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = numbered([*(text(n) for n in range(9)), LAMP])
    one = SpanIndex.build(rows, tokenizer, tmp_path / "one")
    monkeypatch.setattr(_cache, "MAX_BYTES", 2 * len(one) // 2)
    many = SpanIndex.build(rows, tokenizer, tmp_path / "many")
    assert len(many._shards) > 1
    assert many.find(many.encode(LAMP)) == one.find(one.encode(LAMP))


@pytest.mark.parametrize(
    "name", ["tokens.bin", "suffixes.bin", "keys.bin", "starts.bin", "counts.bin", "shard.json"]
)
@pytest.mark.parametrize("harm", ["changed", "missing"])
def test_a_damaged_shard_is_made_again(tokenizer: Path, tmp_path: Path, name: str, harm: str) -> None:
    rows = numbered([HERON, LAMP])
    before = SpanIndex.build(rows, tokenizer, tmp_path)
    expected = before.find(before.encode(LAMP))
    (folder,) = folders(tmp_path)
    if harm == "changed":
        data = bytearray((folder / name).read_bytes())
        data[0] ^= 1
        (folder / name).write_bytes(data)
    else:
        (folder / name).unlink()
    after = SpanIndex.build(rows, tokenizer, tmp_path)
    assert after.find(after.encode(LAMP)) == expected != []
    assert folders(tmp_path) == [folder], "nothing else is left"
    assert SpanIndex.build(rows, tokenizer, tmp_path).find(after.encode(LAMP)) == expected


def test_an_index_in_use_outlives_its_files(tokenizer: Path, tmp_path: Path) -> None:
    index = SpanIndex.build(numbered([LAMP]), tokenizer, tmp_path)
    (folder,) = folders(tmp_path)
    for file in folder.iterdir():
        file.unlink()
    assert len(index.find(index.encode(LAMP))) == 1


def test_another_tokenizer_has_shards_of_its_own(tokenizer: Path, tmp_path: Path) -> None:
    SpanIndex.build(numbered([LAMP]), tokenizer, tmp_path)
    (tmp_path / "other.json").write_text((tokenizer / "tokenizer.json").read_text() + "\n")
    SpanIndex.build(numbered([LAMP]), tmp_path / "other.json", tmp_path)
    assert len(list(tmp_path.glob("spans-*"))) == 2


def test_shards_are_readable_by_their_owner_alone(tokenizer: Path, tmp_path: Path) -> None:
    mask = os.umask(0)
    try:
        rows = numbered([HERON, LAMP])
        SpanIndex.build(rows, tokenizer, tmp_path)
        SpanIndex.build(rows[:1], tokenizer, tmp_path)
    finally:
        os.umask(mask)
    for folder in folders(tmp_path):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o600}


def test_what_no_index_used_for_a_month_is_removed(tokenizer: Path, tmp_path: Path) -> None:
    SpanIndex.build(numbered([HERON]), tokenizer, tmp_path)
    SpanIndex.build(numbered([LAMP]), tokenizer, tmp_path)
    long_ago = time.time() - 40 * 86_400
    for folder in folders(tmp_path):
        os.utime(folder, (long_ago, long_ago))
    SpanIndex.build(numbered([LAMP]), tokenizer, tmp_path)
    (left,) = folders(tmp_path)
    assert left.stat().st_mtime > long_ago + 86_400


def test_a_cache_that_cannot_be_written_says_what_to_do(tokenizer: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="Cannot write") as caught:
        SpanIndex.build(numbered([LAMP]), tokenizer, tmp_path / "file" / "cache")
    assert "another cache" in str(caught.value)
