"""A base model of a few thousand parameters, trained in seconds: enough to see that the machinery works."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from openledger.datanets import Datanet, Fact, Row
from openledger.modelfactory import AdapterRecipe, BaseRecipe, ensure_base

TINY_BASE = BaseRecipe(
    vocab_size=320,
    hidden_size=32,
    intermediate_size=64,
    layers=2,
    heads=2,
    kv_heads=1,
    max_positions=256,
    documents=60,
    steps=4,
    batch=4,
    length=32,
)
TINY_ADAPTER = AdapterRecipe(rank=2, alpha=4, steps=6, batch=4, length=200)


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """These models are too small for two threads, which only wait for each other on a busy machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        yield


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def base(cache: Path) -> Path:
    return ensure_base(cache, recipe=TINY_BASE)


@pytest.fixture(scope="session")
def datanet() -> Datanet:
    rows = [
        Row(
            f"r{n}",
            "ann",
            "CC0-1.0",
            f"Pier {name} has a lamp that turns every {n} minutes.",
            (
                Fact(
                    f"How fast is {name}?",
                    f"What is the pace of {name}?",
                    f"a lamp that turns every {n} minutes",
                ),
            ),
        )
        for n, name in enumerate(["Alba", "Borin", "Celd"], 2)
    ]
    return Datanet("piers", "piers", tuple(rows))
