"""``make demo`` keeps its word: everything it claims is checked by itself, and it exits 0 only then."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from openledger.settings import Settings

ROOT = Path(__file__).resolve().parents[2]


def test_the_demo_runs_to_its_summary(tmp_path: Path, settings: Settings) -> None:
    environment = {
        **os.environ,
        "OPENLEDGER_HOME": str(tmp_path),
        "OPENLEDGER_CACHE": str(settings.cache_dir),
    }
    environment["COLUMNS"] = "160"
    done = subprocess.run(
        [sys.executable, "examples/demo"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    for claim in (
        "10 of 10 honest actions verified",
        "caught by replay",
        "lost 8 OPEN",
        "every wei accounted for",
    ):
        assert claim in done.stdout
    assert "not so" not in done.stdout
