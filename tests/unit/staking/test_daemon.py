"""The loop and the log of the daemons."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from openledger.errors import ChainError, ContentError, UserError
from openledger.staking import DaemonLog, serve


def waits_of(path: Path, outcomes: list[Exception | None], every: float) -> list[float]:
    """Seconds that a loop sleeps after each pass but the last, when its passes end like this."""
    slept: list[float] = []

    def one_pass() -> None:
        outcome = outcomes[len(slept)]
        slept.append(0.0)
        if outcome is not None:
            raise outcome

    def sleep(seconds: float) -> None:
        slept[-1] += seconds

    serve(one_pass, DaemonLog(path), every=every, stop=lambda: len(slept) == len(outcomes), sleep=sleep)
    return slept[:-1]


def test_what_is_away_is_tried_again_after_ever_longer_waits_of_ten_minutes_at_most(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    away: list[Exception | None] = [ChainError("away", code="chain.unreachable")] * 7
    assert waits_of(path, [*away[:3], None, ContentError("no store"), None, *away], every=15) == [
        30, 60, 120, 15, 30, 15, 30, 60, 120, 240, 480, 600,
    ]  # fmt: skip
    told = [json.loads(line) for line in path.read_text().splitlines()]
    assert {line["event"] for line in told} == {"away"}
    assert told[0]["what"] == "away. Again in 30 s."
    assert told[0]["code"] == "chain.unreachable"


def test_a_wrong_setting_ends_it(tmp_path: Path) -> None:
    def refuse() -> None:
        raise UserError("no key")

    with pytest.raises(UserError):
        serve(refuse, DaemonLog(tmp_path / "log.jsonl"), every=1)


def test_the_same_problem_is_told_once(tmp_path: Path) -> None:
    told: list[str] = []
    log = DaemonLog(tmp_path / "log.jsonl", lambda entry: told.append(entry.what))
    for why in ("away", "away", "mad", "away"):
        log.problem("dispute 3", ChainError(why))
    assert told == ["dispute 3: away.", "dispute 3: mad.", "dispute 3: away."]
    assert len((tmp_path / "log.jsonl").read_text().splitlines()) == 3
