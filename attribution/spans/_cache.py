"""Which shards an index is made of: those on disk that hold its texts, and new ones for what none holds.

Shards are kept as a log-structured merge tree keeps its runs (O'Neil et al., 1996, https://doi.org/10.1007/s002360050048):
new texts make a shard of their own, and shards that are no more than twice as large as all smaller ones beside them
are made one. So each shard of an index is more than twice the next, their number grows with the logarithm of the tokens,
and a text is sorted again only that often, whatever the number of versions it came through.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import ContentError
from ._shard import Shard, build_shard, derive_shard, keys_of
from ._suffixes import MAX_BYTES
from ._vocabulary import Vocabulary

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["shards_of"]

_WORTH = 16
"""A shard is used if at least one in so many of its tokens is wanted; taking the others out costs a few per cent of tokenising
and sorting anew."""
_UNUSED_DAYS = 30


@dataclass(frozen=True)
class _Part:
    """Texts for one shard: those of one on disk that are ``kept``, or new ones."""

    size: int
    """Tokens."""
    origin: tuple[Shard, NDArray[np.bool_]] | None = None
    new: Sequence[tuple[bytes, NDArray[Any]]] = ()

    def texts(self) -> Sequence[tuple[bytes, NDArray[Any]]]:
        """Key and tokens of each."""
        if self.origin is None:
            return self.new
        shard, kept = self.origin
        return [(shard.keys[number], shard.text(number)) for number in kept.nonzero()[0].tolist()]


def shards_of(forms: Mapping[bytes, str], vocabulary: Vocabulary, cache: Path) -> list[Shard]:
    """Shards that together hold each of ``forms`` (texts in normal form, by key) once, and nothing else.

    Those under ``cache`` are used as far as they go, and what is made is kept there. Raises ``UserError`` where it cannot
    be written.
    """
    wanted = dict(forms)
    parts = _on_disk(wanted, vocabulary, cache)
    parts += _new(wanted, vocabulary)
    shards = [_shard(group, vocabulary, cache) for group in _merged(parts, MAX_BYTES // vocabulary.width)]
    _forget(cache)
    return shards


def _on_disk(wanted: dict[bytes, str], vocabulary: Vocabulary, cache: Path) -> list[_Part]:
    """What the shards under ``cache`` hold of ``wanted``, which is taken out of it."""
    import numpy as np

    found = []
    for folder in cache.glob("spans-*"):
        keys = keys_of(folder, vocabulary)
        if keys is not None and (held := sum(key in wanted for key in keys)):
            found.append((-held, len(keys), folder, keys))
    parts = []
    for _, _, folder, keys in sorted(found):  # the most texts first, of equals the fewest others
        kept = np.array([key in wanted for key in keys])
        if not kept.any():
            continue
        try:
            shard = Shard.open(folder, vocabulary)
        except ContentError:
            continue  # damaged, or just removed: what it held is made anew
        size = int(shard.sizes[kept].sum())
        if size * _WORTH < len(shard.order):
            continue
        with suppress(OSError):
            os.utime(folder)
        for number in kept.nonzero()[0].tolist():
            del wanted[keys[number]]
        parts.append(_Part(size, (shard, kept)))
    return parts


def _new(forms: Mapping[bytes, str], vocabulary: Vocabulary) -> list[_Part]:
    """Texts that no shard holds, in parts that can be sorted."""
    parts: list[_Part] = []
    pending: list[tuple[bytes, NDArray[Any]]] = []
    size, most = 0, MAX_BYTES // vocabulary.width
    for key, text in zip(forms, vocabulary.pack_all(list(forms.values())), strict=True):
        if pending and size + len(pending) + len(text) >= most:
            parts.append(_Part(size, new=pending))
            pending, size = [], 0
        pending.append((key, text))
        size += len(text)
    return [*parts, _Part(size, new=pending)] if pending else parts


def _merged(parts: Iterable[_Part], most: int) -> list[list[_Part]]:
    """Parts that become one shard each, of at most about ``most`` tokens."""
    groups: list[list[_Part]] = []
    total = 0
    for part in sorted(parts, key=lambda part: part.size):
        if groups and part.size <= 2 * total and part.size + total <= most // 2:
            groups[-1].append(part)
            total += part.size
        else:
            groups.append([part])
            total = part.size
    return groups


def _shard(group: Sequence[_Part], vocabulary: Vocabulary, cache: Path) -> Shard:
    if len(group) == 1 and (origin := group[0].origin):
        shard, kept = origin
        return shard if kept.all() else derive_shard(shard, kept, vocabulary, cache)
    texts = [text for part in group for text in part.texts()]
    return build_shard([key for key, _ in texts], [tokens for _, tokens in texts], vocabulary, cache)


def _forget(cache: Path) -> None:
    """Removes what no index was opened with for a month: shards that went into larger ones, words that were revoked."""
    old = time.time() - _UNUSED_DAYS * 86_400
    for folder in cache.glob("*spans-*"):
        with suppress(OSError):
            if folder.stat().st_mtime < old:
                shutil.rmtree(folder, ignore_errors=True)
