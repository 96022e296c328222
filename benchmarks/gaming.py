"""Attacks on attribution: what contributors gain who copy, edit, repeat, split or spam, with the adapter trained again each
time.

The contributors are the modules of ``influence``'s work, the attacker one more, accepted after all others. Outputs are
the work's held-out chunks and what the adapter without an attacker writes. *Share* is the attacker's of what all
contributors are paid. *Naive* is the same adapter with every row trained on and paid by its positive influence.
"""

from __future__ import annotations

import argparse
import os
import random
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console

from benchmarks._lds_work import SMALL, Recipe, Work, generated, prepare, train
from benchmarks._report import machine, write_section
from openledger.attribution import (
    AUDIT_BPS,
    PROTOCOL_BPS,
    RULE_V2,
    Influence,
    Shares,
    SourceRow,
    SpanIndex,
    repeats,
    shares,
)
from openledger.attribution.influence import Example, Lesson, RowGradients, divide
from openledger.settings import Settings

console = Console(highlight=False)

ATTACKER = "attacker"
LABELS = 2
CONTRIBUTORS_BPS = 4000


@dataclass(frozen=True)
class Row:
    """A contribution."""

    who: str
    tokens: tuple[int, ...]


Attack = Callable[[list[Row], Any], list[Row]]
"""The honest rows, a tokenizer → all rows, in the order of acceptance."""


def victims(rows: list[Row]) -> list[Row]:
    """The rows of the module that the attacks copy."""
    return [row for row in rows if row.who == "module 3"]


def copy(times: int) -> Attack:
    def attack(rows: list[Row], _: Any) -> list[Row]:
        more = [
            replace(row, who=f"{ATTACKER} {at}" if times > 1 else ATTACKER)
            for at in range(times)
            for row in victims(rows)
        ]
        return rows + more

    return attack


def edited(share: float) -> Attack:
    def attack(rows: list[Row], _: Any) -> list[Row]:
        draw = random.Random(1)
        every = [token for row in rows for token in row.tokens]
        return rows + [
            Row(
                ATTACKER,
                tuple(draw.choice(every) if draw.random() < share else token for token in row.tokens),
            )
            for row in victims(rows)
        ]

    return attack


def spam(rows: list[Row], _: Any) -> list[Row]:
    draw = random.Random(2)
    every = [token for row in rows for token in row.tokens]
    return rows + [Row(ATTACKER, tuple(draw.choices(every, k=len(row.tokens)))) for row in victims(rows)]


def outliers(rows: list[Row], _: Any) -> list[Row]:
    """Rows of a few rare tokens again and again, which no model expects: the largest gradients there are."""
    counts = np.bincount([token for row in rows for token in row.tokens])
    rare = np.flatnonzero(counts == 1)[:16].tolist()
    return rows + [
        Row(ATTACKER, tuple(rare[(at + place * place) % len(rare)] for place in range(len(row.tokens))))
        for at, row in enumerate(victims(rows))
    ]


def itself(rows: list[Row], _: Any) -> list[Row]:
    return rows + victims(rows)


def pieces(count: int) -> Attack:
    def attack(rows: list[Row], _: Any) -> list[Row]:
        made = []
        for row in rows:
            if row.who != "module 3":
                made.append(row)
                continue
            size = -(-len(row.tokens) // count)
            made += [
                replace(row, tokens=row.tokens[at : at + size]) for at in range(0, len(row.tokens), size)
            ]
        return made

    return attack


ATTACKS: dict[str, Attack] = {
    "none": lambda rows, _: rows,
    "copy": copy(1),
    "copy by 3 accounts": copy(3),
    "copy, 5 % of tokens edited": edited(0.05),
    "copy, 10 % edited": edited(0.10),
    "copy, 20 % edited": edited(0.20),
    "copy, 40 % edited": edited(0.40),
    "random spam": spam,
    "outlier gradients": outliers,
    "own rows twice": itself,
    "own rows in 2 pieces": pieces(2),
    "own rows in 4 pieces": pieces(4),
}
FEW = ["none", "copy, 10 % edited", "random spam", "own rows in 4 pieces"]


def honest(work: Work) -> list[Row]:
    return [
        Row(f"module {module}", example.tokens)
        for module, example in zip(work.module_of, work.examples, strict=True)
    ]


def attempt(
    name: str, folder: Path, recipe: Recipe, queries: Sequence[Example], guarded: bool
) -> dict[str, Any]:
    """One attack: rows screened (unless it is the naive rule's turn), trained on, and the outputs' shares summed."""
    from tokenizers import Tokenizer

    torch.set_num_threads(1)
    work = prepare(folder, recipe)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    rows = ATTACKS[name](honest(work), tokenizer)
    refused = 0
    if guarded:
        kept = [
            row
            for row, other in zip(rows, repeats([tokenizer.decode(row.tokens) for row in rows]), strict=True)
            if other is None
        ]
        refused, rows = len(rows) - len(kept), kept
    target = folder / f"gaming-{name.replace(' ', '-').replace('%', '')}-{guarded}"
    if not (target / "adapter_config.json").exists():
        train(folder / "base", [Example(row.tokens) for row in rows], recipe, 0, target)
    lessons = [Lesson(Example(row.tokens), at) for at, row in enumerate(rows)]
    store = RowGradients.build(folder / "base", target, lessons, folder / "gradients", labels=LABELS)
    paid: dict[str, int] = {}
    total = 0
    if guarded:
        sources = [
            SourceRow(str(at), row.who, tokenizer.decode(row.tokens), at) for at, row in enumerate(rows)
        ]
        index = SpanIndex.build(sources, folder / "tokenizer.json", folder / "spans")
        for made in divided(index, store, queries):
            total += made.total
            for who, weight in made.weights.items():
                paid[who] = paid.get(who, 0) + weight
    else:
        positive = np.maximum(store.influence(queries), 0)
        for at, row in enumerate(rows):
            paid[row.who] = paid.get(row.who, 0) + int(1000 * (positive[:, at] / positive.sum(1)).sum())
        total = sum(paid.values())
    return {"attack": name, "guarded": guarded, "paid": paid, "total": total, "refused": refused}


def divided(index: SpanIndex, store: RowGradients, queries: Sequence[Example]) -> list[Shares]:
    found = []
    for query, division in zip(queries, divide([store], queries), strict=True):
        output = list(query.tokens[query.first :])
        parts = tuple(
            (source, part) for source, part in zip(index.sources, division.parts, strict=True) if part
        )
        found.append(
            shares(
                output,
                index.find(output),
                RULE_V2,
                costs=index.costs(output),
                influence=Influence(division.saved, parts),
            )
        )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--small", action="store_true", help="a quarter of the examples, a third of the attacks"
    )
    asked = parser.parse_args()
    torch.set_num_threads(1)
    recipe = SMALL if asked.small else Recipe()
    folder = Settings().cache_dir / f"lds-{recipe.digest}"
    work = prepare(folder, recipe)
    first = folder / "full-0"
    if not (first / "adapter_config.json").exists():
        train(folder / "base", work.examples, recipe, 0, first)
    queries = work.queries["held out"] + generated(folder / "base", first, work.queries["held out"])
    names = FEW if asked.small else list(ATTACKS)
    os.environ["OMP_NUM_THREADS"] = "1"
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn")) as pool:
        jobs = [
            pool.submit(attempt, name, folder, recipe, queries, guarded)
            for name in names
            for guarded in (True, False)
        ]
        found = []
        for job in jobs:
            found.append(job.result())
            console.print(found[-1]["attack"], found[-1]["guarded"], share(found[-1], ATTACKER))
    section = "Attribution, attacks" + (", small" if asked.small else "")
    write_section(section, report(asked, recipe, found, len(queries)))


def share(one: dict[str, Any], who: str) -> float:
    """Of what contributors are paid."""
    paid = one["paid"]
    return float(
        sum(weight for name, weight in paid.items() if name.startswith(who)) / max(1, sum(paid.values()))
    )


def report(asked: Any, recipe: Recipe, found: list[dict[str, Any]], queries: int) -> str:
    before = {one["guarded"]: share(one, "module 3") for one in found if one["attack"] == "none"}
    clean = next(one for one in found if one["attack"] == "none" and one["guarded"])
    lines = [
        f"{machine()}. {recipe.modules * recipe.chunks} rows of {recipe.length} tokens by {recipe.modules} contributors; the "
        f'attacker adds up to as many as one of them has ({recipe.chunks}), copying "module 3"; {queries} outputs; the '
        f"adapter trained again for each line, {LABELS} draws an example. Without an attack contributors are paid {sum(clean['paid'].values()) / clean['total']:.1%} of "
        f"the outputs' weight, the rest is unattributed, and module 3 has {before[True]:.4f} of it.",
        "",
        "| attack | rows refused | attacker's share | naive | victim's share |",
        "|---|---|---|---|---|",
    ]
    for name in dict.fromkeys(one["attack"] for one in found):
        if name == "none" or name.startswith("own"):
            continue
        ours, naive = (
            next(one for one in found if one["attack"] == name and one["guarded"] == guarded)
            for guarded in (True, False)
        )
        lines.append(
            f"| {name} | {ours['refused']} | {share(ours, ATTACKER):.4f} | {share(naive, ATTACKER):.4f} | {share(ours, 'module 3'):.4f} |"
        )
    lines += ["", "| attack | rows refused | gain | naive |", "|---|---|---|---|"]
    for name in dict.fromkeys(one["attack"] for one in found if one["attack"].startswith("own")):
        ours, naive = (
            next(one for one in found if one["attack"] == name and one["guarded"] == guarded)
            for guarded in (True, False)
        )
        gains = [share(one, "module 3") / before[one["guarded"]] for one in (ours, naive)]
        lines.append(f"| {name} | {ours['refused']} | {gains[0]:.2f} | {gains[1]:.2f} |")
    kept = (10_000 - PROTOCOL_BPS - AUDIT_BPS) / 10_000
    lines += [
        "",
        "Gain: the contributor's share after by that before (target 1.05). Targets of the attacker's share: 0.02 up to 20 % "
        "edits, 0.005 for spam.",
        "",
        f"Who asks for its own rows pays a fee and gets at most {kept * CONTRIBUTORS_BPS / 10_000:.1%} of it back as the only contributor of an "
        f"agent that gives contributors {CONTRIBUTORS_BPS / 100:.0f} %; who is operator, model, stakers and contributors at once, all but the "
        f"{1 - kept:.0%} of protocol and audits.",
        "",
        f"`python -m benchmarks.gaming{' --small' if asked.small else ''}`",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
