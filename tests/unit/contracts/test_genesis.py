"""The genesis adds up to 1,000,000,000 OPEN, or is not made."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openledger.contracts import (
    SHARES,
    TOTAL_OPEN,
    Allocation,
    devnet_allocations,
    genesis,
    share_allocations,
)
from openledger.errors import UserError


def account(number: int) -> str:
    return f"0x{number:040x}"


HOLDERS = {name: account(i) for i, name in enumerate(SHARES, 1)}


def test_the_shares_are_those_published() -> None:
    table = {one.name: one.amount for one in share_allocations(HOLDERS)}
    assert sum(SHARES.values()) == 10_000
    assert table["community"] == 517_100_000 * 10**18
    assert table["investors"] == 182_900_000 * 10**18
    assert sum(table.values()) == TOTAL_OPEN == 10**27


def test_a_genesis_holds_every_allocation_to_the_wei() -> None:
    made = genesis(share_allocations(HOLDERS), 8765, timestamp=1_800_000_000)
    assert made["config"]["chainId"] == 8765
    assert made["config"]["pragueTime"] == 0
    assert int(made["timestamp"], 16) == 1_800_000_000
    balances = {address: int(held["balance"], 16) for address, held in made["alloc"].items()}
    assert balances == {one.address: one.amount for one in share_allocations(HOLDERS)}
    assert sum(balances.values()) == 10**27


def test_the_devnet_gives_its_accounts_equal_parts() -> None:
    table = devnet_allocations(account(i) for i in range(1, 21))
    assert {one.amount for one in table} == {50_000_000 * 10**18}
    genesis(table, 31337, timestamp=1)


@given(st.integers(min_value=-(10**30), max_value=10**30).filter(bool))
def test_what_does_not_add_up_is_refused(off: int) -> None:
    table = share_allocations(HOLDERS)
    table[0] = replace(table[0], amount=table[0].amount + off)
    with pytest.raises(UserError, match=r"do not add up|is empty"):
        genesis(table, 1, timestamp=1)


@pytest.mark.parametrize(
    ("table", "what"),
    [
        ([Allocation("all", "0x12", TOTAL_OPEN)], "is no address"),
        ([Allocation("all", account(0), TOTAL_OPEN)], "is no address"),
        ([Allocation("a", account(1), 1), Allocation("b", account(1), TOTAL_OPEN - 1)], "is named twice"),
        (
            [Allocation("a", account(10), 1), Allocation("b", account(10).upper(), 1)],
            "is no address|named twice",
        ),
        ([Allocation("a", account(1), 0), Allocation("b", account(2), TOTAL_OPEN)], "is empty"),
        ([], "do not add up"),
    ],
)
def test_bad_tables_are_refused(table: list[Allocation], what: str) -> None:
    with pytest.raises(UserError, match=what):
        genesis(table, 1, timestamp=1)


def test_a_genesis_without_a_time_is_refused() -> None:
    with pytest.raises(UserError, match="needs a time"):
        genesis(share_allocations(HOLDERS), 1, timestamp=0)


@pytest.mark.parametrize("holders", [{}, {"team": account(1)}, {**HOLDERS, "friends": account(9)}])
def test_every_share_has_one_holder(holders: dict[str, str]) -> None:
    with pytest.raises(UserError, match="one holder of each share"):
        share_allocations(holders)
