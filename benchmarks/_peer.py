"""The environment of a peer system: the project's packages with a few of its own before them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

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
