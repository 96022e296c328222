"""Datanets, models, adapters and apps as registered on-chain: what may be served, and what it came from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from ..errors import ChainError, UserError
from ._cid import cid_from_digest, codec_of, digest_of

if TYPE_CHECKING:
    from ..contracts import Chain, Contracts, Signer

__all__ = ["Asset", "AssetKind", "Assets"]


class AssetKind(IntEnum):
    """What an asset is."""

    DATANET = 1
    MODEL = 2
    ADAPTER = 3
    APP = 4


@dataclass(frozen=True, slots=True)
class Asset:
    """A registered asset at its latest version. ``royalty_bps`` in 1/10,000; ``revoked`` means tombstoned."""

    asset_id: int
    kind: AssetKind
    owner: str
    cid: str
    version: int
    revoked: bool
    royalty_bps: int
    licence: str
    uri: str
    parents: tuple[int, ...]

    @property
    def digest(self) -> bytes:
        return digest_of(self.cid)


class Assets:
    """The ``AssetRegistry`` of one chain."""

    def __init__(self, contracts: Contracts) -> None:
        self._contracts = contracts

    @property
    def chain(self) -> Chain:
        return self._contracts.chain

    def register(
        self,
        signer: Signer,
        kind: AssetKind,
        cid: str,
        *,
        parents: Sequence[int] = (),
        licence: str = "",
        royalty_bps: int = 0,
        uri: str = "",
    ) -> int:
        """Register content that is already stored, and return the new asset's id.

        ``parents`` are asset ids; ``licence`` is an SPDX expression. Raises ``ChainError`` when the registry
        refuses, e.g. ``UnknownParent``.
        """
        registry = self._contracts.assets
        call = registry.functions.register(
            int(kind),
            digest_of(cid),
            codec_of(cid),
            list(parents),
            licence,
            royalty_bps,
            uri or f"ipfs://{cid}",
        )
        receipt = self.chain.send(call, signer)
        return int(receipt.event(registry.events.AssetRegistered)["assetId"])

    def register_datanet(self, signer: Signer, cid: str, **more: Any) -> int:
        """:meth:`register` a datanet."""
        return self.register(signer, AssetKind.DATANET, cid, **more)

    def register_model(self, signer: Signer, cid: str, **more: Any) -> int:
        """:meth:`register` a base model."""
        return self.register(signer, AssetKind.MODEL, cid, **more)

    def register_adapter(self, signer: Signer, cid: str, *, parents: Sequence[int], **more: Any) -> int:
        """:meth:`register` an adapter; ``parents`` are its base model and the datanets it was trained on."""
        return self.register(signer, AssetKind.ADAPTER, cid, parents=parents, **more)

    def add_version(self, signer: Signer, asset_id: int, cid: str) -> int:
        """Make ``cid`` the latest version; earlier ones stay valid. Returns the version's number."""
        registry = self._contracts.assets
        receipt = self.chain.send(
            registry.functions.addVersion(asset_id, digest_of(cid), codec_of(cid)), signer
        )
        return int(receipt.event(registry.events.VersionAdded)["version"])

    def tombstone(self, signer: Signer, asset_id: int) -> None:
        """Revoke an asset for good: it is never served again, its records stay. Tickets issued before are not
        affected, see :meth:`is_usable`."""
        self.chain.send(self._contracts.assets.functions.tombstone(asset_id), signer)

    def get(self, asset_id: int) -> Asset:
        """The asset. Raises ``UserError`` when there is none."""
        functions = self._contracts.assets.functions
        try:
            found = self.chain.call(functions.asset(asset_id))
            owner = self.chain.call(functions.ownerOf(asset_id))
        except ChainError as error:
            if error.revert is None or not error.revert.startswith(
                ("UnknownAsset", "ERC721NonexistentToken")
            ):
                raise
            raise UserError(
                f"Asset {asset_id} is not registered on chain {self.chain.chain_id}",
                fix="register it, or correct the id",
                code="user.asset.unknown",
            ) from None
        return Asset(
            asset_id=asset_id,
            kind=AssetKind(found.kind),
            owner=str(owner),
            cid=cid_from_digest(bytes(found.contentDigest), int(found.codec)),
            version=int(found.version),
            revoked=bool(found.revoked),
            royalty_bps=int(found.royaltyBps),
            licence=str(found.licence),
            uri=str(found.uri),
            parents=tuple(int(parent) for parent in found.parents),
        )

    def version_of(self, asset_id: int, digest: bytes) -> int:
        """Which version of the asset has this content digest; 0 when none has."""
        return int(self.chain.call(self._contracts.assets.functions.versionOf(asset_id, digest)))

    def tombstoned_at(self, asset_id: int) -> int | None:
        """When the asset was tombstoned, in unix seconds; None when it was not."""
        return int(self.chain.call(self._contracts.assets.functions.tombstonedAt(asset_id))) or None

    def is_usable(self, asset_id: int, digest: bytes, at: int) -> bool:
        """Whether a ticket of the time ``at`` (unix seconds) may use that content: a version of an asset that was not
        tombstoned more than ``maxAnchorLag`` before. With a ticket's ``anchor_by`` as ``at``, a tombstone binds no ticket
        issued before it. What to serve now is :meth:`require_servable`'s to say."""
        return bool(self.chain.call(self._contracts.assets.functions.isUsable(asset_id, digest, at)))

    def require_servable(self, asset_id: int, digest: bytes | None = None) -> Asset:
        """The asset, if it may be served now: registered, not tombstoned, and ``digest`` one of its versions.

        Raises ``UserError`` otherwise. Never serve content this does not pass.
        """
        asset = self.get(asset_id)
        if asset.revoked:
            raise UserError(
                f"Asset {asset_id} was revoked by its owner",
                why="a tombstoned asset is never served",
                fix="use another asset",
                code="user.asset.revoked",
            )
        if digest is not None and digest != asset.digest and self.version_of(asset_id, digest) == 0:
            raise UserError(
                f"The content {digest.hex()} is no version of asset {asset_id}",
                why=f"the latest registered version is {asset.cid}",
                fix="register the new version, or fetch the registered one",
                code="user.asset.version",
            )
        return asset

    def owners_between(self, asset_id: int, since: int, until: int) -> set[str]:
        """Who owned the asset at some moment from ``since`` to ``until`` (unix seconds)."""
        registry, first = self._contracts.assets, self._contracts.deployment.block
        owners: list[tuple[int, str]] = []
        for log in self.chain.logs(registry.events.Transfer, first, where={"tokenId": asset_id}):
            owners.append((self.chain.time_of(int(log["blockNumber"])), str(log["args"]["to"])))
        ends = [begun for begun, _ in owners[1:]] + [until + 1]
        return {
            owner for (begun, owner), end in zip(owners, ends, strict=True) if begun <= until and end >= since
        }

    def lineage(self, asset_id: int) -> list[Asset]:
        """The asset and everything it came from, each once, nearest first."""
        found: dict[int, Asset] = {}
        queue = [asset_id]
        for current in queue:
            if current not in found:
                found[current] = self.get(current)
                queue.extend(found[current].parents)
        return list(found.values())
