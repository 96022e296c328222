"""Feedback values and their averages in exact integers; the files that ERC-8004 names."""

from __future__ import annotations

import base64
import json
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openledger.errors import ContentError, UserError
from openledger.registry import Domain, Feedback, LocalStore, WalletConsent, fixed_point, keccak, summarise
from openledger.registry._agents import _registration
from openledger.registry._documents import document_bytes, read_document

PUBLISHED = json.loads((Path(__file__).parents[2] / "vectors/erc8004.json").read_text())
LEAST, MOST = -(2**127), 2**127 - 1


def feedback(value: int, decimals: int, revoked: bool = False) -> Feedback:
    return Feedback(1, "0x" + "1" * 40, 1, value, decimals, "", "", "", "", bytes(32), revoked, (), 1)


@pytest.mark.parametrize(
    ("written", "value", "decimals"),
    [
        ("87", 87, 0), ("99.77", 9977, 2), ("99.70", 9970, 2), ("-3.2", -32, 1), ("0", 0, 0), ("0.0", 0, 1),
        ("-0", 0, 0), (5, 5, 0), (Decimal("1E+3"), 1000, 0), ("1e-18", 1, 18), (str(MOST), MOST, 0),
        (str(LEAST), LEAST, 0), ("170141183460469231731.687303715884105727", MOST, 18),
    ],
)  # fmt: skip
def test_a_value_keeps_the_decimals_it_is_written_with(
    written: int | str | Decimal, value: int, decimals: int
) -> None:
    assert fixed_point(written) == (value, decimals)
    assert feedback(value, decimals).number == Decimal(written)


@pytest.mark.parametrize(
    "written",
    ["", "good", "nan", "inf", "-inf", "1,5", "1e-19", str(MOST + 1), str(LEAST - 1), "1E100000000", "9" * 5000,
     "0." + "0" * 19],
)  # fmt: skip
def test_what_does_not_fit_is_refused(written: str) -> None:
    with pytest.raises(UserError):
        fixed_point(written)


values = st.builds(
    feedback,
    st.integers(LEAST, MOST) | st.sampled_from([LEAST, MOST, 0, 1, -1]),
    st.integers(0, 18),
    st.booleans(),
)


@settings(deadline=None)
@given(st.lists(values, max_size=12))
def test_a_summary_is_the_exact_average_rounded_towards_zero(found: list[Feedback]) -> None:
    counted = [one for one in found if not one.revoked]
    summary = summarise(found)
    assert summary.count == len(counted)
    if not counted:
        assert (summary.value, summary.decimals) == (0, 0)
        return
    assert LEAST <= summary.value <= MOST
    total = sum(one.value * 10 ** (18 - one.decimals) for one in counted)
    scale = len(counted) * 10 ** (18 - summary.decimals)
    assert abs(summary.value) * scale <= abs(total) < (abs(summary.value) + 1) * scale
    assert summary.value * total >= 0
    usual = max(range(19), key=lambda d: (sum(one.decimals == d for one in counted), -d))
    assert summary.decimals <= usual
    if summary.decimals < usual:
        finer = abs(total) * 10 // scale
        assert finer > MOST, "a decimal was given up without need"


def test_the_registration_file_has_the_fields_of_the_standard() -> None:
    services = [{"name": "A2A", "endpoint": "https://agent.example/card.json", "version": "0.3.0"}]
    entry = {"agentId": 22, "agentRegistry": "eip155:1:0x" + "7" * 40}
    file = _registration("Auditor", "Finds bugs", "https://agent.example/a.png", services, True, [entry])
    assert file["type"] == PUBLISHED["registrationType"]
    assert set(file) == {"type", "name", "description", "image", "services", "x402Support", "active", "registrations",
                         "supportedTrust"}  # fmt: skip
    assert file["services"] == services
    assert file["registrations"] == [entry]
    assert file["supportedTrust"] == ["reputation", "crypto-economic"]
    for bad in ({"name": "web"}, {"endpoint": "https://agent.example"}, {"name": "", "endpoint": "x"}):
        with pytest.raises(UserError, match="is no service"):
            _registration("Auditor", "", "", [bad], True, [])
    with pytest.raises(UserError, match="needs a name"):
        _registration(" ", "", "", [], True, [])


def test_a_wallets_consent_is_the_published_struct() -> None:
    assert WalletConsent.type_string() == PUBLISHED["walletType"]
    domain = Domain(1, "0x" + "7" * 40, PUBLISHED["walletDomain"]["name"])
    assert domain.separator() != Domain(1, "0x" + "7" * 40).separator()
    with pytest.raises(UserError, match="must be a uint256"):
        WalletConsent(-1, "0x" + "1" * 40, "0x" + "2" * 40, 0)


def test_only_what_names_its_content_is_read(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    cid = store.put(b'{"name": "Auditor"}', "raw")
    assert read_document(store, f"ipfs://{cid}") == {"name": "Auditor"}
    data = "data:application/json;base64," + base64.b64encode(b'{"name": "Auditor"}').decode()
    assert read_document(store, data) == {"name": "Auditor"}
    deep = "data:application/json;base64," + base64.b64encode(b"[" * 100_000).decode()
    shown = {"description": '[[{{ "quoted" \\ ' + "[" * 100, "list": [[[1]]]}
    brackets = store.put(json.dumps(shown).encode(), "raw")
    assert read_document(store, f"ipfs://{brackets}") == shown, "brackets in text are no nesting"
    listed = store.put(b"[1]", "raw")
    broken = store.put(b"\xff{", "raw")
    wide = store.put('{"name": "Auditor"}'.encode("utf-16"), "raw")
    absent = "b" + "a" * 58
    for uri in ("", "https://agent.example/a.json", "file:///etc/passwd", "ipfs://nonsense", f"ipfs://{absent}",
                f"ipfs://{cid}/../x", "data:application/json;base64,@@", deep, f"ipfs://{listed}", f"ipfs://{broken}", f"ipfs://{wide}"):  # fmt: skip
        with pytest.raises(ContentError):
            read_document(store, uri)
    assert keccak(document_bytes(store, f"ipfs://{cid}")) == keccak(b'{"name": "Auditor"}')
