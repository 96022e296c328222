"""What vLLM does by itself: run as a script on a base model and adapters, prints which hazards are there.

Each is worked around in ``openledger.openlora``; one that is gone means that its workaround can go.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

os.environ |= {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_LOGGING_LEVEL": "CRITICAL",
    "VLLM_NO_USAGE_STATS": "1",
    "OMP_NUM_THREADS": "1",
    "HF_HUB_OFFLINE": "1",
}

from vllm import EngineArgs, LLMEngine, SamplingParams
from vllm.lora.model_manager import LoRAModelManager
from vllm.lora.request import LoRARequest

PROMPT = [5, 7, 9, 11]
MODULES = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
_ids = count()


class Stock:
    def __init__(self, base: Path, folder: Path, **options: Any) -> None:
        self.folder = folder
        self.llm = LLMEngine.from_engine_args(
            EngineArgs(
                **(
                    {
                        "model": str(base),
                        "enable_lora": True,
                        "max_loras": 2,
                        "max_cpu_loras": 64,
                        "lora_target_modules": MODULES,
                        "dtype": "float32",
                        "enforce_eager": True,
                        "distributed_executor_backend": "uni",
                        "kv_cache_memory_bytes": 16 << 20,
                        "block_size": 32,
                        "max_num_seqs": 16,
                        "max_num_batched_tokens": 64,
                        "skip_tokenizer_init": True,
                        "disable_log_stats": True,
                        "use_tqdm_on_load": False,
                        "max_lora_rank": 16,
                    }
                    | options
                )
            ),
            enable_multiprocessing=False,
        )

    def lora(self, name: str, number: int) -> LoRARequest:
        return LoRARequest(name, number, str(self.folder / name))

    def ask(self, lora: LoRARequest | None, prompt: list[int] = PROMPT, **params: Any) -> str:
        name = str(next(_ids))
        settings = {"temperature": 0.0, "max_tokens": 8, "ignore_eos": True, "detokenize": False} | params
        self.llm.add_request(
            name, {"prompt_token_ids": prompt}, SamplingParams(**settings), lora_request=lora
        )
        return name

    def run(self, steps: int = 2000) -> dict[str, Any]:
        done = {}
        for _ in range(steps):
            if not self.llm.has_unfinished_requests():
                break
            done |= {output.request_id: output for output in self.llm.step() if output.finished}
        return done

    def tokens(self, lora: LoRARequest | None, **params: Any) -> list[int]:
        name = self.ask(lora, **params)
        return list(self.run()[name].outputs[0].token_ids)


def raises(act: Callable[[], Any]) -> bool:
    try:
        act()
    except Exception:  # noqa: BLE001 - whatever it is, it ended the engine
        return True
    return False


def hazards(base: Path, folder: Path) -> Iterator[tuple[str, bool]]:
    stock = Stock(base, folder)
    a, b, c = (stock.lora(name, number) for number, name in enumerate("abc", 1))

    alone = stock.tokens(None)
    mine, _, _ = stock.ask(None), stock.ask(a), stock.ask(b)
    yield "base rows get an adapter", list(stock.run()[mine].outputs[0].token_ids) != alone

    manager = stock.llm.model_executor.driver_worker.worker.model_runner.lora_manager._adapter_manager
    before = list(manager.lora_index_to_id)
    stock.llm.add_lora(c)
    yield "a preload takes a slot", list(manager.lora_index_to_id) != before

    calls: list[int] = []
    original = LoRAModelManager.list_adapters
    LoRAModelManager.list_adapters = lambda self: calls.append(1) or original(self)  # type: ignore[method-assign]
    stock.tokens(a)
    LoRAModelManager.list_adapters = original  # type: ignore[method-assign]
    yield "a step copies the table of adapters", len(calls) >= 8

    hot = {stock.ask(lora, max_tokens=20 + 7 * at): lora for at, lora in enumerate([a, b] * 3)}
    stock.llm.step()
    cold, served = stock.ask(c), False
    for _ in range(600):
        for output in stock.llm.step():
            served = served or output.request_id == cold
            if output.finished and output.request_id in hot:
                again = hot.pop(output.request_id)
                hot[stock.ask(again, max_tokens=40)] = again
    yield "a cold adapter waits without bound", not served
    stock.llm.abort_request([cold, *hot])
    stock.run()

    yield "pickles are loaded", not raises(lambda: stock.llm.add_lora(stock.lora("pickled", 11)))
    yield (
        "layers the base lacks are ignored",
        not raises(lambda: stock.llm.add_lora(stock.lora("deeper", 12))),
    )
    yield "smaller layers are padded", not raises(lambda: stock.llm.add_lora(stock.lora("narrower", 13)))

    everyone = [stock.tokens(lora, prompt=[at, *PROMPT]) for at in (30, 31) for lora in (None, a, b)]
    stock.tokens(stock.lora("huge", 14), max_tokens=40)
    after = [stock.tokens(lora, prompt=[at, *PROMPT], logprobs=0) for at in (30, 31) for lora in (None, a, b)]
    spoilt = False
    for at in range(40):
        name = stock.ask(None, [60 + at, *PROMPT], logprobs=0, max_tokens=30)
        for position in stock.run()[name].outputs[0].logprobs:
            spoilt = spoilt or any(entry.logprob != entry.logprob for entry in position.values())
    yield "NaN in the cache spoils others", spoilt or after != everyone

    def seeded() -> None:
        names = [
            stock.ask(None, [at + 3, *range(3, 153)], temperature=1.0, seed=at, max_tokens=20)
            for at in range(12)
        ]
        assert len(stock.run()) == len(names)

    yield "seeded sampling ends the engine", raises(seeded)

    headed = Stock(base, folder, lora_target_modules=None)
    yield (
        "prompt logprobs with an adapter end the engine",
        raises(
            lambda: (
                [headed.ask(headed.lora(one, ord(one)), prompt_logprobs=0) for one in "ab"],
                headed.run(),
            )
        ),
    )

    broken = Stock(base, folder)
    yield (
        "an adapter that fails to load ends the engine",
        raises(lambda: (broken.ask(broken.lora("gone", 1)), broken.run())),
    )


if __name__ == "__main__":
    found = {}
    for name, there in hazards(Path(sys.argv[1]), Path(sys.argv[2])):
        found[name] = there
        print(f"{name}: {there}", file=sys.stderr, flush=True)
    print(json.dumps(found))
