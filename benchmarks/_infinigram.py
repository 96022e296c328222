"""infini-gram over the corpus of ``attribution``, in its own environment: JSON on stdin, spans and times as JSON on stdout.

infini-gram 2.6 (Liu et al., 2024, arXiv 2401.17377; ``attribute`` is what OLMoTrace runs, arXiv 2504.07096). Its indexer
gets the tokens ready made, so that both indexes are over the same ones; both are warm and memory-mapped.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

BORDER = 0xFFFF


def main() -> None:
    from infini_gram.engine import InfiniGramEngine

    asked = json.loads(sys.stdin.read())
    folder = Path(asked["folder"])
    index, empty = folder / "index", folder / "empty"
    index.mkdir()
    empty.mkdir()
    tokens = np.fromfile(asked["tokens"], "<u2")
    # Ours has a border behind each row, theirs one before.
    documents = np.concatenate([[BORDER], tokens[:-1]]).astype("<u2")
    documents.tofile(index / "tokenized.0")
    (2 * np.flatnonzero(documents == BORDER)).astype(np.uint64).tofile(index / "offset.0")
    began = time.perf_counter()
    subprocess.run(
        [
            *(
                sys.executable,
                "-m",
                "infini_gram.indexing",
                "--token_dtype",
                "u16",
                "--cpus",
                "2",
                "--mem",
                "8",
            ),
            *("--data_dir", str(empty), "--save_dir", str(index)),
            *("--ulimit", str(resource.getrlimit(resource.RLIMIT_NOFILE)[1])),
        ],
        check=True,
        stdout=sys.stderr,
    )
    built = time.perf_counter() - began
    engine = InfiniGramEngine(
        index_dir=str(index),
        eos_token_id=asked["vocabulary"],
        vocab_size=BORDER,
        precompute_unigram_logprobs=False,
    )

    def attribute(output: list[int]) -> Any:
        return engine.attribute(
            input_ids=output, delim_ids=[], min_len=asked["least"], max_cnt=1_000_000_000, enforce_bow=False
        )

    spans, wall, cpu = [], [], []
    for output in asked["outputs"]:
        attribute(output)
        before, used = time.perf_counter(), time.process_time()
        found = attribute(output)
        wall.append(time.perf_counter() - before)
        cpu.append(time.process_time() - used)
        spans.append([[one["l"], one["r"], one["count"]] for one in found["spans"]])
    size = sum(file.stat().st_size for file in index.iterdir())
    print(json.dumps({"built": built, "bytes": size, "wall": wall, "cpu": cpu, "spans": spans}))


if __name__ == "__main__":
    main()
