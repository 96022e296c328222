"""An adapter's way from the content store into a slot and out again, on a real engine in this process."""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import cloudpickle
import psutil
import pytest

from openledger.errors import ChainError, ContentError, EngineError, OverloadedError, UserError
from openledger.openlora import AdapterRef, AdapterStore, Engine, GenerationRequest, Queue, Sampling
from openledger.openlora import _batch as batch_module
from openledger.openlora._lora import _address
from openledger.openlora._pack import pack
from openledger.openlora._params import lora_request
from openledger.registry import LocalStore

from .conftest import Entry, Tiny, held, write_adapter

PROMPT = (5, 7, 9, 11)

# The process that reads adapters cannot import this module.
cloudpickle.register_pickle_by_value(sys.modules[__name__])


def ask(adapter: AdapterRef | None, tokens: int = 8, prompt: tuple[int, ...] = PROMPT) -> GenerationRequest:
    return GenerationRequest(prompt, adapter, Sampling(max_tokens=tokens, stop_token_ids=()), bytes(32))


@pytest.fixture
def hot(engine: Engine, tiny: Tiny) -> Iterator[list[AdapterRef]]:
    """Two adapters that hold both slots."""
    adapters = [tiny.adapters["a"], tiny.adapters["b"]]
    engine.generate_many([ask(adapter) for adapter in adapters])
    yield adapters
    engine.generate(ask(None, 1))  # comes after what the test has cancelled
    assert engine._loop.unfinished == 0
    assert engine._loop.memory.cache.list_adapters() == {
        resident.number for resident in engine._loop.memory.residents._all.values()
    }


def test_preloading_takes_no_slot_from_anyone(engine: Engine, tiny: Tiny, hot: list[AdapterRef]) -> None:
    before = engine._loop.memory.cache.slots
    assert None not in before
    new = [tiny.publish(number) for number in range(1000, 1010)]
    for loaded in [engine.preload(adapter) for adapter in new]:
        loaded.result(600)
    assert engine._loop.memory.cache.slots == before
    assert {adapter.cid for adapter in new} <= set(engine.stats().adapters)
    # Nor do the hot ones have to be brought back.
    engine.generate_many([ask(adapter) for adapter in hot])
    assert engine._loop.memory.cache.slots == before


class Slow(LocalStore):
    """A content store that waits for a sign before it gives a block, and counts. The signs are files: it is asked in the
    process that reads adapters."""

    def __init__(self, root: Path, signs: Path) -> None:
        super().__init__(root)
        self._signs = signs

    def get(self, cid: str) -> bytes:
        with (self._signs / "reads").open("a") as log:
            log.write(f"{cid}\n")
        wait_for(self._signs / "go")
        return super().get(cid)

    def go(self) -> None:
        (self._signs / "go").touch()

    def asked(self) -> None:
        """Returns once a block was asked for."""
        wait_for(self._signs / "reads")

    @property
    def reads(self) -> int:
        return len((self._signs / "reads").read_text().splitlines())


def wait_for(path: Path) -> None:
    until = time.monotonic() + 600
    while not path.exists():
        assert time.monotonic() < until, f"{path.name} never came"
        time.sleep(0.01)


@contextmanager
def served_from(engine: Engine, store: AdapterStore) -> Iterator[None]:
    memory = engine._loop.memory
    before = memory._source
    memory.use(store)
    try:
        yield
    finally:
        memory.use(before)


@pytest.fixture
def slow(engine: Engine, tiny: Tiny, tmp_path: Path) -> Iterator[Slow]:
    content = Slow(tiny.root / "content", tmp_path)
    with served_from(engine, AdapterStore(content, tiny.resolve, tiny.root / "adapters", ttl=0)):
        yield content
        content.go()


def test_the_engine_goes_on_while_an_adapter_is_fetched(
    engine: Engine, tiny: Tiny, hot: list[AdapterRef], slow: Slow
) -> None:
    waits = engine.submit(ask(tiny.publish(1020)))
    slow.asked()
    before = engine.stats().steps
    for _ in range(3):
        engine.generate_many([ask(None), *map(ask, hot)])
    assert engine.stats().steps - before >= 24
    assert not waits.done()
    slow.go()
    assert len(waits.result(600).tokens) == 8


@pytest.mark.parametrize(
    "config",
    [{}, {"use_rslora": True}, {"lora_alpha": 3, "alpha_pattern": {"down_proj": 5}}],
    ids=["plain", "rslora", "alpha of a module"],
)
def test_the_second_adapter_of_a_kind_becomes_what_vllm_would_make_of_it(
    engine: Engine, tiny: Tiny, tmp_path: Path, config: dict[str, Any]
) -> None:
    made = write_adapter(tmp_path / "made", seed=len(config), modules=("q_proj", "v_proj", "down_proj"))
    path = made / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | config))
    sealed = [pack(AdapterRef(2, ""), made, "F32") for _ in range(2)]
    packed = [one.opened(descriptor) for one, descriptor in sealed]
    cache = engine._loop.memory.cache
    cache._plans.clear()
    first, second = (cache.parse(lora_request("", 9000, made), one) for one in packed)
    assert len(cache._plans) == 1
    assert bytes(packed[0].memory) == bytes(packed[1].memory)
    starts = [_address(one) for one in packed]
    for model, start in zip((first, second), starts, strict=True):
        adapted = model.entries[:, 0] > 0
        assert adapted.sum() == 6  # q, v and down of two blocks
        model.entries[adapted, 1:3] -= start
    assert (first.entries == second.entries).all()
    assert second.rank == first.rank
    assert second.memory == first.memory


def test_many_requests_of_one_cold_adapter_fetch_it_once(engine: Engine, tiny: Tiny, slow: Slow) -> None:
    adapter = tiny.publish(1021)
    answers = [engine.submit(ask(adapter)) for _ in range(20)]
    loads = [engine.preload(adapter) for _ in range(5)]
    slow.go()
    assert len({answer.result(600).tokens for answer in answers}) == 1
    for load in loads:
        load.result(600)
    assert slow.reads == 3  # the directory and its two files


def reader(engine: Engine) -> psutil.Process:
    return psutil.Process(engine._loop.memory._reader.pid)


def test_a_load_survives_the_death_of_the_process_that_reads(
    engine: Engine, tiny: Tiny, hot: list[AdapterRef], slow: Slow
) -> None:
    before = reader(engine)
    waits = [engine.submit(ask(tiny.publish(number))) for number in (1090, 1091)]
    slow.asked()
    before.send_signal(signal.SIGKILL)
    engine.generate_many(list(map(ask, hot)))
    slow.go()
    assert [len(answer.result(600).tokens) for answer in waits] == [8, 8]
    assert reader(engine).pid != before.pid


class Fatal(LocalStore):
    """A content store that ends the process that asks it."""

    def get(self, cid: str) -> bytes:
        os._exit(7)


def test_an_adapter_that_kills_the_reader_again_fails_alone(
    engine: Engine, tiny: Tiny, hot: list[AdapterRef]
) -> None:
    fatal = AdapterStore(Fatal(tiny.root / "content"), tiny.resolve, tiny.root / "adapters", ttl=0)
    with served_from(engine, fatal), pytest.raises(EngineError, match="exit code 7"):
        engine.generate(ask(tiny.publish(1092)))
    engine.generate_many([*map(ask, hot), ask(tiny.publish(1093))])


class Locked(LocalStore):
    """A content store that only this process can use."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.lock = threading.Lock()


def test_a_content_store_that_cannot_travel_is_refused_at_once(engine: Engine, tiny: Tiny) -> None:
    content = Locked(tiny.root / "content")
    with pytest.raises(UserError, match="cannot be pickled"):
        engine._loop.memory.use(AdapterStore(content, tiny.resolve, tiny.root / "adapters"))


def test_several_assets_may_name_the_same_files_and_one_be_revoked(
    engine: Engine, tiny: Tiny, slow: Slow
) -> None:
    good = tiny.publish(1022)
    bad = tiny.register(1023, good.cid)
    answers = [engine.submit(ask(bad)), engine.submit(ask(good))]
    slow.asked()
    tiny.register(1023, good.cid, revoked=True)
    slow.go()
    assert len(answers[1].result(600).tokens) == 8
    with pytest.raises(UserError, match="revoked"):
        engine.generate(ask(bad))


def test_a_revocation_reaches_requests_that_wait(
    engine: Engine, tiny: Tiny, hot: list[AdapterRef], hold: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = tiny.publish(1024)
    engine.preload(adapter).result(600)
    held(engine, hold)
    running = [engine.submit(ask(one, 240)) for one in hot * 8]
    while engine.stats().running < len(running):  # as many as run at once
        pass
    monkeypatch.setattr(batch_module, "RECHECK", -1.0)  # however short it waited
    waits = engine.submit(ask(adapter))
    tiny.register(1024, adapter.cid, revoked=True)
    hold.unlink()
    with pytest.raises(UserError, match="revoked"):
        waits.result(600)
    for answer in running:
        answer.cancel()


def test_a_revoked_adapter_leaves_memory_and_its_slot_at_the_next_look(engine: Engine, tiny: Tiny) -> None:
    memory = engine._loop.memory
    adapter = tiny.publish(1025)
    twin = tiny.register(1026, adapter.cid)
    engine.generate_many([ask(adapter), ask(twin)])
    number = memory.residents[adapter.cid].number
    assert number in memory.cache.slots
    memory.revalidate()
    assert adapter.cid in engine.stats().adapters
    # The same files under another asset that is in force may stay.
    tiny.register(1025, adapter.cid, revoked=True)
    memory.revalidate()
    engine.generate(ask(twin))
    assert adapter.cid in engine.stats().adapters
    tiny.register(1026, adapter.cid, revoked=True)
    before = engine.stats().adapter_bytes
    memory.revalidate()
    engine.generate(ask(None))  # comes after what the look found
    assert adapter.cid not in engine.stats().adapters
    assert engine.stats().adapter_bytes < before
    assert number not in memory.cache.slots
    assert number not in memory.cache.list_adapters()


def test_requests_of_a_revoked_adapter_that_run_end_and_then_it_leaves(
    engine: Engine, tiny: Tiny, hold: Path
) -> None:
    memory = engine._loop.memory
    adapter = tiny.publish(1027)
    held(engine, hold)
    running = engine.submit(ask(adapter, 240))
    while adapter.cid not in memory._names:
        pass
    tiny.register(1027, adapter.cid, revoked=True)
    memory.revalidate()
    hold.unlink()
    assert len(running.result(600).tokens) == 240
    engine.generate(ask(None))
    assert adapter.cid not in engine.stats().adapters


def test_a_registry_that_is_away_drops_nothing(
    engine: Engine, hot: list[AdapterRef], monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise ChainError("No answer from the RPC endpoint")

    with monkeypatch.context() as patched:
        patched.setattr(engine._loop.memory._source, "check", away)
        engine._loop.memory.revalidate()
    engine.generate(ask(None))
    assert {adapter.cid for adapter in hot} <= set(engine.stats().adapters)


def test_an_adapter_whose_files_went_between_two_requests_is_fetched_again(
    engine: Engine, tiny: Tiny, tmp_path: Path
) -> None:
    # The disk holds one; each of these is dropped from it by the next, while memory still serves both.
    small = AdapterStore(
        tiny.content, tiny.resolve, tmp_path / "kept", ttl=0, disk_bytes=6000, max_bytes=6000
    )
    with served_from(engine, small):
        new = [tiny.publish(number, blocks=(0,)) for number in (1030, 1031, 1032)]
        first = [engine.generate(ask(adapter)).tokens for adapter in new]
        assert [path.name for path in (tmp_path / "kept").iterdir()] == [new[2].cid]
        assert [engine.generate(ask(adapter)).tokens for adapter in new] == first
        with pytest.raises(ContentError, match="larger than 6000 bytes"):
            engine.generate(ask(tiny.publish(1033, rank=64)))


def test_an_adapter_larger_than_all_memory_for_adapters_is_refused(engine: Engine, tiny: Tiny) -> None:
    residents = engine._loop.memory.residents
    before, residents.budget = residents.budget, 10_000
    try:
        with pytest.raises(UserError, match=r"Tiers\.ram_bytes"):
            engine.generate(ask(tiny.publish(1040, rank=8)))
    finally:
        residents.budget = before


def test_no_step_asks_how_many_adapters_are_cached(
    engine: Engine, tiny: Tiny, hot: list[AdapterRef], monkeypatch: pytest.MonkeyPatch
) -> None:
    # vLLM copies the whole table for every active adapter of every step.
    from vllm.lora.model_manager import LoRAModelManager

    calls = []
    original = LoRAModelManager.list_adapters
    monkeypatch.setattr(LoRAModelManager, "list_adapters", lambda self: calls.append(1) or original(self))
    engine.generate_many([ask(adapter, 20) for adapter in [*hot, tiny.adapters["c"]]])
    assert calls == []


def test_a_thousand_loads_and_evictions_leave_memory_as_it_was(
    engine: Engine, tiny: Tiny, hot: list[AdapterRef]
) -> None:
    # 0.5 MB each, eight at most in memory: were evicted ones kept, this would take 500 MB.
    everything = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
    new = [tiny.publish(number, rank=64, modules=everything) for number in range(1100, 1120)]
    process, residents = psutil.Process(), engine._loop.memory.residents

    def cycle(times: int) -> int:
        for at in range(times):
            adapter = new[at % len(new)]
            assert adapter.cid not in residents  # evicted since its last turn
            if at % 10:
                engine.preload(adapter).result(600)
            else:
                engine.generate(ask(adapter, 1))
            assert residents.used <= residents.budget
        gc.collect()
        return int(process.memory_info().rss)

    before = cycle(200)
    after = cycle(1000)
    assert after - before < 16 << 20
    size = (tiny.directories["made-1100"] / "adapter_model.safetensors").stat().st_size
    assert residents[new[-1].cid].memory <= 1.2 * size


@pytest.fixture
def in_memory(tmp_path: Path) -> Iterator[Path]:
    """A folder where writing durably costs nothing: of thousands of files the waits for a disk add up."""
    if not Path("/dev/shm").is_dir():
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        yield Path(folder)


def test_two_thousand_adapters_are_served_in_one_run_with_bounded_memory(
    engine: Engine, tiny: Tiny, in_memory: Path
) -> None:
    scratch, content = in_memory / "made", LocalStore(in_memory / "content")
    scratch.mkdir()
    table = {}
    for number in range(2000, 4000):
        made = write_adapter(
            scratch / str(number), seed=number, rank=2, modules=("q_proj",), blocks=(number % 2,)
        )
        table[number] = AdapterRef(number, content.add_path(made))
    entries = {ref.asset_id: Entry(ref.cid, 3, False, (tiny.base_asset.asset_id,)) for ref in table.values()}
    memory = engine._loop.memory
    budget, memory.residents.budget = memory.residents.budget, 1 << 20
    kept = in_memory / "kept"
    store = AdapterStore(content, entries.__getitem__, kept, ttl=3600, disk_bytes=1 << 20)
    process = psutil.Process()
    with served_from(engine, store):
        engine.generate_many([ask(adapter, 2) for adapter in list(table.values())[:100]])
        started = process.memory_info().rss
        answers = engine.generate_many([ask(adapter, 1) for adapter in table.values()])
        assert process.memory_info().rss - started < 64 << 20
        assert memory.residents.used <= 1 << 20
        assert len(memory.residents) <= 256  # a page each, at least
        assert sum(file.stat().st_size for file in kept.rglob("*.*")) <= 1 << 20
        for number in (2000, 2999, 3999):
            again, once = engine.generate(ask(table[number], 1)), answers[number - 2000]
            assert again.tokens == once.tokens
            assert again.logprobs == pytest.approx(once.logprobs, abs=2)
        assert len({(one.tokens, one.logprobs) for one in answers}) > 1900
    memory.residents.budget = budget


def test_a_cold_adapter_beside_saturated_hot_ones_begins_within_patience_and_one_request(
    engine: Engine, tiny: Tiny, hot: list[AdapterRef]
) -> None:
    length, patience = 40, engine._loop.jobs.queueing.patience
    cold = tiny.publish(1200)
    engine.preload(cold).result(600)
    running = [engine.submit(ask(adapter, length)) for adapter in hot * 40]
    while engine.stats().running < 16:
        pass
    made = engine.generate(ask(cold, 4))
    # Each of the hot ones has more waiting than the batch takes; the one that is closed has to end what runs.
    assert made.timings.queued_steps <= patience + length + 4
    assert made.timings.running_steps <= 6
    assert all(len(answer.result(600).tokens) == length for answer in running)


def test_a_full_queue_refuses_with_a_time_to_come_back(
    engine: Engine, hot: list[AdapterRef], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine._loop.jobs, "queueing", Queue(max_waiting=8))
    answers = []

    def flood(*adapters: AdapterRef | None) -> None:
        for at in range(100):
            answers.append(engine.submit(ask(adapters[at % len(adapters)], 100)))

    with pytest.raises(OverloadedError, match="requests of this adapter are under way") as caught:
        flood(hot[0])
    assert caught.value.code == "overloaded"
    assert caught.value.retry_after >= 1
    with pytest.raises(OverloadedError, match=r"\d+ requests are under way"):
        flood(None, hot[1])
    assert all(len(answer.result(600).tokens) == 100 for answer in answers)


def test_a_request_is_refused_once_its_deadline_has_passed(engine: Engine, hot: list[AdapterRef]) -> None:
    running = [engine.submit(ask(adapter, 240)) for adapter in hot * 8]
    with pytest.raises(OverloadedError, match="deadline"):
        engine.submit(replace(ask(None), deadline=0.0)).result(600)
    for answer in running:
        answer.cancel()
    assert len(engine.generate(replace(ask(None), deadline=60.0)).tokens) == 8


def test_an_engine_that_is_long_at_its_first_requests_takes_more(
    engine: Engine, hot: list[AdapterRef], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Found here: before any request had ended the estimate of the wait divided by zero.
    monkeypatch.setattr(engine._loop.batch, "tokens", 0)
    monkeypatch.setattr(engine._loop.batch, "busy", 2.0)
    assert len(engine.generate(replace(ask(hot[0]), deadline=60.0)).tokens) == 8


def test_priority_goes_ahead_of_what_waits(engine: Engine, hot: list[AdapterRef]) -> None:
    running = [engine.submit(ask(hot[0], 60)) for _ in range(48)]
    urgent = engine.submit(replace(ask(hot[0], 4), priority=4))
    assert urgent.result(600).timings.queued_steps < running[-1].result(600).timings.queued_steps
    with pytest.raises(UserError, match="Priority 9"):
        engine.generate(replace(ask(None), priority=9))


def test_a_cancelled_request_leaves_the_engine_at_once_and_its_neighbours_alone(
    engine: Engine, tiny: Tiny, hot: list[AdapterRef]
) -> None:
    alone = engine.generate(ask(hot[0], 60)).tokens
    answers = [engine.submit(ask(adapter, 240)) for adapter in [None, *hot, tiny.adapters["c"]] * 8]
    neighbour = engine.submit(ask(hot[0], 60))
    for answer in answers:
        answer.cancel()
    assert neighbour.result(600).tokens == alone
    with pytest.raises(CancelledError):
        answers[0].result()
    assert engine.generate(ask(tiny.adapters["c"])).tokens
    assert engine.stats().running == engine.stats().waiting == 0
