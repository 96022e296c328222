"""Group commit: what comes at once is done together, and everybody gets their own."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from openledger.errors import ChainError, UserError
from openledger.runtime import _group
from openledger.runtime._group import GroupCommit

LONG = 600.0


class Work:
    """Doubles numbers, refuses odd ones, and holds the first group until it is told to go on."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.begun, self.go_on = threading.Event(), threading.Event()

    def __call__(self, numbers: list[int]) -> Sequence[int | Exception]:
        self.groups.append(numbers)
        if len(self.groups) == 1:
            self.begun.set()
            assert self.go_on.wait(LONG)
        return [UserError(f"{number} is odd") if number % 2 else 2 * number for number in numbers]


def test_what_comes_while_a_group_is_on_its_way_is_the_next_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_group, "PATIENCE", LONG)
    work = Work()
    commit = GroupCommit(work)
    with ThreadPoolExecutor(8) as threads:
        first = threads.submit(commit, 0)
        assert work.begun.wait(LONG)
        others = [threads.submit(commit, number) for number in (2, 4, 5, 6)]
        while len(commit._waiting) < 4:
            time.sleep(0.001)
        work.go_on.set()
        assert first.result(LONG) == 0
        assert [others[place].result(LONG) for place in (0, 1, 3)] == [4, 8, 12]
        with pytest.raises(UserError, match="5 is odd"):
            others[2].result(LONG)
    assert [sorted(group) for group in work.groups] == [[0], [2, 4, 5, 6]]


def test_nobody_waits_for_a_group_that_takes_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_group, "PATIENCE", 0.01)
    work = Work()
    commit = GroupCommit(work)
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(commit, 0)
        assert work.begun.wait(LONG)
        assert threads.submit(commit, 2).result(LONG) == 4
        assert not first.done()
        work.go_on.set()
        assert first.result(LONG) == 0


def test_a_group_is_no_larger_than_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_group, "PATIENCE", LONG)
    work = Work()
    commit = GroupCommit(work, most=2)
    with ThreadPoolExecutor(8) as threads:
        threads.submit(commit, 0)
        assert work.begun.wait(LONG)
        others = [threads.submit(commit, number) for number in (2, 4, 6, 8, 10)]
        while len(commit._waiting) < 5:
            time.sleep(0.001)
        work.go_on.set()
        assert [other.result(LONG) for other in others] == [4, 8, 12, 16, 20]
    assert [len(group) for group in work.groups] == [1, 2, 2, 1]


def test_an_error_of_the_whole_group_reaches_everybody_in_it_and_nobody_after() -> None:
    away = True

    def work(numbers: list[int]) -> list[int]:
        if away:
            raise ChainError("the chain is away")
        return numbers

    commit = GroupCommit(work)
    with pytest.raises(ChainError, match="away"):
        commit(1)
    away = False
    assert commit(2) == 2


def test_many_threads_each_get_their_own() -> None:
    commit = GroupCommit(lambda numbers: [2 * number for number in numbers], most=3)
    with ThreadPoolExecutor(16) as threads:
        assert list(threads.map(commit, range(500))) == [2 * number for number in range(500)]
