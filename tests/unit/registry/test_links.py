"""Links that can be demanded: the same rule as the contracts' DagCbor library."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from openledger.errors import ContentError
from openledger.registry import (
    ActionContent,
    Batch,
    BatchEntry,
    Encoded,
    Link,
    Payout,
    block_of,
    cid_from_digest,
    cid_of,
    digest_of,
    encode,
    links_in,
    path_to_missing,
)

CID = cid_of(b"\xa0")
FAKE = b"\xd8\x2a\x58\x25\x00\x01\x71\x12\x20" + bytes(32)

plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20) | st.binary(max_size=80) | st.just(FAKE),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@given(plain, st.integers(1, 9))
def test_links_of_a_list_are_found_among_anything(value: Any, count: int) -> None:
    links = [Link(cid_of(bytes((i,)), "raw" if i % 2 else "dag-cbor")) for i in range(count)]
    data = encode({"a": value, "links": links, "z": value})
    found = links_in(data)
    assert [link.cid for link in found] == links
    for link in found:
        assert data[link.offset : link.offset + 5] == b"\xd8\x2a\x58\x25\x00"
        assert link.listed


@given(plain)
def test_what_looks_like_a_link_is_none(value: Any) -> None:
    assert links_in(encode({"value": value})) == []


@given(st.binary(max_size=300))
def test_any_bytes_may_be_read(data: bytes) -> None:
    for link in links_in(data):
        assert link.offset + 41 <= len(data)


def test_named_fields_and_numbered_assets_are_not_demanded() -> None:
    assert links_in(encode({"parent": Link(CID), "content": Link(CID)})) == []
    assert links_in(encode([[7, Link(CID)], [8, Link(CID)]])) == []
    assert links_in(encode({"links": [Link(cid_from_digest(bytes(32), "dag-pb"))]})) == []
    (entry,) = links_in(encode([[bytes(32), Link(CID), "5"]]))
    assert not entry.listed


def test_a_clients_links_are_never_in_place() -> None:
    request = {"links": [Link(CID)]}
    content = ActionContent(CID, "a", request, {"say": [Link(CID)]}, None, [], "r", None, CID, 0, 1)
    assert links_in(content.encoded.data) == []
    again = ActionContent.decode(content.cid, content.encoded.blocks.__getitem__)
    assert again.request == request


def batch(count: int) -> Encoded:
    entries = [BatchEntry(bytes((i,)) * 32, cid_of(encode(i)), 1) for i in range(count)]
    return Batch(1, 0, entries, [Payout("0x" + "01" * 20, count)]).encoded


def test_what_a_batch_states_of_influence_can_be_demanded_whatever_record_is_asked_about() -> None:
    said = encode("influence")
    entry = BatchEntry(bytes(32), cid_of(encode(1)), 1, cid_of(said))
    encoded = Batch(1, 0, [entry], [Payout("0x" + "01" * 20, 1)]).encoded
    blocks = {**encoded.blocks, entry.envelope: encode(1)}
    path = path_to_missing(encoded.cid, lambda cid: _got(blocks, cid), frozenset())
    assert path is not None
    assert [data[offset + 9 : offset + 41] for data, offset in path][-1] == digest_of(cid_of(said))
    assert path_to_missing(encoded.cid, lambda cid: _got({**blocks, cid_of(said): said}, cid)) is None


def _got(blocks: dict[str, bytes], cid: str) -> bytes:
    if cid not in blocks:
        raise ContentError("missing", cid=cid)
    return blocks[cid]


def test_the_path_to_a_missing_block_leads_through_its_parents() -> None:
    encoded = batch(90)
    blocks = dict(encoded.blocks)
    blocks.update({cid_of(encode(i)): encode(i) for i in range(90)})

    def get(cid: str) -> bytes:
        if cid not in blocks:
            raise ContentError("missing", cid=cid)
        return blocks[cid]

    assert path_to_missing(encoded.cid, get) is None
    missing = cid_of(encode(77))
    block = blocks.pop(missing)
    path = path_to_missing(encoded.cid, get)
    assert path is not None
    assert path[0][0] == encoded.data
    digests = [digest_of(cid_of(data)) for data, _ in path[1:]] + [digest_of(missing)]
    assert [data[offset + 9 : offset + 41] for data, offset in path] == digests
    # of the records only the one that is asked about
    assert path_to_missing(encoded.cid, get, frozenset((cid_of(encode(3)),))) is None
    assert path_to_missing(encoded.cid, get, frozenset((missing,))) == path
    assert block_of(digest_of(missing), get) is None
    blocks[missing] = block
    assert block_of(digest_of(missing), get) == block
    # what does not fit a transaction cannot be shown
    large = encode([bytes(5000)])
    blocks[cid_of(large)] = large
    assert path_to_missing(cid_of(large), get) == []
    assert path_to_missing(cid_of(b"nowhere"), get) == []
