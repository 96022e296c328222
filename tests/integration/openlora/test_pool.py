"""What a pool refuses, what it survives, and how it comes back."""

from __future__ import annotations

import os
import pickle
import shutil
import signal
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import ray
from blocks import tamper

from openledger.errors import ContentError, EngineError, OpenLedgerError, UserError
from openledger.openlora import (
    AdapterRef,
    EnginePool,
    Generation,
    GenerationRequest,
    PoolConfig,
    Sampling,
    replay,
)
from openledger.registry import path_cid

from .conftest import LONG, Tiny, held, make_adapter, make_base

PROMPT = (5, 7, 9, 11)


def ask(adapter: AdapterRef | None, tokens: int = 16) -> GenerationRequest:
    return GenerationRequest(PROMPT, adapter, Sampling(max_tokens=tokens, stop_token_ids=()), bytes(32))


@pytest.fixture
def still_serving(pool: EnginePool, tiny: Tiny) -> Iterator[None]:
    """Afterwards the pool gives what it gave before: a refusal cost nobody else anything."""
    requests = [ask(None), *map(ask, tiny.adapters.values())]
    before = [made.tokens for made in pool.generate_many(requests)]
    yield
    assert [made.tokens for made in pool.generate_many(requests)] == before


pytestmark = pytest.mark.usefixtures("running_ray")


@pytest.mark.usefixtures("still_serving")
def test_an_unregistered_adapter_is_refused(pool: EnginePool, tiny: Tiny) -> None:
    with pytest.raises(UserError, match="not registered"):
        pool.generate(ask(AdapterRef(999, tiny.adapters["a"].cid)))
    with pytest.raises(UserError, match="the registry names"):
        pool.generate(ask(AdapterRef(tiny.adapters["a"].asset_id, tiny.adapters["b"].cid)))


@pytest.mark.usefixtures("still_serving")
def test_a_revoked_adapter_is_refused_even_when_it_is_loaded(pool: EnginePool, tiny: Tiny) -> None:
    adapter = tiny.register(50, tiny.adapters["a"].cid)
    pool.generate(ask(adapter))
    tiny.register(50, adapter.cid, revoked=True)
    with pytest.raises(UserError, match="revoked"):
        pool.generate(ask(adapter))
    with pytest.raises(UserError, match="revoked"):
        pool.score(list(PROMPT), [1], adapter)


@pytest.mark.usefixtures("still_serving")
def test_a_flipped_byte_is_refused_before_it_reaches_the_engine(pool: EnginePool, tiny: Tiny) -> None:
    made = make_adapter(tiny.root / "flipped", tiny.base, seed=9)
    adapter = tiny.register(51, tiny.content.add_path(made))
    weights = path_cid(made / "adapter_model.safetensors")
    good = tiny.content.get(weights)
    tamper(tiny.content, weights, good[:-1] + bytes([good[-1] ^ 1]))
    with pytest.raises(ContentError, match="other bytes") as caught:
        pool.generate(ask(adapter))
    assert caught.value.cid
    tamper(tiny.content, weights, good)
    assert len(pool.generate(ask(adapter)).tokens) == 16


@pytest.mark.usefixtures("still_serving")
def test_adapters_the_engine_cannot_load_cost_only_their_own_request(pool: EnginePool, tiny: Tiny) -> None:
    wider = make_base(tiny.root / "wider", hidden=128)
    narrower = make_base(tiny.root / "narrower", hidden=32)
    deeper = make_base(tiny.root / "deeper", layers=3)
    number = 60
    for name, base, options, said in (
        ("too-wide", wider, {}, "which has 128 and 64 here"),
        ("too-narrow", narrower, {}, "which has 128 and 64 here"),
        ("too-deep", deeper, {}, "this base model lacks"),
        ("rank-32", tiny.base, {"rank": 32}, "max_lora_rank=32"),
        ("head", tiny.base, {"modules": ("lm_head",)}, "lm_head"),
    ):
        adapter = tiny.register(
            number, tiny.content.add_path(make_adapter(tiny.root / name, base, seed=1, **options))
        )
        number += 1
        with pytest.raises(UserError, match=said):
            pool.generate(ask(adapter))


@pytest.mark.usefixtures("still_serving")
def test_an_adapter_of_another_base_is_refused(pool: EnginePool, tiny: Tiny) -> None:
    adapter = tiny.register(70, tiny.adapters["a"].cid, parents=(99,))
    with pytest.raises(UserError, match="base 99, this engine runs asset 1"):
        pool.generate(ask(adapter))


@pytest.mark.usefixtures("still_serving")
def test_an_adapter_that_overflows_spoils_nobody_elses_cache(pool: EnginePool, tiny: Tiny) -> None:
    # Found here: vLLM leaves NaN in freed blocks of the KV cache, and whoever gets them next is spoilt too.
    from safetensors.numpy import load_file, save_file

    made = Path(shutil.copytree(tiny.directories["a"], tiny.root / "huge"))
    weights = {name: array * 1e30 for name, array in load_file(made / "adapter_model.safetensors").items()}
    save_file(weights, made / "adapter_model.safetensors", metadata={"format": "pt"})
    adapter = tiny.register(71, tiny.content.add_path(made))
    neighbours = [ask(other, 60) for other in tiny.adapters.values()]
    alone = [pool.generate(request).tokens for request in neighbours]
    for sampling in (Sampling(max_tokens=40), Sampling(1.0, 0.9, 5, 40)):
        sent = [pool.submit(request) for request in neighbours]
        with pytest.raises(EngineError, match="not a number"):
            pool.generate(replace(ask(adapter), sampling=sampling))
        assert [future.result(LONG).tokens for future in sent] == alone
    for call in (
        lambda: list(pool.stream(ask(adapter, 40))),
        lambda: pool.score(list(PROMPT), [3, 4], adapter),
        lambda: pool.step(list(PROMPT), adapter, [3]),
        lambda: pool.step_choice(list(PROMPT), [3, 4], [1], adapter, bytes(32), Sampling(1.0)),
    ):
        with pytest.raises(EngineError, match="not a number"):
            call()


def test_a_pool_reaches_tasks_and_actors(pool: EnginePool, tiny: Tiny) -> None:
    @ray.remote(num_cpus=0)
    def use(given: EnginePool, request: GenerationRequest) -> Generation:
        return given.generate(request)

    made = ray.get(use.remote(pool, ask(tiny.adapters["a"])), timeout=LONG)
    assert made.tokens == pool.generate(ask(tiny.adapters["a"])).tokens
    assert made.base == tiny.base_asset
    assert replay(made, pool, base=tiny.base_asset).verdict == "verified"


def test_errors_cross_processes_unchanged(pool: EnginePool) -> None:
    with pytest.raises(UserError) as caught:
        pool.generate(GenerationRequest((), None, Sampling(), bytes(32)))
    error = caught.value
    assert (type(error), error.code, error.fix) == (UserError, "user", "add one")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_a_killed_replica_comes_back_and_the_call_is_made_again(pool: EnginePool, tiny: Tiny) -> None:
    adapter = tiny.adapters["a"]
    before = pool.generate(ask(adapter, 64))
    process = ray.get(pool._replicas[0].__ray_call__.remote(lambda _: os.getpid()), timeout=LONG)
    calls = [pool.submit(ask(adapter, 200)) for _ in range(20)]
    os.kill(process, signal.SIGKILL)
    assert pool.generate(ask(adapter, 64)).tokens == before.tokens
    assert len({call.result(LONG).tokens for call in calls}) == 1
    assert ray.get(pool._replicas[0].__ray_call__.remote(lambda _: os.getpid()), timeout=LONG) != process


def test_an_engine_that_fails_is_replaced(pool: EnginePool, tiny: Tiny) -> None:
    def sabotage(replica: object) -> int:
        replica._engine._loop.batch._load_some = None  # type: ignore[attr-defined] # the loop ends, as if vLLM had raised
        return os.getpid()

    before = pool.generate(ask(None)).tokens
    process = ray.get(pool._replicas[0].__ray_call__.remote(sabotage), timeout=LONG)
    assert pool.generate(ask(None)).tokens == before
    assert ray.get(pool._replicas[0].__ray_call__.remote(lambda _: os.getpid()), timeout=LONG) != process


def test_a_cold_adapter_is_served_while_as_many_hot_ones_as_slots_keep_coming(
    pool: EnginePool, tiny: Tiny
) -> None:
    # Two slots, two adapters that always have work: without ageing the third never gets one.
    served, stop = [0, 0], threading.Event()

    def keep_asking(which: int) -> None:
        while not stop.is_set():
            # Different lengths: the requests of one adapter never all end in the same step.
            pool.generate(ask(tiny.adapters["ab"[which % 2]], 40 + 17 * which))
            served[which % 2] += 1

    hot = [threading.Thread(target=keep_asking, args=(number,)) for number in range(12)]
    for thread in hot:
        thread.start()
    try:
        made = pool.generate(ask(tiny.adapters["c"], 100))
    finally:
        stop.set()
        for thread in hot:
            thread.join()
    assert len(made.tokens) == 100
    assert min(served) > 0


def test_a_request_that_takes_too_long_is_dropped_and_its_neighbours_go_on(
    pool: EnginePool, tiny: Tiny, hold: Path
) -> None:
    def hurry(replica: object, seconds: float) -> float:
        engine = replica._engine  # type: ignore[attr-defined]
        before, engine.timeout = engine.timeout, seconds
        return float(before)

    def running(replica: object) -> int:
        return int(replica._engine._loop.unfinished)  # type: ignore[attr-defined]

    other = [ask(adapter, 240) for adapter in tiny.adapters.values()]
    alone = [pool.generate(request).tokens for request in other]
    held(pool, hold)
    sent = [pool.submit(request) for request in other]
    while ray.get(pool._replicas[0].__ray_call__.remote(running), timeout=LONG) < len(other):
        pass
    patient = ray.get(pool._replicas[0].__ray_call__.remote(hurry, 0.02), timeout=LONG)
    with pytest.raises(EngineError, match=r"no answer in 0\.02 seconds"):
        pool.generate(ask(tiny.adapters["a"], 200))
    ray.get(pool._replicas[0].__ray_call__.remote(hurry, patient), timeout=LONG)
    hold.unlink()
    assert [future.result(LONG).tokens for future in sent] == alone
    assert pool.generate(ask(None)).tokens
    assert ray.get(pool._replicas[0].__ray_call__.remote(running), timeout=LONG) == 0


def test_a_pool_that_does_not_restart_says_that_its_replica_died(tiny: Tiny) -> None:
    mortal = EnginePool.start(tiny.config(restarts=0, num_cpus=0))
    try:
        process = ray.get(mortal._replicas[0].__ray_call__.remote(lambda _: os.getpid()), timeout=LONG)
        os.kill(process, signal.SIGKILL)
        with pytest.raises(EngineError, match="replica died"):
            mortal.generate(ask(None))
    finally:
        mortal.close()
    with pytest.raises(EngineError, match="closed"):
        mortal.generate(ask(None))


@pytest.mark.parametrize(
    ("engine", "said"),
    [
        ({"max_lora": 4}, "did you mean 'max_loras'"),
        ({"lora_target_modules": ["q_proj", "lm_head"]}, "output head"),
        ({"logits_processors": []}, "reserved"),
        ({"max_lora_rank": 7}, "vLLM did not start"),
    ],
)
def test_engine_arguments_that_cannot_work_are_refused_at_the_start(
    tiny: Tiny, engine: dict[str, object], said: str
) -> None:
    with pytest.raises(OpenLedgerError, match=said):
        EnginePool.start(tiny.config(engine=engine, num_cpus=0))


def test_a_base_model_that_is_none_is_refused_at_the_start(tiny: Tiny) -> None:
    with pytest.raises(EngineError, match="did not start"):
        EnginePool.start(PoolConfig(str(tiny.root / "content"), num_cpus=0, timeout=LONG))
