"""Who stays in memory when the budget is full."""

from __future__ import annotations

from openledger.openlora._residents import Residents


def filled(*names: str, budget: int = 30, pinned: tuple[str, ...] = ()) -> Residents:
    residents = Residents(budget, pinned)
    for number, name in enumerate(names, 1):
        assert residents.add(name, number, 10) == []
    return residents


def test_the_least_recently_used_goes_first() -> None:
    residents = filled("a", "b", "c")
    residents.hold("a")
    assert residents.release("a") == []
    assert residents.add("d", 4, 10) == [2]
    assert set(residents) == {"a", "c", "d"}
    assert residents.used == 30


def test_a_large_one_takes_the_room_of_several() -> None:
    residents = filled("a", "b", "c")
    assert residents.add("d", 4, 25) == [1, 2, 3]
    assert (len(residents), residents.used) == (1, 25)


def test_pinned_and_held_ones_stay_and_the_budget_is_made_up_for_later() -> None:
    residents = filled("pinned", "held", "other", pinned=("pinned",))
    residents.hold("held")
    assert residents.add("d", 4, 10) == [3]
    residents.hold("d")
    assert not residents.room
    assert not residents.idle
    assert residents.add("e", 5, 10) == []
    residents.hold("e")
    assert residents.used == 40
    assert residents.release("held") == [2]
    assert set(residents) == {"pinned", "d", "e"}
    residents.release("d")
    residents.release("e")
    assert residents.idle
    assert residents.room


def test_numbers_are_never_used_twice() -> None:
    residents = filled("a")
    numbers = [residents.number() for _ in range(3)]
    assert residents.remove("a") == 1
    assert residents.used == 0
    assert len({*numbers, residents.number()}) == 4
    assert residents.release("a") == []
