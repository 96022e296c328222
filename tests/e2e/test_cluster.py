"""Several Ray nodes: a lost one loses no action, workers come and go with the load; and `openledger cluster`, as typed."""

from __future__ import annotations

import json
import os
import re
import secrets
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from ruin import free_port

from openledger.ray_cluster import grafana_dashboard
from openledger.settings import Settings

CHILD = Path(__file__).with_name("cluster_child.py")

# A node that is gone is noticed within two seconds instead of fifteen: it refuses to answer. One that stands still for a
# while, on a busy machine, is not lost.
HASTE = {
    f"RAY_health_check_{name}": value
    for name, value in {
        "initial_delay_ms": "500",
        "period_ms": "500",
        "timeout_ms": "120000",
        "failure_threshold": "3",
    }.items()
}


@pytest.fixture(scope="module")
def told(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("cluster")
    environment = {**os.environ, **HASTE, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    done = subprocess.run(
        [sys.executable, str(CHILD), str(folder), str(settings.cache_dir)],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_the_work_of_a_lost_node_moves_and_each_action_completes_once(told: dict[str, Any]) -> None:
    found = told["moves"]
    assert found["statuses"] == ["OK"] * 4
    assert found["outputs"] == [f"action-{at} done" for at in range(4)]
    assert found["nonces"] == [0, 1, 2, 3]
    moved = found["on_lost_node"]
    assert 0 < len(moved) < 4
    # What ran there began again; what ran elsewhere went on undisturbed.
    assert found["elsewhere"] == [f"action-{at}" for at in range(4)]
    assert "serving" in found["states_after_loss"]
    assert sum(count for _, count in found["anchored"]) == 5


def test_a_graph_that_ends_its_process_is_a_recorded_failure_and_is_given_back(told: dict[str, Any]) -> None:
    status, code, begun = told["moves"]["crash"]
    assert (status, code) == ("FAILED", "worker")
    assert begun == 3  # beside others, then twice in a worker for itself
    assert told["moves"]["paid"] == 4


def test_workers_are_added_for_a_queue_and_drained_after_it(told: dict[str, Any]) -> None:
    found = told["scales"]
    assert found["first"] == ["serving"]
    assert found["busy"] == ["serving"] * 2
    assert found["workers"] == 2
    assert found["outputs"] == [f"task-{at} done" for at in range(4)]
    assert found["begun"] == [f"task-{at}" for at in range(4)]  # a drained one finished what it held


def test_a_task_that_wants_too_much_memory_fails_alone(told: dict[str, Any]) -> None:
    found = told["limits"]
    assert found["gorge"] == ["FAILED", "memory"]
    assert found["others"] == ["task-0 done", "task-1 done"]
    assert found["begun"] == {"task-0": 1, "task-1": 1, "gorge": 2}


def test_a_worker_whose_task_timed_out_is_replaced(told: dict[str, Any]) -> None:
    assert told["replaces"] == {"late": ["FAILED", "timeout"], "after": "after done"}


def test_a_task_whose_worker_was_killed_runs_in_the_spare_and_needs_no_new_process(
    told: dict[str, Any],
) -> None:
    found = told["rescues"]
    assert found["by_the_spare"]
    assert found["outputs"] == ["first done", "second done"]
    assert found["begun"] == {
        "first": 2,
        "second": 2,
    }  # a spare that was killed with nothing to do costs no try
    assert found["spares"] == 1


def test_a_task_that_blocks_its_worker_is_ended_with_it_and_fails(told: dict[str, Any]) -> None:
    found = told["blocks"]
    assert found["stuck"] == ["FAILED", "worker"]
    assert found["begun"] == {"stuck": 3}  # once beside others, twice alone
    assert found["after"] == "after done"


# -- the command ----------------------------------------------------------------------------------


@pytest.fixture
def command(tmp_path: Path) -> Callable[..., Any]:
    """Runs `openledger` in a process of its own, and home."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "OPENLEDGER_"))}
    environment = {**kept, "OPENLEDGER_HOME": str(tmp_path / "home")}

    def run(*words: object, exits: int = 0) -> Any:
        done = subprocess.run(
            [sys.executable, "-m", "openledger.cli", *map(str, words)],
            capture_output=True,
            text=True,
            timeout=900,
            env=environment,
            cwd=tmp_path,
            check=False,
        )
        assert done.returncode == exits, done.stdout + done.stderr
        return json.loads(done.stdout) if words[-1] == "--json" else done.stderr

    return run


REPORTS = """
import time
from openledger import ray_cluster
from openledger.agents import Outcome
from openledger.openlora._engine import EngineStats
from openledger.openlora._metrics import EngineMetrics
from openledger.registry import ModelCallStep, Sampling, Status, cid_of
from openledger.runtime._metrics import AgentMetrics, KeeperMetrics

ray_cluster.connect()
cid = cid_of(b"")
step = ModelCallStep(
    asset_id=1, content=cid, base_asset_id=1, base=cid, prompt_tokens=(1,), output_tokens=(1,), logprobs=(0,),
    sampling=Sampling(0.0, 1.0, 0, 1), seed=bytes(32), engine_class="x", finish="stop", node="",
)
agent, keeper = AgentMetrics("desk"), KeeperMetrics("desk")
engine = EngineMetrics("pool", 0)
agent.lost()
agent.done(Outcome(Status.OK, "", (step,), 0, 1), 1.0)
agent.done(Outcome(Status.FAILED, {"code": "graph", "error": ""}, (), 0, 1), 1.0)
keeper.anchored()
keeper.settled(1)
keeper.failed()
while True:  # what is not told for a while is forgotten
    agent.workers({"serving": 1}, 1, 1)
    keeper.deadlines(1.0, 1)
    engine.report(EngineStats("x", 1.0, 1, 1, 1, 1.0, adapters=("a",)))
    time.sleep(0.5)
"""


def every_query_of_the_dashboard_has_an_answer(url: str, folder: Path) -> None:
    """Of what Prometheus would be given: each metric that a query names, with each label that it asks for."""
    ours = {"OPENLEDGER_HOME": str(folder / "home"), "RAY_metrics_report_interval_ms": "1000"}
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "OPENLEDGER_"))}
    reporter = subprocess.Popen([sys.executable, "-c", REPORTS], env=kept | ours)
    board = json.loads(grafana_dashboard())
    queries = [target["expr"] for panel in board["panels"] for target in panel.get("targets", ())]
    queries += [
        variable["query"]["query"] for variable in board["templating"]["list"] if variable["type"] == "query"
    ]
    asked = []
    for query in queries:
        groups = re.findall(r" by \(([\w, ]+)\)", query)
        labels = {*re.findall(r"(\w+)=~", query), *re.findall(r"\w+", " ".join(groups))}
        labels |= set(re.findall(r"label_values\(\w+, *(\w+)\)", query))
        assert labels, query
        asked += [(name, labels) for name in re.findall(r"\bray_\w+", query)]
    assert len({name for name, _ in asked}) > 20
    ends = time.monotonic() + 600
    try:
        while True:
            assert reporter.poll() is None
            given: dict[str, set[str]] = {}
            try:
                told = httpx.get(url, timeout=60).text
            except httpx.TransportError:
                told = ""  # it may be busy
            for family in text_string_to_metric_families(told):
                for sample in family.samples:
                    given.setdefault(sample.name, {"instance"}).update(sample.labels)
            missing = [(name, labels - given.get(name, set())) for name, labels in asked]
            missing = [(name, labels) for name, labels in missing if labels]
            if not missing:
                return
            assert time.monotonic() < ends, missing
            time.sleep(0.5)
    finally:
        reporter.kill()
        reporter.wait()


def test_a_cluster_on_this_machine_starts_is_seen_and_ends(
    command: Callable[..., Any], tmp_path: Path
) -> None:
    assert "openledger cluster up" in command("cluster", "status", exits=1)
    port, metrics = free_port(), free_port()
    up = ("cluster", "up", "--cpus", 1, "--resource", "desk=2", "--no-dashboard", "--metrics-port", metrics)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        refused = command(*up, "--port", port, exits=1)
    assert f"port {port}" in refused
    assert "--port" in refused
    node = command(*up, "--port", port, "--json")
    try:
        assert node["address"] == f"127.0.0.1:{port}"
        token = tmp_path / "home/cluster/token"
        assert stat.S_IMODE(token.stat().st_mode) == 0o600
        assert "openledger cluster down" in command(*up, "--port", port, exits=1)
        seen = command("cluster", "status", "--json")
        assert [(one["host"], one["alive"]) for one in seen["nodes"]] == [("127.0.0.1", True)]
        assert node["metrics"] == f"http://127.0.0.1:{metrics}/metrics"
        assert seen["total"]["CPU"] == 1
        assert seen["total"]["desk"] == 2
        assert seen["engines"] == seen["workers"] == []
        every_query_of_the_dashboard_has_an_answer(node["metrics"], tmp_path)
    finally:
        assert command("cluster", "down", "--json") == {"stopped": node["address"]}
    assert command("cluster", "down", "--json") == {"stopped": None}
