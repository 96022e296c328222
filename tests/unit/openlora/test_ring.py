"""Where adapters live: balanced, bounded, and moved as little as can be."""

from __future__ import annotations

import math
from collections import Counter
from contextlib import ExitStack

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openledger.openlora._ring import BOUND, Ring, capacity
from openledger.openlora._router import Router

KEYS = [f"adapter-{number}" for number in range(2000)]
counts = st.integers(2, 12)


def homes(ring: Ring, members: range | list[int]) -> dict[str, int]:
    return {key: next(ring.walk(key, members)) for key in KEYS}


@pytest.mark.parametrize("count", [2, 3, 4, 8, 16])
def test_adapters_are_spread_evenly(count: int) -> None:
    shares = Counter(homes(Ring(count), range(count)).values())
    mean = len(KEYS) / count
    assert set(shares) == set(range(count))
    assert max(shares.values()) < 1.4 * mean
    assert min(shares.values()) > 0.6 * mean


@settings(max_examples=10, deadline=None)
@given(counts, st.data())
def test_a_replica_that_leaves_moves_its_own_adapters_and_no_others(count: int, data: st.DataObject) -> None:
    gone = data.draw(st.integers(0, count - 1))
    ring = Ring(count)
    before = homes(ring, range(count))
    after = homes(ring, [member for member in range(count) if member != gone])
    assert all(after[key] == home for key, home in before.items() if home != gone)
    assert gone not in after.values()
    # And once it is back, all is as it was.
    assert homes(ring, range(count)) == before


@settings(max_examples=10, deadline=None)
@given(counts)
def test_a_replica_that_joins_takes_its_share_and_moves_nothing_else(count: int) -> None:
    before, after = homes(Ring(count), range(count)), homes(Ring(count + 1), range(count + 1))
    moved = {key for key in KEYS if before[key] != after[key]}
    assert {after[key] for key in moved} == {count}
    assert len(moved) < 1.6 * len(KEYS) / (count + 1)


def test_a_walk_meets_every_replica_once_and_is_the_same_in_every_process() -> None:
    assert sorted(Ring(5).walk("some adapter", range(5))) == [0, 1, 2, 3, 4]
    assert list(Ring(5).walk("some adapter", range(5))) == list(Ring(5).walk("some adapter", range(5)))
    assert list(Ring(5).walk("x", [3])) == [3]
    assert list(Ring(5).walk("x", [])) == []


steps = st.lists(
    st.tuples(st.sampled_from(["", "hot", "hot", "warm", *KEYS[:20]]), st.booleans(), st.integers(0, 10**6)),
    min_size=1,
    max_size=200,
)


@settings(max_examples=60, deadline=None)
@given(counts, steps, st.data())
def test_no_replica_is_given_more_than_its_bound(
    count: int, work: list[tuple[str, bool, int]], data: st.DataObject
) -> None:
    router = Router(count)
    away = data.draw(st.sets(st.integers(0, count - 1), max_size=count - 1))
    for replica in away:
        router.states[replica] = "restarting"
    running: list[ExitStack] = []
    for adapter, ends, which in work:
        if ends and running:
            running.pop(which % len(running)).close()
        replica = router.choose(adapter)
        assert replica is not None
        assert replica not in away
        stack = ExitStack()
        stack.enter_context(router.carrying(adapter, replica))
        running.append(stack)
        assert router.loads[replica] <= math.ceil(BOUND * len(running) / (count - len(away)))
    for stack in running:
        stack.close()
    assert router.loads == [0] * count


def test_an_adapter_keeps_to_its_home_while_others_are_as_busy() -> None:
    router = Router(4)
    with ExitStack() as running:
        for key in KEYS[:400]:
            replica = router.choose(key)
            assert replica is not None
            running.enter_context(router.carrying(key, replica))
        homes = [next(Ring(4).walk(key, range(4))) for key in KEYS[:400]]
        chosen = [router.choose(key) for key in KEYS[:400]]
        assert sum(home == at for home, at in zip(homes, chosen, strict=True)) > 0.9 * len(homes)


def test_a_hot_adapter_takes_as_many_replicas_as_its_demand_is_fair_shares() -> None:
    router = Router(8)
    way = list(Ring(8).walk("hot", range(8)))
    with ExitStack() as running:
        for key in KEYS[:300]:
            replica = router.choose(key)
            assert replica is not None
            running.enter_context(router.carrying(key, replica))
        assert router.spread("hot", 1, router.serving) == way[:1]
        served = Counter()
        for _ in range(300):
            replica = router.choose("hot")
            assert replica is not None
            running.enter_context(router.carrying("hot", replica))
            served[replica] += 1
        fair = capacity(sum(router.loads), 8)
        assert len(served) >= 300 / fair
        assert router.spread("hot", 300, router.serving) == way[: math.ceil(300 / fair)]
        assert max(router.loads) <= fair
    # Once the demand is gone it is at home again.
    assert router.choose("hot") == way[0]


def test_base_requests_go_to_the_least_loaded() -> None:
    router = Router(3)
    with router.carrying("x", 0), router.carrying("y", 2):
        assert router.choose("") == 1
    with ExitStack() as running:
        for _ in range(30):
            replica = router.choose("")
            assert replica is not None
            running.enter_context(router.carrying("", replica))
        assert router.loads == [10, 10, 10]


def test_nothing_is_sent_while_no_replica_serves() -> None:
    router = Router(2)
    router.states[:] = ["restarting", "drained"]
    assert router.choose("x") is None
    assert router.choose("") is None
