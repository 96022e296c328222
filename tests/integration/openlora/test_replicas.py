"""Two engines behind one pool: the same outputs, and no request lost when one of them dies or is drained."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import pickle
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import ray

from openledger.errors import EngineError, OverloadedError, UserError
from openledger.openlora import (
    AdapterRef,
    Chunk,
    Engine,
    EnginePool,
    EngineStats,
    Generation,
    GenerationRequest,
    Sampling,
    Tiers,
)

from .conftest import LONG, STEPS, VOCAB, Tiny, held

PROMPT = (5, 7, 9, 11)
MANY = 240


def ask(adapter: AdapterRef | None, tokens: int = 24, temperature: float = 0.0) -> GenerationRequest:
    return GenerationRequest(PROMPT, adapter, Sampling(temperature, 1.0, 0, tokens, ()), bytes(32))


def same(left: Generation, right: Generation) -> bool:
    """Equal but for timings and for logprobs within what a batch's shape may change."""
    near = all(abs(a - b) <= 2 for a, b in zip(left.logprobs, right.logprobs, strict=True))
    return near and replace(left, logprobs=(), timings=right.timings) == replace(right, logprobs=())


@pytest.fixture(scope="module")
def pair(running_ray: None, tiny: Tiny) -> Iterator[EnginePool]:
    config = tiny.config(replicas=2, num_cpus=0, engine={"max_loras": 4}, tiers=Tiers(revalidate=0.5))
    started = EnginePool.start(replace(config, adapters=tiny.logged_store))
    yield started
    started.close()


def process(pool: EnginePool, replica: int) -> int:
    return int(ray.get(pool._replicas[replica].__ray_call__.remote(lambda _: os.getpid()), timeout=LONG))


def until(holds: Callable[[], Any], seconds: float = LONG) -> None:
    ends = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < ends, "it never came about"
        time.sleep(0.02)


def idle(stats: list[EngineStats]) -> bool:
    return all(one.running == one.waiting == 0 for one in stats)


def together(pool: EnginePool, hold: Path, requests: list[GenerationRequest]) -> list[Generation]:
    """Their outputs, none of which is whole before each request has its replica."""
    held(pool, hold)
    calls = [pool.submit(request) for request in requests]
    until(lambda: sum(pool._dispatch._router.loads) == len(requests))
    hold.unlink()
    return [call.result(LONG) for call in calls]


def some(stream: Iterator[Chunk]) -> list[Chunk]:
    """As much of it as comes while engines are held."""
    chunks = [next(stream)]
    while sum(len(chunk.tokens) for chunk in chunks) < STEPS:
        chunks.append(next(stream))
    return chunks


def everyone(tiny: Tiny) -> list[AdapterRef | None]:
    return [None, *tiny.adapters.values()]


def test_replicas_give_what_a_single_engine_gives(pair: EnginePool, engine: Engine, tiny: Tiny) -> None:
    requests = [ask(who, 24, heat) for who in everyone(tiny) for heat in (0.0, 1.0)] * 4
    alone = engine.generate_many(requests)
    made = pair.generate_many(requests)
    assert all(same(a, b) for a, b in zip(alone, made, strict=True))
    assert all(one.requests for one in pair.stats())


def test_a_lone_client_stays_at_its_adapters_home_and_a_hot_adapter_gets_both(
    pair: EnginePool, tiny: Tiny, hold: Path
) -> None:
    def served(requests: list[GenerationRequest]) -> list[int]:
        before = [one.requests for one in pair.stats()]
        for request in requests:
            pair.generate(request)
        return sorted(now.requests - was for now, was in zip(pair.stats(), before, strict=True))

    assert served([ask(tiny.adapters["a"], 2)] * 6) == [0, 6]
    before = [one.requests for one in pair.stats()]
    together(pair, hold, [ask(tiny.adapters["a"])] * 40)
    shares = [now.requests - was for now, was in zip(pair.stats(), before, strict=True)]
    assert sum(shares) == 40
    assert max(shares) <= 25  # ⌈1.25 · 40 ÷ 2⌉


def test_replicas_of_a_node_fetch_an_adapter_once_between_them(
    pair: EnginePool, tiny: Tiny, hold: Path
) -> None:
    adapter = tiny.publish(5000)
    (tiny.root / "reads").write_text("")
    made = together(pair, hold, [ask(adapter)] * 30)
    assert len({one.tokens for one in made}) == 1
    assert all(adapter.cid in one.adapters for one in pair.stats())
    reads = (tiny.root / "reads").read_text().split()
    assert len(reads) == 3  # the directory and its two files
    assert len(set(reads)) == 3


def test_a_revoked_adapter_leaves_every_replica_by_itself(pair: EnginePool, tiny: Tiny, hold: Path) -> None:
    adapter = tiny.publish(5001)
    together(pair, hold, [ask(adapter)] * 30)
    took = [one.adapter_bytes for one in pair.stats()]
    tiny.register(5001, adapter.cid, revoked=True)
    until(lambda: not any(adapter.cid in one.adapters for one in pair.stats()))
    assert all(now.adapter_bytes < was for now, was in zip(pair.stats(), took, strict=True))
    with pytest.raises(UserError, match="revoked"):
        pair.generate(ask(adapter))


# -- streams --------------------------------------------------------------------------------------


def whole(chunks: list[Chunk]) -> Generation:
    """The generation of a stream, whose chunks follow on each other without gap or overlap."""
    at = 0
    for chunk in chunks:
        assert chunk.start == at
        assert len(chunk.tokens) == len(chunk.logprobs)
        at += len(chunk.tokens)
    assert [chunk.generation is None for chunk in chunks] == [True] * (len(chunks) - 1) + [False]
    made = chunks[-1].generation
    assert made is not None
    assert made.tokens == sum((chunk.tokens for chunk in chunks), ())
    assert made.logprobs == sum((chunk.logprobs for chunk in chunks), ())
    return made


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_stream_is_the_generation_in_pieces(
    pair: EnginePool, engine: Engine, tiny: Tiny, temperature: float
) -> None:
    for who in everyone(tiny):
        request = ask(who, 60, temperature)
        alone = engine.generate(request)
        assert same(whole(list(pair.stream(request))), alone)
        assert same(whole(list(engine.stream(request))), alone)


def test_a_stream_ends_with_its_stop_token(pair: EnginePool) -> None:
    free = pair.generate(ask(None))
    request = replace(ask(None), sampling=Sampling(max_tokens=24, stop_token_ids=(free.tokens[5],)))
    assert same(whole(list(pair.stream(request))), pair.generate(request))


async def test_streams_can_be_awaited_side_by_side(pair: EnginePool, tiny: Tiny) -> None:
    async def read(who: AdapterRef | None) -> Generation:
        return whole([chunk async for chunk in pair.astream(ask(who, 60))])

    made = await asyncio.gather(*map(read, everyone(tiny) * 4))
    alone = [await pair.agenerate(ask(who, 60)) for who in everyone(tiny)]
    assert all(same(a, b) for a, b in zip(made, alone * 4, strict=True))


def tokens_made(pool: EnginePool) -> int:
    """Of outputs that came to their end."""
    return sum(one.output_tokens for one in pool.stats())


@pytest.mark.parametrize("how", ["closed", "dropped", "left", "cancelled", "a cancelled future"])
async def test_what_nobody_waits_for_any_more_leaves_the_engine(
    pair: EnginePool, tiny: Tiny, hold: Path, how: str
) -> None:
    held(pair, hold)
    before, request = tokens_made(pair), ask(tiny.adapters["a"], MANY)
    if how in ("closed", "dropped"):
        stream = pair.stream(request)
        assert next(stream).tokens
        if how == "closed":
            stream.close()
        del stream
    elif how == "left":
        chunks = pair.astream(request)
        async for _ in chunks:
            break
        await chunks.aclose()
    elif how == "cancelled":

        async def read() -> None:
            async for _ in pair.astream(request):
                begun.set()

        begun = asyncio.Event()
        task = asyncio.ensure_future(read())
        await begun.wait()
        task.cancel()
    else:
        futures = [pair.submit(request) for _ in range(8)]
        await asyncio.to_thread(until, lambda: not idle(pair.stats()))
        for future in futures:
            future.cancel()
    await asyncio.to_thread(until, lambda: idle(pair.stats()))
    assert tokens_made(pair) == before


def test_a_stream_of_a_refused_request_raises_what_generate_raises(pair: EnginePool, tiny: Tiny) -> None:
    for request, said in (
        (ask(AdapterRef(999, tiny.adapters["a"].cid)), "not registered"),
        (ask(None, 100_000), "at most"),
        (replace(ask(None), prompt=(VOCAB,)), "tokenizer"),
    ):
        with pytest.raises(UserError, match=said) as caught:
            list(pair.stream(request))
        assert caught.value.fix


def room(pool: EnginePool, replica: int, waiting: int) -> None:
    """How many requests may wait there beside a full batch."""

    def change(replica: Any) -> None:
        jobs = replica._engine._loop.jobs
        jobs.queueing = dataclasses.replace(jobs.queueing, max_waiting=waiting)

    ray.get(pool._replicas[replica].__ray_call__.remote(change), timeout=LONG)


def test_what_one_replica_has_no_room_for_another_serves(pair: EnginePool, tiny: Tiny) -> None:
    requests = [ask(who, 8) for who in everyone(tiny)]
    expected = pair.generate_many(requests)
    none, before = -10_000, [one.requests for one in pair.stats()]
    room(pair, 0, none)
    try:
        assert all(map(same, pair.generate_many(requests * 4), expected * 4))
        assert all(
            same(whole(list(pair.stream(one))), made) for one, made in zip(requests, expected, strict=True)
        )
        assert [one.requests - then for one, then in zip(pair.stats(), before, strict=True)] == [0, 20]
        room(pair, 1, none)
        with pytest.raises(OverloadedError):
            pair.generate(requests[0])
        with pytest.raises(OverloadedError):
            next(pair.stream(requests[0]))
    finally:
        room(pair, 0, 4096)
        room(pair, 1, 4096)
    assert all(map(same, pair.generate_many(requests), expected))


# -- death, draining, the end ---------------------------------------------------------------------


def test_a_killed_replica_fails_no_request_cuts_no_stream_and_comes_back(
    pair: EnginePool, engine: Engine, tiny: Tiny, hold: Path
) -> None:
    requests = [ask(who, MANY, heat) for who in everyone(tiny) for heat in (0.0, 1.0)]
    alone = engine.generate_many(requests)
    processes = [process(pair, replica) for replica in (0, 1)]
    held(pair, hold)
    streams = [pair.stream(request) for request in requests]
    begun = [some(streams[0])]
    victim = pair._dispatch._router.loads.index(1)
    begun += map(some, streams[1:])
    calls = [pair.submit(request) for request in requests * 4]
    os.kill(processes[victim], signal.SIGKILL)
    until(lambda: pair.states[victim] == "restarting")
    hold.unlink()
    made = [whole([*first, *rest]) for first, rest in zip(begun, streams, strict=True)]
    assert all(map(same, made, alone))
    assert all(map(same, [call.result(LONG) for call in calls], alone * 4))
    # Those of the killed one went on where they were: the other engine made only what was left.
    assert min(one.timings.running_steps for one in made) < MANY - 2
    until(lambda: pair.states == ["serving", "serving"])
    assert process(pair, victim) != processes[victim]
    was = [one.requests for one in pair.stats()]
    assert all(map(same, pair.generate_many(requests), alone))
    assert all(now.requests > then for now, then in zip(pair.stats(), was, strict=True))


def test_a_drained_replica_is_replaced_for_every_holder(pair: EnginePool, tiny: Tiny) -> None:
    other = pickle.loads(ray.cloudpickle.dumps(pair))
    requests = [ask(who, 8) for who in everyone(tiny)] * 4
    expected = pair.generate_many(requests)
    with pytest.raises(UserError, match="serving, serving"):
        pair.replace()
    gone = process(pair, 0)
    pair.drain(0)
    assert all(
        map(same, other.generate_many(requests), expected)
    )  # who was not told finds out, and loses nothing
    assert other.states[0] != "serving"
    assert pair.replace() == 0
    assert pair.states == ["serving", "serving"]
    assert process(pair, 0) != gone
    until(lambda: other.states == ["serving", "serving"])
    assert other.stats()[0].requests == 0
    assert all(map(same, other.generate_many(requests), expected))
    assert all(one.requests for one in other.stats())


def test_a_running_pool_is_joined_by_its_name(pair: EnginePool) -> None:
    joined = EnginePool.join(pair.name)
    assert joined.states == ["serving", "serving"]
    assert same(joined.generate(ask(None)), pair.generate(ask(None)))
    with pytest.raises(UserError, match="nowhere"):
        EnginePool.join("nowhere")


def test_draining_and_closing_let_what_runs_end_and_take_nothing_new(pair: EnginePool, hold: Path) -> None:
    other = pickle.loads(ray.cloudpickle.dumps(pair))
    expected = other.generate(ask(None, MANY)).tokens
    with pytest.raises(UserError, match="replicas 0 to 1"):
        pair.drain(2)
    held(pair, hold)
    calls = [pair.submit(ask(None, MANY)) for _ in range(20)]
    streams = [pair.stream(ask(None, MANY)) for _ in range(4)]
    begun = [some(stream) for stream in streams]
    draining = threading.Thread(target=pair.drain, args=(0, LONG))
    draining.start()
    # Another holder of the pool, who was not told, loses nothing either.
    late = [holder.submit(ask(None, MANY)) for holder in (pair, other) for _ in range(10)]
    hold.unlink()
    assert {call.result(LONG).tokens for call in [*calls, *late]} == {expected}
    assert {whole([*first, *rest]).tokens for first, rest in zip(begun, streams, strict=True)} == {expected}
    draining.join()
    assert pair.states == ["drained", "serving"]
    assert len(pair.stats()) == 1
    hold.touch()
    last = [pair.submit(ask(None, MANY)) for _ in range(10)]
    until(lambda: pair.stats()[0].running)
    hold.unlink()
    pair.close(LONG)
    assert {call.result(LONG).tokens for call in last} == {expected}
    with pytest.raises(EngineError, match="closed"):
        pair.generate(ask(None))
    with pytest.raises(EngineError, match=r"drained|died"):
        other.generate(ask(None))
