"""``openledger pool …``: look at an engine from the command line."""

from __future__ import annotations

import json
import tempfile
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated

import typer

from ..errors import OpenLedgerError
from ..registry import AssetRef, LocalStore, path_cid
from ._adapters import AdapterStore, LocalRegistry
from ._calibrate import calibrate
from ._engine import Engine
from ._types import AdapterRef, GenerationRequest, Sampling

__all__ = ["add_to", "app"]

app = typer.Typer(no_args_is_help=True, help="The inference pool: what an engine does on this machine.")


def add_to(parent: typer.Typer) -> None:
    """Offer the commands."""
    parent.add_typer(app, name="pool")


@app.callback()
def _group() -> None:
    pass


@app.command()
def measure(
    base: Annotated[str, typer.Argument(help="base model: a directory or a Hugging Face name")],
    adapter: Annotated[list[Path], typer.Option(help="a PEFT directory; give several")],
    engine: Annotated[str, typer.Option(help="vLLM engine arguments, as JSON")] = "{}",
    tokens: Annotated[int, typer.Option(help="honest tokens to compare")] = 10_000,
    batches: Annotated[str, typer.Option(help="batch sizes for the speed table")] = "1,8,32",
) -> None:
    """Start an engine; print its speed by adapters and batch, and what honest replays differ by, as JSON."""
    with tempfile.TemporaryDirectory() as scratch:
        content = LocalStore(Path(scratch) / "content")
        base_asset = AssetRef(1, path_cid(Path(base)) if Path(base).exists() else base)
        refs = tuple(AdapterRef(number, content.add_path(path)) for number, path in enumerate(adapter, 2))
        store = AdapterStore(content, LocalRegistry(refs, base_asset), Path(scratch) / "adapters")
        try:
            loaded = Engine(base, base_asset=base_asset, adapters=store, engine=json.loads(engine))
            speed = {
                f"{name}, batch {size}": round(_speed(loaded, some, size), 1)
                for name, some in (
                    ("base", (None,)),
                    ("1 adapter", refs[:1]),
                    (f"{len(refs)} adapters", refs),
                )
                for size in map(int, batches.split(","))
            }
            found = calibrate(loaded, loaded, refs, vocab_size=loaded.vocab_size, tokens=tokens)
        except OpenLedgerError as error:
            typer.echo(str(error), err=True)
            raise typer.Exit(1) from error
        stats = replace(loaded.stats(), adapters=())
        typer.echo(json.dumps({"tokens_per_second": speed} | asdict(found) | asdict(stats), indent=2))
        loaded.close()


def _speed(engine: Engine, adapters: tuple[AdapterRef | None, ...], batch: int, length: int = 64) -> float:
    """Output tokens a second, the best of three; the first load of an adapter is not counted."""
    requests = [
        GenerationRequest(
            (3 + at, *range(3, 35)),
            adapters[at % len(adapters)],
            Sampling(max_tokens=length, stop_token_ids=()),
            bytes(32),
        )
        for at in range(batch)
    ]
    engine.generate_many(requests)
    best = 0.0
    for _ in range(3):
        began = time.perf_counter()
        engine.generate_many(requests)
        best = max(best, batch * length / (time.perf_counter() - began))
    return best
