"""Draws docs/img/*.svg from the tables of results.md: ``python -m benchmarks.plots``. A plot whose table is missing is
left as it is."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt

from benchmarks._report import RESULTS

IMAGES = RESULTS.parents[1] / "docs/img"

# Okabe and Ito, Color Universal Design (2008): told apart by the colour-blind.
COLOURS = ["#0072B2", "#D55E00", "#E69F00", "#009E73", "#CC79A7"]

Rows = list[dict[str, str]]


def sections() -> dict[str, str]:
    """The text below each title."""
    return {part.partition("\n")[0]: part for part in RESULTS.read_text().split("\n## ")[1:]}


def tables(text: str) -> list[Rows]:
    found: list[Rows] = []
    for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        head, _, *lines = [
            [cell.strip() for cell in line.strip("|").split("|")] for line in block.splitlines()
        ]
        found.append([dict(zip(head, line, strict=True)) for line in lines])
    return found


def many_adapters(title: str, rows: Rows, path: Path) -> None:
    mixes = list(dict.fromkeys(row["mix"] for row in rows if row["adapters"] != "1"))
    figure, axes = plt.subplots(1, len(mixes), figsize=(5.2 * len(mixes), 3.6), sharey=True, squeeze=False)
    for axis, mix in zip(axes[0], mixes, strict=True):
        for system, colour in zip(dict.fromkeys(row["system"] for row in rows), COLOURS, strict=False):
            points = [
                (int(row["adapters"]), float(row["tokens/CPU s"]))
                for row in rows
                if row["system"] == system and (row["mix"] == mix or row["adapters"] == "1")
            ]
            axis.plot(*zip(*points, strict=True), marker="o", color=colour, label=system)
        axis.set(xscale="log", yscale="log", xlabel="adapters asked for", title=f"{title}, {mix}")
        axis.set_xticks(sorted({int(row["adapters"]) for row in rows}), minor=False)
        axis.get_xaxis().set_major_formatter(matplotlib.ticker.ScalarFormatter())
        axis.minorticks_off()
    axes[0][0].set_ylabel("output tokens per CPU second")
    axes[0][-1].legend(frameon=False, fontsize=8)
    save(figure, path, f"Output tokens per CPU second against the number of adapters, {title}")


def cold_adapters(rows: Rows, path: Path) -> None:
    figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3))
    names = [row["the others are"] for row in rows]
    turns = [[float(turn) for turn in row["each turn"].split(",")] for row in rows]
    for at, values in enumerate(turns):
        left.plot([at] * len(values), values, "o", color=COLOURS[at])
        left.hlines(sorted(values)[len(values) // 2], at - 0.25, at + 0.25, color=COLOURS[at])
    left.set_xticks(range(len(names)), names)
    left.set(ylabel="tokens/s of hot adapters", xlabel="the others are", ylim=(0, None))
    for at, row in list(enumerate(rows))[1:]:
        p50, p99 = (float(row[name]) for name in ("first token of the others p50, ms", "p99, ms"))
        right.bar(at, p99, color=COLOURS[at], alpha=0.4)
        right.bar(at, p50, color=COLOURS[at])
        right.text(at, p99, "p99", ha="center", va="bottom", fontsize=8)
        right.text(at, p50, "p50", ha="center", va="bottom", fontsize=8)
    right.set_xticks(range(1, len(names)), names[1:])
    right.set(ylabel="ms to the first token", xlabel="the others are")
    save(
        figure,
        path,
        "What requests for adapters that are not in memory cost the others, and how long they wait",
    )


def verification(rows: Rows, path: Path) -> None:
    names, columns = [row["served instead"] for row in rows], list(rows[0])[1:]
    values = [[float(row[column].replace("–", "nan")) for column in columns] for row in rows]
    figure, axis = plt.subplots(figsize=(8, 0.32 * len(names) + 1.2))
    axis.pcolormesh(values, cmap="Blues", vmin=0, vmax=1.25)
    axis.invert_yaxis()
    for y, line in enumerate(values):
        for x, value in enumerate(line):
            axis.text(
                x + 0.5,
                y + 0.5,
                f"{value:.2f}",
                ha="center",
                va="center",
                color="white" if value > 0.7 else "black",
            )
    labels = [f"{column} tokens".replace(", ", "\n") for column in columns]
    axis.set_xticks([at + 0.5 for at in range(len(columns))], labels, fontsize=8)
    axis.set_yticks([at + 0.5 for at in range(len(names))], names, fontsize=8)
    axis.xaxis.tick_top()
    axis.tick_params(length=0)
    axis.set_xlabel("share of outputs called a mismatch")
    save(
        figure, path, "Share of outputs called a mismatch, by what was served instead and how it was checked"
    )


def influence(rows: Rows, path: Path) -> None:
    figure, axis = plt.subplots(figsize=(7, 0.3 * len(rows) + 0.9))
    for at, row in enumerate(rows):
        score, low, high = (float(row[name]) for name in ("LDS", "low", "high"))
        colour = COLOURS[1] if row["method"].startswith("true Fisher") else COLOURS[0]
        axis.plot([low, high], [at, at], color=colour, linewidth=2)
        axis.plot(score, at, "o", color=colour)
        axis.text(high + 0.015, at, f"{score:.2f}", va="center", fontsize=8)
    axis.set_yticks(range(len(rows)), [row["method"] for row in rows])
    axis.set_xlabel("LDS, mean over queries, 95 % interval")
    axis.set_xlim(-0.05, 1)
    save(figure, path, "How well each method predicts what adapters trained on half of the examples say")


def attacks(rows: Rows, path: Path) -> None:
    names = {"copy": 0.0}
    for row in rows:
        found = re.search(r"(\d+) %.*edited", row["attack"])
        if found:
            names[row["attack"]] = float(found[1])
    chosen = sorted(
        ((names[row["attack"]], row) for row in rows if row["attack"] in names), key=lambda pair: pair[0]
    )
    figure, axis = plt.subplots(figsize=(5.5, 3.2))
    lines = {"attacker's share": ("rule v2", COLOURS[1]), "naive": ("naive", COLOURS[0])}
    for column, (label, colour) in lines.items():
        points = [(edits, float(row[column])) for edits, row in chosen]
        axis.plot(*zip(*points, strict=True), marker="o", color=colour, label=label)
    axis.axhline(0.02, color="grey", linewidth=0.8, linestyle="--")
    axis.text(0, 0.021, "target up to 20 %", fontsize=7, color="grey")
    axis.set(xlabel="tokens of the copy that are edited, %", ylabel="attacker's share of what is paid")
    axis.legend(frameon=False)
    save(figure, path, "What a contributor gains who copies rows and edits some of their tokens")


def save(figure: Any, path: Path, title: str) -> None:
    """Self-contained, and with a title to be read out."""
    written = io.StringIO()
    figure.savefig(
        written, bbox_inches="tight", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type"))
    )
    plt.close(figure)
    text = re.sub(r"<!DOCTYPE[^>]*>\n", "", written.getvalue())
    text = text.replace(' xmlns:xlink="http://www.w3.org/1999/xlink"', "").replace("xlink:href", "href")
    path.write_text(re.sub(r"(<svg [^>]*>)", rf"\1\n <title>{title}</title>", text, count=1))
    print(path.relative_to(IMAGES.parents[1]))


def main() -> None:
    plt.rcParams |= {
        "svg.hashsalt": "openledger",
        "svg.fonttype": "none",
        "font.size": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
    }
    for title, text in sections().items():
        if title.startswith("OpenLoRA, cold"):
            cold_adapters(tables(text)[0], IMAGES / "openlora-cold.svg")
        elif title.startswith("OpenLoRA, ") and not title.endswith("small"):
            rows = tables(text)[0]
            shape = title.removeprefix("OpenLoRA, ")
            name = re.sub(r"[^a-z0-9]+", "-", shape.lower())
            if len({row["adapters"] for row in rows}) > 2:  # else there is no line to draw
                many_adapters(shape, rows, IMAGES / f"openlora-{name}.svg")
        elif title == "Attribution, influence":
            influence(tables(text)[0], IMAGES / "influence.svg")
        elif title == "Attribution, attacks":
            attacks(tables(text)[0], IMAGES / "attacks.svg")
        elif title == "Verification":
            verification(tables(text)[0], IMAGES / "verification.svg")


if __name__ == "__main__":
    main()
