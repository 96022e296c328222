"""A shard: some texts in suffix order, as files that are memory-mapped and never changed.

A shard knows texts, not rows: neither who contributed one, nor in which datanet and at which place of the order of
acceptance it stands. Those change from version to version (a datanet's CID, every number behind a datanet that grew,
an account), while the texts stay; kept apart, all versions and all agents share the shards of the texts they have in
common, and a text that two rows hold is stored once.

The files leak what they index to whoever can read them. They are written readable by their owner alone.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import ContentError, UserError
from ._suffixes import NEEDLE, Suffixes, border_of, build_suffixes
from ._vocabulary import Vocabulary

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["KEY", "Shard", "build_shard", "derive_shard", "keys_of"]

KEY = 32
"""Bytes of a text's key, the sha2-256 of its normal form."""

_FORMAT = 2
_FILES = ("keys.bin", "starts.bin", "tokens.bin", "suffixes.bin", "counts.bin")


@dataclass(frozen=True)
class Shard:
    """Texts, tokenised and in suffix order. Positions are in tokens of ``tokens``; a border stands behind each text."""

    keys: tuple[bytes, ...]
    """Key of each text, in the order in which the texts stand."""
    starts: NDArray[np.uint32]
    """(texts + 1,) first token of each text; the last is the end of all."""
    tokens: NDArray[Any]
    """(tokens + texts + NEEDLE,) big-endian ids and borders."""
    order: NDArray[np.uint32]
    """(tokens,) positions in the order of the text behind them. Where two stretches are the same up to a border, their
    order is any: no query looks beyond one."""
    ids: NDArray[np.uint32]
    """Tokens that occur, sorted."""
    counts: NDArray[np.uint32]
    """How often each does."""
    suffixes: Suffixes

    @classmethod
    def open(cls, folder: Path, vocabulary: Vocabulary) -> Shard:
        """The shard in ``folder``. Raises ``ContentError`` if there is none of this tokenizer, or its bytes changed."""
        import numpy as np

        maps = {}
        try:
            meta = json.loads((folder / "shard.json").read_text(encoding="utf-8"))
            if (meta["format"], meta["tokenizer"]) != (_FORMAT, vocabulary.digest):
                raise ValueError("it is of another format or tokenizer")
            for name in _FILES:
                maps[name] = _map(folder / name)
                if hashlib.sha256(maps[name]).hexdigest() != meta["files"][name]:
                    raise ValueError(f"{name} is not what was written")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ContentError(
                f"The span shard at {folder} is missing or damaged",
                why=str(error),
                fix="build the index again",
            ) from error
        counts = np.frombuffer(maps["counts.bin"], np.uint32).reshape(2, -1)
        tokens = np.frombuffer(maps["tokens.bin"], f">u{vocabulary.width}")
        order = np.frombuffer(maps["suffixes.bin"], np.uint32)
        return cls(
            _split(bytes(maps["keys.bin"])),
            np.frombuffer(maps["starts.bin"], np.uint32),
            tokens,
            order,
            counts[0],
            counts[1],
            Suffixes(maps["tokens.bin"], order, vocabulary.width, counts[0], counts[1]),
        )

    @cached_property
    def longest(self) -> int:
        """Tokens of the longest text."""
        return int(self.sizes.max(initial=0))

    @cached_property
    def sizes(self) -> NDArray[np.int64]:
        """Tokens of each text."""
        import numpy as np

        return np.diff(self.starts.astype(np.int64)) - 1

    def text(self, number: int) -> NDArray[Any]:
        """Tokens of a text."""
        return self.tokens[self.starts[number] : self.starts[number + 1] - 1]

    def texts_at(self, low: int, high: int) -> list[int]:
        """Numbers of the texts that the suffixes in [low, high) stand in, each once."""
        import numpy as np

        numbers = np.searchsorted(self.starts, self.order[low:high], side="right") - 1
        return sorted(set(numbers.tolist()))


def keys_of(folder: Path, vocabulary: Vocabulary) -> tuple[bytes, ...] | None:
    """The texts of the shard in ``folder`` without opening it; None if there is none of this tokenizer."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        meta = json.loads((folder / "shard.json").read_text(encoding="utf-8"))
        if (meta["format"], meta["tokenizer"]) == (_FORMAT, vocabulary.digest):
            return _split((folder / "keys.bin").read_bytes())
    return None


def build_shard(
    keys: Sequence[bytes], texts: Sequence[NDArray[Any]], vocabulary: Vocabulary, cache: Path
) -> Shard:
    """Writes the shard of ``texts`` (packed tokens, as :meth:`Vocabulary.pack_all` gives them) under ``cache``.

    Raises ``UserError`` where it cannot be written.
    """
    import numpy as np

    width = vocabulary.width
    sizes = np.array([len(text) for text in texts], dtype=np.int64)
    starts = np.concatenate([[0], np.cumsum(sizes + 1)])
    tokens = np.full(starts[-1] + NEEDLE, border_of(width), dtype=f">u{width}")
    words = np.ones(len(tokens), dtype=bool)
    words[starts[1:] - 1] = words[starts[-1] :] = False
    if len(texts):
        tokens[words] = np.concatenate(texts)
    order = build_suffixes(tokens[: starts[-1]].tobytes(), width)[: sizes.sum()] if len(texts) else starts[:0]
    return _save(keys, starts, tokens, order, vocabulary, cache)


def derive_shard(shard: Shard, kept: NDArray[np.bool_], vocabulary: Vocabulary, cache: Path) -> Shard:
    """Writes the shard of those texts of another one that are ``kept``. Takes linear time: nothing is tokenised or sorted,
    since neither the words of a text nor their order among the others' change when some are taken out."""
    import numpy as np

    alive = np.repeat(kept, shard.sizes + 1)
    places = np.cumsum(alive, dtype=np.uint32) - np.uint32(1)
    starts = np.concatenate([[0], np.cumsum(shard.sizes[kept] + 1)])
    tokens = np.concatenate([shard.tokens[: len(alive)][alive], shard.tokens[len(alive) :]])
    order = places[shard.order[alive[shard.order]]]
    keys = [key for key, keep in zip(shard.keys, kept, strict=True) if keep]
    return _save(keys, starts, tokens, order, vocabulary, cache)


def _save(
    keys: Sequence[bytes],
    starts: NDArray[Any],
    tokens: NDArray[Any],
    order: NDArray[Any],
    vocabulary: Vocabulary,
    cache: Path,
) -> Shard:
    import numpy as np

    joined = b"".join(keys)
    ids, counts = np.unique(tokens.astype(f"u{vocabulary.width}"), return_counts=True)
    contents = {
        "keys.bin": joined,
        "starts.bin": starts.astype(np.uint32).tobytes(),
        "tokens.bin": tokens.astype(f">u{vocabulary.width}").tobytes(),
        "suffixes.bin": order.astype(np.uint32, copy=False).tobytes(),
        "counts.bin": np.stack([ids[:-1], counts[:-1]])
        .astype(np.uint32)
        .tobytes(),  # the border's comes last
    }
    files = {name: hashlib.sha256(body).hexdigest() for name, body in contents.items()}
    meta = json.dumps({"format": _FORMAT, "tokenizer": vocabulary.digest, "files": files}, sort_keys=True)
    name = hashlib.sha256(f"{_FORMAT} {vocabulary.digest} ".encode() + joined).hexdigest()[:32]
    folder = cache / f"spans-{name}"
    try:
        cache.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix="tmp-spans-", dir=cache))
        try:
            for file, body in {**contents, "shard.json": meta.encode()}.items():
                with open(work / file, "xb", opener=_private) as handle:
                    handle.write(body)
            return _placed(work, folder, vocabulary)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    except OSError as error:
        raise UserError(
            f"Cannot write {folder}", why=str(error), fix="free disk space or choose another cache"
        ) from error


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, mode=0o600)


def _placed(work: Path, folder: Path, vocabulary: Vocabulary) -> Shard:
    """Renames ``work`` to ``folder``, unless the shard stands there already: another process may have been quicker."""
    try:
        os.rename(work, folder)
    except OSError:
        if not folder.is_dir():
            raise
        with suppress(ContentError):
            return Shard.open(folder, vocabulary)
        shutil.rmtree(folder)  # damaged
        os.rename(work, folder)
    return Shard.open(folder, vocabulary)


def _split(keys: bytes) -> tuple[bytes, ...]:
    return tuple(keys[at : at + KEY] for at in range(0, len(keys), KEY))


def _map(path: Path) -> Any:
    with path.open("rb") as handle:
        # The map stays valid when the file is removed or replaced.
        return (
            mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ)
            if os.fstat(handle.fileno()).st_size
            else b""
        )
