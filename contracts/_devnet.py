"""A private chain on this machine: anvil with 1,000,000,000 OPEN in genesis, kept across restarts."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from ..errors import ChainError, UserError
from ._genesis import devnet_allocations, genesis

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount

    from ._chain import Chain

__all__ = ["DEVNET_CHAIN_ID", "Devnet"]

DEVNET_CHAIN_ID = 31337
ACCOUNTS = 20
MNEMONIC = "test test test test test test test test test test test junk"  # anvil's; its keys are public
_ANVIL = Path(__file__).parent / "node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil"
_START_TIMEOUT = 30.0
_PORT_TIMEOUT = 3.0  # a process that was killed holds its port until it is gone
COPIED = 60.0
"""Seconds after which the one that started anvil copies its state: anvil overwrites it in place."""


class Devnet:
    """A running anvil. ``owned`` tells whether this object started it, and so may stop it.

    Blocks are mined as transactions arrive. State goes to ``home/devnet/state.json`` every second and when
    it stops; ``kill -9`` loses at most that second, or ``COPIED`` seconds where it cuts a dump short.
    """

    def __init__(
        self, home: Path, port: int, chain_id: int, pid: int, process: subprocess.Popen[bytes] | None
    ) -> None:
        self.home, self.port, self.chain_id, self.pid = home, port, chain_id, pid
        self._process = process

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
        with _locked(folder):
            running = cls.running(home)
            if running is not None:
                if running.chain_id != chain_id:
                    raise UserError(
                        f"A devnet with chain id {running.chain_id} runs in {home}",
                        fix="stop it, or use another home for another chain id",
                    )
                return running
            return cls._launch(folder, chain_id, _free_port() if port is None else _require_free(port))

    @classmethod
    def running(cls, home: Path) -> Devnet | None:
        """The devnet of ``home`` if it is alive."""
        folder = Path(home).absolute() / "devnet"
        try:
            noted = json.loads((folder / "devnet.json").read_text())
            pid, port, chain_id = int(noted["pid"]), int(noted["port"]), int(noted["chain_id"])
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None
        if _start_ticks(pid) != noted.get("started") or _ask_chain_id(port) != chain_id:
            return None
        return cls(folder, port, chain_id, pid, None)

    @classmethod
    def _launch(cls, folder: Path, chain_id: int, port: int) -> Devnet:
        anvil = _find_anvil()
        state = folder / "state.json"
        _recover_state(state)
        if not state.exists():
            _begin(folder, chain_id)
        command = [str(anvil), "--host", "127.0.0.1", "--port", str(port), "--chain-id", str(chain_id)]
        # the accounts' keys are anvil's, their money is the genesis'
        command += ["--hardfork", "prague", "--accounts", str(ACCOUNTS), "--balance", "0"]
        command += ["--mnemonic", MNEMONIC, "--state", str(state), "--state-interval", "1", "--quiet"]
        with (folder / "anvil.log").open("ab") as log:
            # A session of its own: Ctrl-C reaches this program first, which then stops anvil in order.
            process = subprocess.Popen(
                command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True
            )
        devnet = cls(folder, port, chain_id, process.pid, process)
        deadline = time.monotonic() + _START_TIMEOUT
        while _ask_chain_id(port) != chain_id:
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                process.wait()
                tail = (folder / "anvil.log").read_text(errors="replace")[-500:].strip()
                raise ChainError(
                    "The devnet did not start",
                    why=tail or f"no answer on port {port} within {_START_TIMEOUT:.0f} s",
                    fix=f"read {folder / 'anvil.log'}; delete {folder} to begin a new chain",
                )
            time.sleep(0.05)
        note = {"pid": process.pid, "port": port, "chain_id": chain_id, "started": _start_ticks(process.pid)}
        _write_atomically(folder / "devnet.json", json.dumps(note))
        devnet._resume_clock()
        threading.Thread(
            target=_keep_copies, args=(process, state), daemon=True, name="devnet copies"
        ).start()
        return devnet

    def _resume_clock(self) -> None:
        """After a restart the clock is the machine's again: never let it fall behind the last block."""
        latest = _rpc(self.port, "eth_getBlockByNumber", ["latest", False])
        ahead = int(latest["timestamp"], 16) - int(time.time()) if latest else 0
        if ahead > 0:
            _rpc(self.port, "evm_increaseTime", [ahead])

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
        with _locked(self.home):
            noted = self.home / "devnet.json"
            if self._process is not None:
                self._process.terminate()
                try:
                    self._process.wait(30)
                except subprocess.TimeoutExpired:
                    self._process.kill()
                    self._process.wait()
                self._process = None
            elif Devnet.running(self.home.parent) is not None:
                os.kill(self.pid, signal.SIGTERM)
                deadline = time.monotonic() + 30
                while _start_ticks(self.pid) is not None and time.monotonic() < deadline:
                    time.sleep(0.05)
            noted.unlink(missing_ok=True)
            _copy(self.home / "state.json")

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


def _begin(folder: Path, chain_id: int) -> None:
    """Write the genesis of a new chain, and the state that anvil starts from: it takes no ``--init`` beside ``--state``."""
    table = devnet_allocations(str(account.address) for account in _accounts())
    made = genesis(table, chain_id, timestamp=int(time.time()))
    (folder / "genesis.json").write_text(json.dumps(made, indent=1) + "\n")
    empty: dict[str, Any] = {"nonce": 0, "code": "0x", "storage": {}}
    state: dict[str, Any] = {
        "block": None,
        "accounts": {address: {**empty, **held} for address, held in made["alloc"].items()},
        "best_block_number": 0,
        "blocks": [],
        "transactions": [],
        "historical_states": None,
    }
    _write_atomically(folder / "state.json", json.dumps(state))


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


def _recover_state(state: Path) -> None:
    """A dump cut short by a crash is replaced by the last good one."""
    good = state.with_suffix(".good.json")
    if not state.exists() or _copy(state):
        return
    if good.exists():
        state.replace(state.with_suffix(".broken.json"))
        shutil.copyfile(good, state)
    else:
        raise ChainError(
            f"The devnet's state {state} is damaged",
            why="its last dump was cut short and there is no earlier one",
            fix=f"delete {state.parent} to begin a new chain",
        )


def _keep_copies(anvil: subprocess.Popen[bytes], state: Path) -> None:
    while True:
        time.sleep(COPIED)
        if anvil.poll() is not None:
            return
        with _locked(state.parent):
            _copy(state)


def _copy(state: Path) -> bool:
    """Keep a copy of a dump that is whole; says whether it is."""
    scratch = state.with_suffix(".copy.json")
    try:
        shutil.copyfile(state, scratch)
        whole = _is_json(scratch)
        if whole:
            scratch.replace(state.with_suffix(".good.json"))
    except OSError:  # a full disk, say: the copy before it stays
        whole = _is_json(state)
    scratch.unlink(missing_ok=True)
    return whole


def _is_json(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            json.load(file)
    except (OSError, ValueError):
        return False
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


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


def _rpc(port: int, method: str, params: list[Any]) -> Any:
    from http.client import HTTPConnection

    connection = HTTPConnection("127.0.0.1", port, timeout=5)
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


def _write_atomically(path: Path, text: str) -> None:
    scratch = path.with_suffix(".new")
    scratch.write_text(text)
    scratch.replace(path)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
