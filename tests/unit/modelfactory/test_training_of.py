"""What an adapter says of its training: a stranger's words, of which nobody may be made to compute for ever."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from openledger.attribution import NoInfluence
from openledger.modelfactory import AdapterRecipe, training_of

SAID: dict[str, Any] = {
    "kind": "openledger/adapter-training@1",
    "recipe": asdict(AdapterRecipe(steps=7)),
    "datanet": {"training_sha2-256": "ab" * 32},
}


def said(folder: Path, what: Any) -> Path:
    (folder / "training.json").write_text(what if isinstance(what, str) else json.dumps(what))
    return folder


def test_recipe_and_digest_are_read(tmp_path: Path) -> None:
    assert training_of(said(tmp_path, SAID)) == (AdapterRecipe(steps=7), "ab" * 32)


def test_who_says_nothing_has_no_influence(tmp_path: Path) -> None:
    assert training_of(tmp_path) == NoInfluence("its adapter says not what it was trained on")
    other = training_of(said(tmp_path, SAID | {"kind": "somebody/else@1"}))
    assert isinstance(other, NoInfluence)
    assert "something else" in other.why


@pytest.mark.parametrize(
    "wrong",
    [
        "{",
        "[" * 100_000,
        [],
        7,
        {"kind": SAID["kind"]},
        SAID | {"datanet": []},
        SAID | {"recipe": {"stepz": 7}},
        *(
            SAID | {"recipe": SAID["recipe"] | {name: value}}
            for name, value in [
                ("steps", 0),
                ("steps", 1.5),
                ("steps", True),
                ("steps", 10**12),
                ("batch", "32"),
                ("text_share", -0.1),
                ("text_share", 1e-300),
                ("text_share", float("nan")),
                ("text_share", None),
            ]
        ),
    ],
)
def test_what_no_run_can_have_had_is_malformed(tmp_path: Path, wrong: Any) -> None:
    found = training_of(said(tmp_path, wrong))
    assert isinstance(found, NoInfluence)
    assert "malformed" in found.why


def test_brackets_nested_deep_end_no_process(tmp_path: Path) -> None:
    """Where something has raised the recursion limit, Python's own parser overflows the stack on them."""
    said(tmp_path, "[" * 1_000_000)
    script = (
        "import sys; from pathlib import Path; from openledger.modelfactory import training_of; "
        "sys.setrecursionlimit(10**9); print(training_of(Path(sys.argv[1])).why)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path], capture_output=True, text=True, timeout=600, check=False
    )
    assert "is malformed" in done.stdout, (done.returncode, done.stderr[-500:])
