"""Peer systems: an environment of the project's packages with a few of the peer's own before them, and a process in it
that is given JSON and gives JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from rich.console import Console

console = Console(highlight=False)


def environment(name: str, *installs: list[str]) -> Path | None:
    """Its Python under ``.openledger/tools``, made once by an install for each list of arguments; ``None`` where one
    fails."""
    tools = Path(__file__).resolve().parents[1] / ".openledger/tools" / name
    python, main_env = tools / "bin/python", Path(sys.prefix)
    if (tools / "built").exists():
        return python
    console.print(f"installing {name} (once)")
    uv = [str(main_env / "bin/uv")]
    env = os.environ | {
        "UV_FIND_LINKS": os.environ.get("UV_FIND_LINKS", os.environ.get("PIP_FIND_LINKS", ""))
    }
    steps = [[*uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(tools)]]
    steps += [[*uv, "pip", "install", "--quiet", "--python", str(python), *install] for install in installs]
    for at, step in enumerate(steps):
        if subprocess.run(step, env=env, check=False).returncode:
            return None
        if at == 0:
            ours = next(main_env.glob("lib/python*/site-packages"))
            (next(tools.glob("lib/python*/site-packages")) / "project.pth").write_text(f"{ours}\n")
    (tools / "built").touch()
    return python


def ask(module: str, work: dict[str, Any], python: Path | None = None) -> dict[str, Any]:
    """What ``benchmarks.<module>`` prints last, as JSON, when it is given ``work`` on its standard input."""
    done = subprocess.run(
        [str(python or sys.executable), "-m", f"benchmarks.{module}"],
        input=json.dumps(work),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"benchmarks.{module} failed:\n{done.stderr[-3000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found
