"""Text to tokens: the normal form that is indexed, and the tokenizer's facts an index needs.

**Normalisation.** Matching is on token ids. A row's text is trimmed, its runs of white space become one space, and
one space is put in front, so that the first word carries the same leading-space token as a word inside a
text. Tokenizers that split at white space before merging (byte-level BPE, as the shipped base's) then give a
clause the same tokens wherever it stands; with others the outermost token on each side may differ, and a
span is then at most two tokens shorter than the text it stands for. Case and punctuation count, and so do
letters that only look alike, unless the tokenizer's own normaliser makes them one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import UserError
from ._suffixes import width_of

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from tokenizers import Tokenizer

__all__ = ["Vocabulary", "normal_form"]

_BATCH = 4096


def normal_form(text: str) -> str:
    """``text`` as it is indexed, without the space in front."""
    return " ".join(text.split())


@dataclass(frozen=True)
class Vocabulary:
    """A base model's tokenizer and what an index has to know of it."""

    tokenizer: Tokenizer
    digest: str
    """sha2-256 (hex) of its file."""
    size: int
    """Tokens it has, added ones included."""
    special: frozenset[int]
    """Ids of its special tokens, which nobody wrote."""
    width: int
    """Bytes in which any of its ids can be packed."""

    @classmethod
    def load(cls, path: Path | str) -> Vocabulary:
        """From a base model's directory or its ``tokenizer.json``. Raises ``UserError`` when it cannot be read."""
        from tokenizers import Tokenizer

        file = Path(path) / "tokenizer.json" if Path(path).is_dir() else Path(path)
        try:
            data = file.read_bytes()
            made = Tokenizer.from_str(data.decode())
        except Exception as error:  # the Rust side raises a bare Exception for bad JSON
            raise UserError(
                f"Cannot read the tokenizer {file}",
                why=str(error),
                fix="give a base model's directory or tokenizer.json",
            ) from error
        # A row is indexed whole and as it is, whatever the model is fed with.
        made.no_truncation()
        made.no_padding()
        ids = made.get_vocab(with_added_tokens=True).values()
        special = frozenset(
            token for token, added in made.get_added_tokens_decoder().items() if added.special
        )
        size = int(made.get_vocab_size(with_added_tokens=True))
        return cls(made, hashlib.sha256(data).hexdigest(), size, special, width_of(max(ids, default=0)))

    def encode(self, text: str) -> list[int]:
        """Token ids of ``text`` in normal form."""
        form = normal_form(text)
        return list(self.tokenizer.encode(f" {form}", add_special_tokens=False).ids) if form else []

    def pack_all(self, forms: Sequence[str]) -> Iterator[NDArray[Any]]:
        """Token ids of each of ``forms``, texts in normal form: 1-D arrays, big-endian, ``width`` bytes an id."""
        import numpy as np

        for first in range(0, len(forms), _BATCH):
            batch = [f" {form}" for form in forms[first : first + _BATCH]]
            encoded = self.tokenizer.encode_batch_fast(batch, add_special_tokens=False)
            for text, tokens in zip(batch, encoded, strict=True):
                yield np.array(tokens.ids if text != " " else [], dtype=f">u{self.width}")

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of token ids, special tokens left out."""
        return str(self.tokenizer.decode(list(tokens), skip_special_tokens=True))
