"""Content stores: blocks by CID, on disk or in an IPFS node."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._base import ContentStore
from ._car import export_car, import_car, pack_car, unpack_car
from ._ipfs import IpfsStore
from ._local import LocalStore
from ._unixfs import child_cid, path_cid

if TYPE_CHECKING:
    from ...settings import Settings

__all__ = [
    "ContentStore",
    "IpfsStore",
    "LocalStore",
    "child_cid",
    "export_car",
    "import_car",
    "open_store",
    "pack_car",
    "path_cid",
    "unpack_car",
]


def open_store(settings: Settings | None = None) -> ContentStore:
    """The store the settings name: the IPFS node at ``ipfs_api``, or blocks under ``home/content``."""
    if settings is None:
        from ...settings import get_settings

        settings = get_settings()
    if settings.ipfs_api:
        return IpfsStore(settings.ipfs_api, settings.ipfs_timeout)
    return LocalStore(settings.home_dir / "content")
