"""The span index: every stretch of an output that stands word for word in a contributed row.

**Normalisation.** Matching is on token ids. A row's text is trimmed, its runs of white space become one space, and
one space is put in front, so that the first word carries the same leading-space token as a word inside a
text. Tokenizers that split at white space before merging (byte-level BPE, as the shipped base's) then give a
clause the same tokens wherever it stands; with others the outermost token on each side may differ, and a
span is then at most two tokens shorter than the text it stands for. Case and punctuation count.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import shutil
import tempfile
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ContentError, UserError
from ._rarity import Rarity
from ._suffixes import Suffixes, build_suffixes, pack, width_of
from ._types import Source, SourceRow, Span, checked_tokens

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["MIN_TOKENS", "SpanIndex"]

MIN_TOKENS = 8
"""Shortest stretch, in tokens, that counts as taken from a row."""

_FORMAT = 1
_FILES = ("tokens.bin", "suffixes.bin", "rows.json")


class SpanIndex:
    """Rows in suffix order, memory-mapped from a directory. Made by :meth:`build`, reopened by :meth:`open`."""

    def __init__(self, folder: Path, meta: dict[str, Any], tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._width = int(meta["width"])
        self.digest = str(meta["digest"])
        """sha2-256 (hex) of tokenizer and rows: the same digest means the same spans."""
        rows = json.loads((folder / "rows.json").read_text(encoding="utf-8"))
        self._starts: list[int] = rows["starts"]
        self._sources = [Source(*row) for row in rows["sources"]]
        self._longest = max(
            (end - start for start, end in pairwise([*self._starts, rows["size"]])), default=0
        )
        self._rarity = Rarity(
            {int(token): count for token, count in rows["counts"].items()}, rows["vocabulary"]
        )
        self._special = frozenset(rows["special"])
        # The maps stay valid after the files are replaced; an index is never changed in place.
        self._data, self._order = (
            _map(folder / "tokens.bin"),
            memoryview(_map(folder / "suffixes.bin")).cast("I"),
        )
        self._suffixes = Suffixes(self._data, self._order, self._width)

    @classmethod
    def build(cls, rows: Iterable[SourceRow], tokenizer: Path | str, cache_dir: Path | str) -> SpanIndex:
        """The index over ``rows``, from ``cache_dir`` or made now.

        ``tokenizer`` is a base model's directory or its ``tokenizer.json``. The order in which rows are given does
        not matter. Raises ``UserError`` for two rows with one name or a tokenizer that cannot be read.
        """
        ordered = sorted(rows, key=lambda row: (row.accepted, row.datanet, row.row))
        names = {(row.datanet, row.row) for row in ordered}
        if len(names) != len(ordered):
            raise UserError(
                "Two rows of an index have the same datanet and row id", fix="give each row its own id"
            )
        path = _tokenizer_file(tokenizer)
        loaded, token_digest = _load_tokenizer(path)
        digest = hashlib.sha256(
            json.dumps(
                [
                    _FORMAT,
                    token_digest,
                    [[r.row, r.contributor, r.text, r.accepted, r.datanet] for r in ordered],
                ],
                ensure_ascii=False,
            ).encode()
        ).hexdigest()
        folder = Path(cache_dir) / f"spans-{digest[:32]}"
        if folder.is_dir():
            with suppress(ContentError):  # a damaged cache is built again
                return cls.open(folder, path)
            shutil.rmtree(folder, ignore_errors=True)
        _write(folder, ordered, loaded, token_digest, digest)
        return cls.open(folder, path)

    @classmethod
    def open(cls, folder: Path | str, tokenizer: Path | str) -> SpanIndex:
        """An index made before. Raises ``UserError`` if there is none, ``ContentError`` if its bytes changed."""
        folder = Path(folder)
        try:
            meta = json.loads((folder / "index.json").read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise UserError(
                f"There is no span index at {folder}", fix="make it with SpanIndex.build"
            ) from error
        except ValueError as error:
            raise ContentError(
                f"The span index at {folder} is damaged", why=str(error), fix="build it again"
            ) from error
        for name in _FILES:
            path = folder / name
            if meta.get("format") != _FORMAT or not path.is_file() or _digest(path) != meta["files"][name]:
                raise ContentError(
                    f"The span index at {folder} is damaged",
                    why=f"{name} is not what was written",
                    fix="build it again",
                )
        loaded, token_digest = _load_tokenizer(_tokenizer_file(tokenizer))
        if token_digest != meta["tokenizer"]:
            raise UserError(
                f"The span index at {folder} was made with another tokenizer",
                fix="build one for this base model",
            )
        return cls(folder, meta, loaded)

    def __len__(self) -> int:
        """Tokens in the index, row borders not counted."""
        return len(self._order) - len(self._starts)

    @cached_property
    def sources(self) -> tuple[Source, ...]:
        """Every row of the index in order of acceptance."""
        return tuple(self._sources)

    def encode(self, text: str) -> list[int]:
        """Token ids of ``text`` in the index's normal form."""
        return _encode(self._tokenizer, text)

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of token ids, special tokens left out."""
        return str(self._tokenizer.decode(list(tokens), skip_special_tokens=True))

    def costs(self, output_tokens: Sequence[int]) -> list[int]:
        """Rarity of each output token in thousandths of a bit; 0 for special tokens, which nobody wrote.

        floor(1000 · log2((T + V) / (c + 1))) for a token that occurs c times among the T tokens of the index
        with a vocabulary of V, computed in integers so that everyone gets the same number.
        """
        return [
            0 if token in self._special else self._rarity.cost(token)
            for token in checked_tokens(output_tokens)
        ]

    def find(self, output_tokens: Sequence[int], min_tokens: int = MIN_TOKENS) -> list[Span]:
        """All maximal spans of at least ``min_tokens`` tokens, in the order of their starts.

        Maximal: no longer span of the output that is also found covers it. Spans may overlap; none crosses a row
        border or holds a special token. Costs O(n log N) comparisons of at most the longest row's length for an
        output of n and an index of N tokens. Raises ``UserError`` for input that is not token ids.
        """
        if min_tokens < 1:
            raise UserError(f"min_tokens must be at least 1, not {min_tokens}")
        tokens = checked_tokens(output_tokens)
        border = (1 << (8 * self._width)) - 1
        costs = self.costs(tokens)
        spans: list[Span] = []
        for first, last in _runs([t < border and t not in self._special for t in tokens], min_tokens):
            packed = pack(tokens[first:last], self._width)
            for start, end, low, high in self._matches(packed, last - first, min_tokens):
                spans.append(
                    Span(
                        first + start,
                        first + end,
                        sum(costs[first + start : first + end]),
                        self._holders(low, high),
                    )
                )
        return spans

    def _matches(self, packed: bytes, count: int, min_tokens: int) -> Iterable[tuple[int, int, int, int]]:
        """(start, end, low, high) of each maximal match; [low, high) is its range in the suffix order."""
        width, reach = self._width, 0
        for start in range(count - min_tokens + 1):
            # Only a match that ends beyond the last one is maximal: ask for that length first.
            need = max(min_tokens, reach + 1 - start)
            if start + need > count or need > self._longest:
                continue
            at = start * width
            low, high = self._suffixes.interval(packed[at : at + need * width])
            if low == high:
                continue
            length = self._suffixes.longest(packed[at : at + self._longest * width], low, high)
            if length > need:
                low, high = self._suffixes.interval(packed[at : at + length * width], low, high)
            reach = start + length
            yield start, reach, low, high

    def _holders(self, low: int, high: int) -> tuple[Source, ...]:
        if high - low <= 256:
            rows = sorted({bisect_right(self._starts, self._order[place]) - 1 for place in range(low, high)})
        else:  # boilerplate that stands in very many rows
            import numpy as np

            places = np.frombuffer(self._order[low:high], dtype=np.uint32)
            rows = np.unique(np.searchsorted(self._starts, places, side="right") - 1).tolist()
        return tuple(self._sources[row] for row in rows)


def _runs(usable: Sequence[bool], at_least: int) -> Iterable[tuple[int, int]]:
    """Stretches of usable tokens long enough to hold a span."""
    start = 0
    for place in range(len(usable) + 1):
        if place == len(usable) or not usable[place]:
            if place - start >= at_least:
                yield start, place
            start = place + 1


def _encode(tokenizer: Any, text: str) -> list[int]:
    words = " ".join(text.split())
    return list(tokenizer.encode(f" {words}", add_special_tokens=False).ids) if words else []


def _tokenizer_file(tokenizer: Path | str) -> Path:
    path = Path(tokenizer)
    return path / "tokenizer.json" if path.is_dir() else path


def _load_tokenizer(path: Path) -> tuple[Any, str]:
    from tokenizers import Tokenizer

    try:
        data = path.read_bytes()
        return Tokenizer.from_str(data.decode()), hashlib.sha256(data).hexdigest()
    except Exception as error:  # the Rust side raises a bare Exception for bad JSON
        raise UserError(
            f"Cannot read the tokenizer {path}",
            why=str(error),
            fix="give a base model's directory or tokenizer.json",
        ) from error


def _write(folder: Path, rows: Sequence[SourceRow], tokenizer: Any, token_digest: str, digest: str) -> None:
    encoded = [_encode(tokenizer, row.text) for row in rows]
    vocabulary = int(tokenizer.get_vocab_size(with_added_tokens=True))
    width = width_of(max(vocabulary, *(max(ids, default=0) for ids in encoded)) if encoded else vocabulary)
    border = pack([(1 << (8 * width)) - 1], width)
    data = b"".join(pack(ids, width) + border for ids in encoded)
    starts, place = [], 0
    for ids in encoded:
        starts.append(place)
        place += len(ids) + 1
    counts = Counter(token for ids in encoded for token in ids)
    special = [token for token, added in tokenizer.get_added_tokens_decoder().items() if added.special]
    contents = {
        "tokens.bin": data,
        "suffixes.bin": build_suffixes(data, width).tobytes() if data else b"",
        "rows.json": json.dumps(
            {
                "starts": starts,
                "size": place,
                "sources": [[r.accepted, r.datanet, r.row, r.contributor] for r in rows],
                "counts": {str(token): counts[token] for token in sorted(counts)},
                "vocabulary": vocabulary,
                "special": sorted(special),
            }
        ).encode(),
    }
    meta = {
        "format": _FORMAT,
        "digest": digest,
        "width": width,
        "tokenizer": token_digest,
        "files": {name: hashlib.sha256(body).hexdigest() for name, body in contents.items()},
    }
    folder.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix="tmp-spans-", dir=folder.parent))
    try:
        for name, body in contents.items():
            (work / name).write_bytes(body)
        (work / "index.json").write_text(json.dumps(meta, sort_keys=True) + "\n", encoding="utf-8")
        work.chmod(0o755)
        with suppress(FileExistsError, NotADirectoryError):
            os.rename(work, folder)
    except OSError as error:
        if not folder.is_dir():  # another process may have finished the same index first
            raise UserError(
                f"Cannot write {folder}", why=str(error), fix="free disk space or choose another cache"
            ) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _digest(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _map(path: Path) -> Any:
    with path.open("rb") as handle:
        if path.stat().st_size == 0:
            return b""
        return mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ)
