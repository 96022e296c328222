"""A private chain on this machine: anvil with 1,000,000,000 OPEN in genesis, kept across restarts."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import threading
import time
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from ..errors import ChainError, UserError
from ._devnet_state import begin, copy, keep_copies, locked, recover, write_atomically

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount

    from ._chain import Chain

__all__ = ["DEVNET_CHAIN_ID", "Devnet"]

DEVNET_CHAIN_ID = 31337
ACCOUNTS = 20
MNEMONIC = "test test test test test test test test test test test junk"  # anvil's; its keys are public
_ANVIL = Path(__file__).parent / "node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil"
_START_TIMEOUT = 60.0
_PORTS, _PORTS_TRIED = range(20_000, 32_000), 3
_PORT_TIMEOUT = 3.0  # a process that was killed holds its port until it is gone
COPIED = 60.0
"""Seconds after which the one that started anvil copies its state: anvil overwrites it in place."""


class Devnet:
    """A running anvil. ``owned`` tells whether this object started it, and so may stop it.

    Blocks are mined as transactions arrive. State goes to ``home/devnet/state.json`` every second and when
    it stops; ``kill -9`` loses at most that second, or ``COPIED`` seconds where it cuts a dump short.
    """

    def __init__(
        self,
        home: Path,
        port: int,
        chain_id: int,
        pid: int,
        started: int | None,
        process: subprocess.Popen[bytes] | None = None,
    ) -> None:
        self.home, self.port, self.chain_id, self.pid = home, port, chain_id, pid
        self._started, self._process = started, process

    @property
    def rpc_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def owned(self) -> bool:
        return self._process is not None

    @cached_property
    def accounts(self) -> list[LocalAccount]:
        """The funded accounts: the same 20 keys on every devnet, with 50,000,000 OPEN each in genesis."""
        return _accounts()

    def connect(self, timeout: float = 30.0) -> Chain:
        """A client of this chain."""
        from ._chain import Chain

        return Chain.connect(self.rpc_url, chain_id=self.chain_id, timeout=timeout)

    @classmethod
    def start(cls, home: Path, chain_id: int = DEVNET_CHAIN_ID, port: int | None = None) -> Devnet:
        """Start the devnet of ``home``, or join the one already running there (then not ``owned``). It listens on
        ``port`` of the loopback address, by default a free one. Raises ``UserError`` for a port that is taken."""
        folder = Path(home).absolute() / "devnet"
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder):
            running = cls.running(home)
            if running is not None:
                if running.chain_id != chain_id:
                    raise UserError(
                        f"A devnet with chain id {running.chain_id} runs in {home}",
                        fix="stop it, or use another home for another chain id",
                    )
                return running
            return cls._launch(folder, chain_id, None if port is None else _require_free(port))

    @classmethod
    def running(cls, home: Path) -> Devnet | None:
        """The devnet of ``home`` if it is alive. Raises ``ChainError`` for one that lives and does not answer: beside it no
        other may write the chain's state."""
        folder = Path(home).absolute() / "devnet"
        try:
            noted = json.loads((folder / "devnet.json").read_text())
            pid, port, chain_id = int(noted["pid"]), int(noted["port"]), int(noted["chain_id"])
            started = noted["started"]
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None
        deadline = time.monotonic() + _START_TIMEOUT
        while _start_ticks(pid) == started:
            answered = _ask_chain_id(port)
            if answered is not None:
                return cls(folder, port, chain_id, pid, started) if answered == chain_id else None
            if started is None:  # without /proc nothing tells whether it lives
                return None
            if time.monotonic() > deadline:
                raise ChainError(
                    f"The devnet of {home} does not answer",
                    why=f"its process {pid} is alive, but gave no answer for {_START_TIMEOUT:.0f} s",
                    fix=f"wait until the machine has less to do, or end it: kill {pid}",
                )
            time.sleep(0.05)
        return None

    @classmethod
    def _launch(cls, folder: Path, chain_id: int, port: int | None) -> Devnet:
        state = folder / "state.json"
        recover(state)
        if not state.exists():
            begin(folder, chain_id, (str(account.address) for account in _accounts()))
        for _ in range(1 if port else _PORTS_TRIED):
            chosen = port or _free_port()
            process = cls._spawn(folder, chain_id, chosen)
            answered = _await(process, chosen, chain_id)
            if answered or process.poll() is None:
                break  # an anvil that ended may have had its port taken meanwhile
        if not answered:
            process.kill()
            process.wait()
            tail = (folder / "anvil.log").read_text(errors="replace")[-500:].strip()
            raise ChainError(
                "The devnet did not start",
                why=tail or f"no answer on port {chosen} within {_START_TIMEOUT:.0f} s",
                fix=f"read {folder / 'anvil.log'}; delete {folder} to begin a new chain",
            )
        started = _start_ticks(process.pid)
        devnet = cls(folder, chosen, chain_id, process.pid, started, process)
        note = {"pid": process.pid, "port": chosen, "chain_id": chain_id, "started": started}
        write_atomically(folder / "devnet.json", json.dumps(note))
        devnet._resume_clock()
        threading.Thread(
            target=keep_copies, args=(process, state, COPIED), daemon=True, name="devnet copies"
        ).start()
        return devnet

    @staticmethod
    def _spawn(folder: Path, chain_id: int, port: int) -> subprocess.Popen[bytes]:
        state = folder / "state.json"
        command = [str(_find_anvil()), "--host", "127.0.0.1", "--port", str(port)]
        command += ["--chain-id", str(chain_id)]
        # the accounts' keys are anvil's, their money is the genesis'
        command += ["--hardfork", "prague", "--accounts", str(ACCOUNTS), "--balance", "0"]
        command += ["--mnemonic", MNEMONIC, "--state", str(state), "--state-interval", "1", "--quiet"]
        with (folder / "anvil.log").open("ab") as log:
            # A session of its own: Ctrl-C reaches this program first, which then stops anvil in order.
            return subprocess.Popen(
                command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True
            )

    def _resume_clock(self) -> None:
        """After a restart the clock is the machine's again: never let it fall behind the last block."""
        latest = _rpc(self.port, "eth_getBlockByNumber", ["latest", False], _START_TIMEOUT)
        ahead = int(latest["timestamp"], 16) - int(time.time()) if latest else 0
        if ahead > 0:
            _rpc(self.port, "evm_increaseTime", [ahead], _START_TIMEOUT)

    def status(self) -> dict[str, Any]:
        """rpc_url, chain_id, pid, owned, alive, block and the folder of its state."""
        alive = _ask_chain_id(self.port) == self.chain_id
        block = int(_rpc(self.port, "eth_blockNumber", []), 16) if alive else None
        return {
            "rpc_url": self.rpc_url,
            "chain_id": self.chain_id,
            "pid": self.pid,
            "owned": self.owned,
            "alive": alive,
            "block": block,
            "home": str(self.home),
        }

    def stop(self, *, force: bool = False) -> None:
        """Stop anvil and let it write its state. Does nothing unless ``owned`` or ``force``."""
        if not self.owned and not force:
            return
        with locked(self.home):
            noted = self.home / "devnet.json"
            if self._process is not None:
                self._process.terminate()
                try:
                    self._process.wait(30)
                except subprocess.TimeoutExpired:
                    self._process.kill()
                    self._process.wait()
                self._process = None
            elif _start_ticks(self.pid) == self._started:
                with suppress(ProcessLookupError):
                    os.kill(self.pid, signal.SIGTERM)
                deadline = time.monotonic() + 30
                while _start_ticks(self.pid) is not None and time.monotonic() < deadline:
                    time.sleep(0.05)
            noted.unlink(missing_ok=True)
            copy(self.home / "state.json")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _accounts() -> list[LocalAccount]:
    from eth_account import Account
    from eth_account.hdaccount import key_from_seed, seed_from_mnemonic

    seed = seed_from_mnemonic(MNEMONIC, "")
    return [Account.from_key(key_from_seed(seed, f"m/44'/60'/0'/0/{i}")) for i in range(ACCOUNTS)]


def _await(process: subprocess.Popen[bytes], port: int, chain_id: int) -> bool:
    """Whether ``process`` came to serve the chain on ``port``; another's answer there is none of it."""
    deadline = time.monotonic() + _START_TIMEOUT
    while time.monotonic() < deadline:
        if process.poll() is not None:
            return False
        if _listens(process.pid, port) and _ask_chain_id(port) == chain_id:
            return True
        time.sleep(0.05)
    return False


def _listens(pid: int, port: int) -> bool:
    """Whether the process holds the port; where there is no /proc, its answer has to do."""
    table = Path("/proc/net/tcp")
    if not table.exists():
        return True
    rows = [line.split() for line in table.read_text().splitlines()[1:]]
    sockets = {f"socket:[{row[9]}]" for row in rows if row[3] == "0A" and row[1].endswith(f":{port:04X}")}
    with suppress(OSError):  # it has ended
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                if str(descriptor.readlink()) in sockets:
                    return True
    return False


def _find_anvil() -> Path:
    if _ANVIL.is_file():
        return _ANVIL
    installed = shutil.which("anvil")
    if installed:
        return Path(installed)
    raise ChainError(
        "anvil is missing, so no devnet can start",
        why=f"{_ANVIL} does not exist",
        fix="run `make setup`, install Foundry, or set OPENLEDGER_RPC_URL to a running chain",
    )


def _free_port() -> int:
    """Below those that the system gives to clients, which may take it until anvil does."""
    for port in random.sample(_PORTS, 100):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise ChainError("no port is free for the devnet", fix="give one that is: --port")


def _require_free(port: int) -> int:
    deadline = time.monotonic() + _PORT_TIMEOUT
    while True:
        with socket.socket() as probe:
            # as anvil does: connections of one that ended are no obstacle
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                if time.monotonic() > deadline:
                    raise UserError(
                        f"port {port} cannot be had", why=str(error), fix="give another, or leave it out"
                    ) from None
            else:
                return port
        time.sleep(0.05)


def _rpc(port: int, method: str, params: list[Any], timeout: float = 5) -> Any:
    from http.client import HTTPConnection

    connection = HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        connection.request("POST", "/", body, {"content-type": "application/json"})
        answer = json.loads(connection.getresponse().read())
    finally:
        connection.close()
    if "error" in answer:
        raise ChainError(f"The devnet refused {method}", why=str(answer["error"]))
    return answer["result"]


def _ask_chain_id(port: int) -> int | None:
    from http.client import HTTPException

    try:
        return int(_rpc(port, "eth_chainId", []), 16)
    except (OSError, HTTPException, ValueError, KeyError, ChainError):
        return None


def _start_ticks(pid: int) -> int | None:
    """When a process started, in clock ticks since boot: a process id alone may have been given to another."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else int(fields[19])
