"""Settings come from the environment, then openledger.toml, then embedded defaults; wrong ones are named."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from openledger.errors import UserError
from openledger.settings import get_settings


@pytest.fixture(autouse=True)
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    for name in ("OPENLEDGER_CACHE", "OPENLEDGER_HOME"):
        monkeypatch.delenv(name, raising=False)
    get_settings.cache_clear()
    yield
    get_settings.cache_clear()


def test_everything_has_an_embedded_default(tmp_path: Path) -> None:
    settings = get_settings()
    assert settings.home_dir == tmp_path / ".openledger"
    assert settings.cache_dir == tmp_path / ".openledger" / "cache"
    assert settings.rpc_url is None


def test_the_environment_wins_over_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("openledger.toml").write_text('rpc_url = "http://file"\nchain_id = 5\n[engine]\nmax_loras = 16\n')
    monkeypatch.setenv("OPENLEDGER_RPC_URL", "http://environment")
    monkeypatch.setenv("OPENLEDGER_ENGINE__DTYPE", "bfloat16")
    settings = get_settings()
    assert (settings.rpc_url, settings.chain_id) == ("http://environment", 5)
    assert settings.engine == {"max_loras": 16, "dtype": "bfloat16"}


@pytest.mark.parametrize(
    ("name", "value", "named"),
    [("OPENLEDGER_ENGINE_REPLICAS", "0", "engine_replicas"), ("OPENLEDGER_CHAIN_ID", "one", "chain_id")],
)
def test_a_wrong_value_is_named(name: str, value: str, named: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=named):
        get_settings()


def test_an_unknown_key_in_the_file_is_named() -> None:
    Path("openledger.toml").write_text("rpc = 1\n")
    with pytest.raises(UserError, match="rpc"):
        get_settings()


def test_a_key_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENLEDGER_PRIVATE_KEY", "0x" + "42" * 32)
    assert "4242" not in repr(get_settings())
