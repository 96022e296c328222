"""A tokenizer loads without torch, once its class is known, and is the same."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from openledger.errors import UserError
from openledger.openlora import load_tokenizer
from openledger.settings import get_settings

LOADS = """
import sys
from openledger.openlora import load_tokenizer
tokenizer = load_tokenizer(sys.argv[1])
print("torch" in sys.modules, type(tokenizer).__name__, tokenizer.encode("a b c"), tokenizer.eos_token)
"""


@pytest.fixture
def base(tmp_path: Path) -> Path:
    from tokenizers import Tokenizer, models, pre_tokenizers

    folder = tmp_path / "base"
    folder.mkdir()
    words = Tokenizer(models.WordLevel({"a": 0, "b": 1, "c": 2, "?": 3}, unk_token="?"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.save(str(folder / "tokenizer.json"))
    (folder / "config.json").write_text(json.dumps({"model_type": "llama"}))
    told = {"tokenizer_class": "TokenizersBackend", "eos_token": "?"}
    (folder / "tokenizer_config.json").write_text(json.dumps(told))
    return folder


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("OPENLEDGER_CACHE", str(tmp_path / "cache"))
    get_settings.cache_clear()
    yield tmp_path / "cache/tokenizers"
    get_settings.cache_clear()


def test_once_its_class_is_known_it_loads_without_torch(base: Path) -> None:
    here = load_tokenizer(str(base))
    done = subprocess.run(
        [sys.executable, "-c", LOADS, str(base)], capture_output=True, text=True, check=True
    ).stdout
    assert done.split(" ", 1) == ["False", f"{type(here).__name__} [0, 1, 2] ?\n"]
    assert here.encode("a b c") == [0, 1, 2]


def test_another_configuration_is_looked_at_anew(base: Path, cache: Path) -> None:
    load_tokenizer(str(base))
    load_tokenizer(str(base))
    assert len(list(cache.iterdir())) == 1
    (base / "config.json").write_text(json.dumps({"model_type": "mistral"}))
    load_tokenizer(str(base))
    assert len(list(cache.iterdir())) == 2


@pytest.mark.parametrize(
    "note", ["os:system", "transformers.nowhere:Nothing", "transformers.utils:Nothing", ""]
)
def test_a_note_that_names_no_class_of_transformers_is_not_followed(
    base: Path, cache: Path, note: str
) -> None:
    load_tokenizer(str(base))
    [kept] = cache.iterdir()
    named = kept.read_text()
    kept.write_text(note)
    assert load_tokenizer(str(base)).encode("a b c") == [0, 1, 2]
    assert kept.read_text() == named


def test_a_base_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has no tokenizer"):
        load_tokenizer(str(tmp_path))
