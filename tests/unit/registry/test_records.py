"""Tickets, records, their signatures and the envelope block."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from eth_account import Account
from hypothesis import given
from hypothesis import strategies as st

from openledger.errors import ContentError, UserError
from openledger.registry import (
    ActionRecord,
    Domain,
    ReplayClass,
    SeedSource,
    SignedRecord,
    Status,
    Ticket,
    cid_from_digest,
    cid_of,
    decode,
    encode,
    recover,
)

KEY = Account.from_key(b"\x01" * 32)
DOMAIN = Domain(31337, "0x5FbDB2315678afecb367f032d93F642f64180aa3")
HALF_ORDER = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141

b32 = st.binary(min_size=32, max_size=32)
records = st.builds(
    ActionRecord,
    agent_id=st.integers(0, 2**256 - 1),
    nonce=st.integers(0, 2**63 - 1),
    epoch=st.integers(0, 2**32 - 1),
    client=st.just(KEY.address),
    payment_id=b32,
    status=st.sampled_from(Status),
    request_hash=b32,
    output_hash=b32,
    steps_root=b32,
    rule_id=b32,
    fee=st.integers(0, 2**256 - 1),
    replay_class=st.sampled_from(ReplayClass),
    seed_source=st.sampled_from(SeedSource),
    anchor_by=st.integers(0, 2**63 - 1),
    content_digest=b32,
)


def _record(**changes: Any) -> ActionRecord:
    base: dict[str, Any] = {
        "agent_id": 1, "nonce": 0, "epoch": 1, "client": KEY.address, "payment_id": bytes(32), "status": Status.OK,
        "request_hash": bytes(32), "output_hash": bytes(32), "steps_root": bytes(32), "rule_id": bytes(32), "fee": 5,
        "replay_class": ReplayClass.EXACT_TOLERANCE, "seed_source": SeedSource.CLIENT, "anchor_by": 9,
        "content_digest": b"\x07" * 32,
    }  # fmt: skip
    return ActionRecord(**(base | changes))


@given(records)
def test_an_envelope_comes_back_and_names_its_signer(record: ActionRecord) -> None:
    signed = SignedRecord.make(record, KEY, DOMAIN, cid_from_digest(record.content_digest))
    data = signed.encode()
    assert len(data) <= 4096
    back = SignedRecord.decode(data, signed.cid)
    assert back == signed
    assert back.signer() == KEY.address
    assert back.cid == cid_of(data)


@given(records, records)
def test_different_records_never_share_a_hash(a: ActionRecord, b: ActionRecord) -> None:
    assert (a.struct_hash() == b.struct_hash()) == (a == b)


@pytest.mark.parametrize(
    "change",
    [
        {"nonce": 1}, {"fee": 6}, {"status": Status.FAILED}, {"seed_source": SeedSource.OPERATOR}, {"epoch": 2},
        {"agent_id": 2}, {"anchor_by": 10}, {"steps_root": b"\x01" * 32}, {"client": DOMAIN.verifying_contract},
    ],
)  # fmt: skip
def test_a_signature_covers_every_field(change: dict[str, Any]) -> None:
    record = _record()
    signature = record.sign(KEY, DOMAIN)
    assert record.signer(signature, DOMAIN) == KEY.address
    assert replace(record, **change).signer(signature, DOMAIN) != KEY.address


def test_a_signature_is_bound_to_chain_and_contract() -> None:
    record = _record()
    signature = record.sign(KEY, DOMAIN)
    assert record.signer(signature, replace(DOMAIN, chain_id=1)) != KEY.address
    assert record.signer(signature, replace(DOMAIN, verifying_contract=KEY.address)) != KEY.address
    ticket = Ticket(1, 1, bytes(32), bytes(32), 9)
    assert ticket.signer(ticket.sign(KEY, DOMAIN), DOMAIN) == KEY.address


def test_signatures_the_contracts_refuse_are_refused() -> None:
    digest = _record().digest(DOMAIN)
    good = _record().sign(KEY, DOMAIN)
    s = int.from_bytes(good[32:64], "big")
    assert s <= HALF_ORDER
    high = good[:32] + (ORDER - s).to_bytes(32, "big") + bytes((55 - good[64],))
    for bad in (
        good[:64],
        good[:64] + bytes((good[64] - 27,)),
        high,
        bytes(64) + b"\x1b",
        b"\xff" * 32 + good[32:],
    ):
        with pytest.raises(ContentError, match="signature"):
            recover(digest, bad)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("fee", -1), ("fee", 2**256), ("nonce", 2**64), ("epoch", 2**32), ("payment_id", b"short"),
        ("client", "0x12"), ("client", "0x" + "zz" * 20), ("client", "0x" + "1 " * 20), ("status", 0), ("status", 4), ("replay_class", 9), ("seed_source", 3), ("agent_id", "1"),
    ],
)  # fmt: skip
def test_fields_out_of_range_are_refused(field: str, value: Any) -> None:
    with pytest.raises(UserError):
        _record(**{field: value})


def test_a_record_must_name_its_own_content() -> None:
    with pytest.raises(UserError, match="its own content"):
        SignedRecord.make(_record(), KEY, DOMAIN, cid_from_digest(bytes(32)))
    signed = SignedRecord.make(_record(), KEY, DOMAIN, cid_from_digest(b"\x07" * 32))
    with pytest.raises(ContentError, match="other content"):
        SignedRecord.decode(replace(signed, content=cid_from_digest(bytes(32))).encode())


def test_malformed_envelopes_are_refused() -> None:
    block = decode(SignedRecord.make(_record(), KEY, DOMAIN, cid_from_digest(b"\x07" * 32)).encode())
    wrong: list[Any] = [1, [], {}, "text"]
    for key in block:
        wrong += [{k: v for k, v in block.items() if k != key}, {**block, key: 7}, {**block, key: None}]
    for key in block["record"]:
        for value in (None, "x", -1, b"", 2**63, "01", "١"):
            if value != block["record"][key]:
                wrong.append({**block, "record": {**block["record"], key: value}})
    wrong.append({**block, "extra": 1})
    legal = {"agentId", "nonce", "epoch", "anchorBy", "fee", "status", "replayClass", "seedSource"}
    for value in wrong:
        try:
            SignedRecord.decode(encode(value), "bafy")
        except ContentError:
            continue
        changed = (
            {k for k in block["record"] if value["record"][k] != block["record"][k]}
            if "record" in value
            else set()
        )
        assert changed <= legal or value["chain_id"] == 7, value
