"""Datanets: the shipped ones, reading, checks between rows, publishing and fetching."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openledger.datanets import (
    DUPLICATE_JACCARD,
    MAX_ROWS,
    Datanet,
    Fact,
    Row,
    accepted,
    assign,
    contribution_leaf,
    contribution_tree,
    fetch,
    load,
    publish,
    shipped,
    shipped_names,
    similarity,
    source_rows,
    validate,
)
from openledger.errors import ContentError, UserError
from openledger.registry import Link, LocalStore, cid_of, decode, encode, verify_proof

ROW = {
    "row": "r1",
    "contributor": "ann",
    "licence": "CC0-1.0",
    "text": "The lamp of the north pier turns twice a minute. It was lit by gas until the storm.",
    "facts": [{"question": "How fast?", "paraphrase": "What speed?", "answer": "turns twice a minute"}],
}


def row(name: str, text: str, contributor: str = "ann") -> Row:
    return Row(name, contributor, "CC0-1.0", text)


def write(path: Path, *rows: object) -> Path:
    path.write_text("".join((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in rows))
    return path


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "content")


@pytest.mark.parametrize("name", shipped_names())
def test_shipped_datanets_keep_their_promises(name: str) -> None:
    datanet = shipped(name)
    assert len(datanet.rows) >= 24
    assert len(datanet.contributors) >= 3
    assert validate(datanet) == []
    answers = [answer for _, answer in datanet.questions()]
    assert len(set(answers)) == len(answers)
    for item in datanet.rows:
        assert len(item.facts) >= 4
        for fact in item.facts:
            assert 6 <= len(fact.answer.split()) <= 16
            assert fact.question != fact.paraphrase
            assert sum(fact.answer in other.text for other in datanet.rows) == 1


def test_no_paraphrase_is_a_trained_question() -> None:
    for name in shipped_names():
        datanet = shipped(name)
        assert not {q for q, _ in datanet.trained()} & {q for q, _ in datanet.paraphrases()}


def test_an_unknown_shipped_name_lists_the_choices() -> None:
    with pytest.raises(UserError, match="audit_findings"):
        shipped("nothing")


def test_load_reads_rows_in_order(tmp_path: Path) -> None:
    other = {**ROW, "row": "r2", "contributor": "bo", "text": "Another text stands here.", "facts": []}
    datanet = load(write(tmp_path / "piers.jsonl", ROW, "", other), topic="piers")
    assert (datanet.name, datanet.topic) == ("piers", "piers")
    assert [r.row for r in datanet.rows] == ["r1", "r2"]
    assert datanet.contributors == ("ann", "bo")
    assert datanet.questions() == [("How fast?", "turns twice a minute")]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"licence": "free"}, "SPDX"),
        ({"text": " "}, "empty"),
        ({"text": "two\nlines of turns twice a minute"}, "line breaks"),
        ({"text": "x" * 4000}, "longer than"),
        ({"facts": [{"question": "a?", "paraphrase": "b?", "answer": "not there"}]}, "does not stand"),
        ({"facts": [{"question": "a?"}]}, "schema"),
        ({"facts": "none"}, "not a list"),
        ({"extra": 1}, "unknown"),
        ({"contributor": 7}, "not text"),
    ],
)
def test_a_bad_row_names_its_line_and_the_remedy(
    tmp_path: Path, change: dict[str, object], says: str
) -> None:
    path = write(tmp_path / "bad.jsonl", {**ROW, "row": "r0"}, {**ROW, **change})
    with pytest.raises(UserError, match=says) as caught:
        load(path)
    assert "bad.jsonl line 2" in caught.value.what
    assert caught.value.fix


@pytest.mark.parametrize("content", ["", "\n\n", "{not json}\n", "[1]\n"])
def test_a_file_without_usable_rows_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "odd.jsonl"
    path.write_text(content)
    with pytest.raises(UserError, match=r"odd\.jsonl"):
        load(path)


def test_repeated_ids_and_missing_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="repeats row id"):
        load(write(tmp_path / "twice.jsonl", ROW, ROW))
    with pytest.raises(UserError, match="Cannot read"):
        load(tmp_path / "absent.jsonl")
    with pytest.raises(UserError, match="cannot name"):
        load(write(tmp_path / "x.jsonl", ROW), name="Bad Name")


def test_a_near_duplicate_is_flagged_and_the_first_stays() -> None:
    text = "the old ferry leaves the island at noon and carries mail and bread for the two farms"
    copy = text.replace("noon", "dusk")
    datanet = Datanet(
        "d", "t", (row("a", text), row("b", copy, "bo"), row("c", "something else is said here now"))
    )
    problems = [p for p in validate(datanet) if p.code == "duplicate"]
    assert [(p.row, p.other) for p in problems] == [("b", "a")]
    assert "remove it" in str(problems[0])
    assert [r.row for r in accepted(datanet).rows] == ["a", "c"]


def test_the_same_question_twice_is_flagged() -> None:
    fact = Fact("Who?", "Which one?", "a person")
    rows = (
        Row("a", "x", "MIT", "a person came", (fact,)),
        Row("b", "x", "MIT", "here a person went", (fact,)),
    )
    assert [p.code for p in validate(Datanet("d", "t", rows))] == ["question-twice"]


@given(
    st.lists(st.sampled_from(list("abcdef")), max_size=14),
    st.lists(st.sampled_from(list("abc")), max_size=14),
)
def test_similarity_is_symmetric_and_bounded(left: list[str], right: list[str]) -> None:
    a, b = " ".join(left), " ".join(right)
    assert similarity(a, b) == similarity(b, a)
    assert 0 <= similarity(a, b) <= 1
    assert similarity(a, a) == (1.0 if left else 0.0)


@given(st.lists(st.lists(st.sampled_from(list("abcd")), min_size=3, max_size=9), min_size=1, max_size=8))
def test_validate_agrees_with_comparing_every_pair(texts: list[list[str]]) -> None:
    rows = tuple(row(str(i), " ".join(text)) for i, text in enumerate(texts))
    kept: list[Row] = []
    for item in rows:
        if all(similarity(item.text, other.text) <= DUPLICATE_JACCARD for other in kept):
            kept.append(item)
    assert accepted(Datanet("d", "t", rows)).rows == tuple(kept)


ACCOUNTS = {
    "marlow": "0x" + "11" * 20,
    "inesk": "0x" + "22" * 20,
    "tobren": "0x" + "33" * 20,
    "quill": "0x" + "44" * 20,
}


def test_publish_and_fetch_round_trip(store: LocalStore) -> None:
    datanet = shipped("audit_findings")
    cid = publish(datanet, store, accounts=ACCOUNTS)
    got = fetch(store, cid)
    assert got == assign(datanet, ACCOUNTS)
    assert got.cid == cid
    assert set(got.contributors) == set(ACCOUNTS.values())
    assert publish(datanet, store, accounts=ACCOUNTS) == cid
    assert got.training_digest() == datanet.training_digest()


def test_one_address_in_two_spellings_is_one_contributor() -> None:
    account = "0xd8dA6BF26964aF9D7eEd9e03E53415D37aA96045"
    mine = Datanet("d", "t", (row("a", "one two", account.lower()), row("b", "three four", "me")))
    assert assign(mine, {"me": "0x" + account[2:].upper()}).contributors == (account,)


def test_each_row_is_provable_and_fits_a_block(store: LocalStore) -> None:
    cid = publish(shipped("environmental_sensing"), store)
    version = decode(store.get(cid), cid)
    links = [
        str(link) for page in version["pages"] for link in decode(store.get(str(page)), str(page))["rows"]
    ]
    tree = contribution_tree(links)
    assert version["root"] == tree.root
    for index, link in enumerate(links):
        assert len(store.get(link)) <= 4096
        assert verify_proof(tree.root, contribution_leaf(link), index, len(links), tree.proof(index))


def test_publishing_refuses_what_is_not_valid_and_stores_nothing(store: LocalStore, tmp_path: Path) -> None:
    twice = Datanet("d", "t", (row("a", "one two three four"), row("b", "one two three four")))
    with pytest.raises(UserError, match="repeats row a"):
        publish(twice, store)
    with pytest.raises(UserError, match="no account"):
        publish(shipped("audit_findings"), store, accounts={"marlow": ACCOUNTS["marlow"]})
    with pytest.raises(UserError, match="not an address"):
        assign(shipped("audit_findings"), {**ACCOUNTS, "quill": "0x12"})
    with pytest.raises(UserError, match=str(MAX_ROWS)):
        publish(Datanet("d", "t", ()), store)
    assert not [p for p in (tmp_path / "content").rglob("*") if p.is_file()]


def test_fetch_refuses_a_version_whose_rows_do_not_match_its_root(store: LocalStore) -> None:
    cid = publish(shipped("audit_findings"), store)
    version = decode(store.get(cid), cid)
    version["root"] = bytes(32)
    lying = store.put(encode(version))
    with pytest.raises(ContentError, match="Merkle root"):
        fetch(store, lying)


def test_fetch_refuses_other_blocks(store: LocalStore) -> None:
    with pytest.raises(ContentError):
        fetch(store, cid_of(b"absent"))
    with pytest.raises(ContentError, match="not a datanet version"):
        fetch(store, store.put(encode({"kind": "other"})))
    page = store.put(encode({"rows": [Link(store.put(encode({"row": 1})))]}))
    links = [str(link) for link in decode(store.get(page), page)["rows"]]
    version = {
        "kind": "openledger/datanet@1",
        "name": "d",
        "topic": "t",
        "schema": "facts@1",
        "licences": [],
        "count": 1,
        "root": contribution_tree(links).root,
        "pages": [Link(page)],
        "previous": None,
    }
    with pytest.raises(ContentError, match="malformed"):
        fetch(store, store.put(encode(version)))


def test_publish_links_the_version_before(store: LocalStore) -> None:
    first = publish(shipped("audit_findings"), store)
    second = publish(shipped("environmental_sensing"), store, previous=first)
    assert decode(store.get(second), second)["previous"] == first


def test_source_rows_keep_the_order_of_acceptance(store: LocalStore) -> None:
    first, second = shipped("audit_findings"), shipped("environmental_sensing")
    published = fetch(store, publish(first, store, accounts=ACCOUNTS))
    rows = source_rows([published, second])
    assert [r.accepted for r in rows] == list(range(48))
    assert {r.datanet for r in rows} == {published.cid, "environmental_sensing"}
    assert rows[0].contributor == ACCOUNTS["marlow"]
    assert rows[24].row == second.rows[0].row
