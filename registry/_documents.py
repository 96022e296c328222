"""JSON documents behind a URI: the ERC-8004 files of agents, feedback and validations."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ..errors import ContentError, UserError
from ._cid import normalise_cid
from .store import ContentStore

if TYPE_CHECKING:
    from ..contracts import Contracts

__all__ = ["account_of", "dump", "put_document", "read_document", "registry_of", "stamp"]

_DATA = "data:application/json;base64,"
_DEEPEST = 64
_QUOTE, _BACKSLASH = b'"\\'


def dump(document: Mapping[str, Any]) -> bytes:
    """The bytes of a document, as stored and hashed."""
    return json.dumps(document, indent=2, ensure_ascii=False).encode()


def put_document(store: ContentStore, document: Mapping[str, Any]) -> str:
    """Store a document and return its ``ipfs://`` URI."""
    return "ipfs://" + store.put(dump(document), "raw")


def document_bytes(store: ContentStore, uri: str) -> bytes:
    """What is behind an ``ipfs://`` URI (from the content store) or a base64 ``data:`` URI.

    Raises ``ContentError`` for other schemes, missing and malformed content: web addresses are not fetched, because
    what they serve today is no evidence of what they served then.
    """
    if uri.startswith(_DATA):
        try:
            return base64.b64decode(uri.removeprefix(_DATA), validate=True)
        except (binascii.Error, ValueError) as error:
            raise ContentError("A data URI is malformed", why=str(error)) from None
    if not uri.startswith("ipfs://"):
        raise ContentError(
            f"{uri!r} is not read",
            why="only ipfs:// and base64 JSON data: URIs name their content",
            fix="open it yourself",
        )
    try:
        return store.get(normalise_cid(uri.removeprefix("ipfs://")))
    except UserError as error:
        raise ContentError(f"{uri!r} names no content", why=str(error)) from None


def read_document(store: ContentStore, uri: str) -> dict[str, Any]:
    """The JSON object behind a URI, see :func:`document_bytes`. Raises ``ContentError``."""
    data = document_bytes(store, uri)
    if _nesting(data) > _DEEPEST:
        raise ContentError(f"{uri!r} is nested deeper than {_DEEPEST} levels")
    try:
        document = json.loads(data.decode())  # not by guessing the encoding, which would hide brackets
    except ValueError as error:
        raise ContentError(f"{uri!r} is no JSON", why=str(error)) from None
    if not isinstance(document, dict):
        raise ContentError(f"{uri!r} is no JSON object")
    return document


def _nesting(data: bytes) -> int:
    """How deep the brackets outside strings go. Strangers write these documents, and Python's decoder overflows the C
    stack on deep ones wherever a library has raised the recursion limit."""
    depth = deepest = 0
    quoted = escaped = False
    for byte in data:
        if quoted:
            quoted, escaped = escaped or byte != _QUOTE, not escaped and byte == _BACKSLASH
        elif byte == _QUOTE:
            quoted = True
        elif byte in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif byte in b"]}":
            depth -= 1
    return deepest


def registry_of(contracts: Contracts) -> str:
    """This chain's identity registry as ERC-8004 names it: ``eip155:<chain id>:<address>``."""
    return account_of(contracts, contracts.address("AgentRegistry"))


def account_of(contracts: Contracts, address: str) -> str:
    """An account of this chain (CAIP-10)."""
    return f"eip155:{contracts.chain.chain_id}:{address}"


def stamp(seconds: int) -> str:
    """Unix seconds as ISO 8601."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
