"""Several adapters at once, a process and a thread each: threads of one small training hardly help each other."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path
from queue import Empty
from typing import Any

from ..datanets import Datanet
from ._adapter import ensure_adapter
from ._loop import Progress
from ._recipe import AdapterRecipe

__all__ = ["ensure_adapters"]


def ensure_adapters(
    cache_dir: Path | str,
    base: Path | str,
    datanets: Sequence[Datanet],
    *,
    recipe: AdapterRecipe | None = None,
    seed: int = 17,
    progress: Callable[[str], Progress] | None = None,
) -> list[Path]:
    """The adapters of ``datanets`` over ``base``, in order, from the cache or trained now side by side.

    ``progress(name)`` makes the callback that is told of a datanet's steps. Errors are those of
    :func:`ensure_adapter`; the other trainings end first.
    """
    bars = {net.name: progress(net.name) for net in datanets} if progress is not None else {}
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    context = multiprocessing.get_context("spawn")  # a forked torch may hang on its own locks
    with (
        context.Manager() as manager,
        ProcessPoolExecutor(max(1, min(cores, len(datanets))), context) as workers,
    ):
        steps: Any = manager.Queue()
        running = [
            workers.submit(_train, str(cache_dir), str(base), net, recipe, seed, steps) for net in datanets
        ]
        while not all(work.done() for work in running):
            _tell(bars, steps, wait=0.2)
        _tell(bars, steps, wait=0.0)
        return [_result(work) for work in running]


def _train(
    cache_dir: str, base: str, datanet: Datanet, recipe: AdapterRecipe | None, seed: int, steps: Any
) -> str:
    os.environ["OMP_NUM_THREADS"] = "1"

    def tell(done: int, total: int, loss: float) -> None:
        steps.put((datanet.name, done, total, loss))

    return str(ensure_adapter(cache_dir, base, datanet, recipe=recipe, seed=seed, progress=tell))


def _tell(bars: dict[str, Progress], steps: Any, wait: float) -> None:
    try:
        while True:
            name, done, total, loss = steps.get(timeout=wait) if wait else steps.get_nowait()
            if name in bars:
                bars[name](done, total, loss)
    except Empty:
        return


def _result(work: Future[str]) -> Path:
    return Path(work.result())
