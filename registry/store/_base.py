"""What every content store shares: each block read is checked against its CID before anyone sees it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Protocol, runtime_checkable

from ...errors import ContentError
from .._cid import cid_from_digest, digest_of, normalise_cid
from ._unixfs import add_path, fetch_path

__all__ = ["BaseStore", "ContentStore"]

MAX_STORED_BLOCK = 2 << 20
"""Bytes; what IPFS nodes exchange. No block of ours is larger."""


@runtime_checkable
class ContentStore(Protocol):
    """Blocks by CID. Implementations are never trusted: :meth:`get` recomputes the CID of what it returns.

    All methods raise ``UserError`` for a malformed CID and ``ContentError`` for a missing, tampered or
    unreachable block.
    """

    def put(self, data: bytes, codec: str = "dag-cbor") -> str:
        """Store one block durably and return its CID. ``codec`` is raw, dag-pb or dag-cbor."""

    def put_blocks(self, blocks: Mapping[str, bytes]) -> None:
        """Store blocks under the CIDs they were encoded to, e.g. ``step.encoded.blocks``, in order."""

    def get(self, cid: str) -> bytes:
        """The bytes of a block, checked against ``cid``."""

    def has(self, cid: str) -> bool:
        """Whether the block is here now."""

    def add_path(self, path: Path) -> str:
        """Store a file or directory as UnixFS (raw leaves, 256 KiB, width 174) and return its root CID."""

    def fetch_path(self, cid: str, dest: Path, *, limit: int | None = None) -> Path:
        """Write the file or directory ``cid`` to ``dest``: all of it or nothing. Returns ``dest``.

        Raises ``ContentError`` as soon as its blocks are more than ``limit`` bytes together."""


class BaseStore(ABC):
    """A store from three primitives: read, write and look for one block."""

    @abstractmethod
    def _read(self, cid: str) -> bytes | None:
        """The bytes kept under ``cid``, unchecked; None if there are none."""

    @abstractmethod
    def _write(self, cid: str, data: bytes) -> None:
        """Keep a block durably."""

    @abstractmethod
    def _exists(self, cid: str) -> bool: ...

    @abstractmethod
    def _missing_fix(self) -> str:
        """What a reader can do about a missing block."""

    def put(self, data: bytes, codec: str = "dag-cbor") -> str:
        cid = cid_from_digest(sha256(data).digest(), codec)
        if len(data) > MAX_STORED_BLOCK:
            raise ContentError(
                f"A block of {len(data)} bytes is too large",
                why=f"stores exchange at most {MAX_STORED_BLOCK}",
                fix="store it as a file",
                cid=cid,
            )
        self._write(cid, data)
        return cid

    def put_blocks(self, blocks: Mapping[str, bytes]) -> None:
        for cid, data in blocks.items():
            if sha256(data).digest() != digest_of(cid):
                raise ContentError(f"The bytes given for {cid} are not that block", cid=cid)
        self._write_many({normalise_cid(cid): data for cid, data in blocks.items()})

    def _write_many(self, blocks: Mapping[str, bytes]) -> None:
        """Keep blocks durably; a block is visible only after those before it."""
        for cid, data in blocks.items():
            self._write(cid, data)

    def get(self, cid: str) -> bytes:
        cid = normalise_cid(cid)
        data = self._read(cid)
        if data is None:
            raise ContentError(f"Block {cid} is not in the store", fix=self._missing_fix(), cid=cid)
        if sha256(data).digest() != digest_of(cid):
            raise ContentError(
                f"The store returned other bytes than {cid}",
                why="their sha2-256 differs: the block was corrupted or the store lies",
                fix="remove the block and fetch it from another store",
                cid=cid,
            )
        return data

    def has(self, cid: str) -> bool:
        return self._exists(normalise_cid(cid))

    def add_path(self, path: Path) -> str:
        return add_path(Path(path), self.put)

    def fetch_path(self, cid: str, dest: Path, *, limit: int | None = None) -> Path:
        read = 0

        def get(block: str) -> bytes:
            nonlocal read
            data = self.get(block)
            read += len(data)
            if limit is not None and read > limit:
                raise ContentError(
                    f"{cid} was not fetched",
                    why=f"it is larger than {limit} bytes",
                    fix="allow more, or publish something smaller",
                    cid=cid,
                )
            return data

        return fetch_path(normalise_cid(cid), Path(dest), get)
