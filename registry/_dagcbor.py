"""Strict dag-cbor: one byte string per value, refused otherwise.

cbor2's C codec does the work (8× faster than the pure-Python library, 25× to read); this module adds
what dag-cbor demands beyond CBOR: sorted string keys, 64-bit floats, only links as tags, no other form.
Source: https://ipld.io/specs/codecs/dag-cbor/spec/
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from math import isfinite
from typing import Any

import cbor2

from ..errors import ContentError, UserError
from ._cid import Link, cid_bytes, cid_from_bytes

__all__ = ["decode", "encode"]

_MAX_DEPTH = 64
_PLAIN = frozenset({str, bytes, bool, type(None)})
_FEW = 64  # keys of a mapping whose order is remembered


def encode(value: Any) -> bytes:
    """The dag-cbor bytes of ``None | bool | int | float | str | bytes | Link | list | tuple | mapping``.

    Raises ``UserError`` for other types, non-finite floats and integers beyond 64 bits.
    """
    return cbor2.dumps(_lower(value, 0))


def decode(data: bytes, cid: str | None = None) -> Any:
    """The value of a block. Raises ``ContentError`` unless ``data`` is exactly how :func:`encode` writes it."""
    try:
        read = cbor2.loads(data)
        value = _lift(
            read, 0
        )  # checks what encode() would have changed, so what was read need only be written
        canonical = cbor2.dumps(read)
    except (cbor2.CBORDecodeError, UserError, RecursionError, OverflowError, UnicodeError) as error:
        raise _malformed(cid, str(error)) from None
    if canonical != data:
        raise _malformed(cid, "it is not in canonical form")
    return value


def _lower(value: Any, depth: int) -> Any:
    kind = type(value)
    if kind in _PLAIN:
        return value
    if kind is int:
        return _within(value)
    if kind is Link:
        return cbor2.CBORTag(42, b"\0" + cid_bytes(value))
    if kind is float:
        return _finite(value)
    if depth >= _MAX_DEPTH:
        raise UserError(f"A value nested deeper than {_MAX_DEPTH} cannot be stored")
    depth += 1
    if isinstance(value, (list, tuple)):
        return [item if type(item) in _PLAIN else _lower(item, depth) for item in value]
    if isinstance(value, Mapping):
        return {
            key: item if type(item := value[key]) in _PLAIN else _lower(item, depth)
            for key in _ordered(tuple(value))
        }
    if isinstance(value, str):  # subclasses such as str enums
        return str.__str__(value)
    if isinstance(value, int):
        return _within(int(value))
    raise UserError(
        f"A {kind.__module__}.{kind.__qualname__} cannot be stored",
        why="content holds only None, bool, int, float, str, bytes, lists and mappings",
        fix="convert it first",
    )


def _lift(value: Any, depth: int) -> Any:
    kind = type(value)
    if kind in _PLAIN:
        return value
    if kind is int:
        return _within(value)
    if kind is float:
        return _finite(value)
    if kind is cbor2.CBORTag:
        if value.tag != 42 or not isinstance(value.value, bytes) or value.value[:1] != b"\0":
            raise UserError(f"it holds tag {value.tag}, and only links are allowed")
        return Link(cid_from_bytes(value.value[1:]))
    if depth >= _MAX_DEPTH:
        raise UserError(f"it is nested deeper than {_MAX_DEPTH}")
    depth += 1
    if kind is list:
        return [item if type(item) in _PLAIN else _lift(item, depth) for item in value]
    if kind is dict:
        keys = tuple(value)
        if keys != _ordered(keys):
            raise UserError("its keys are not in order")
        return {key: item if type(item) in _PLAIN else _lift(item, depth) for key, item in value.items()}
    raise UserError(f"it holds a {kind.__qualname__}")


def _within(value: int) -> int:
    if not -(2**64) <= value < 2**64:
        raise UserError("An integer beyond 64 bits cannot be stored", fix="store it as a decimal string")
    return value


def _finite(value: float) -> float:
    if not isfinite(value):
        raise UserError(f"{value} cannot be stored", why="dag-cbor has no infinities or NaN")
    return value


def _ordered(keys: tuple[Any, ...]) -> tuple[str, ...]:
    return _sorted(keys) if len(keys) <= _FEW else _sorted.__wrapped__(keys)


@lru_cache(1024)  # the same few kinds of mappings are written and read again and again
def _sorted(keys: tuple[Any, ...]) -> tuple[str, ...]:
    if not all(isinstance(key, str) for key in keys):
        raise UserError("Only mappings with text keys can be stored", why=f"keys are {keys[:4]!r}")
    return tuple(sorted(map(str.__str__, keys), key=_key_order))


def _key_order(key: str) -> tuple[int, bytes]:
    raw = key.encode()
    return len(raw), raw


def _malformed(cid: str | None, why: str) -> ContentError:
    return ContentError(
        f"Block {cid or 'given'} is not valid dag-cbor", why=why, fix="fetch it from another store", cid=cid
    )
