"""dag-cbor: the same bytes as the public library, and nothing but those bytes accepted."""

from __future__ import annotations

from typing import Any

import dag_cbor
import pytest
from hypothesis import given
from hypothesis import strategies as st
from multiformats import CID

from openledger.errors import ContentError, UserError
from openledger.registry import Link, cid_from_digest, decode, encode

links = st.binary(min_size=32, max_size=32).map(lambda digest: Link(cid_from_digest(digest)))
texts = st.text(st.characters(exclude_categories=["Cs"]))
leaves = (
    st.none()
    | st.booleans()
    | st.integers(-(2**64), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts
    | st.binary()
    | links
)
values = st.recursive(leaves, lambda inner: st.lists(inner) | st.dictionaries(texts, inner), max_leaves=20)


def _reference(value: Any) -> Any:
    if isinstance(value, Link):
        return CID.decode(value)
    if isinstance(value, list):
        return [_reference(item) for item in value]
    if isinstance(value, dict):
        return {key: _reference(item) for key, item in value.items()}
    return value


@given(values)
def test_values_come_back(value: Any) -> None:
    data = encode(value)
    back = decode(data)
    assert back == value
    assert encode(back) == data


@given(values)
def test_the_public_library_writes_the_same_bytes(value: Any) -> None:
    assert encode(value) == dag_cbor.encode(_reference(value))


@given(st.binary(max_size=64))
def test_bytes_are_canonical_or_refused(data: bytes) -> None:
    try:
        value = decode(data)
    except ContentError:
        return
    assert encode(value) == data


@given(values, st.data())
def test_a_flipped_bit_is_another_value_or_refused(value: Any, draw: st.DataObject) -> None:
    data = bytearray(encode(value))
    at = draw.draw(st.integers(0, len(data) * 8 - 1))
    data[at // 8] ^= 1 << at % 8
    try:
        assert encode(decode(bytes(data))) == bytes(data)
    except ContentError:
        return


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xa2\x61b\x01\x61a\x02",  # keys out of order
        b"\xa2\x61a\x01\x61a\x02",  # a key twice
        b"\x18\x01",  # a number longer than needed
        b"\xf9\x3c\x00",  # a 16-bit float
        b"\xfb\x7f\xf0\x00\x00\x00\x00\x00\x00",  # infinity
        b"\xf7",  # undefined
        b"\x9f\x01\xff",  # indefinite length
        b"\xc1\x01",  # a tag that is no link
        b"\xd8\x2a\x41\x00",  # a link without a CID
        b"\xa1\x01\x02",  # a key that is no text
        b"\x01\x02",  # trailing bytes
        b"\x61\xff",  # no UTF-8
        b"\x81" * 100 + b"\x01",  # nested too deeply
        b"\x81" * 100_000,
        b"\x9b\x7f\xff\xff\xff\xff\xff\xff\xff",  # an absurd length
        b"\xc2\x49" + b"\x01" * 9,  # a big number
        b"\xd8\x1c\x81\xd8\x1d\x00",  # shared references (a cycle)
    ],
)
def test_other_forms_are_refused(data: bytes) -> None:
    with pytest.raises(ContentError, match="dag-cbor"):
        decode(data)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 2**64, {1: 2}, {1, 2}, object(), 1j])
def test_what_cannot_be_stored_is_refused(value: Any) -> None:
    with pytest.raises(UserError):
        encode({"value": value})
    cycle: list[Any] = []
    cycle.append(cycle)
    with pytest.raises(UserError, match="nested"):
        encode(cycle)
