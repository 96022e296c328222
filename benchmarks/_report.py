"""Distributions, memory of the process tree, and the results file."""

from __future__ import annotations

import os
import platform
import statistics
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

__all__ = ["MemoryPeak", "cpu_seconds", "machine", "quantiles", "write_section"]

RESULTS = Path(__file__).with_name("results.md")


def machine() -> str:
    """Cores, memory, processor and Python of this machine."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.processor(),
    )
    memory = psutil.virtual_memory().total / 2**30
    return f"{os.cpu_count()} cores of {model}, {memory:.0f} GiB, no GPU, Python {platform.python_version()}"


def quantiles(seconds: Sequence[float]) -> tuple[float, float, float]:
    """p50, p99 and the standard deviation, in milliseconds."""
    ordered = sorted(seconds)
    p99 = ordered[min(len(ordered) - 1, round(0.99 * (len(ordered) - 1)))]
    return 1e3 * statistics.median(ordered), 1e3 * p99, 1e3 * statistics.pstdev(ordered)


def _tree(extra: Sequence[int]) -> set[psutil.Process]:
    """This process, those of ``extra``, and all below them."""
    roots = [psutil.Process(), *(psutil.Process(pid) for pid in extra if psutil.pid_exists(pid))]
    return {process for root in roots for process in (root, *root.children(recursive=True))}


def cpu_seconds(*extra: int) -> float:
    """Processor time so far of every process of this run that still runs."""
    spent = 0.0
    for process in _tree(extra):
        try:
            times = process.cpu_times()
            spent += times.user + times.system
        except psutil.Error:
            continue
    return spent


class MemoryPeak:
    """Peak private memory (bytes: resident less shared) of every process of this run, by what it is, sampled
    twice a second."""

    def __init__(self, *extra: int) -> None:
        self.peaks: dict[str, int] = {}
        self.total = 0
        self._extra, self._stop = extra, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def _watch(self) -> None:
        while not self._stop.wait(0.5):
            now: dict[str, int] = {}
            for process in _tree(self._extra):
                try:
                    name = self._name(process)
                    memory = process.memory_info()
                    used = memory.rss - memory.shared
                except psutil.Error:
                    continue
                now[name] = now.get(name, 0) + used
            for name, used in now.items():
                self.peaks[name] = max(self.peaks.get(name, 0), used)
            self.total = max(self.total, sum(now.values()))

    @staticmethod
    def _name(process: psutil.Process) -> str:
        line = process.cmdline()
        first = str(line[0] if line else process.name())
        if first.startswith("ray::"):
            return first.split(".")[0].split(" ")[0]
        return "this process" if process.pid == os.getpid() else str(process.name())

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()


def write_section(title: str, body: str) -> None:
    """Put ``body`` under ``## title`` of results.md, in place of what stood there."""
    text = RESULTS.read_text() if RESULTS.exists() else "# Results\n\nWritten by `make bench`.\n"
    sections = text.split("\n## ")
    head, rest = sections[0], [s for s in sections[1:] if not s.startswith(title + "\n")]
    RESULTS.write_text("\n## ".join([head.rstrip() + "\n", *rest, f"{title}\n\n{body.strip()}\n"]))
