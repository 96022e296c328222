"""What the README shows: a cluster, an agent in service, a prepaid key, a call; each by its command, in a folder of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import pytest
from ruin import free_port, until

from openledger.datanets import shipped

ROOT = Path(__file__).resolve().parents[2]
QUESTION, ANSWER = shipped("audit_findings").questions()[0]
OPERATOR = "3"


@dataclass
class Folder:
    """A user's folder, and the commands in it."""

    path: Path
    cache: Path
    ray: str
    """Short: Ray has sockets below it, whose paths may have 107 characters."""

    @property
    def environment(self) -> dict[str, str]:
        settings = {"OPENLEDGER_CACHE": str(self.cache), "OPENLEDGER_ENGINE_CPUS": "0.5"}
        return os.environ | settings | {"RAY_TMPDIR": self.ray}

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        with (self.path / "service.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "openledger.cli", *words],
                cwd=self.path,
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def run(self, *words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "openledger.cli", *words],
            cwd=self.path,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def json(self, *words: str) -> Any:
        return json.loads(self.run(*words, "--json"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Folder]:
    cache = Path(os.environ.get("OPENLEDGER_CACHE", ROOT / ".openledger" / "cache"))
    ports = [str(free_port()) for _ in range(2)]
    with TemporaryDirectory(prefix="ol") as ray:
        made = Folder(tmp_path_factory.mktemp("deploy"), cache, ray)
        made.run("cluster", "up", "--port", ports[0], "--metrics-port", ports[1], "--no-dashboard")
        yield made
        made.run("cluster", "down")


def test_an_agent_is_deployed_called_and_resumed_by_commands_alone(folder: Folder) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"

    def deployed() -> subprocess.Popen[bytes]:
        service = folder.start("agent", "deploy", str(ROOT / "examples/desk.py:desk"), "--port", str(port))

        def answers() -> bool:
            assert service.poll() is None, (folder.path / "service.log").read_text()[-4000:]
            try:
                return httpx.get(f"{url}/healthz", timeout=5).status_code == 200
            except httpx.TransportError:
                return False

        until(answers, "the agent does not answer")
        return service

    service = deployed()
    secret = folder.json("gateway", "key", "create", "alice", "--cap", "5", "--as", OPERATOR)["key"]
    folder.run("gateway", "key", "fund", "1", "2", "--as", OPERATOR)
    body = {"model": "risk-desk", "messages": [{"role": "user", "content": QUESTION}]}
    reply = httpx.post(
        f"{url}/v1/chat/completions", json=body, headers={"Authorization": f"Bearer {secret}"}, timeout=600
    )
    assert reply.status_code == 200, reply.text
    assert ANSWER.lower() in reply.json()["choices"][0]["message"]["content"].lower()
    told = reply.json()["openledger"]

    def answering() -> bool:
        status = folder.json("cluster", "status")
        assert {worker["agent"] for worker in status["workers"]} == {"desk"}
        return [engine["answers"] for engine in status["engines"]] == [True]

    until(answering, "the engine does not answer")

    service.send_signal(signal.SIGTERM)
    assert service.wait(900) == 0
    assert "nonces 0 to 0" in (folder.path / "service.log").read_text(), "it was not anchored at the end"

    again = deployed()
    resumed = httpx.get(f"{url}/actions/{told['receipt']}", timeout=600).json()
    assert (resumed["state"], resumed["nonce"]) == ("anchored", 0)
    assert (
        httpx.get(f"{url}/v1/models", timeout=600).json()["data"][0]["openledger"]["agent"] == told["agent"]
    )
    again.send_signal(signal.SIGTERM)
    assert again.wait(900) == 0
