"""From published versions to a span index: numbered in the manifest's order, grown by new rows, without revoked ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from blocks import lose
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from openledger.attribution import shares
from openledger.datanets import Datanet, Row, fetch, publish, shipped, source_rows, span_index
from openledger.errors import ContentError
from openledger.registry import LocalStore, cid_of, decode

LAMP = "The lamp of the north pier turns twice a minute. It was lit by gas until the storm."


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "content")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base model's directory, with a tokenizer of one token a byte."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    made = Tokenizer(models.BPE({letter: at for at, letter in enumerate(letters)}, []))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    folder = tmp_path_factory.mktemp("base")
    made.save(str(folder / "tokenizer.json"))
    return folder


def grown(datanet: Datanet, *rows: Row) -> Datanet:
    return replace(datanet, rows=(*datanet.rows, *rows))


def test_source_rows_are_numbered_through_all_datanets(store: LocalStore) -> None:
    first, second = shipped("audit_findings"), shipped("environmental_sensing")
    rows = source_rows([first, second])
    more = source_rows([grown(first, Row("new", "ann", "CC0-1.0", LAMP)), second])
    assert [row.accepted for row in more] == list(range(len(rows) + 1))
    assert more[-1].accepted == rows[-1].accepted + 1, "an earlier datanet that grows moves the numbers"


def test_a_later_version_finds_old_and_new_rows(store: LocalStore, base: Path, tmp_path: Path) -> None:
    first, other = shipped("audit_findings"), shipped("environmental_sensing")
    one, two = publish(first, store), publish(other, store)
    span_index([one, two], store, base, tmp_path)
    before = set((tmp_path / "spans").iterdir())
    later = publish(grown(first, Row("new", "ann", "CC0-1.0", LAMP)), store, previous=one)
    index = span_index([later, two], store, base, tmp_path)
    assert before < set((tmp_path / "spans").iterdir())
    for text, row, datanet, accepted in [
        (LAMP, "new", later, 24),
        (first.rows[3].text, first.rows[3].row, later, 3),
        (other.rows[0].text, other.rows[0].row, two, 25),
    ]:
        (span,) = [s for s in index.find(index.encode(text)) if s.tokens == len(index.encode(text))]
        (source,) = span.sources
        assert (source.row, source.datanet, source.accepted) == (row, datanet, accepted)


def test_words_of_a_contributor_who_revoked_are_paid_to_nobody(
    store: LocalStore, base: Path, tmp_path: Path
) -> None:
    first = grown(shipped("audit_findings"), Row("hers", "eve", "CC0-1.0", LAMP))
    one = publish(first, store)
    before = span_index([one], store, base, tmp_path)
    tokens = before.encode(LAMP)
    assert "eve" in shares(tokens, before.find(tokens), costs=before.costs(tokens)).weights
    after = span_index([publish(shipped("audit_findings"), store, previous=one)], store, base, tmp_path)
    assert "eve" not in {source.contributor for span in after.find(tokens) for source in span.sources}
    assert "eve" not in shares(tokens, after.find(tokens), costs=after.costs(tokens)).weights
    assert "eve" not in {source.contributor for source in after.sources}


def test_a_version_that_is_not_in_the_store_is_named(store: LocalStore, base: Path, tmp_path: Path) -> None:
    known, absent = publish(shipped("audit_findings"), store), cid_of(b"\xa0")
    with pytest.raises(ContentError, match=f"Datanet version {absent} cannot be indexed") as caught:
        span_index([known, absent], store, base, tmp_path)
    assert caught.value.cid == absent
    assert "import it" in caught.value.fix


def test_a_version_of_which_a_row_is_missing_is_named(store: LocalStore, base: Path, tmp_path: Path) -> None:
    version = publish(shipped("audit_findings"), store)
    page = str(decode(store.get(version), version)["pages"][0])
    row = str(decode(store.get(page), page)["rows"][5])
    lose(store, row)
    with pytest.raises(ContentError, match=f"Datanet version {version}") as caught:
        span_index([version], store, base, tmp_path)
    assert caught.value.cid == row


def test_the_digest_of_an_index_follows_version_and_order(
    store: LocalStore, base: Path, tmp_path: Path
) -> None:
    one, two = publish(shipped("audit_findings"), store), publish(shipped("environmental_sensing"), store)
    digests = {span_index(nets, store, base, tmp_path).digest for nets in ([one], [one, two], [two, one])}
    assert len(digests) == 3
    assert span_index([one, two], store, base, tmp_path / "elsewhere").digest in digests
    assert fetch(store, one).cid == one
