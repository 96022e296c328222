"""An adapter's weights as one piece of memory, laid out as the engine reads them."""

from __future__ import annotations

import json
import mmap
import os
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ._peft import CONFIG, WEIGHTS, refused
from ._types import AdapterRef

__all__ = ["Packed", "Piece", "Sealed", "pack"]

_ALIGNED = 64
"""Bytes: the widest vector load."""

_BITS = {"F32": "<u4", "F16": "<u2", "BF16": "<u2"}


@dataclass(frozen=True, slots=True)
class Piece:
    """One tensor."""

    name: str
    shape: tuple[int, int]
    start: int
    """Byte of its first element."""
    by_columns: bool
    """B is kept so: one column of it at a time is what the operator on CPU adds to a row."""


@dataclass(frozen=True, slots=True)
class Packed:
    """A whole adapter."""

    directory: Path
    kind: bytes
    """The same for adapters that differ in their numbers only."""
    memory: mmap.mmap
    """Of its own, so that it goes back to the system with the last that looks into it."""

    @property
    def pieces(self) -> tuple[Piece, ...]:
        pieces: tuple[Piece, ...] = pickle.loads(self.kind)[0]
        return pieces


@dataclass(frozen=True, slots=True)
class Sealed:
    """A packed adapter on its way from one process to another, beside a descriptor of the memory it is in."""

    directory: Path
    size: int
    tail: int
    """Bytes of the kind, behind the ``size`` bytes of weights."""

    def opened(self, descriptor: int) -> Packed:
        """In private memory; closes ``descriptor``. A mapping of the file would keep it open, and a process may have only
        so many of those."""
        memory, kind = mmap.mmap(-1, self.size), bytearray(self.tail)
        try:
            done = 0
            while done < self.size + self.tail:
                # In one call nearly always: between two the engine's thread may hold the interpreter for long.
                got = os.preadv(
                    descriptor,
                    [memoryview(memory)[done:], memoryview(kind)[max(0, done - self.size) :]],
                    done,
                )
                if not got:
                    raise OSError(f"{self.size + self.tail - done} bytes are missing")
                done += got
        finally:
            os.close(descriptor)
        return Packed(self.directory, bytes(kind), memory)


def pack(adapter: AdapterRef, directory: Path, dtype: str) -> tuple[Sealed, int]:
    """The weights of a verified directory as ``dtype`` (F32, F16 or BF16), and a descriptor of the memory they are in.

    Raises ``UserError`` for values that ``dtype`` cannot hold."""
    data = (directory / WEIGHTS).read_bytes()
    first = 8 + int.from_bytes(data[:8], "little")
    header: dict[str, Any] = json.loads(data[8:first])
    header.pop("__metadata__", None)
    pieces, size = [], 0
    # All of A, then all of B: what scales B goes over it at once.
    for is_b, name in sorted((".lora_B." in name, name) for name in header):
        rows, columns = header[name]["shape"]
        pieces.append(Piece(name, (rows, columns), size, is_b))
        size += -(-rows * columns * np.dtype(_BITS[dtype]).itemsize // _ALIGNED) * _ALIGNED
    size = -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
    kind = pickle.dumps((tuple(pieces), _config(directory / CONFIG)))
    descriptor = os.memfd_create("adapter")
    try:
        os.ftruncate(descriptor, size)
        with mmap.mmap(descriptor, size) as memory:
            for piece in pieces:
                stored = header[piece.name]
                count = piece.shape[0] * piece.shape[1]
                read = np.frombuffer(data, _BITS[stored["dtype"]], count, first + stored["data_offsets"][0])
                bits = _converted(read, stored["dtype"], dtype)
                if bits is None:
                    raise refused(
                        adapter,
                        f"tensor {piece.name} holds values that are not finite as {dtype}",
                        "start the engine with dtype float32 or bfloat16",
                    )
                written = np.frombuffer(memory, _BITS[dtype], count, piece.start)
                if piece.by_columns:
                    written.reshape(piece.shape[::-1])[:] = bits.reshape(piece.shape).T
                else:
                    written[:] = bits
                del written  # the memory cannot be closed under it
        os.pwrite(descriptor, kind, size)
    except BaseException:
        os.close(descriptor)
        raise
    return Sealed(directory, size, len(kind)), descriptor


def _config(path: Path) -> str:
    """The configuration in one spelling; PEFT writes the modules in any order."""
    config = json.loads(path.read_text(encoding="utf-8"))
    if isinstance(config.get("target_modules"), list):
        config["target_modules"] = sorted(config["target_modules"])
    return json.dumps(config, sort_keys=True)


def _converted(bits: Any, have: str, want: str) -> Any:
    """The bits of other floats, rounded to nearest, ties to even; None if some would not be finite."""
    if have == want:
        return bits
    if have == "BF16":
        single = (bits.astype(np.uint32) << 16).view(np.float32)
    else:
        single = bits.view(np.float32 if have == "F32" else np.float16).astype(np.float32)
    if want == "F32":
        return single.view(np.uint32)
    if want == "F16":
        with np.errstate(over="ignore"):
            half = single.astype(np.float16)
        return half.view(np.uint16) if np.isfinite(half).all() else None
    wide = single.view(np.uint32)
    rounded = (wide + 0x7FFF + (wide >> 16 & 1)) >> 16
    return None if np.any(rounded & 0x7F80 == 0x7F80) else rounded.astype(np.uint16)
