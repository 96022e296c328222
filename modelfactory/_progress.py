"""A progress bar for training runs, drawn only on a terminal and only when the caller brings no reporter."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from ._loop import Progress

__all__ = ["quiet_loading", "reporting"]


@contextmanager
def reporting(progress: Progress | None, title: str) -> Iterator[Progress | None]:
    """``progress`` itself, or a bar titled ``title`` when standard error is a terminal, or nothing."""
    if progress is not None or not sys.stderr.isatty():
        yield progress
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]:.2f}"),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=Console(stderr=True)) as bars:
        task = bars.add_task(title, total=None, loss=float("nan"))

        def report(done: int, total: int, loss: float) -> None:
            bars.update(task, completed=done, total=total, loss=loss)

        yield report


@contextmanager
def quiet_loading() -> Iterator[None]:
    """Keeps transformers from drawing bars of its own for files that load in milliseconds."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
