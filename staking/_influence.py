"""Influence on model calls, from what is published: the base, the adapter, and the datanet it says it was trained on.

Gradients are the matter of a folder that this one may not import: who takes them is handed in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from ..attribution import Influence, NoInfluence, Source, Stated, repeats
from ..attribution.influence import Division, Example
from ..datanets import Datanet, fetch, source_rows, versions
from ..openlora import AdapterRef, fetch_adapter, fetch_base
from ..registry import AssetRef, Connection, Manifest, ModelCallStep

if TYPE_CHECKING:
    from ._examine import Retrain

__all__ = ["Divide", "InfluenceFor", "Trainer", "influence_for"]

Divide = Callable[
    [Path, Path, Path, Iterable[Datanet], Sequence[Example]], "tuple[Datanet, list[Division]] | NoInfluence"
]
"""Divides outputs among the rows of an adapter, given a cache, the directories of base and adapter, and the datanets that
it may have been trained on; ``modelfactory.influence_on`` is one. Gives the datanet whose rows they are too, or why nobody
can divide them. Raises ``ContentError`` when something cannot be had."""

InfluenceFor = Callable[[Manifest, Sequence[ModelCallStep]], list[Stated]]
"""Gives the influence on each model call of an epoch, as one computes it oneself: ``NoInfluence`` where nobody can have any.
Raises ``ContentError`` when something cannot be had."""

BASE_ALONE = NoInfluence("it is of the base model alone")
NOTHING_SAID = NoInfluence("it has no tokens, or no prompt")
VERSIONS = 256
"""How many versions of a datanet, from the declared one back, an adapter may have been trained on."""


@dataclass(frozen=True)
class Trainer:
    """What auditors and jurors have of the folder that trains, handed in where the command is composed."""

    retrain: Retrain
    divide: Divide


def influence_for(
    connection: Connection, divide: Divide, base_for: Callable[[AssetRef], Path] | None = None
) -> InfluenceFor:
    """Influence by the connection's content store, gradients kept in its cache; bases come from ``base_for``, by default
    from the store too."""
    return _Published(connection, divide, base_for or (lambda ref: fetch_base(connection, ref)))


@dataclass
class _Published:
    connection: Connection
    divide: Divide
    base_for: Callable[[AssetRef], Path]
    known: dict[str, _Rows] = field(default_factory=dict)
    """By manifest."""

    def __call__(self, manifest: Manifest, calls: Sequence[ModelCallStep]) -> list[Stated]:
        found: list[Stated] = [BASE_ALONE] * len(calls)
        alike: dict[tuple[AssetRef, AdapterRef], list[int]] = {}
        for place, call in enumerate(calls):
            if not call.prompt_tokens or not _said(call):
                found[place] = NOTHING_SAID
            elif call.asset_id != call.base_asset_id:
                base, adapter = (
                    AssetRef(call.base_asset_id, call.base),
                    AdapterRef(call.asset_id, call.content),
                )
                alike.setdefault((base, adapter), []).append(place)
        for (base, adapter), places in alike.items():
            outputs = [_example(calls[place]) for place in places]
            for place, one in zip(places, self._of(manifest, base, adapter, outputs), strict=True):
                found[place] = _padded(one, len(calls[place].output_tokens))
        return found

    def _of(
        self, manifest: Manifest, base: AssetRef, adapter: AdapterRef, outputs: Sequence[Example]
    ) -> Sequence[Stated]:
        rows = self.known.get(manifest.cid)
        if rows is None:
            rows = self.known[manifest.cid] = _Rows.of(self.connection, manifest)
        made = self.divide(
            self.connection.settings.cache_dir / "gradients",
            self.base_for(base),
            fetch_adapter(self.connection, adapter),
            rows.versions(),
            outputs,
        )
        if isinstance(made, NoInfluence):
            return [made] * len(outputs)
        trained, divisions = made
        sources = rows.sources_of(trained)
        return [_influence(one, sources) for one in divisions]


def _said(call: ModelCallStep) -> Sequence[int]:
    """The output without the token that ended it: nobody wrote that, and every row taught it, so that where it is the least
    certain one no row would stand out."""
    return call.output_tokens[:-1] if call.finish == "stop" else call.output_tokens


def _example(call: ModelCallStep) -> Example:
    return Example((*call.prompt_tokens, *_said(call)), len(call.prompt_tokens))


def _padded(stated: Stated, tokens: int) -> Stated:
    """Nothing is saved by the token that ended it."""
    if isinstance(stated, NoInfluence):
        return stated
    return Influence((*stated.saved, *(0,) * (tokens - len(stated.saved))), stated.parts)


def _influence(division: Division, sources: Sequence[Source | None]) -> Influence:
    summed: dict[Source, int] = {}
    for source, part in zip(sources, division.parts, strict=True):
        if source is not None and part:
            summed[source] = summed.get(source, 0) + part
    return Influence(division.saved, tuple(sorted(summed.items())))


@dataclass
class _Rows:
    """The rows of a manifest's datanets, and what of an earlier version they are."""

    connection: Connection
    datanets: list[Datanet]
    declared: dict[str, int] = field(default_factory=dict)
    """CID of a version that was looked at → which datanet of the manifest it is an earlier one of."""

    @classmethod
    def of(cls, connection: Connection, manifest: Manifest) -> _Rows:
        return cls(connection, [fetch(connection.store, ref.cid) for ref in manifest.datanets])

    def versions(self) -> Iterator[Datanet]:
        """Every declared datanet, and after all of them what came before each."""
        for number, net in enumerate(self.datanets):
            assert net.cid is not None  # it was fetched
            self.declared.setdefault(net.cid, number)
            yield net
        for number, net in enumerate(self.datanets):
            assert net.cid is not None
            for version in islice(versions(self.connection.store, net.cid), 1, VERSIONS):
                assert version.cid is not None
                self.declared.setdefault(version.cid, number)
                yield version

    @cached_property
    def credited(self) -> list[tuple[str, str, Source]]:
        """For each declared row its datanet, its text, and the row that is credited: itself, or the earlier one that it
        repeats."""
        rows = source_rows(self.datanets)
        made = []
        for row, repeated in zip(rows, repeats([row.text for row in rows]), strict=True):
            first = row if repeated is None else rows[repeated[0]]
            credited = Source(first.accepted, first.datanet, first.row, first.contributor)
            made.append((row.datanet, row.text, credited))
        return made

    def sources_of(self, trained: Datanet) -> list[Source | None]:
        """The row that is credited for each row an adapter was trained on: of those with its text in the same datanet as it
        is declared, the first. None for a row that is no longer declared."""
        assert trained.cid is not None
        mine = self.datanets[self.declared[trained.cid]].cid
        found: dict[str, Source] = {}
        for datanet, text, source in self.credited:
            if datanet == mine:
                found.setdefault(text, source)
        return [found.get(row.text) for row in trained.rows]
