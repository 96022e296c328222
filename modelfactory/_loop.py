"""The training loop both kinds of run share: fixed step counts, fixed seeds, no wall time in any decision."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

__all__ = ["Progress", "deterministic", "one_cycle", "optimise", "usable_threads"]

Progress = Callable[[int, int, float], None]
"""Called after each optimiser step with (steps done, steps in all, loss of that step in nats per token)."""


def usable_threads() -> int:
    """Cores this process may use: ``OMP_NUM_THREADS`` if set, four at most, and one on a busy machine.

    The model is too small for more to help, and threads that wait for a core held by someone else make a step
    several times slower than one thread alone. The number never changes the result.
    """
    limit = os.environ.get("OMP_NUM_THREADS", "")
    if limit.isdigit():
        return max(1, min(4, int(limit)))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    idle = cores - int(os.getloadavg()[0] + 0.5)
    return max(1, min(4, idle))


@contextmanager
def deterministic(seed: int) -> Iterator[None]:
    """Seeds torch and forbids nondeterministic kernels inside the block; puts every setting back after it."""
    import torch

    threads, strict = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    state = torch.get_rng_state()
    torch.set_num_threads(usable_threads())
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(seed)
    try:
        yield
    finally:
        torch.set_rng_state(state)
        torch.use_deterministic_algorithms(strict)
        torch.set_num_threads(threads)


def one_cycle(step: int, steps: int, warmup: float) -> float:
    """Learning-rate factor: linear up over the first ``warmup`` share of steps, then a cosine down to zero.

    Source: Smith and Topin, "Super-Convergence" (2018), in the usual two-phase form.
    """
    import math

    rise = max(1, int(steps * warmup))
    if step < rise:
        return (step + 1) / rise
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise)))


def optimise(
    model: Any,
    batches: Iterator[tuple[torch.Tensor, torch.Tensor]],
    *,
    steps: int,
    stop_after: int | None = None,
    learning_rate: float,
    weight_decay: float,
    warmup: float,
    progress: Progress | None = None,
) -> float:
    """Trains ``model`` in place on ``steps`` batches of (input ids, labels; -100 is not counted).

    ``stop_after`` ends the run early without changing its schedule: the state after that step of the full run.
    Returns the mean loss of the last tenth of the steps, in nats per counted token.
    """
    import torch

    chosen = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(chosen, lr=learning_rate, betas=(0.9, 0.95), weight_decay=weight_decay)
    model.train()
    losses: list[float] = []
    for step in range(stop_after or steps):
        for group in optimiser.param_groups:
            group["lr"] = learning_rate * one_cycle(step, steps, warmup)
        ids, labels = next(batches)
        # float32 throughout: processors without bfloat16 instructions emulate it forty times slower
        hidden = model(input_ids=ids, labels=None).logits
        loss = torch.nn.functional.cross_entropy(
            hidden[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), ignore_index=-100
        )
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(chosen, 1.0)
        optimiser.step()
        losses.append(float(loss.detach()))
        if progress is not None:
            progress(step + 1, stop_after or steps, losses[-1])
    model.eval()
    tail = losses[-max(1, len(losses) // 10) :]
    return sum(tail) / len(tail)
