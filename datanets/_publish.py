"""Publishing a datanet as linked dag-cbor blocks, and reading it back with every byte checked."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ..errors import ContentError, UserError
from ..registry import MAX_BLOCK, Link, MerkleTree, cid_of, decode, digest_of, encode, keccak
from ._load import read_row
from ._model import Datanet, Row
from ._validate import validate

if TYPE_CHECKING:
    from ..registry import ContentStore

__all__ = ["MAX_ROWS", "assign", "contribution_leaf", "contribution_tree", "fetch", "publish", "versions"]

KIND = "openledger/datanet@1"
MAX_ROWS = 4096
"""Rows a version may hold: its pages of 64 links must fit one block."""

_PAGE = 64
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")
_KEYS = {"kind", "name", "topic", "schema", "licences", "count", "root", "pages", "previous"}


def assign(datanet: Datanet, accounts: Mapping[str, str]) -> Datanet:
    """The datanet with each contributor's handle replaced by ``accounts[handle]``, an address (0x…). Addresses are written
    one way, with their EIP-55 checksum: two spellings of one would be paid apart."""
    from eth_utils.address import to_checksum_address

    rows = []
    for row in datanet.rows:
        account = row.contributor if _ADDRESS.fullmatch(row.contributor) else accounts.get(row.contributor)
        if account is None or not _ADDRESS.fullmatch(account):
            raise UserError(
                f"Contributor {row.contributor!r} of row {row.row} has no account",
                why="contributors are paid on-chain" if account is None else f"{account!r} is not an address",
                fix=f"give accounts={{{row.contributor!r}: '0x…'}}",
            )
        rows.append(Row(row.row, to_checksum_address(account), row.licence, row.text, row.facts))
    return Datanet(datanet.name, datanet.topic, tuple(rows), datanet.schema, datanet.cid)


def publish(
    datanet: Datanet,
    store: ContentStore,
    *,
    accounts: Mapping[str, str] | None = None,
    previous: str | None = None,
) -> str:
    """Stores every row as its own block and a version block over them; returns the version's CID.

    The version holds the Merkle root over the accepted contributions (:func:`contribution_leaf`), so one row can
    be proved to be part of it. ``accounts`` gives handles their addresses; without it the rows keep handles,
    which is enough to train but not to pay. ``previous`` links the version before. Nothing is stored unless the
    whole datanet is valid: raises ``UserError`` listing the problems otherwise.
    """
    if accounts is not None:
        datanet = assign(datanet, accounts)
    problems = [problem for problem in validate(datanet) if problem.code != "no-facts"]
    if problems:
        shown = " ".join(str(problem) for problem in problems[:3])
        raise UserError(
            f"Datanet {datanet.name!r} has {len(problems)} problem(s)",
            why=shown,
            fix="mend the rows, or drop duplicates with accepted()",
        )
    if not 1 <= len(datanet.rows) <= MAX_ROWS:
        raise UserError(
            f"A version holds 1 to {MAX_ROWS} rows, not {len(datanet.rows)}", fix="publish several datanets"
        )
    blocks = [_row_block(row) for row in datanet.rows]
    links = [Link(cid_of(block)) for block in blocks]
    pages = [encode({"rows": links[start : start + _PAGE]}) for start in range(0, len(links), _PAGE)]
    version = encode(
        {
            "kind": KIND,
            "name": datanet.name,
            "topic": datanet.topic,
            "schema": datanet.schema,
            "licences": list(datanet.licences),
            "count": len(links),
            "root": contribution_tree(links).root,
            "pages": [Link(cid_of(page)) for page in pages],
            "previous": None if previous is None else Link(previous),
        }
    )
    for block in [*blocks, *pages, version]:
        if len(block) > MAX_BLOCK:
            raise UserError(
                f"Datanet {datanet.name!r} needs a block of {len(block)} bytes",
                why=f"the limit is {MAX_BLOCK}",
                fix="shorten the longest row, or the topic",
            )
    # Children first: a version that can be fetched is complete.
    for block in [*blocks, *pages, version]:
        store.put(block, "dag-cbor")
    return cid_of(version)


def fetch(store: ContentStore, cid: str) -> Datanet:
    """The published version ``cid``, checked: schema, count, Merkle root and every row.

    Raises ``ContentError`` when a block is missing, malformed, or does not add up to the version.
    """
    version = _block(store, cid, _KEYS, "a datanet version")
    if version["kind"] != KIND:
        raise ContentError(f"{cid} is not a datanet", why=f"its kind is {version['kind']!r}", cid=cid)
    links: list[str] = []
    pages = version["pages"]
    if not isinstance(pages, list) or len(pages) > MAX_ROWS // _PAGE:
        raise ContentError(f"Datanet {cid} has malformed pages", cid=cid)
    for page in pages:
        rows = _block(store, str(page), {"rows"}, "a page of rows")["rows"]
        if not isinstance(rows, list) or any(type(row) is not Link for row in rows):
            raise ContentError(f"Page {page} of datanet {cid} is malformed", cid=str(page))
        links.extend(str(row) for row in rows)
    if len(links) != version["count"] or contribution_tree(links).root != version["root"]:
        raise ContentError(f"The rows of datanet {cid} do not match its Merkle root", cid=cid)
    texts = [version[key] for key in ("name", "topic", "schema")]
    if any(type(text) is not str for text in texts):
        raise ContentError(f"Datanet {cid} has malformed fields", cid=cid)
    rows_read = []
    for link in links:
        try:
            rows_read.append(read_row(decode(store.get(link), link), f"row {link}"))
        except UserError as error:
            raise ContentError(
                f"Row {link} of datanet {cid} is malformed", why=str(error), cid=link
            ) from error
    name, topic, schema = texts
    return Datanet(name, topic, tuple(rows_read), schema, cid)


def versions(store: ContentStore, cid: str) -> Iterator[Datanet]:
    """The published version ``cid`` and those before it, as each names the one before, the newest first. Raises as
    :func:`fetch` when the next cannot be had."""
    following: str | None = cid
    while following is not None:
        yield fetch(store, following)
        previous = _block(store, following, _KEYS, "a datanet version")["previous"]
        if previous is not None and type(previous) is not Link:
            raise ContentError(f"Datanet {following} names no version before it", cid=following)
        following = None if previous is None else str(previous)


def contribution_leaf(cid: str) -> bytes:
    """Leaf of a row in the version's Merkle tree: keccak(keccak(row block's 32-byte digest))."""
    return keccak(keccak(digest_of(cid)))


def contribution_tree(rows: list[str] | list[Link]) -> MerkleTree:
    """The indexed Merkle tree over the row blocks' CIDs, in order of acceptance."""
    return MerkleTree([contribution_leaf(row) for row in rows])


def _row_block(row: Row) -> bytes:
    block = encode(row.to_block())
    if len(block) > MAX_BLOCK:
        raise UserError(
            f"Row {row.row} takes {len(block)} bytes",
            why=f"a row must fit a block of {MAX_BLOCK}",
            fix="split it into several rows",
        )
    return block


def _block(store: ContentStore, cid: str, keys: set[str], what: str) -> dict[str, Any]:
    value = decode(store.get(cid), cid)
    if not isinstance(value, dict) or set(value) != keys:
        raise ContentError(f"{cid} is not {what}", fix="give the CID that publish() returned", cid=cid)
    return value
