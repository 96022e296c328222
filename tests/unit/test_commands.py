"""What every command that sends a transaction offers, read from the commands themselves."""

from __future__ import annotations

import dis
import inspect
from collections.abc import Callable, Iterator
from types import CodeType
from typing import Any

import pytest
import typer

from openledger.cli import app
from openledger.registry.commands import As, DryRun, Json, acting

OFFERED = {"--as", "--json", "--dry-run"}
SENDING = {"acting", "reviewed", "as_", "send"}
"""Names of what a transaction takes: who acts, an explanation, a ledger that signs."""


def commands(command: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if not hasattr(command, "commands"):
        yield path.strip(), command
        return
    for name, child in command.commands.items():
        yield from commands(child, f"{path} {name}")


def used(code: CodeType) -> Iterator[tuple[str, bool]]:
    """Every name in a function, and whether it is a global rather than an attribute or an import."""
    for one in dis.get_instructions(code):
        if isinstance(one.argval, str) and one.opname != "LOAD_CONST":
            yield one.argval, one.opname == "LOAD_GLOBAL"
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from used(constant)


def sends(function: Callable[..., Any]) -> bool:
    """Whether a command, or a function of the command modules that it calls, can send."""
    function = inspect.unwrap(function)
    names = set(used(function.__code__))
    if any(name in SENDING for name, _ in names):
        return True
    called = [function.__globals__.get(name) for name, is_global in names if is_global]
    return any(sends(one) for one in called if inspect.isfunction(one) and one.__module__.endswith("_cli"))


def options(command: Any) -> set[str]:
    return {option for parameter in command.params for option in parameter.opts}


COMMANDS = dict(commands(typer.main.get_command(app)))
SERVING = {"agent deploy"}
"""Registers and then serves: a trial could not show the second without having done the first."""
SENDERS = [path for path, command in COMMANDS.items() if sends(command.callback) and path not in SERVING]


@pytest.mark.parametrize("path", SENDERS)
def test_who_sends_offers_a_dry_run_and_json(path: str) -> None:
    assert options(COMMANDS[path]) >= OFFERED


@pytest.mark.parametrize("path", SERVING)
def test_what_serves_offers_the_rest(path: str) -> None:
    assert options(COMMANDS[path]) >= OFFERED - {"--dry-run"}


def test_only_who_sends_offers_a_dry_run() -> None:
    offering = [path for path, command in COMMANDS.items() if "--dry-run" in options(command)]
    assert offering == SENDERS
    assert "vote" in SENDERS


def test_a_command_without_them_would_be_seen() -> None:
    trial = typer.Typer()

    @trial.command()
    def bare(account: As = None) -> None:
        with acting(account, dry_run=False) as (connection, signer):
            connection.as_(signer).wrap(1)

    @trial.command()
    def quiet(as_json: Json = False, dry_run: DryRun = False) -> None:
        print("nothing")

    found = dict(commands(typer.main.get_command(trial)))
    assert sends(found["bare"].callback)
    assert not options(found["bare"]) >= OFFERED
    assert not sends(found["quiet"].callback)
