"""Span attribution over 100 MB of text, beside infini-gram: the same spans, how long a trace takes, how large an index is,
and which planted passages are found again after edits.

The text is made up: 30,000 words by Zipf's law, every tenth sentence one of 1,000 that many rows share. An output is 256
tokens, half of them passages of rows with a share of their tokens replaced, half words of its own. Only spans are
measured so far; influence and shares against retraining are not.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from benchmarks._peer import environment
from benchmarks._report import machine, quantiles, write_section
from openledger.attribution import MIN_TOKENS, SourceRow, SpanIndex

console = Console(highlight=False)

WORDS, SENTENCE, ROW, SHARED = 30_000, 14, 12, 1_000
OUTPUT, PASSAGE = 256, 32
EDITS = (0.0, 0.05, 0.10)


def corpus(megabytes: int) -> Iterator[str]:
    """Rows of ``ROW`` sentences."""
    draw = np.random.default_rng(0)
    letters = np.array(list("etaoinshrdlucmfwypvbgk"))
    words = np.array(["".join(draw.choice(letters, draw.integers(2, 9))) for _ in range(WORDS)])
    weights = 1 / np.arange(1, WORDS + 1)
    weights /= weights.sum()

    def sentences(count: int) -> list[str]:
        return [
            " ".join(line).capitalize() + "."
            for line in words[draw.choice(WORDS, (count, SENTENCE), p=weights)]
        ]

    shared, left = sentences(SHARED), megabytes * 1_000_000
    while left > 0:
        own = sentences(5_000 * ROW)
        for at in np.flatnonzero(draw.random(len(own)) < 0.1):
            own[at] = shared[draw.integers(SHARED)]
        for first in range(0, len(own), ROW):
            row = " ".join(own[first : first + ROW])
            yield row
            left -= len(row) + 1
            if left <= 0:
                return


def train_tokenizer(rows: list[str], path: Path) -> None:
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.train_from_iterator(rows, trainers.BpeTrainer(vocab_size=16_000, show_progress=False))
    made.save(str(path))


def outputs(tokens: Any, count: int) -> Iterator[tuple[float, list[int], list[tuple[int, int]]]]:
    """(share of edits, output, its passages: first token of the output, first token of the index)."""
    draw = np.random.default_rng(1)
    borders = np.flatnonzero(tokens == 0xFFFF)
    usable = np.unique(tokens[tokens != 0xFFFF])
    for at in range(count):
        edits, made, passages = EDITS[at % len(EDITS)], np.empty(0, np.int64), []
        while len(made) < OUTPUT:
            row = draw.integers(1, len(borders))
            first, last = borders[row - 1] + 1, borders[row] - PASSAGE
            if last > first:
                start = draw.integers(first, last)
                piece = tokens[start : start + PASSAGE].astype(np.int64)
                changed = draw.random(PASSAGE) < edits
                piece[changed] = draw.choice(usable, changed.sum())
                passages.append((len(made), int(start)))
                made = np.concatenate([made, piece, draw.choice(usable, PASSAGE)])
        yield edits, made.tolist(), passages


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=100, help="of text")
    parser.add_argument("--outputs", type=int, default=300)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = list(corpus(asked.megabytes))
        train_tokenizer(rows[:5_000], folder / "tokenizer.json")
        began = time.perf_counter()
        index = SpanIndex.build(
            (SourceRow(str(at), str(at % 97), text, at) for at, text in enumerate(rows)),
            folder / "tokenizer.json",
            folder,
        )
        built = time.perf_counter() - began
        kept = next(folder.glob("spans-*"))
        size = sum((kept / part).stat().st_size for part in ("tokens.bin", "suffixes.bin"))
        tokens = np.fromfile(kept / "tokens.bin", ">u2")
        starts = np.flatnonzero(np.concatenate([[True], tokens[:-1] == 0xFFFF]))
        console.print(f"{len(index):,} tokens of {len(rows):,} rows, index in {built:.0f} s")
        wall, cpu, spans, found, planted = [], [], [], dict.fromkeys(EDITS, 0), dict.fromkeys(EDITS, 0)
        made = list(outputs(tokens, asked.outputs))
        for edits, output, passages in track(made, "tracing", console=console):
            index.find(output)
            before, used = time.perf_counter(), time.process_time()
            these = index.find(output)
            wall.append(time.perf_counter() - before)
            cpu.append(time.process_time() - used)
            spans.append([(span.start, span.end) for span in these])
            for at, place in passages:
                row = str(np.searchsorted(starts, place, side="right") - 1)
                planted[edits] += 1
                found[edits] += any(
                    span.start < at + PASSAGE
                    and span.end > at
                    and any(one.row == row for one in span.sources)
                    for span in these
                )
        peer = infinigram(folder, tokens, [output for _, output, _ in made])
    section = "Attribution, spans" if asked.megabytes >= 100 else "Attribution, spans, small"
    recall = {edits: found[edits] / planted[edits] for edits in EDITS}
    write_section(section, report(asked, len(index), built, size, wall, cpu, spans, recall, planted, peer))


def infinigram(folder: Path, tokens: Any, outputs: list[list[int]]) -> dict[str, Any] | None:
    python = environment("infini-gram", ["--no-deps", "infini-gram==2.6.0"])
    if python is None:
        return None
    tokens.astype("<u2").tofile(folder / "tokens")
    asked = {
        "folder": str(folder),
        "tokens": str(folder / "tokens"),
        "outputs": outputs,
        "least": MIN_TOKENS,
        "vocabulary": 0xFFFE,
    }
    done = subprocess.run(
        [python, Path(__file__).with_name("_infinigram.py")],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"infini-gram failed:\n{done.stderr[-3000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def report(
    asked: Any,
    count: int,
    built: float,
    size: int,
    wall: list[float],
    cpu: list[float],
    spans: list[list[tuple[int, int]]],
    recall: dict[float, float],
    planted: dict[float, int],
    peer: dict[str, Any] | None,
) -> str:
    lines = [
        f"{machine()}. {asked.megabytes} MB of text, {count:,} tokens; {asked.outputs} outputs of {OUTPUT} tokens, "
        f"spans of at least {MIN_TOKENS}; indexes warm and memory-mapped.",
        "",
        "| | p50 ms | p99 ms | CPU p50 ms | index, s | bytes a token |",
        "|---|---|---|---|---|---|",
    ]

    def row(name: str, wall: list[float], cpu: list[float], built: float, size: int) -> str:
        p50, p99, _ = quantiles(wall)
        return f"| {name} | {p50:.1f} | {p99:.1f} | {1e3 * statistics.median(cpu):.1f} | {built:.0f} | {size / count:.1f} |"

    lines.append(row("OpenLedger", wall, cpu, built, size))
    if peer is None:
        lines += ["", "infini-gram could not be installed here and is left out."]
    else:
        lines.append(
            row("infini-gram 2.6 `attribute`", peer["wall"], peer["cpu"], peer["built"], peer["bytes"])
        )
        theirs = [{(left, right) for left, right, _ in one} for one in peer["spans"]]
        same = sum(set(mine) == other for mine, other in zip(spans, theirs, strict=True))
        ratio = statistics.median(peer["wall"]) / statistics.median(wall)
        lines += [
            "",
            f"The same spans in {same} of {len(spans)} outputs ({sum(map(len, spans)):,} here, {sum(map(len, theirs)):,} there); "
            f"a trace takes it {ratio:.1f} times as long (target 10). Ours builds with the tokenizer's time, its from tokens.",
        ]
    found = ", ".join(f"{recall[edits]:.3f} of {planted[edits]:,} at {edits:.0%}" for edits in EDITS)
    lines += [
        "",
        f"Passages of {PASSAGE} tokens whose row is among the sources of a span over them, by share of edited tokens: {found}.",
        "",
        f"`python -m benchmarks.attribution --megabytes {asked.megabytes} --outputs {asked.outputs}`",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
