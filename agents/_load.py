"""Load an agent from ``FILE:ATTRIBUTE`` or ``package.module:ATTRIBUTE``."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from ..errors import UserError
from ._declare import Agent

__all__ = ["load_agent"]


def load_agent(target: str) -> Agent:
    """The agent that ``target`` names, e.g. ``desk.py:desk``. Raises ``UserError``."""
    where, _, attribute = target.rpartition(":")
    if not where or not attribute:
        raise UserError(f"cannot read agent {target!r}", fix="write FILE.py:NAME or package.module:NAME")
    module = _from_file(Path(where)) if where.endswith(".py") else _from_name(where)
    found = getattr(module, attribute, None)
    if not isinstance(found, Agent):
        names = [name for name, value in vars(module).items() if isinstance(value, Agent)]
        raise UserError(
            f"{where} has no agent {attribute!r}",
            why=f"it declares {', '.join(names) or 'no agents'}",
            fix="name one of these" if names else "decorate a graph-building function with @agent",
        )
    return found


def _from_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise UserError(f"no file {path}", fix="give the path of the Python file that declares the agent")
    name = f"openledger_agent_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None  # a .py path always has a spec and a loader
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _from_name(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise UserError(
            f"cannot import {name}", why=str(error), fix="install it or give a file path"
        ) from error
