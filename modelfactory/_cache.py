"""Build a directory once: a lock against doing the work twice, a rename so that a half-built one is never seen."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import UserError

__all__ = ["build_into", "build_once", "content_digest", "file_digest"]


def build_once(cache_dir: Path, name: str, build: Callable[[Path], None]) -> Path:
    """``cache_dir/name``, made by ``build(empty directory)`` if it is absent.

    Concurrent callers, also in other processes, wait for the first one. A crash leaves only a ``tmp-`` directory,
    which the next build removes.
    """
    final = cache_dir / name
    if final.is_dir():
        return final
    _make(cache_dir)
    with _locked(cache_dir / f".{name}.lock"):
        if not final.is_dir():
            for stale in cache_dir.glob(f"tmp-{name}-*"):
                shutil.rmtree(stale, ignore_errors=True)
            build_into(final, build)
    return final


def build_into(final: Path, build: Callable[[Path], None]) -> Path:
    """``final``, which must be absent or empty, made by ``build`` and shown only when complete."""
    _make(final.parent)
    work = Path(tempfile.mkdtemp(prefix=f"tmp-{final.name}-", dir=final.parent))
    try:
        build(work)
        work.chmod(0o755)
        os.replace(work, final)
    except OSError as error:
        raise UserError(
            f"Cannot write {final}",
            why=str(error),
            fix="free disk space or set OPENLEDGER_CACHE elsewhere",
        ) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return final


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"Cannot create the folder {folder}",
            why=str(error),
            fix="set OPENLEDGER_CACHE to a writable folder",
        ) from error


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(handle, fcntl.LOCK_UN)


def content_digest(folder: Path) -> str:
    """sha2-256 (hex) over a directory's file names and bytes, in name order; hidden files are left out."""
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and not p.name.startswith(".")):
        name = path.relative_to(folder).as_posix().encode()
        digest.update(len(name).to_bytes(4, "big") + name + bytes.fromhex(file_digest(path)))
    return digest.hexdigest()


def file_digest(path: Path) -> str:
    """sha2-256 (hex) of one file."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
