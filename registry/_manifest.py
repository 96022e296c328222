"""The manifest of an epoch: which assets an agent may use and how its fees are split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from ..errors import ContentError, UserError
from ._blocks import Encoded, Getter, Reader, pack_items, unpack_items
from ._cid import Link, digest_of
from ._dagcbor import decode
from ._hashing import address_word, fixed_split_leaf, manifest_leaf
from ._merkle import MerkleTree
from ._tariff import Tariff

__all__ = ["AssetRef", "FixedShare", "Manifest", "Split"]

MANIFEST_VERSION, METERED_VERSION = 2, 3
"""Of manifests without and with a tariff: whoever does not know tariffs must not take one for the other."""


class AssetRef(NamedTuple):
    """An on-chain asset at one version: its id and the CID of its content."""

    asset_id: int
    cid: str


class FixedShare(NamedTuple):
    """An account that gets ``bps`` 1/10,000 of everything the agent's batches pay out, whatever the attribution."""

    account: str
    bps: int


@dataclass(frozen=True, slots=True)
class Split:
    """Shares of a fee in basis points, after protocol cut and audit share. They add up to 10,000."""

    operator: int
    lineage: int
    stakers: int
    contributors: int

    def __post_init__(self) -> None:
        parts = (self.operator, self.lineage, self.stakers, self.contributors)
        if any(type(part) is not int or part < 0 for part in parts) or sum(parts) != 10_000:
            raise UserError(f"A split must add up to 10,000 basis points, not {parts}")


@dataclass(frozen=True)
class Manifest:
    """What an agent declares for an epoch. ``graph_digest`` is the sha2-256 of the graph's source."""

    agent: str
    models: Sequence[AssetRef]
    adapters: Sequence[AssetRef]
    datanets: Sequence[AssetRef]
    rule: str
    split: Split
    engine_class: str
    graph_digest: bytes
    fixed: Sequence[FixedShare] = ()
    """Paid out of the operator's share; the chain slashes a batch that pays less."""
    tariff: Tariff | None = None
    """What actions are charged by; None where each is charged what was paid for it."""

    def __post_init__(self) -> None:
        for name in ("models", "adapters", "datanets"):
            object.__setattr__(self, name, tuple(AssetRef(*ref) for ref in getattr(self, name)))
        object.__setattr__(self, "fixed", tuple(_checked(FixedShare(*share)) for share in self.fixed))
        if len(self.graph_digest) != 32:
            raise UserError("A graph digest has 32 bytes")
        self._check_fixed()

    def _check_fixed(self) -> None:
        accounts = [address_word(account) for account, _ in self.fixed]
        if len(set(accounts)) != len(accounts):
            raise UserError("an account has two fixed shares", fix="add them up")
        if any(type(bps) is not int or bps <= 0 for _, bps in self.fixed):
            raise UserError("a fixed share is a whole number of basis points above 0")
        taken = sum(bps for _, bps in self.fixed)
        if taken > self.split.operator:
            raise UserError(
                f"fixed shares of {taken}/10,000 exceed the operator's {self.split.operator}/10,000",
                why="fixed shares are paid out of the operator's",
                fix="raise the operator's share of the split, or lower the fixed shares",
            )

    @property
    def assets(self) -> tuple[AssetRef, ...]:
        """All declared assets in the order of the tree: models, adapters, datanets."""
        return (*self.models, *self.adapters, *self.datanets)

    @cached_property
    def tree(self) -> MerkleTree:
        """The tree whose root is the epoch's ``manifestRoot``."""
        leaves = [manifest_leaf(ref.asset_id, digest_of(ref.cid)) for ref in self.assets]
        return MerkleTree(leaves + [fixed_split_leaf(i, *share) for i, share in enumerate(self.fixed)])

    def root(self) -> bytes:
        return self.tree.root

    def index_of(self, asset_id: int, digest: bytes) -> int | None:
        """Where an asset version stands in the tree, or None."""
        for index, ref in enumerate(self.assets):
            if ref.asset_id == asset_id and digest_of(ref.cid) == digest:
                return index
        return None

    def includes(self, asset_id: int, digest: bytes) -> bool:
        """Whether exactly this version of the asset is declared."""
        return self.index_of(asset_id, digest) is not None

    @cached_property
    def encoded(self) -> Encoded:
        """The root block and its chunks, to be stored."""
        blocks: dict[str, bytes] = {}

        def refs(assets: Sequence[AssetRef]) -> Any:
            return pack_items([[ref.asset_id, Link(ref.cid)] for ref in assets], 64, blocks)

        root = {
            "version": MANIFEST_VERSION if self.tariff is None else METERED_VERSION,
            "agent": self.agent,
            "models": refs(self.models),
            "adapters": refs(self.adapters),
            "datanets": refs(self.datanets),
            "rule": self.rule,
            "split": [self.split.operator, self.split.lineage, self.split.stakers, self.split.contributors],
            "engine_class": self.engine_class,
            "graph_digest": self.graph_digest,
            "fixed": [[address_word(account)[12:], bps] for account, bps in self.fixed],
            **({} if self.tariff is None else {"tariff": self.tariff.to_block()}),
        }
        return Encoded.of(root, blocks, "A manifest")

    @property
    def cid(self) -> str:
        return self.encoded.cid

    @classmethod
    def decode(cls, cid: str, get: Getter) -> Manifest:
        """Read the manifest stored at ``cid``. Raises ``ContentError`` for anything malformed."""
        keys = {
            "version",
            "agent",
            "models",
            "adapters",
            "datanets",
            "rule",
            "split",
            "engine_class",
            "graph_digest",
            "fixed",
        }
        block = decode(get(cid), cid)
        metered = isinstance(block, dict) and block.get("version") == METERED_VERSION
        read = Reader(block, "a manifest", cid, keys | {"tariff"} if metered else keys)
        if not metered and read.raw("version") != MANIFEST_VERSION:
            raise ContentError(
                f"Manifest version {read.raw('version')!r} is not known", fix="upgrade openledger", cid=cid
            )

        def refs(key: str) -> list[AssetRef]:
            out = []
            for item in unpack_items(read.raw(key), get, cid, limit=1 << 16):
                if (
                    not isinstance(item, list)
                    or len(item) != 2
                    or type(item[0]) is not int
                    or type(item[1]) is not Link
                ):
                    raise read.fail(key)
                out.append(AssetRef(item[0], str(item[1])))
            return out

        split = read.raw("split")
        if not isinstance(split, list) or len(split) != 4:
            raise read.fail("split")
        try:
            shares = Split(*split)
        except UserError:
            raise read.fail("split") from None
        try:
            tariff = Tariff.from_block(read.raw("tariff")) if metered else None
        except (UserError, ValueError, TypeError):
            raise read.fail("tariff") from None
        try:
            manifest = cls(
                agent=read.text("agent"),
                models=refs("models"),
                adapters=refs("adapters"),
                datanets=refs("datanets"),
                rule=read.text("rule"),
                split=shares,
                engine_class=read.text("engine_class"),
                graph_digest=read.octets("graph_digest", 32),
                fixed=_fixed(read),
                tariff=tariff,
            )
        except UserError:
            raise read.fail("fixed") from None
        if manifest.cid != cid:
            raise ContentError(f"Manifest {cid} is not in canonical form", cid=cid)
        return manifest


def _checked(share: FixedShare) -> FixedShare:
    """With the address in its one spelling: payouts are matched by it."""
    from eth_utils.address import to_checksum_address

    account = address_word(share.account)[12:]
    return FixedShare(str(to_checksum_address(account)), share.bps)


def _fixed(read: Reader) -> list[FixedShare]:
    items = read.raw("fixed")
    if not isinstance(items, list):
        raise read.fail("fixed")
    for item in items:
        if not isinstance(item, list) or len(item) != 2 or not isinstance(item[0], bytes):
            raise read.fail("fixed")
    return [FixedShare("0x" + account.hex(), bps) for account, bps in items]
