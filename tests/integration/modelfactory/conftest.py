"""The real base and adapters, from the settings' cache; trained here once if they are not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from openledger.datanets import shipped, shipped_names
from openledger.modelfactory import ensure_adapter, ensure_base
from openledger.settings import get_settings


@pytest.fixture(scope="session")
def base() -> Path:
    return ensure_base(get_settings().cache_dir)


@pytest.fixture(scope="session")
def adapters(base: Path) -> dict[str, Path]:
    return {name: ensure_adapter(get_settings().cache_dir, base, shipped(name)) for name in shipped_names()}
