"""One LoRA layer on CPU, in microseconds: gather + bmm, a product for each adapter, the compiled loop; and the base
product beside them. ``OMP_NUM_THREADS=1 python -m benchmarks.lora_operator``"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np
import torch

from openledger.openlora._lora_cpu import _rows

RANK, PADDED, SLOTS = 8, 16, 64


def microseconds(act: Callable[[], object], times: int = 20) -> float:
    act()
    spent = []
    for _ in range(times):
        began = time.perf_counter()
        act()
        spent.append(time.perf_counter() - began)
    return statistics.median(spent) * 1e6


def row(size: int, rows: int, adapters: int) -> str:
    a, b = torch.zeros(SLOTS, PADDED, size), torch.zeros(SLOTS, size, PADDED)
    a[:, :RANK], b[..., :RANK] = torch.randn(SLOTS, RANK, size), torch.randn(SLOTS, size, RANK)
    x, y, weight = torch.randn(rows, size), torch.randn(rows, size), torch.randn(size, size)
    slots = torch.arange(rows) % adapters
    order = np.argsort(slots.numpy(), kind="stable")
    kept = [(a[slot, :RANK].clone(), b[slot, :, :RANK].T.clone().T) for slot in range(SLOTS)]
    table = np.array([(RANK, one.data_ptr(), other.data_ptr(), size) for one, other in kept], np.int64)
    groups = [(slot, (slots == slot).nonzero().squeeze(1)) for slot in range(adapters)]

    def gather() -> None:
        inner = torch.bmm(a[slots], x.unsqueeze(2))
        y.add_(torch.bmm(b[slots], inner).squeeze(2))

    def products() -> None:
        for slot, mine in groups:
            if adapters == 1:
                y.add_((x @ kept[slot][0].T) @ kept[slot][1].T)
            else:
                y.index_add_(0, mine, (x[mine] @ kept[slot][0].T) @ kept[slot][1].T)

    def loop() -> None:
        _rows(y.numpy(), x.numpy(), order, slots.numpy(), table, 0, size)

    cells = [microseconds(act) for act in (lambda: x @ weight, gather, products, loop)]
    return f"| {size} | {rows} | {adapters} | " + " | ".join(f"{cell:,.0f}" for cell in cells) + " |"


if __name__ == "__main__":
    torch.set_num_threads(1)
    print("| inputs, outputs | rows | adapters | base product | gather + bmm | products | loop |")
    print("|---|---|---|---|---|---|---|")
    for size in (192, 1024):
        for rows, adapters in ((1, 1), (8, 8), (32, 32), (64, 64), (64, 1), (256, 2), (256, 32)):
            print(row(size, rows, adapters), flush=True)
