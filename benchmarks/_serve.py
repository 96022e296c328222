"""One system under the same work: ``python -m benchmarks._serve`` with a JSON description, figures as JSON.

Systems: ``openlora``, ``vllm`` (plain, with its options given), ``peft``. Each runs in a process of its own.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROMPT, OUTPUT = 16, 16
ENGINE: dict[str, Any] = {
    "enable_lora": True,
    "dtype": "float32",
    "enforce_eager": True,
    "kv_cache_memory_bytes": 128 << 20,
    "block_size": 32,
    "max_num_seqs": 64,
    "max_num_batched_tokens": 1024,
    "skip_tokenizer_init": True,
    "disable_log_stats": True,
    "use_tqdm_on_load": False,
}


@dataclass(frozen=True)
class Work:
    """Which adapter each request asks for. All are asked at once, or ``rate`` a second whatever becomes of them; waiting
    counts from then."""

    base: str
    adapters: tuple[str, ...]
    requests: tuple[int, ...]
    rate: float = 0.0

    def due(self, at: int) -> float:
        """Seconds after the beginning at which request number ``at`` comes."""
        return at / self.rate if self.rate else 0.0


def prompt(at: int) -> list[int]:
    return [3 + (at * 31 + place * 7) % 900 for place in range(PROMPT)]


def resident() -> float:
    import psutil

    return float(psutil.Process().memory_info().rss)


def figures(
    began: float,
    cpu: float,
    first: list[float],
    requests: int,
    clock: Callable[[], float] = time.process_time,
    memory: Callable[[], float] = resident,
) -> dict[str, Any]:
    wall, used = time.perf_counter() - began, clock() - cpu
    ordered = sorted(first)
    return {
        "tokens_per_second": requests * OUTPUT / wall,
        "tokens_per_cpu_second": requests * OUTPUT / used,
        "ttft_p50": ordered[len(ordered) // 2],
        "ttft_p99": ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)],
        "rss_mib": memory() / 2**20,
    }


def vllm(work: Work, options: dict[str, Any]) -> dict[str, Any]:
    from vllm import EngineArgs, LLMEngine, SamplingParams
    from vllm.lora.request import LoRARequest

    llm = LLMEngine.from_engine_args(
        EngineArgs(model=work.base, distributed_executor_backend="uni", **ENGINE, **options),
        enable_multiprocessing=False,
    )
    loras = [LoRARequest(f"{at}", at + 1, path) for at, path in enumerate(work.adapters)]
    params = SamplingParams(temperature=0.0, max_tokens=OUTPUT, ignore_eos=True, detokenize=False)

    def run(requests: tuple[int, ...], due: Callable[[int], float]) -> list[float]:
        began, asked = time.perf_counter(), 0
        first: dict[str, float] = {}
        while asked < len(requests) or llm.has_unfinished_requests():
            while asked < len(requests) and due(asked) <= time.perf_counter() - began:
                tokens = {"prompt_token_ids": prompt(asked)}
                llm.add_request(str(asked), tokens, params, lora_request=loras[requests[asked]])
                asked += 1
            if not llm.has_unfinished_requests():
                time.sleep(max(0.0, due(asked) - (time.perf_counter() - began)))
                continue
            for output in llm.step():
                late = time.perf_counter() - began - due(int(output.request_id))
                first.setdefault(output.request_id, late)
        return list(first.values())

    run(tuple(dict.fromkeys(work.requests)), lambda _: 0.0)
    began, cpu = time.perf_counter(), time.process_time()
    return figures(began, cpu, run(work.requests, work.due), len(work.requests))


@contextmanager
def serving(base: str, adapters: Sequence[str], options: dict[str, Any], **tiers: Any) -> Iterator[Any]:
    """An openlora engine that may ask a local content store for any of ``adapters``, and their references."""
    import tempfile

    from openledger.openlora import AdapterRef, AdapterStore, AssetRef, Engine, Tiers
    from openledger.registry import LocalStore

    @dataclass(frozen=True)
    class Entry:
        cid: str
        kind: int = 3
        revoked: bool = False
        parents: tuple[int, ...] = (1,)

    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        content = LocalStore(Path(folder) / "content")
        refs = [AdapterRef(at + 2, content.add_path(Path(path))) for at, path in enumerate(adapters)]
        entries = {ref.asset_id: Entry(ref.cid) for ref in refs}
        store = AdapterStore(content, entries.__getitem__, Path(folder) / "adapters", ttl=3600)
        engine = Engine(
            base, base_asset=AssetRef(1, "base"), adapters=store, engine=options, tiers=Tiers(**tiers)
        )
        try:
            yield engine, refs
        finally:
            engine.close()


def request(at: int, adapter: Any, output: int = OUTPUT) -> Any:
    from openledger.openlora import GenerationRequest, Sampling

    sampling = Sampling(max_tokens=output, stop_token_ids=())
    return GenerationRequest(tuple(prompt(at)), adapter, sampling, bytes(32))


def first_token(made: Any) -> float:
    """Seconds to it: the engine gives whole outputs, whose first token comes a step after they began."""
    return float(made.timings.queued + made.timings.running / len(made.tokens))


def openlora(work: Work, options: dict[str, Any]) -> dict[str, Any]:
    with serving(work.base, work.adapters, options) as (engine, refs):

        def run(requests: tuple[int, ...], due: Callable[[int], float]) -> list[float]:
            began, answers = time.perf_counter(), []
            for at, which in enumerate(requests):
                if (left := due(at) - (time.perf_counter() - began)) > 0:
                    time.sleep(left)
                answers.append(engine.submit(request(at, refs[which])))
            return [first_token(answer.result(600)) for answer in answers]

        run(tuple(dict.fromkeys(work.requests)), lambda _: 0.0)
        began, cpu = time.perf_counter(), time.process_time()
        found = figures(began, cpu, run(work.requests, work.due), len(work.requests))
        found["slots"] = engine.stats().slots
        return found


def peft(work: Work, options: dict[str, Any]) -> dict[str, Any]:
    """One adapter at a time, the requests of each together: what switching adapters allows."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(1)
    used = list(dict.fromkeys(work.requests))
    model: Any = AutoModelForCausalLM.from_pretrained(work.base, dtype=torch.float32)
    model = PeftModel.from_pretrained(model, work.adapters[used[0]], adapter_name=str(used[0]))
    for which in used[1:]:
        model.load_adapter(work.adapters[which], adapter_name=str(which))
    model.eval()
    began, cpu, first = time.perf_counter(), time.process_time(), []
    waiting = list(range(len(work.requests)))
    while waiting:
        now = time.perf_counter() - began
        if work.due(waiting[0]) > now:
            time.sleep(work.due(waiting[0]) - now)
            continue
        which = work.requests[waiting[0]]
        mine = [at for at in waiting if work.requests[at] == which and work.due(at) <= now]
        waiting = [at for at in waiting if at not in mine]
        model.set_adapter(str(which))
        tokens = torch.tensor([prompt(at) for at in mine])
        asked = time.perf_counter()
        with torch.no_grad():
            model.generate(
                tokens,
                attention_mask=torch.ones_like(tokens),
                max_new_tokens=OUTPUT,
                min_new_tokens=OUTPUT,
                do_sample=False,
                pad_token_id=0,
            )
        took = (time.perf_counter() - asked) / OUTPUT
        first += [asked - began + took - work.due(at) for at in mine]
    return figures(began, cpu, first, len(work.requests))


def environment() -> None:
    os.environ |= {
        "OMP_NUM_THREADS": "1",
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "VLLM_LOGGING_LEVEL": "ERROR",
        "VLLM_NO_USAGE_STATS": "1",
        "HF_HUB_OFFLINE": "1",
    }


if __name__ == "__main__":
    environment()
    asked = json.loads(sys.stdin.read())
    work = Work(asked["base"], tuple(asked["adapters"]), tuple(asked["requests"]), asked["rate"])
    system = {"vllm": vllm, "openlora": openlora, "peft": peft}[asked["system"]]
    print(json.dumps(system(work, asked["options"])))
