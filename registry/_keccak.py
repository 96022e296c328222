"""keccak-256 by the fastest library at hand: an action takes ~330 hashes, most of its accounting time."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["keccak"]


def _select() -> Callable[[bytes], bytes]:
    try:
        from sha3 import keccak_256  # type: ignore[import-not-found,import-untyped,unused-ignore]  # safe-pysha3: 0.8 µs
    except ImportError:
        from eth_hash.auto import keccak as portable  # pycryptodome: 6 µs

        return portable
    return lambda data: keccak_256(data).digest()  # type: ignore[no-any-return]


keccak: Callable[[bytes], bytes] = _select()
"""keccak-256 of ``bytes``: 32 bytes. This is Ethereum's hash, not NIST SHA3-256."""
