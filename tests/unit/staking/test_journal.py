"""What a daemon remembers, and that a crash leaves all of a step or nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openledger.registry import BatchHeader
from openledger.staking import Budget, Case, Journal, metrics_text

HEADER = BatchHeader(2**70, 4, 3, b"\1" * 32, b"\2" * 32, 1, 10**30, 1, b"\3" * 32, 1_700_000_000)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "journal.db"


def test_a_drawn_action_is_drawn_after_a_restart(path: Path) -> None:
    journal = Journal(path)
    assert not journal.knows(HEADER)
    journal.add_batch(HEADER, [4, 6])
    journal.close()
    again = Journal(path)
    assert again.knows(HEADER)
    assert [draw.nonce for draw in again.draws("drawn")] == [4, 6]
    assert again.header(again.draws("drawn")[0]) == HEADER


def test_a_batch_that_is_read_again_draws_nothing_anew(path: Path) -> None:
    journal = Journal(path)
    journal.add_batch(HEADER, [4])
    (draw,) = journal.draws("drawn")
    draw.stage, draw.verdict = "done", "verified"
    journal.save_draw(draw)
    journal.add_batch(HEADER, [4])
    assert journal.draws("drawn") == []
    assert journal.draws("done") == [draw]
    assert journal.counts() == {"actions_verified": 1}


def test_a_batch_whose_payouts_were_drawn_is_known_after_a_restart_and_drawn_once(path: Path) -> None:
    journal = Journal(path)
    journal.add_batch(HEADER, [4], payouts=True)
    (draw,) = journal.payouts("drawn")
    draw.stage, draw.verdict, draw.why, draw.attempts, draw.next_at = (
        "found",
        "mismatch",
        "roots differ",
        1,
        600,
    )
    journal.save_draw(draw)
    journal.close()
    again = Journal(path)
    again.add_batch(HEADER, [4], payouts=True)
    assert again.payouts("drawn") == []
    assert again.payouts("found") == [draw]
    assert again.header(draw) == HEADER
    assert [one.nonce for one in again.draws("drawn")] == [4], "its actions are drawn apart"
    assert again.counts() == {"payouts_mismatch": 1}


def test_a_batch_whose_payouts_were_not_drawn_has_none_to_recompute(path: Path) -> None:
    journal = Journal(path)
    journal.add_batch(HEADER, [])
    journal.add_batch(HEADER, [4])
    assert journal.payouts("drawn") == []


def test_what_is_recomputed_is_budgeted_apart_from_what_is_replayed(path: Path) -> None:
    journal = Journal(path)
    journal.spend(1_000, 5)
    journal.spend(1_000, 64, "recomputed")
    assert (journal.spent_since(0), journal.spent_since(0, "recomputed")) == (5, 64)


def test_a_step_that_fails_halfway_leaves_nothing(path: Path) -> None:
    journal = Journal(path)

    def killed_halfway() -> None:
        with journal.together():
            journal.add_batch(HEADER, [4])
            journal.count("actions_seen", 3)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        killed_halfway()
    assert not journal.knows(HEADER)
    assert journal.counts() == {}


def test_cases_are_kept_to_the_wei_and_found_by_kind_and_number(path: Path) -> None:
    journal = Journal(path)
    dispute, demand = Case("jury", 7, 1, 4, 0, 2, bond=10**30 + 1), Case("demand", 7, 1, -1)
    journal.save_case(dispute)
    journal.save_case(demand)
    demand.done = True
    journal.save_case(demand)
    assert journal.cases() == [dispute]
    assert journal.case("demand", 7) == demand
    assert journal.case("audit", 7) is None


def test_counters_hold_more_than_sqlite_integers(path: Path) -> None:
    journal = Journal(path)
    journal.expect(["won"])
    journal.count("wei_earned", 10**30)
    journal.count("wei_earned", 1)
    assert journal.counts() == {"won": 0, "wei_earned": 10**30 + 1}


def test_tokens_count_for_the_hour_they_were_replayed_in(path: Path) -> None:
    journal = Journal(path)
    journal.spend(1_000, 5)
    journal.spend(4_000, 7)
    assert journal.spent_since(4_100 - 3_600) == 12
    assert journal.spent_since(4_601 - 3_600) == 7


def test_a_thing_is_first_seen_once(path: Path) -> None:
    journal = Journal(path)
    assert journal.first_seen("due:1-Open-0", 10) == 10
    assert journal.first_seen("due:1-Open-0", 99) == 10


@given(
    costs=st.lists(st.integers(1, 500), max_size=40),
    per_pass=st.integers(1, 400),
    per_hour=st.integers(1, 400),
)
def test_a_pass_replays_within_its_budget_but_for_one_action_larger_than_it(
    costs: list[int], per_pass: int, per_hour: int
) -> None:
    budget = Budget(per_pass, per_hour)
    replayed = []
    for cost in costs:
        if budget.allows(cost):
            budget.spend(cost)
            replayed.append(cost)
    assert sum(replayed) <= min(per_pass, per_hour) or len(replayed) == 1
    assert bool(replayed) == bool(costs), "something is always replayed"


def test_what_was_replayed_this_hour_leaves_less() -> None:
    assert not Budget(100, 100, spent_hour=60).allows(41)
    assert Budget(100, 100, spent_hour=60).allows(40)


def test_counters_are_written_as_prometheus_reads_them() -> None:
    text = metrics_text("audit", {"won": 2, "lost": 0}, {"account": "0xab", "chain": "1"})
    assert text.splitlines() == [
        "# TYPE openledger_audit_lost_total counter",
        'openledger_audit_lost_total{account="0xab",chain="1"} 0',
        "# TYPE openledger_audit_won_total counter",
        'openledger_audit_won_total{account="0xab",chain="1"} 2',
    ]
