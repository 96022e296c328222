"""``openledger gateway key …`` as a user types it, and what ``serve`` makes of its arguments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from openledger.errors import UserError
from openledger.runtime.gateway._serve import Wanted, registered_as

Run = Callable[..., Any]


def test_a_key_is_made_filled_emptied_and_revoked(run: Run, read: Run) -> None:
    made = read("gateway", "key", "create", "alice", "--cap", "5")
    assert made["key"].startswith("ol-")
    number = made["id"]
    run("gateway", "key", "fund", number, "3", "--dry-run")
    run("gateway", "key", "fund", number, "2")
    [listed] = read("gateway", "key", "list")
    assert (listed["name"], listed["cap"], listed["balance"]) == ("alice", str(5 * 10**18), str(2 * 10**18))
    assert "key" not in listed  # it was shown once
    run(
        "gateway", "key", "withdraw", number, "--as", "1", fails=UserError
    )  # another signer has other accounts
    assert read("gateway", "key", "withdraw", number)["wei"] == str(2 * 10**18)
    run("gateway", "key", "withdraw", number, fails=UserError)  # it holds nothing now
    assert read("gateway", "key", "revoke", number)["revoked"] is True


@pytest.mark.parametrize("cap", ["0", "-1", "much"])
def test_a_key_needs_a_cap(run: Run, cap: str) -> None:
    run("gateway", "key", "create", "bob", f"--cap={cap}", fails=UserError)


@pytest.mark.parametrize(
    "text",
    ["desk.py:desk", "desk.py:desk=", "desk.py:desk=x", "=3", "desk.py:desk=0", "a.py:a=1,b", "a.py:a=1,=2"],
)
def test_serve_refuses_what_names_no_agent(run: Run, text: str) -> None:
    run("gateway", "serve", text, fails=UserError)


def test_serve_needs_both_halves_of_tls(run: Run) -> None:
    run("gateway", "serve", "a.py:a=1", "--certificate", "a.pem", fails=UserError)


def test_serve_takes_an_agent_as_the_chain_has_it(house: Any) -> None:
    service = house.echo
    wanted = Wanted.parse(f"package.module:echo={service.operator.agent_id}")
    assert registered_as(wanted, service.operator.agent, house.connection) == service.registered
    from dataclasses import replace

    aliased = replace(service.operator.agent, adapters={"model": "audit_findings"})
    with pytest.raises(UserError, match="it is open which adapter 'model'"):
        registered_as(wanted, aliased, house.connection)


def test_an_agents_purse_is_filled_and_emptied(run: Run, read: Run) -> None:
    read("agent", "register", "buyer", "It buys.", "--as", 2)
    empty = read("agent", "purse", 1, "--as", 2)
    assert empty["balance"] == "0"
    run("agent", "purse", 1, "--fund", "2", "--as", 2)
    assert read("agent", "purse", 1, "--as", 2) == {**empty, "balance": str(2 * 10**18)}
    assert read("agent", "purse", 1, "--as", 3)["account"] != empty["account"]  # of another key
    run("agent", "purse", 1, "--withdraw", "--as", 2)
    assert read("agent", "purse", 1, "--as", 2)["balance"] == "0"
    run("agent", "purse", 1, "--withdraw", "--as", 2, fails=UserError)
    run("agent", "purse", 1, "--withdraw", "--fund", "1", "--as", 2, fails=UserError)
    run("agent", "purse", 99, "--fund", "1", "--as", 2, fails=UserError)
