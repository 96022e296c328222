"""How long until the next answer, when a part is killed by kill -9?

The deployment of the chaos test: gateway, engine, workers, chain and IPFS node in processes of their own. What is killed is
started again at once, by Ray or as a service manager would. From the kill on one client asks, paying by x402, until it has its
answer; that is the time, the action's own included.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.progress import track

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "examples" / "demo"))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "e2e"))

from ruin import PARTS, Deployment, ask, payer_of, serve

from benchmarks._report import machine, write_section
from openledger.registry import Connection
from openledger.settings import Settings, get_settings

console = Console(highlight=False)
QUESTION = "How was Brindlow Vault fixed?"
NOTHING = "nothing"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=5, help="each part is killed")
    parser.add_argument("--engines", type=int, default=1, help="in the pool")
    parser.add_argument(
        "--cluster", action="store_true", help="Ray is a service of its own, as by openledger cluster up"
    )
    asked = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="openledger-bench-")) / "home"
    deployment = Deployment(home, asked.engines, asked.cluster)
    settings = Settings(home=deployment.home, cache=get_settings().cache_dir, ipfs_api=deployment.ipfs_api)
    try:
        with Connection.open(settings) as connection:
            payer = payer_of(serve(deployment, connection), connection)
            found = asyncio.run(measure(deployment, payer, asked.times))
    finally:
        deployment.close()
    words = f"--times {asked.times} --engines {asked.engines}" + (" --cluster" if asked.cluster else "")
    write_section(f"Recovery ({words})", report(words, found))


async def measure(deployment: Deployment, payer: Any, times: int) -> dict[str, list[float]]:
    """Seconds to the next answer by what was killed before."""
    found: dict[str, list[float]] = {NOTHING: [], **{part: [] for part in PARTS}}
    async with httpx.AsyncClient(timeout=30) as http:
        await ask(http, deployment, payer, QUESTION)
        for part in track(
            [part for _ in range(times) for part in (NOTHING, *PARTS)], "killing", console=console
        ):
            await asyncio.sleep(2)  # the chain's state is written, the last action anchored
            began = time.perf_counter()
            killing = (
                None if part == NOTHING else asyncio.create_task(asyncio.to_thread(deployment.kill, part))
            )
            await asyncio.sleep(0.2)  # it is dead
            answer = await ask(http, deployment, payer, QUESTION)
            found[part].append(time.perf_counter() - began)
            assert answer["status"] == "ok"
            if killing is not None:
                await killing
    return found


def report(words: str, found: dict[str, list[float]]) -> str:
    lines = [
        f"`python -m benchmarks.recovery {words}` on {machine()}; load at the end {os.getloadavg()[1]:.1f}.",
        "Seconds from kill -9 of a part to the answer of the action that was asked for then, over x402; all parts on this",
        "machine, two workers and a spare. Target: 10 s with nothing lost.",
        "",
        "| killed | median | least | most |",
        "|---|---|---|---|",
        *(
            f"| {part} | {statistics.median(took):.1f} | {min(took):.1f} | {max(took):.1f} |"
            for part, took in found.items()
        ),
    ]
    text = "\n".join(lines)
    console.print(text)
    return text


if __name__ == "__main__":
    main()
