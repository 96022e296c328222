"""Two hosts, each a network namespace with an address of its own and a cable between them. The cable is cut while both work."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cluster_child import until
from test_cluster import HASTE

from openledger.settings import Settings

CHILD = Path(__file__).with_name("cluster_child.py")
CUT = HASTE | {"RAY_health_check_timeout_ms": "12000"}
"""Behind a cable that is cut nobody refuses to answer: such a host is lost after three times as long, which a busy machine
lets nobody stand still for."""


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True, timeout=600)


@dataclass(frozen=True)
class Host:
    """A namespace; ``run`` and ``start`` are for ``python`` with these arguments, on that host."""

    name: str
    address: str
    environment: dict[str, str]

    def command(self, *words: object) -> list[str]:
        return ["ip", "netns", "exec", self.name, sys.executable, *map(str, words)]

    def run(self, *words: object) -> str:
        done = subprocess.run(
            self.command(*words),
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[list[Host]]:
    """Skips where a process may not make namespaces."""
    mark = secrets.token_hex(3)
    names, ends = [f"ol{mark}a", f"ol{mark}b"], [f"v{mark}a", f"v{mark}b"]
    with ExitStack() as cleanup:
        try:
            for name in names:
                ip("netns", "add", name)
                cleanup.callback(ip, "netns", "delete", name)
        except (FileNotFoundError, subprocess.CalledProcessError) as error:
            pytest.skip(f"no network namespaces here: {getattr(error, 'stderr', error)}")
        ip(
            "link",
            "add",
            ends[0],
            "netns",
            names[0],
            "type",
            "veth",
            "peer",
            "name",
            ends[1],
            "netns",
            names[1],
        )
        kept = {
            key: value for key, value in os.environ.items() if not key.startswith(("RAY_", "OPENLEDGER_"))
        }
        token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
        made = []
        for name, end, number in zip(names, ends, (1, 2), strict=True):
            address = f"10.213.77.{number}"
            ip("-n", name, "address", "add", f"{address}/24", "dev", end)
            ip("-n", name, "link", "set", end, "up")
            ip("-n", name, "link", "set", "lo", "up")
            home = {"OPENLEDGER_HOME": str(tmp_path / name), "VETH": end}
            made.append(Host(name, address, {**kept, **CUT, **token, **home}))
        yield made


def test_a_host_that_is_cut_off_loses_no_action(
    hosts: list[Host], settings: Settings, tmp_path: Path, cleanup: Callable[[Callable[[], Any]], None]
) -> None:
    head, other = hosts
    up = ("-m", "openledger.cli", "cluster", "up", "--cpus", 1, "--no-dashboard", "--json")
    down = ("-m", "openledger.cli", "cluster", "down")
    address = json.loads(head.run(*up, "--host", head.address))["address"]
    cleanup(lambda: head.run(*down))
    assert address == f"{head.address}:6379"
    json.loads(other.run(*up, "--address", address, "--host", other.address))
    cleanup(lambda: other.run(*down))
    seen = json.loads(head.run("-m", "openledger.cli", "cluster", "status", "--json"))
    assert sorted(one["host"] for one in seen["nodes"] if one["alive"]) == [head.address, other.address]

    work, log = tmp_path / "work", tmp_path / "work" / "log" / "log"
    work.mkdir()
    driver = subprocess.Popen(
        head.command(CHILD, work, settings.cache_dir, "hosts"),
        env=head.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    cleanup(driver.kill)

    def begun() -> list[str]:
        assert driver.poll() is None, driver.communicate()[1][-3000:]
        return log.read_text().splitlines() if log.exists() else []

    until(lambda: len(begun()) == 2, 600)
    assert len({line.split()[1] for line in begun()}) == 2  # one on each host
    ip("-n", other.name, "link", "set", other.environment["VETH"], "down")
    until(lambda: len(begun()) == 3, 600)
    (work / "log" / "release").touch()
    printed, errors = driver.communicate(timeout=900)
    assert driver.returncode == 0, errors[-3000:]
    told = json.loads(printed.splitlines()[-1])
    assert told["outputs"] == ["task-0 done", "task-1 done"]
    again = told["begun"][2]
    assert again[0] in {name for name, _, _ in told["begun"][:2]}
    (stayed,) = {node for name, node, _ in told["begun"][:2] if name != again[0]}
    assert again[1] == stayed


@pytest.fixture
def cleanup() -> Iterator[Callable[[Callable[[], Any]], None]]:
    """What is given is done afterwards, the last first."""
    with ExitStack() as stack:
        yield stack.callback  # type: ignore[misc]
