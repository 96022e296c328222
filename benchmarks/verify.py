"""What a replay sees: a ladder of swaps, from another model down to one optimiser step, against TOPLOC and full
re-generation.

The tolerance is the agreed one, frozen before any attack is made, and its false positives are counted over
``--honest`` tokens first: mixed batches, replayed one by one on an engine started anew. Then ``--outputs`` outputs of
16 and of 64 tokens at temperature 1 for each rung, and the share that is called a mismatch.
"""

from __future__ import annotations

import argparse
import random
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

from benchmarks._peer import ask, environment
from benchmarks._report import machine, write_section
from openledger import datanets, modelfactory
from openledger.openlora import (
    LENGTH,
    AdapterRef,
    AdapterStore,
    AssetRef,
    Engine,
    Generation,
    GenerationRequest,
    LocalRegistry,
    Observation,
    Sampling,
    fit,
    honest_requests,
    observe,
    replay,
    tolerance_for,
)
from openledger.registry import LocalStore, path_cid
from openledger.settings import get_settings

console = Console(highlight=False)
RECIPE = modelfactory.AdapterRecipe()


def train(cache: Path, steps: int) -> tuple[Path, dict[str, Path]]:
    """The base, the claimed adapter A, and what is served instead of it; trained once into the cache."""
    base = modelfactory.ensure_base(cache)
    net, other = datanets.shipped("audit_findings"), datanets.shipped("environmental_sensing")
    chunk = replace(net, rows=net.rows[:-1])
    wanted = {"A": (net, steps, 17)}
    wanted |= {f"{n} steps earlier": (net, steps - n, 17) for n in (1, 4, 20)}
    wanted |= {
        "one row of the datanet missing": (chunk, steps, 17),
        "another seed of training": (net, steps, 18),
    }
    wanted["another datanet"] = (other, steps, 17)
    made = {}
    for name, (data, length, seed) in track(wanted.items(), "training the ladder", console=console):
        made[name] = (
            cache
            / f"ladder-{RECIPE.version}-{steps}-{modelfactory.base_digest(base)[-12:]}-{name.replace(' ', '-')}"
        )
        if not made[name].exists():
            with tempfile.TemporaryDirectory(dir=cache) as scratch:
                modelfactory.train_adapter(base, data, Path(scratch) / "made", length, seed, recipe=RECIPE)
                shutil.move(Path(scratch) / "made", made[name])
    return base, made


class Ladder:
    """Outputs of every rung, as the cheat would report them under adapter A."""

    def __init__(self, base: Path, adapters: dict[str, Path], folder: Path) -> None:
        self.asset = AssetRef(1, path_cid(base))
        content = LocalStore(folder / "content")
        self.refs = {
            name: AdapterRef(at, content.add_path(path))
            for at, (name, path) in enumerate(adapters.items(), 2)
        }
        self.base, self._content, self._folder = base, content, folder
        self.engine = self.start()

    def start(self, dtype: str = "float32") -> Engine:
        known = LocalRegistry(tuple(self.refs.values()), self.asset)
        store = AdapterStore(self._content, known, self._folder / "adapters")
        return Engine(str(self.base), base_asset=self.asset, adapters=store, engine={"dtype": dtype})

    def make(
        self, prompts: list[tuple[int, ...]], length: int, who: str | None, temperature: float = 1.0, salt: int = 0,
        engine: Engine | None = None,
    ) -> list[Generation]:  # fmt: skip
        draw = random.Random(salt)
        how = Sampling(temperature, max_tokens=length, stop_token_ids=())
        adapter = None if who is None else self.refs[who]
        asked = [GenerationRequest(prompt, adapter, how, draw.randbytes(32)) for prompt in prompts]
        return (engine or self.engine).generate_many(asked)

    def rungs(
        self,
    ) -> dict[str, Callable[[list[tuple[int, ...]], int], tuple[list[Generation], list[Generation]]]]:
        """Rung → (prompts, length) → what was run, and what is claimed of it."""
        claimed = self.refs["A"]

        def served(who: str | None) -> Any:
            def run(prompts: list[tuple[int, ...]], length: int) -> Any:
                ran = self.make(prompts, length, who)
                return ran, [replace(one, adapter=claimed) for one in ran]

            return run

        def spoofed(who: str) -> Any:
            def run(prompts: list[tuple[int, ...]], length: int) -> Any:
                ran = self.make(prompts, length, who)
                return ran, [
                    replace(one, logprobs=tuple(self.engine.score(list(one.prompt), list(one.tokens), claimed)), adapter=claimed)
                    for one in ran
                ]  # fmt: skip

            return run

        def precision(prompts: list[tuple[int, ...]], length: int) -> Any:
            coarse = self.start("bfloat16")
            ran = self.make(prompts, length, "A", engine=coarse)
            coarse.close()
            return ran, [replace(one, engine_class=self.engine.engine_class) for one in ran]

        def cooler(prompts: list[tuple[int, ...]], length: int) -> Any:
            ran = self.make(prompts, length, "A", 0.9)
            return ran, [replace(one, sampling=replace(one.sampling, temperature=1.0)) for one in ran]

        def seeded(prompts: list[tuple[int, ...]], length: int) -> Any:
            ran = self.make(prompts, length, "A")
            return ran, [replace(one, seed=bytes(32)) for one in ran]

        def shortened(prompts: list[tuple[int, ...]], length: int) -> Any:
            ran = self.make([prompt[8:] for prompt in prompts], length, "A")
            return ran, [replace(one, prompt=whole) for one, whole in zip(ran, prompts, strict=True)]

        def edited(prompts: list[tuple[int, ...]], length: int) -> Any:
            ran = self.make(prompts, length, "A")
            return ran, [replace(one, tokens=_edit(one.tokens)) for one in ran]

        def cut(prompts: list[tuple[int, ...]], length: int) -> Any:
            ran = self.make(prompts, length, "A")
            return ran, [
                replace(one, tokens=one.tokens[:-4], logprobs=one.logprobs[:-4], finish=LENGTH) for one in ran
            ]

        return {
            "honest": served("A"),
            **{name: served(name) for name in self.refs if name != "A"},
            "base only": served(None),
            "bfloat16 for float32": precision,
            "temperature 0.9 for 1.0": cooler,
            "wrong seed": seeded,
            "prompt missing 8 tokens": shortened,
            "one token edited": edited,
            "four tokens cut off": cut,
            "spoof: 4 steps earlier, A's logprobs": spoofed("4 steps earlier"),
            "spoof: another datanet, A's logprobs": spoofed("another datanet"),
        }


def _edit(tokens: tuple[int, ...]) -> tuple[int, ...]:
    at = len(tokens) // 2
    return (*tokens[:at], 3 + (tokens[at] + 7) % 500, *tokens[at + 1 :])


def prompts_of(base: Path, count: int) -> list[tuple[int, ...]]:
    """Questions of both datanets, as tokens."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base)
    asked = [fact.question for name in ("audit_findings", "environmental_sensing")
             for row in datanets.shipped(name).rows for fact in row.facts]  # fmt: skip
    random.Random(2).shuffle(asked)
    return [
        tuple(tokenizer(modelfactory.prompt_of(asked[at % len(asked)]))["input_ids"]) for at in range(count)
    ]


def honest(ladder: Ladder, tokens: int) -> tuple[Any, dict[str, float]]:
    """False positives of the agreed tolerance, and CPU seconds of both sides."""
    made: list[Generation] = []
    began = time.process_time()
    for batch in honest_requests([None, *ladder.refs.values()], ladder.engine.vocab_size):
        made += ladder.engine.generate_many(batch)
        if sum(len(one.tokens) for one in made) >= tokens:
            break
    generated = time.process_time() - began
    verifier, observed = ladder.start(), list[Observation]()
    began = time.process_time()
    for one in track(made, "honest replays", console=console):
        observed.append(observe(one, verifier))
    spent = {"generate": generated, "observe": time.process_time() - began}
    began = time.process_time()
    for one in made[:200]:
        verifier.score(list(one.prompt), list(one.tokens), one.adapter)
    spent["score"] = (time.process_time() - began) / min(200, len(made)) * len(made)
    verifier.close()
    engine_class = ladder.engine.engine_class
    return fit(observed, engine_class, tolerance_for(engine_class, engine_class)), spent


def climb(ladder: Ladder, outputs: int) -> tuple[dict[str, dict[int, dict[str, float]]], dict[str, Any]]:
    """Shares called a mismatch by replay, by logprobs alone, and by full re-generation; and the 64-token outputs."""
    told: dict[str, dict[int, dict[str, float]]] = {}
    kept: dict[str, Any] = {}
    prompts = prompts_of(ladder.base, outputs)
    for rung, run in track(ladder.rungs().items(), "climbing", console=console):
        told[rung] = {}
        for length in (16, 64):
            ran, claimed = run(prompts, length)
            replays = [replay(one, ladder.engine) for one in claimed]
            unverified = sum(one.verdict == "unverified" for one in replays)
            assert not unverified, f"{rung}: {unverified} replays did not run"
            again = ladder.engine.generate_many(
                [GenerationRequest(one.prompt, one.adapter, one.sampling, one.seed) for one in claimed]
            )
            differs = [
                (one.tokens, one.finish) != (two.tokens, two.finish)
                or any(abs(a - b) > 20 for a, b in zip(one.logprobs, two.logprobs, strict=True))
                for one, two in zip(claimed, again, strict=True)
            ]
            told[rung][length] = {
                "replay": sum(one.verdict == "mismatch" for one in replays) / outputs,
                "logprobs": sum(one.max_delta > 20 for one in replays) / outputs,
                "regenerate": sum(differs) / outputs,
            }
            if length == 64:
                names = {ref: name for name, ref in ladder.refs.items()} | {None: None}
                kept[rung] = [
                    {"ran": names[a.adapter], "ran_prompt": a.prompt, "ran_tokens": a.tokens,
                     "claimed": "A", "prompt": b.prompt, "tokens": b.tokens}
                    for a, b in zip(ran, claimed, strict=True)
                ]  # fmt: skip
        console.print(rung, told[rung])
    return told, kept


def toploc(base: Path, adapters: dict[str, Path], rungs: dict[str, Any]) -> dict[str, Any] | None:
    """The peer's verdicts; ``None`` where it cannot be built (it compiles against torch)."""
    python = environment(
        "toploc",
        ["setuptools", "wheel"],
        ["--no-build-isolation", "--no-deps", "--no-binary", "toploc", "toploc==0.1.4"],
    )
    if python is None:
        return None
    asked = {"base": str(base), "adapters": {n: str(p) for n, p in adapters.items()}, "rungs": rungs}
    return ask("_toploc", asked, python)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--honest", type=int, default=100_000, help="honest tokens to replay")
    parser.add_argument(
        "--steps", type=int, default=300, help="optimiser steps of A, of 600; at 600 none changes it"
    )
    parser.add_argument("--outputs", type=int, default=100, help="of each length for each rung")
    given = parser.parse_args()
    base, adapters = train(get_settings().cache_dir, given.steps)
    with tempfile.TemporaryDirectory() as folder:
        ladder = Ladder(base, adapters, Path(folder))
        frozen, spent = honest(ladder, given.honest)
        console.print(frozen, spent)
        told, kept = climb(ladder, given.outputs)
    peer = toploc(base, adapters, kept)
    title = "Verification" if given.honest >= 100_000 else "Verification, small"
    write_section(title, report(given, frozen, spent, told, peer))


def report(given: Any, frozen: Any, spent: dict[str, float], told: Any, peer: dict[str, Any] | None) -> str:
    _, bound = frozen.false_positives
    lines = [
        f"{machine()}. Adapter A is rank {RECIPE.rank} after {given.steps} of {RECIPE.steps} steps; {given.outputs} outputs a rung and "
        "length, temperature 1. Shares called a mismatch.",
        "",
        "| served instead | replay, 16 | replay, 64 | logprobs alone, 64 | full re-generation, 64 | TOPLOC, 64 |",
        "|---|---|---|---|---|---|",
    ]
    for rung, found in told.items():
        theirs = "not built" if peer is None else f"{sum(peer['accused'][rung]) / given.outputs:.2f}"
        lines.append(
            f"| {rung} | {found[16]['replay']:.2f} | {found[64]['replay']:.2f} | {found[64]['logprobs']:.2f} "
            f"| {found[64]['regenerate']:.2f} | {theirs} |"
        )
    generate = spent["generate"]
    lines += [
        "",
        f"Tolerance {frozen.logprob / 1e4:.4f} nat, frozen before: {frozen.exceeded_tokens} of {frozen.tokens:,} honest tokens beyond it "
        f"(below {bound:.1e} at 95 %), {frozen.exceeded_outputs} of {frozen.outputs:,} outputs accused; largest difference "
        f"{frozen.max_delta / 1e4:.4f} nat. CPU seconds against {generate:.0f} of generating them (in batches of up to 32): "
        f"logprobs {spent['score'] / generate:.2f}, logprobs and 8 replayed choices {spent['observe'] / generate:.2f}.",
    ]
    if peer is not None:
        lines.append(f"TOPLOC commits to {peer['bytes_a_token']} bytes a token, replay to 4.")
    lines += [
        "",
        f"`python -m benchmarks.verify --honest {given.honest} --outputs {given.outputs} --steps {given.steps}`",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
