"""A process that fetches, verifies and packs adapters for one engine.

In a thread beside the engine's that is some 6 ms of Python for a small adapter, in which the engine, which is Python
too, does not step. The reader is started by ``exec`` and ends with its engine's process, however that ends: its
sockets close. A dead one is replaced.
"""

from __future__ import annotations

import os
import pickle
import queue
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Protocol

import cloudpickle

from ..errors import EngineError, OpenLedgerError, UserError
from ._pack import Packed, Sealed, pack
from ._peft import Limits
from ._types import AdapterRef

__all__ = ["Files", "Reader", "serve"]

_SERVE = f"import sys; from {__name__} import serve; serve(sys.argv[1:])"

_MOST = 64 << 10
"""Bytes of a message; a socket takes those of twice the size whole."""


class Files(Protocol):
    """Gives verified PEFT directories; ``AdapterFiles`` does. Travels to the reader by cloudpickle."""

    def fetch(self, adapter: AdapterRef, limits: Limits) -> Path: ...


class Reader:
    """Reads adapters of ``files``, as weights of ``dtype`` (F32, F16 or BF16). ``read`` may be called from as many threads
    as there are ``places``, each served by a thread of the process, and takes at most ``timeout`` seconds. Raises
    ``UserError`` for files that cannot travel."""

    def __init__(
        self, files: Files, limits: Limits, dtype: str, places: int, *, timeout: float = 600.0
    ) -> None:
        try:
            self._what = cloudpickle.dumps((files, limits, dtype))
        except Exception as error:
            raise UserError(
                "Adapters cannot be read from this content store",
                why=f"the process that reads them is sent the store, and it cannot be pickled ({error})",
                fix="give the store a __reduce__ that makes it anew from its address",
            ) from error
        self._places, self._lock, self._closed, self._ended = places, threading.Lock(), False, ""
        self._timeout = timeout
        self._start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def read(self, adapter: AdapterRef) -> Packed:
        """Raises as ``Files.fetch``, whatever it raised there; ``EngineError`` when the process ended twice over this, or did
        not answer in time."""
        for _ in range(2):
            with self._lock:
                process, free = self._process, self._free
            connection = free.get()
            try:
                connection.send(pickle.dumps(adapter))
                # One call: between two the engine's thread may hold the interpreter for long.
                message, descriptors, _, _ = socket.recv_fds(connection, _MOST, 1)
            except TimeoutError as error:
                self._replace(process)  # its answer may still come, and would be taken for the next one's
                raise EngineError(
                    f"Adapter {adapter.asset_id} could not be read",
                    why=f"nothing came within {self._timeout:.0f} s",
                    fix="ask again; see whether the content store and the disk answer",
                ) from error
            except OSError:
                message = b""
            finally:
                free.put(connection)
            if not message:
                self._replace(process)
                continue
            answer: Exception | Sealed = pickle.loads(message)
            if isinstance(answer, Exception):
                raise answer
            return answer.opened(descriptors[0])
        raise EngineError(
            f"Adapter {adapter.asset_id} could not be read",
            why=f"the process that reads adapters ended ({self._ended})",
            fix="ask again; if it was killed for memory, give the machine more or load smaller adapters",
        )

    def close(self) -> None:
        with self._lock:
            self._closed = True
            self._process.kill()
        self._process.wait()

    def _start(self) -> None:
        pairs = [socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(self._places)]
        theirs = [there.fileno() for _, there in pairs]
        self._process = subprocess.Popen(
            [sys.executable, "-c", _SERVE, *map(str, theirs)],
            pass_fds=theirs,
            stdin=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)},
            start_new_session=True,  # an interrupt is for the engine's process
        )
        self._free: queue.SimpleQueue[socket.socket] = queue.SimpleQueue()
        for here, there in pairs:
            there.close()
            here.settimeout(self._timeout)
            self._free.put(here)
        assert self._process.stdin is not None
        try:
            with self._process.stdin as stdin:
                stdin.write(self._what)
        except BrokenPipeError:
            pass  # it has ended, as the first adapter's reading will find

    def _replace(self, process: subprocess.Popen[bytes]) -> None:
        with self._lock:
            if process is self._process:
                process.kill()
                self._ended = f"exit code {process.wait()}"
                if not self._closed:
                    self._start()


def serve(descriptors: list[str]) -> None:
    """The reader's side: one thread for each socket, until they close."""
    what = cloudpickle.load(sys.stdin.buffer)
    for one in descriptors:
        threading.Thread(target=_answer, args=(socket.socket(fileno=int(one)), *what)).start()


def _answer(connection: socket.socket, files: Files, limits: Limits, dtype: str) -> None:
    while message := connection.recv(_MOST):
        adapter: AdapterRef = pickle.loads(message)
        try:
            sealed, descriptor = _read(files, adapter, limits, dtype)
        except Exception as error:  # noqa: BLE001 - whatever it is, the engine learns of it
            connection.send(_pickled(error))
            continue
        try:
            socket.send_fds(connection, [pickle.dumps(sealed)], [descriptor])
        finally:
            os.close(descriptor)


def _read(files: Files, adapter: AdapterRef, limits: Limits, dtype: str) -> tuple[Sealed, int]:
    for last in (False, True):
        directory = files.fetch(adapter, limits)
        try:
            return pack(adapter, directory, dtype)
        except FileNotFoundError:
            if last:
                raise
            # it had to go for another between two lines, perhaps by another process
    raise AssertionError


def _pickled(error: Exception) -> bytes:
    """In a form that can be read anywhere and fits a message."""
    plain: Any = RuntimeError(f"{type(error).__name__}: {error}"[: _MOST // 8])
    made = pickle.dumps(error if isinstance(error, OpenLedgerError) else plain)
    return made if len(made) <= _MOST else pickle.dumps(plain)
