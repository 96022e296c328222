"""Influence against retraining: does a method's score of training examples predict what an adapter says when half of them
are left out?

The linear datamodelling score (Park et al., TRAK, 2023, https://arxiv.org/abs/2303.14186): adapters are trained again on
random halves of the examples; for each query, Spearman's correlation over the halves between the sum of the scores of
the examples in a half and the query's (negative) loss after it. The ceiling is retraining itself with other seeds.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress

from benchmarks._lds_work import SMALL, Recipe, Work, generated, prepare, retrain, train
from benchmarks._peer import ask, environment
from benchmarks._report import machine, write_section
from openledger.attribution.influence import (
    Example,
    Task,
    datainf,
    fisher,
    grad_cos,
    grad_dot,
    labels_for,
    tracin,
)
from openledger.settings import Settings

console = Console(highlight=False)

Scores = NDArray[np.floating[Any]]
ALIKE = 1.5, 0.75  # BM25's k1 and b


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--subsets", type=int, default=50, help="random halves")
    parser.add_argument("--retrains", type=int, default=2, help="seeds of each")
    parser.add_argument("--seeds", type=int, default=5, help="adapters whose influence is averaged")
    parser.add_argument("--small", action="store_true", help="a quarter of the examples")
    asked = parser.parse_args()
    torch.set_num_threads(1)  # matrices so small are slower on two that share a core
    recipe = SMALL if asked.small else Recipe()
    folder = Settings().cache_dir / f"lds-{recipe.digest}"
    work = prepare(folder, recipe)
    full = [folder / f"full-{seed}" for seed in range(asked.seeds)]
    marks = folder / "checkpoints.json"
    for seed, target in enumerate(full):
        if not (target / "adapter_config.json").exists():
            saved = train(folder / "base", work.examples, recipe, seed, target, checkpoints=5 * (seed == 0))
            if saved:
                marks.write_text(json.dumps([(rate, str(path.relative_to(folder))) for rate, path in saved]))
    checkpoints = [(rate, folder / path) for rate, path in json.loads(marks.read_text())]
    queries = {**work.queries, "generated": generated(folder / "base", full[0], work.queries["held out"])}
    flat = [query for kind in queries.values() for query in kind]
    halves = subsets(len(work.examples), asked.subsets)
    truth = ground_truth(folder, work, recipe, halves, asked.retrains, flat)
    labels = 4 if asked.small else labels_for(len(work.examples))
    found, cpu = scores(folder, work, full, checkpoints, flat, labels)
    section = "Attribution, influence" + (", small" if asked.small else "")
    write_section(section, report(asked, recipe, queries, halves, truth, found, cpu, labels))


def subsets(count: int, number: int) -> NDArray[np.bool_]:
    """(number, count): which examples are in each random half."""
    draw = np.random.default_rng(7)
    halves = np.zeros((number, count), bool)
    for half in halves:
        half[draw.permutation(count)[: count // 2]] = True
    return halves


def ground_truth(
    folder: Path, work: Work, recipe: Recipe, halves: NDArray[np.bool_], seeds: int, queries: list[Example]
) -> NDArray[np.float64]:
    """(halves, seeds, queries): losses after training on each half."""
    found = np.empty((len(halves), seeds, len(queries)))
    (folder / "retrained").mkdir(exist_ok=True)
    os.environ["OMP_NUM_THREADS"] = "1"
    with Progress(console=console) as bars, ProcessPoolExecutor(os.cpu_count(), get_context("spawn")) as pool:
        bar = bars.add_task("training again", total=len(halves) * seeds)
        jobs = {}
        for at, half in enumerate(halves):
            chosen = [work.examples[place] for place in np.flatnonzero(half)]
            for seed in range(seeds):
                kept = folder / f"retrained/{at}-{seed}.npy"
                job = pool.submit(retrain, folder / "base", chosen, recipe, 100 + seed, queries, kept)
                jobs[job] = at, seed
        for job in as_completed(jobs):
            found[jobs[job]] = job.result()
            bars.advance(bar)
    return found


def scores(
    folder: Path,
    work: Work,
    full: list[Path],
    checkpoints: list[tuple[float, Path]],
    queries: list[Example],
    labels: int,
) -> tuple[dict[str, Scores], dict[str, float]]:
    """Each method's (queries, examples), and its seconds of CPU."""
    base = folder / "base"
    found: dict[str, Scores] = {}
    cpu: dict[str, float] = {}

    def take(name: str, make: Callable[[], Scores]) -> None:
        began = time.process_time()
        found[name] = make()
        cpu[name] = time.process_time() - began
        console.print(f"{name}: {cpu[name]:.1f} s")

    tasks = [
        Task(base, adapter, work.examples, queries, checkpoints if at == 0 else ())
        for at, adapter in enumerate(full)
    ]
    draw = np.random.default_rng(5)
    take("random", lambda: draw.normal(size=(len(queries), len(work.examples))))
    take("3-gram overlap", lambda: overlap(work.examples, queries))
    take("BM25", lambda: bm25(work.examples, queries))
    take("gradients alone", lambda: tasks[0].of_queries @ tasks[0].of_examples.T)
    take("GradDot", lambda: grad_dot(tasks[0]))
    take("GradCos", lambda: grad_cos(tasks[0]))
    take("TracIn, 5 checkpoints", lambda: tracin(tasks[0]))
    take("DataInf", lambda: datainf(tasks[0]))
    del found["gradients alone"]
    python = environment(
        "kronfluence", ["--no-deps", "kronfluence==1.0.1", "einconv==0.1.0", "opt_einsum", "sympy", "mpmath"]
    )
    if python is not None:
        plain = {
            "base": str(base),
            "adapter": str(full[0]),
            "examples": [(example.tokens, example.first) for example in work.examples],
            "queries": [(query.tokens, query.first) for query in queries],
        }
        theirs = ask("_kronfluence", plain, python)
        found["EK-FAC, kronfluence"], cpu["EK-FAC, kronfluence"] = np.array(theirs["scores"]), theirs["cpu"]
    take("true Fisher", lambda: fisher(tasks[0], labels))
    every = f"true Fisher, {len(full)} seeds"
    take(
        every, lambda: np.mean([found["true Fisher"], *(fisher(task, labels) for task in tasks[1:])], axis=0)
    )
    cpu[every] += cpu["true Fisher"]
    return found, cpu


def overlap(examples: Sequence[Example], queries: Sequence[Example]) -> Scores:
    """Share of a query's token 3-grams that stand in an example."""

    def grams(example: Example) -> set[tuple[int, ...]]:
        return {example.tokens[at : at + 3] for at in range(len(example.tokens) - 2)}

    of_examples = [grams(example) for example in examples]
    return np.array(
        [[len(mine & other) / len(mine) for other in of_examples] for mine in map(grams, queries)]
    )


def bm25(examples: Sequence[Example], queries: Sequence[Example]) -> Scores:
    """Robertson and Zaragoza, 2009, over tokens."""
    k1, b = ALIKE
    counts = [Counter(example.tokens) for example in examples]
    holders = Counter(token for one in counts for token in one)
    mean = sum(len(example.tokens) for example in examples) / len(examples)
    found = np.zeros((len(queries), len(examples)))
    for row, query in enumerate(queries):
        for column, one in enumerate(counts):
            size = k1 * (1 - b + b * len(examples[column].tokens) / mean)
            found[row, column] = sum(
                math.log(1 + (len(examples) - holders[token] + 0.5) / (holders[token] + 0.5))
                * one[token]
                * (k1 + 1)
                / (one[token] + size)
                for token in query.tokens
                if token in one
            )
    return found


def ranks(values: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Ranks along the first axis, the mean of equals."""
    order = np.argsort(np.argsort(values, axis=0, kind="stable"), axis=0).astype(float)
    backwards = np.argsort(np.argsort(values[::-1], axis=0, kind="stable"), axis=0)[::-1].astype(float)
    mean: NDArray[np.float64] = (order + backwards) / 2
    return mean


def spearman(left: NDArray[np.floating[Any]], right: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Of each column; 0 where one does not vary."""
    a, b = (one - one.mean(0) for one in (ranks(left), ranks(right)))
    sizes = np.sqrt((a**2).sum(0) * (b**2).sum(0))
    found: NDArray[np.float64] = np.divide((a * b).sum(0), sizes, out=np.zeros(len(sizes)), where=sizes > 0)
    return found


def interval(values: NDArray[np.float64]) -> tuple[float, float]:
    """95 % of bootstrapped means over queries."""
    draw = np.random.default_rng(11)
    means = values[draw.integers(len(values), size=(2000, len(values)))].mean(1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def report(
    asked: Any,
    recipe: Recipe,
    queries: dict[str, list[Example]],
    halves: NDArray[np.bool_],
    truth: NDArray[np.float64],
    found: dict[str, Scores],
    cpu: dict[str, float],
    labels: int,
) -> str:
    kinds = [kind for kind, several in queries.items() for _ in several]
    said = -truth.mean(1)
    rows = {name: spearman(halves @ one.T, said) for name, one in found.items()}
    one = np.mean(
        [spearman(-truth[:, a], -truth[:, b]) for a in range(asked.retrains) for b in range(a)], axis=0
    )
    # Spearman and Brown: what as many other seeds would correlate with the mean of these.
    ceiling = asked.retrains * one / (1 + (asked.retrains - 1) * one)
    rows["retraining (the ceiling)"] = ceiling
    names = list(queries)
    lines = [
        f"{machine()}. {halves.shape[1]} examples of {recipe.length} tokens, LoRA of rank {recipe.rank} over a Llama of "
        f"1.9 M parameters, {len(halves)} halves × {asked.retrains} seeds; {len(kinds)} queries; "
        f"{labels} draws an example. LDS, mean over queries "
        "with a bootstrapped 95 % interval.",
        "",
        f"| method | LDS | low | high | {' | '.join(names)} | CPU s |",
        f"|---|---|---|---|{'---|' * len(names)}---|",
    ]
    for name, values in sorted(rows.items(), key=lambda item: float(item[1].mean())):
        low, high = interval(values)
        parts = [
            f"{np.mean([value for value, kind in zip(values, kinds, strict=True) if kind == wanted]):.2f}"
            for wanted in names
        ]
        seconds = f"{cpu[name]:.1f}" if name in cpu else "–"
        lines.append(
            f"| {name} | {values.mean():.3f} | {low:.3f} | {high:.3f} | {' | '.join(parts)} | {seconds} |"
        )
    ours = next(name for name in rows if name.endswith("seeds"))
    peers = {"DataInf": 1.4, "EK-FAC, kronfluence": 1.1, "retraining (the ceiling)": 0.87}
    said_of = [
        f"{rows[ours].mean() / rows[peer].mean():.2f} times {peer} (target {target})"
        for peer, target in peers.items()
        if peer in rows
    ]
    lines += [
        "",
        f"{ours}: {', '.join(said_of)}. The ceiling is what the mean of {asked.retrains} other retrainings would score, "
        f"from one seed against another ({one.mean():.3f}) by Spearman and Brown's formula.",
        "",
        f"`python -m benchmarks.influence --subsets {asked.subsets} --retrains {asked.retrains} --seeds {asked.seeds}"
        f"{' --small' if asked.small else ''}`",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
