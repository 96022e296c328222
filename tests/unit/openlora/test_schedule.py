"""Which request runs next, played step by step without an engine."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from itertools import count

import pytest

from openledger.openlora._schedule import HEAD_START, Schedule

_IDS = count()


@dataclass(frozen=True)
class Job:
    line: str
    length: int = 10
    priority: int = 0
    due: float = float("inf")
    id: str = field(default_factory=lambda: str(next(_IDS)))

    @property
    def cost(self) -> int:
        return self.length


class Play:
    """Runs each request for ``length`` steps and notes when it began and ended."""

    def __init__(self, slots: int, places: int, patience: int = 8) -> None:
        self.schedule: Schedule[Job] = Schedule(slots, places, patience)
        self.running: dict[str, tuple[Job, int]] = {}
        self.began: dict[str, int] = {}
        self.ended: dict[str, int] = {}
        self.now = self.batch = 0
        self.slots = slots

    def add(self, *jobs: Job) -> None:
        for job in jobs:
            self.schedule.add(job, ready=True)

    def step(self) -> list[Job]:
        while (job := self.schedule.next()) is not None:
            self.running[job.id] = (job, job.length)
            self.began[job.id] = self.now
        assert len({job.line for job, _ in self.running.values() if job.line}) <= self.slots
        self.batch = len(self.running)
        self.now += 1
        done = []
        for job, left in list(self.running.values()):
            self.running[job.id] = (job, left - 1)
            if left == 1:
                del self.running[job.id]
                self.ended[job.id] = self.now
                self.schedule.finished(job)
                done.append(job)
        self.schedule.stepped()
        return done

    def until_idle(self) -> None:
        while self.running or len(self.schedule):
            self.step()


def test_a_batch_never_holds_more_adapters_than_slots_nor_more_requests_than_places() -> None:
    play = Play(slots=3, places=8)
    draw = random.Random(1)
    jobs = [Job(draw.choice(["", *"abcdefgh"]), draw.randint(1, 20)) for _ in range(300)]
    play.add(*jobs)
    while play.running or len(play.schedule):
        play.step()
        assert len(play.running) <= 8
    assert play.ended.keys() == {job.id for job in jobs}
    assert play.schedule.running == play.schedule.backlog == 0
    assert not play.schedule._lines


def test_adapters_share_the_places_by_tokens_not_by_requests() -> None:
    play = Play(slots=2, places=4)
    play.add(*(Job("many", 5) for _ in range(200)), *(Job("few", 50) for _ in range(20)))
    served = {"many": 0, "few": 0}
    for _ in range(200):
        for job in play.step():
            served[job.line] += job.length
    assert served["many"] == pytest.approx(served["few"], rel=0.3)


def test_a_cold_adapter_beside_saturated_hot_ones_begins_within_patience_and_one_request() -> None:
    play, patience, length = Play(slots=2, places=8, patience=8), 8, 30
    hot = [Job("ab"[at % 2], length) for at in range(400)]
    play.add(*hot)
    for _ in range(50):
        play.step()
    cold = Job("c", 5)
    play.add(cold)
    asked = play.now
    while cold.id not in play.ended:
        play.step()
        assert play.batch >= 4  # the other hot adapter keeps its share of the batch
    assert play.began[cold.id] - asked <= patience + length + 1
    play.until_idle()


def test_hundreds_of_cold_adapters_all_run_beside_hot_ones_that_never_stop() -> None:
    play = Play(slots=4, places=8, patience=4)
    cold = [Job(f"cold {at}", 3) for at in range(200)]
    play.add(*cold)
    for _ in range(4000):
        while play.schedule.count("hot") < 8:
            play.add(Job("hot", 20))
        play.step()
        if all(job.id in play.ended for job in cold):
            break
    assert all(job.id in play.ended for job in cold)
    assert sum(job.line == "hot" for job, _ in play.running.values()) > 0


def test_hot_adapters_that_always_run_at_once_do_not_keep_their_slots_for_ever() -> None:
    # Never more requests than places: none of theirs ever waits, yet their slots must change hands.
    play = Play(slots=2, places=64, patience=8)
    for at in range(12):
        play.add(Job("ab"[at % 2], 5 + 7 * at))
    cold = Job("c", 5)
    play.add(cold)
    while cold.id not in play.ended:
        for job in play.step():
            play.add(Job(job.line, job.length))
        assert play.now < 8 + 90


def test_an_adapter_that_was_idle_has_saved_up_nothing() -> None:
    play = Play(slots=2, places=1)
    play.add(Job("early", 1))
    play.until_idle()
    play.add(*(Job("steady", 1) for _ in range(100)))
    for _ in range(50):
        play.step()
    play.add(*(Job("early", 1) for _ in range(20)))
    order = [play.step()[0].line for _ in range(20)]
    assert 8 <= order.count("early") <= 12


def test_priority_goes_ahead_but_not_for_ever() -> None:
    play = Play(slots=1, places=1)
    play.add(low := Job("", 100), *(Job("", 100, priority=1) for _ in range(3)))
    play.until_idle()
    assert play.began[low.id] == max(play.began.values())
    # Between adapters: once the favoured one has used its head start, the other's turn has come.
    play = Play(slots=2, places=1)
    play.add(plain := Job("plain", 64), *(Job("favoured", 64, priority=1) for _ in range(200)))
    play.until_idle()
    assert HEAD_START - 128 <= play.began[plain.id] <= HEAD_START + 128


def test_within_an_adapter_the_sooner_deadline_goes_first_and_late_ones_are_named() -> None:
    schedule: Schedule[Job] = Schedule(1, 1, 8)
    none, later, soon = Job("a"), Job("a", due=9.0), Job("a", due=3.0)
    for job in (none, later, soon):
        schedule.add(job, ready=True)
    assert list(schedule.overdue(2.0)) == []
    first = schedule.next()
    assert first == soon
    assert list(schedule.overdue(10.0)) == [later]
    assert not schedule.remove(later)
    assert schedule.backlog == none.cost
    assert schedule.finished(soon) is False
    assert schedule.next() == none
    assert schedule.finished(none) is True


def test_absent_adapters_are_loaded_in_the_order_they_would_run_and_wait_for_it() -> None:
    schedule: Schedule[Job] = Schedule(2, 4, 8)
    schedule.add(Job("a"), ready=False)
    schedule.add(Job("b", priority=2), ready=False)
    schedule.add(here := Job("c"), ready=True)
    assert schedule.next() == here
    assert [schedule.absent(), schedule.absent(), schedule.absent()] == ["b", "a", None]
    assert schedule.next() is None
    schedule.retry("b")
    assert schedule.absent() == "b"
    schedule.ready("a")
    job = schedule.next()
    assert job is not None
    assert job.line == "a"


def test_what_a_request_did_not_use_is_given_back() -> None:
    schedule: Schedule[Job] = Schedule(2, 1, 8)
    for line in "aab":
        schedule.add(Job(line, 1000), ready=True)
    first = schedule.next()
    assert first is not None
    schedule.finished(first, unused=995)
    second = schedule.next()
    assert second is not None
    assert (first.line, second.line) == ("a", "b")
    schedule.finished(second)
    third = schedule.next()
    assert third is not None
    assert third.line == "a"


def test_a_step_costs_the_same_beside_thousands_of_waiting_adapters() -> None:
    """Counted in lines touched, not in time: the heaps are looked at from the top only."""
    schedule: Schedule[Job] = Schedule(4, 4, 8)
    for at in range(3000):
        schedule.add(Job(f"{at}"), ready=True)
    touched = 0
    score = Schedule._score

    def counted(self: Schedule[Job], line: object) -> float:
        nonlocal touched
        touched += 1
        return score(self, line)  # type: ignore[arg-type]

    Schedule._score = counted  # type: ignore[method-assign]
    try:
        running = []
        for _ in range(100):
            while (job := schedule.next()) is not None:
                running.append(job)
            schedule.finished(running.pop(0))
            schedule.stepped()
    finally:
        Schedule._score = score  # type: ignore[method-assign]
    assert touched < 100 * 30
