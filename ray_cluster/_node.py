"""A Ray node on this machine: the head of a new cluster, or one more node of another.

``ray start --block`` in a session of its own; a note of it lies under ``home/cluster``. It is ended by a signal to that
process, never by ``ray stop``, which ends every Ray on the machine.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from ..errors import ExecutionError, UserError
from ..settings import Settings

__all__ = ["ATTEMPTS", "BUSY", "LOOPBACK", "Node", "token_path"]

LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
"""With it Ray takes 127.0.0.1 for this machine's address, as on other systems it always does; without, it puts a reachable
one in its place, and listens on all."""

_LOCAL = "127.0.0.1"
_START_TIMEOUT = 300.0
_STOP_TIMEOUT = 20.0
ATTEMPTS, BUSY = 3, "timed out during startup"
"""Ray gives its processes 30 s to start, and says this when a busy machine needed longer."""


def token_path(settings: Settings) -> Path:
    """Where the token of this home's cluster is kept, mode 600."""
    return settings.home_dir / "cluster" / "token"


@dataclass(frozen=True)
class Node:
    """A node started here, and running."""

    address: str
    """Of the cluster's head: ``host:port``."""
    head: bool
    pid: int
    created: float
    """When the process began, in unix seconds: a process id alone may have been given to another."""
    dashboard: str
    """URL; empty without one."""
    metrics: str
    """URL of this node's Prometheus metrics."""
    ray_version: str

    @property
    def local(self) -> bool:
        """Whether no other machine reaches it."""
        return self.address.startswith(f"{_LOCAL}:")

    @classmethod
    def running(cls, settings: Settings) -> Self | None:
        """The node that was started from this home, if it is alive."""
        try:
            node = cls(**json.loads(_note(settings).read_text()))
        except (FileNotFoundError, ValueError, TypeError):
            return None
        return node if _created(node.pid) == node.created else None

    @classmethod
    def start(
        cls,
        settings: Settings,
        *,
        address: str | None = None,
        host: str = _LOCAL,
        port: int = 6379,
        cpus: int | None = None,
        gpus: int | None = None,
        memory: int | None = None,
        resources: Mapping[str, float] | None = None,
        dashboard: bool = True,
        dashboard_port: int = 8265,
        metrics_port: int = 8080,
    ) -> Self:
        """Start the head of a cluster at ``host:port``, or with ``address`` a node of the cluster there.

        Authentication by token is on: the environment's token, else the one kept under ``home``, made for a new cluster.
        ``host`` is the address that other nodes and drivers reach this one by; on 127.0.0.1 nothing listens to other
        machines. The dashboard never does.
        ``memory`` is bytes for actors and tasks. Raises ``UserError`` for a port that is taken, a node that runs already or
        a token that is missing, ``ExecutionError`` when Ray does not start.
        """
        folder = token_path(settings).parent
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder):
            already = cls.running(settings)
            if already is not None:
                raise UserError(
                    "a Ray node of this home runs already",
                    why=f"process {already.pid} of the cluster at {already.address}",
                    fix="use it, or stop it by `openledger cluster down`",
                )
            environment = _authenticated(settings, new=address is None)
            if address is None and host == _LOCAL:
                environment |= LOOPBACK
            wanted = (
                {"--port": port, "--dashboard-port": dashboard_port if dashboard else None}
                if address is None
                else {}
            )
            for flag, number in {**wanted, "--metrics-port": metrics_port}.items():
                _check_free(host if flag == "--port" else "127.0.0.1", number, flag)
            command = _command(address, host, port, dashboard, dashboard_port, metrics_port)
            for flag, value in {"num-cpus": cpus, "num-gpus": gpus, "memory": memory}.items():
                command += [] if value is None else [f"--{flag}={value}"]
            command += [f"--resources={json.dumps(dict(resources))}"] if resources else []
            process = _launch(command, environment, folder / "ray.log", address)
            node = cls(
                address=address or f"{host}:{port}",
                head=address is None,
                pid=process.pid,
                created=_created(process.pid) or 0.0,
                dashboard=f"http://127.0.0.1:{dashboard_port}" if dashboard and address is None else "",
                metrics=f"http://{host}:{metrics_port}/metrics",
                ray_version=_version(),
            )
            scratch = _note(settings).with_suffix(".new")
            scratch.write_text(json.dumps(asdict(node), indent=1) + "\n")
            scratch.replace(_note(settings))
        return node

    def stop(self, settings: Settings) -> None:
        """End the node and everything on it; actors elsewhere whose owner was here end, too."""
        with _locked(token_path(settings).parent):
            _end(self.pid)
            _note(settings).unlink(missing_ok=True)


def _command(
    address: str | None, host: str, port: int, dashboard: bool, dashboard_port: int, metrics_port: int
) -> list[str]:
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--disable-usage-stats"]
    command += [f"--node-ip-address={host}", f"--metrics-export-port={metrics_port}"]
    # Ray's own choice of these is fixed, and taken where another Ray runs on the machine.
    command += [f"--dashboard-agent-listen-port={_free_port()}"]
    if host == _LOCAL:  # no firewall to open a range in: any free port will do
        command += ["--min-worker-port=0", "--max-worker-port=0"]
    if address is not None:
        return [*command, f"--address={address}"]
    command += ["--head", f"--port={port}", f"--ray-client-server-port={_free_port()}"]
    command += [f"--include-dashboard={str(dashboard).lower()}"]
    return [*command, "--dashboard-host=127.0.0.1", f"--dashboard-port={dashboard_port}"]


def _authenticated(settings: Settings, *, new: bool) -> dict[str, str]:
    """The environment of the node, with the cluster's token in a file."""
    environment = dict(os.environ) | {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "token"}
    environment.pop(
        "RAY_BACKEND_LOG_LEVEL", None
    )  # what a command keeps from its user belongs into the node's logs
    # What a shell of this virtual environment has set; Ray's workers start by the same.
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment.get('PATH', '')}"
    kept = token_path(settings)
    if environment.get("RAY_AUTH_TOKEN") or environment.get("RAY_AUTH_TOKEN_PATH"):
        return environment
    if not kept.is_file():
        if not new:
            raise UserError(
                "the cluster's token is missing",
                why="clusters of openledger take no node and no driver without it",
                fix=f"set RAY_AUTH_TOKEN_PATH, or copy {kept.name} from home/cluster of the head to {kept}",
            )
        descriptor = os.open(kept, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(32))
    environment["RAY_AUTH_TOKEN_PATH"] = str(kept)
    return environment


def _launch(
    command: list[str], environment: dict[str, str], log: Path, address: str | None
) -> subprocess.Popen[bytes]:
    """The running node; where a busy machine keeps it from starting it is tried again."""
    for left in reversed(range(ATTEMPTS)):
        with log.open("wb") as output:
            # A session of its own: Ctrl-C in this terminal does not reach it.
            process = subprocess.Popen(
                command,
                stdout=output,
                stderr=output,
                stdin=subprocess.DEVNULL,
                env=environment,
                start_new_session=True,
            )
        try:
            _await(process, log, address)
        except ExecutionError:
            if not left or BUSY not in log.read_text(errors="replace"):
                raise
        else:
            return process
    raise AssertionError  # the last attempt returns or raises


def _await(process: subprocess.Popen[bytes], log: Path, address: str | None) -> None:
    """Return once Ray says that it runs."""
    deadline = time.monotonic() + _START_TIMEOUT
    while True:
        said = log.read_text(errors="replace")
        if "Ray runtime started" in said and "--block" in said:
            return
        if process.poll() is not None or time.monotonic() > deadline:
            _end(process.pid)
            tail = " ".join(line.strip() for line in said.splitlines()[-12:])
            if address is not None:
                from ._connect import refused

                raise refused(address, tail or f"no answer in {_START_TIMEOUT:g} s")
            raise ExecutionError(
                "Ray did not start",
                why=tail[-600:] or f"nothing was said in {_START_TIMEOUT:g} s",
                fix=f"read {log}",
            )
        time.sleep(0.1)


def _end(pid: int) -> None:
    """The process and all it started: they share its session."""
    import psutil

    family, patience = {one for one in psutil.process_iter() if _session(one.pid) == pid}, _STOP_TIMEOUT
    try:
        process = psutil.Process(pid)
        family |= {process, *process.children(recursive=True)}
        process.send_signal(signal.SIGTERM)
    except psutil.NoSuchProcess:
        patience = 0.0  # there is nobody to end the others
    _, left = psutil.wait_procs(list(family), timeout=patience)
    for one in left:
        try:
            one.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(left, timeout=5)


def _session(pid: int) -> int | None:
    with suppress(ProcessLookupError, PermissionError):
        return os.getsid(pid)
    return None


def _check_free(host: str, port: int | None, flag: str) -> None:
    if port is None:
        return
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise UserError(
                f"port {port} of {host} cannot be used",
                why=str(error.strerror),
                fix=f"end what uses it, or give another {flag}",
            ) from None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _created(pid: int) -> float | None:
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else float(process.create_time())
    except psutil.NoSuchProcess:
        return None


def _version() -> str:
    from importlib.metadata import version

    return version("ray")


def _note(settings: Settings) -> Path:
    return settings.home_dir / "cluster" / "node.json"


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
