"""CIDs: one name per block, and malformed ones refused with a reason."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multiformats import CID

from openledger.errors import UserError
from openledger.registry import (
    CODECS,
    Link,
    cid_bytes,
    cid_from_bytes,
    cid_from_digest,
    cid_of,
    codec_name,
    codec_of,
    digest_of,
    normalise_cid,
)

digests = st.binary(min_size=32, max_size=32)
codecs = st.sampled_from(sorted(CODECS))


def test_known_cids() -> None:
    # The empty raw block and the empty UnixFS directory, as every IPFS node names them.
    assert cid_of(b"", "raw") == "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"
    assert (
        cid_of(b"\x0a\x02\x08\x01", "dag-pb") == "bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354"
    )


@given(digests, codecs)
def test_a_cid_takes_apart_and_together(digest: bytes, codec: str) -> None:
    cid = cid_from_digest(digest, codec)
    assert digest_of(cid) == digest
    assert codec_of(cid) == CODECS[codec]
    assert codec_name(cid) == codec
    assert cid_from_digest(digest, codec_of(cid)) == cid
    assert cid_from_bytes(cid_bytes(cid)) == cid
    assert normalise_cid(cid) == cid


@given(digests, codecs)
def test_the_public_library_agrees(digest: bytes, codec: str) -> None:
    cid = cid_from_digest(digest, codec)
    parsed = CID.decode(cid)
    assert bytes(parsed) == cid_bytes(cid)
    assert parsed.codec.name == codec
    assert normalise_cid(str(parsed.set(base="base58btc"))) == cid
    if codec == "dag-pb":
        assert normalise_cid(str(CID("base58btc", 0, "dag-pb", parsed.digest))) == cid


@given(st.text(max_size=80))
def test_any_text_is_a_cid_or_refused(text: str) -> None:
    try:
        cid = normalise_cid(text)
    except UserError:
        return
    assert normalise_cid(cid) == cid


@given(digests, codecs, st.integers(1, 58), st.sampled_from("abcdefghijklmnopqrstuvwxyz234567"))
def test_one_wrong_letter_never_names_the_same_block(digest: bytes, codec: str, at: int, letter: str) -> None:
    cid = cid_from_digest(digest, codec)
    changed = cid[:at] + letter + cid[at + 1 :]
    if changed == cid:
        return
    try:
        assert (digest_of(changed), codec_of(changed)) != (digest, CODECS[codec])
    except UserError:
        return


@pytest.mark.parametrize(
    ("cid", "why"),
    [
        ("", "empty"),
        ("b!", "base32"),
        ("bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyk", ""),
        ("bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvykv", "stray bits"),
        ("bafyreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zyx", ""),
        (Link(""), "empty"),
    ],
)
def test_malformed_cids_say_why(cid: str, why: str) -> None:
    with pytest.raises(UserError, match="is not a CID") as caught:
        digest_of(cid)
    assert why in caught.value.why
    assert caught.value.fix
    assert caught.value.code == "user.cid"


def test_wrong_digest_or_codec_is_refused() -> None:
    with pytest.raises(UserError, match="32 bytes"):
        cid_from_digest(b"short")
    with pytest.raises(UserError, match="codec"):
        cid_from_digest(bytes(32), "json")
    with pytest.raises(UserError, match="codec"):
        cid_from_digest(bytes(32), 0x0129)
