"""A content store behind the RPC of an IPFS node (Kubo or js-ipfs)."""

from __future__ import annotations

import io
import threading
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

from ...errors import ContentError, UserError
from .._cid import CODECS, codec_of, normalise_cid
from ._base import BaseStore

__all__ = ["IpfsStore"]

_LOOK = 1.0  # seconds a node may look for a block of its own
_T = TypeVar("_T")


class IpfsStore(BaseStore):
    """Blocks in an IPFS node. ``api`` is a multiaddr such as ``/ip4/127.0.0.1/tcp/5001/http``, ``timeout``
    in seconds for each call. Only single blocks are exchanged: files are cut into blocks here, so neither
    the node's importer nor its answers are trusted."""

    def __init__(self, api: str, timeout: float = 60.0) -> None:
        self.api, self.timeout = api, timeout
        self._local = threading.local()  # the client's connection is not safe to share between threads
        self._client()

    def __repr__(self) -> str:
        return f"IpfsStore({self.api!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.api, self.timeout)

    def _client(self) -> Any:
        client = getattr(self._local, "client", None)
        if client is None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)
                # Not connect(): 0.7.0's version check refuses every current node.
                from ipfshttpclient.client import Client
                from ipfshttpclient.exceptions import AddressError

                try:
                    client = self._local.client = Client(self.api, timeout=self.timeout)
                except (AddressError, ValueError) as error:
                    raise UserError(
                        f"{self.api!r} is not the address of an IPFS node",
                        why=str(error),
                        fix="set OPENLEDGER_IPFS_API to a multiaddr such as /ip4/127.0.0.1/tcp/5001/http",
                    ) from None
        return client

    def _call(self, cid: str, what: str, call: Callable[[Any], _T]) -> _T:
        from ipfshttpclient import exceptions

        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)
                return call(self._client())
        except exceptions.TimeoutError:
            why, fix = (
                f"no answer within {self.timeout} s",
                "raise OPENLEDGER_IPFS_TIMEOUT or ask a node that has it",
            )
        except exceptions.ConnectionError as error:
            why, fix = str(error), f"start the IPFS node at {self.api}, or unset OPENLEDGER_IPFS_API"
        except exceptions.Error as error:
            raise _Answered(f"The IPFS node cannot {what} {cid}", why=str(error), cid=cid) from None
        raise ContentError(
            f"The IPFS node at {self.api} cannot be reached to {what} {cid}", why=why, fix=fix, cid=cid
        )

    def _missing_fix(self) -> str:
        return f"connect {self.api} to a node that has it"

    def _read(self, cid: str) -> bytes | None:
        try:
            # The node gives up first, so that a missing block and a dead node read differently.
            options = {"timeout": f"{int(self.timeout * 900)}ms"}
            return bytes(self._call(cid, "get", lambda client: client.block.get(cid, opts=options)))
        except _Answered as error:
            if _not_found(error.why):
                return None
            raise

    def _exists(self, cid: str) -> bool:
        # Kubo answers at once when offline; js-ipfs waits for peers even then, so its wait is cut short.
        options = {"offline": "true", "timeout": f"{int(min(_LOOK, self.timeout * 0.9) * 1000)}ms"}
        try:
            self._call(cid, "look for", lambda client: client.block.stat(cid, opts=options))
        except _Answered as error:
            if _not_found(error.why):
                return False
            raise
        return True

    def _write(self, cid: str, data: bytes) -> None:
        codec = {code: name for name, code in CODECS.items()}[codec_of(cid)]
        # "format" is what both Kubo and js-ipfs take; Kubo refuses it together with its newer "cid-codec".
        options = {"format": codec, "mhtype": "sha2-256"}
        answer = self._call(cid, "put", lambda client: client.block.put(io.BytesIO(data), opts=options))
        if normalise_cid(str(answer["Key"])) != cid:
            raise ContentError(
                f"The IPFS node stored another block than {cid}",
                why=f"it answered {answer['Key']}",
                fix="check the node's version",
                cid=cid,
            )


class _Answered(ContentError):
    """The node was reached and refused."""


def _not_found(message: str) -> bool:
    lowered = message.lower()
    return any(
        sign in lowered for sign in ("not found", "notfound", "could not find", "timed out", "deadline")
    )
