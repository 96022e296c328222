"""Adapters in memory and on their way there."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from ..errors import EngineError, OpenLedgerError, UserError
from . import _params, _vllm
from ._peft import Limits
from ._reader import Files, Reader
from ._residents import Residents
from ._types import AdapterRef, Tiers

if TYPE_CHECKING:
    from ._lora import AdapterCache

__all__ = ["AdapterSource", "Memory"]

LOADS = 4
"""Adapters that are fetched and read at once, each with a thread of its own here and in the reader."""


class AdapterSource(Protocol):
    """Where an engine gets adapters. Called from many threads."""

    @property
    def files(self) -> Files:
        """Used in the process that reads adapters."""

    def check(self, adapter: AdapterRef, limits: Limits) -> None:
        """Raise unless the registry vouches for it now."""


class Memory:
    """Has adapters read in another process, each once however many ask, and keeps vLLM's cache in step with the
    residents. Only ``check``, ``revalidate`` and ``_read`` run outside the engine's thread; ``post`` gets a
    closure back into it. ``refused`` learns in that thread of adapters that are in force no more."""

    def __init__(
        self,
        source: AdapterSource | None,
        limits: Limits,
        cache: AdapterCache,
        tiers: Tiers,
        post: Callable[[Callable[[], None]], None],
        refused: Callable[[AdapterRef, OpenLedgerError], None],
    ) -> None:
        self._limits, self._post, self._refused = limits, post, refused
        self.cache = cache
        self._source: AdapterSource | None = None
        self.residents = Residents(tiers.ram_bytes, [adapter.cid for adapter in tiers.pinned])
        self._threads = ThreadPoolExecutor(LOADS, thread_name_prefix="openlora-load")
        self._reader: Reader | None = None
        self._loading: set[str] = set()
        self._preloads: dict[str, list[Future[None]]] = {}
        # By CID, the assets in whose name it is in memory: several may name the same files.
        self._names: dict[str, tuple[AdapterRef, ...]] = {}
        self._closed = threading.Event()
        if source is not None:
            self.use(source)
            threading.Thread(
                target=self._patrol, args=(tiers.revalidate,), name="openlora-patrol", daemon=True
            ).start()

    def use(self, source: AdapterSource) -> None:
        """Load from ``source`` from now on. Raises ``UserError`` for one that cannot be sent to the reader."""
        reader = Reader(source.files, self._limits, self.cache.dtype, LOADS)
        if self._reader is not None:
            self._reader.close()
        self._source, self._reader = source, reader

    def check(self, adapter: AdapterRef) -> None:
        """Raise unless the registry vouches for it."""
        if self._source is None:
            raise UserError(
                "This engine serves its base model only",
                why="it was started without a source of adapters",
                fix="start it with adapters=AdapterStore(...)",
            )
        self._source.check(adapter, self._limits)

    def recheck(self, adapter: AdapterRef, done: Callable[[Exception | None], None]) -> None:
        """``check``, elsewhere; ``done`` is called in the engine's thread."""

        def ask() -> None:
            refusal: Exception | None = None
            try:
                self.check(adapter)
            except Exception as error:  # noqa: BLE001 - whatever it is, the request learns of it
                refusal = error
            self._post(partial(done, refusal))

        self._threads.submit(ask)

    def __contains__(self, cid: str) -> bool:
        return cid in self.residents

    @property
    def room(self) -> bool:
        """Whether to begin another load: when all that is in memory is in use it is better to wait."""
        return len(self._loading) < LOADS and (self.residents.room or self.residents.idle)

    def load(self, adapter: AdapterRef, done: Callable[[AdapterRef, OpenLedgerError | None], None]) -> None:
        """Bring an adapter into memory, unless that has begun; ``done`` is called in the engine's thread."""
        if adapter.cid not in self._loading:
            self._loading.add(adapter.cid)
            self._threads.submit(self._read, adapter, self.residents.number(), done)

    def preload(
        self,
        adapter: AdapterRef,
        answer: Future[None],
        done: Callable[[AdapterRef, OpenLedgerError | None], None],
    ) -> None:
        if adapter.cid in self.residents:
            answer.set_result(None)
        else:
            self._preloads.setdefault(adapter.cid, []).append(answer)
            self.load(adapter, done)

    def hold(self, cid: str) -> None:
        self.residents.hold(cid)

    def release(self, cid: str) -> None:
        for number in self.residents.release(cid):
            self.cache.remove(number)
        if cid not in self._names:
            self._expel(cid)

    def name(self, adapter: AdapterRef) -> None:
        """A request uses it under this asset id, which the registry vouched for."""
        names = self._names.get(adapter.cid, ())
        if adapter not in names:
            self._names[adapter.cid] = (*names, adapter)

    def revalidate(self) -> None:
        """Ask the registry about every adapter in memory. One that is refused under every id leaves at once, or with
        its last running request; where the registry is away everything stays."""
        for adapter in [name for names in list(self._names.values()) for name in names]:
            if self._closed.is_set():
                return
            if adapter.cid not in self.residents:
                self._post(partial(self._evicted, adapter))
                continue
            try:
                self.check(adapter)
            except UserError as refusal:
                self._post(partial(self._revoke, adapter, refusal))
            except Exception:  # noqa: BLE001 - an answer that did not come says nothing about the adapter
                continue

    def _patrol(self, interval: float) -> None:
        while not self._closed.wait(interval):
            self.revalidate()

    def _revoke(self, adapter: AdapterRef, refusal: UserError) -> None:
        self._refused(adapter, refusal)
        self._unname(adapter)
        resident = adapter.cid in self.residents and self.residents[adapter.cid]
        if resident and not resident.held and adapter.cid not in self._names:
            self._expel(adapter.cid)

    def _evicted(self, adapter: AdapterRef) -> None:
        if adapter.cid not in self.residents:
            self._unname(adapter)

    def _unname(self, adapter: AdapterRef) -> None:
        left = tuple(name for name in self._names.get(adapter.cid, ()) if name != adapter)
        if left:
            self._names[adapter.cid] = left
        else:
            self._names.pop(adapter.cid, None)

    def _expel(self, cid: str) -> None:
        if cid in self.residents:
            self.cache.remove(self.residents.remove(cid))

    def close(self, death: EngineError) -> None:
        self._closed.set()
        self._threads.shutdown(wait=False, cancel_futures=True)
        if self._reader is not None:
            self._reader.close()
        for answers in self._preloads.values():
            for answer in answers:
                answer.set_exception(death)
        self._preloads.clear()

    def _read(
        self, adapter: AdapterRef, number: int, done: Callable[[AdapterRef, OpenLedgerError | None], None]
    ) -> None:
        """Fetch, verify, pack, parse."""
        assert self._reader is not None
        result: Any = None
        for attempt in (1, 2):
            packed = None
            try:
                self.check(adapter)
                packed = self._reader.read(adapter)
                result = self.cache.parse(_params.lora_request(adapter.cid, number, packed.directory), packed)
            except OpenLedgerError as error:
                result = error
            except Exception as error:  # noqa: BLE001 - vLLM's loader raises anything
                if attempt == 1 and packed is not None and not packed.directory.exists():
                    continue  # its configuration had to go for another between two lines, perhaps by another process
                result = UserError(
                    f"Adapter {adapter.asset_id} was refused",
                    why=f"vLLM cannot load {adapter.cid}: {_vllm.reason(error)}",
                    fix="check that it was trained on this base model",
                )
                result.__cause__ = error
            break
        self._post(partial(self._arrived, adapter, number, result, done))

    def _arrived(
        self,
        adapter: AdapterRef,
        number: int,
        result: Any,
        done: Callable[[AdapterRef, OpenLedgerError | None], None],
    ) -> None:
        self._loading.discard(adapter.cid)
        error: OpenLedgerError | None = result if isinstance(result, OpenLedgerError) else None
        if error is None and result.memory > self.residents.budget:
            error = UserError(
                f"Adapter {adapter.asset_id} was refused",
                why=f"it takes {result.memory} bytes, all adapters together may take {self.residents.budget}",
                fix="start the engine with more Tiers.ram_bytes",
            )
        if error is None:
            for gone in self.residents.add(adapter.cid, number, result.memory):
                self.cache.remove(gone)
            self.cache.insert(result)
            self.name(adapter)
        for answer in self._preloads.pop(adapter.cid, []):
            if error is None:
                answer.set_result(None)
            else:
                answer.set_exception(error)
        done(adapter, error)
