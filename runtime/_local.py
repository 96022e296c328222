"""Run an agent on this machine, without a chain: the same graph, the same trace, the same kind of record."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import datanets, modelfactory
from ..agents import Agent, HFCodec, Models, Outcome
from ..attribution import RULE_ID, RULE_V1, ModelUse, Receipt, SpanIndex
from ..errors import UserError
from ..openlora import AdapterRef, AdapterStore, Engine, LocalRegistry
from ..registry import (
    ActionContent,
    ActionRecord,
    AssetRef,
    ContentStore,
    Domain,
    Manifest,
    ModelCallStep,
    ReplayClass,
    SeedSource,
    SignedRecord,
    action_fee,
    digest_of,
    open_store,
    steps_tree,
    value_hash,
)
from ..settings import Settings, get_settings
from ._attribute import SpanAttributor, explain_action
from ._operator import Attributor, Credit, Job
from ._requests import request_of
from ._worker import LocalRunner

__all__ = ["LOCAL_DOMAIN", "LocalRun", "run"]

LOCAL_DOMAIN = Domain(0, "0x" + "0" * 40)
"""The signing domain of local runs: chain 0, which no chain has, so their records bind nobody."""

_NOBODY = "0x" + "0" * 40
_BASE_ID = 1


@dataclass(frozen=True)
class LocalRun:
    """What a local run gave: the answer, the record's CID, its steps, and who would have been paid."""

    output: Any
    cid: str
    signed: SignedRecord
    outcome: Outcome
    explanation: Receipt | None


@dataclass(frozen=True)
class _Nobody:
    """Attribution of an agent that declares no datanets: all of it unattributed."""

    rule: str = RULE_V1

    @property
    def rule_id(self) -> bytes:
        return RULE_ID

    def credit(self, outcome: Outcome, fee: int, epoch: int) -> Credit:
        return Credit((), None)


def run(
    agent: Agent,
    value: Any,
    *,
    settings: Settings | None = None,
    progress: Callable[[str], modelfactory.Progress] | None = None,
) -> LocalRun:
    """Execute ``agent`` on ``value`` here and record it in the local content store.

    Adapters and datanets named after shipped datanets are trained or loaded from the cache; a path is taken as
    a PEFT directory or a JSON-lines file. The record has ``agentId`` 0, no payment and an operator's seed, so
    it is never called verified. ``progress`` makes a bar for a named training.

    Raises ``UserError`` for an adapter or datanet that exists only on a chain. What the graph does wrong is no
    error here: it is in ``outcome``.
    """
    settings = settings or get_settings()
    store = open_store(settings)
    with _Bench(agent, settings, store, progress) as bench:
        request = request_of(0, value)
        signature = os.urandom(65)
        job = Job(value, signature, value_hash(request), thread=signature[:8].hex())
        outcome = LocalRunner(agent, bench.models).run(job)
        manifest = Manifest(
            agent=agent.name,
            models=bench.base_refs,
            adapters=bench.adapter_refs,
            datanets=(),
            rule=bench.attributor.rule,
            split=agent.split,
            engine_class=bench.engine_class,
            graph_digest=bytes(32),
            tariff=agent.tariff,
        )
        credit = bench.attributor.credit(outcome, action_fee(manifest, outcome.steps, agent.price), 0)
        store.put_blocks(manifest.encoded.blocks)
        for step in outcome.steps:
            store.put_blocks(step.encoded.blocks)
        content = ActionContent(
            manifest=manifest.cid,
            agent=agent.name,
            request=request,
            output=outcome.output,
            payment=None,
            steps=[step.cid for step in outcome.steps],
            rule=bench.attributor.rule,
            scores=credit.scores,
            parent=None,
            started=outcome.started,
            ended=outcome.ended,
        )
        store.put_blocks(content.encoded.blocks)
        record = ActionRecord(
            agent_id=0,
            nonce=0,
            epoch=0,
            client=_NOBODY,
            payment_id=bytes(32),
            status=outcome.status,
            request_hash=content.request_hash,
            output_hash=content.output_hash,
            steps_root=steps_tree([step.leaf(i) for i, step in enumerate(outcome.steps)]).root,
            rule_id=bench.attributor.rule_id,
            fee=0,
            replay_class=ReplayClass.EXACT_TOLERANCE,
            seed_source=SeedSource.OPERATOR,
            anchor_by=0,
            content_digest=digest_of(content.cid),
        )
        signed = SignedRecord.make(record, _local_key(settings.home_dir), LOCAL_DOMAIN, content.cid)
        cid = store.put(signed.encode())
        explanation = explain_action(bench.index, content, outcome.steps) if bench.index else None
    return LocalRun(outcome.output, cid, signed, outcome, explanation)


class _Bench:
    """The models and the attribution of one local run."""

    def __init__(
        self,
        agent: Agent,
        settings: Settings,
        store: ContentStore,
        progress: Callable[[str], modelfactory.Progress] | None,
    ) -> None:
        self.engine: Engine | None = None
        self.models = Models()
        self.index: SpanIndex | None = None
        self.base_refs: list[AssetRef] = []
        self.adapter_refs: list[AssetRef] = []
        self.engine_class = "none"
        self.attributor: Attributor = _Nobody()
        if not agent.adapters:
            return
        cache = settings.cache_dir
        bar: Callable[[str], modelfactory.Progress | None] = progress or _no_bar
        base = Path(settings.base_model or modelfactory.ensure_base(cache, bar("training the base model")))
        base_ref = AssetRef(
            _BASE_ID, store.add_path(base) if base.is_dir() else store.put(str(base).encode(), "raw")
        )
        adapters: dict[str, AdapterRef] = {}
        for number, (alias, spec) in enumerate(sorted(agent.adapters.items()), _BASE_ID + 1):
            path = _adapter_path(spec, cache, base, bar(f"training the {alias} adapter"))
            adapters[alias] = AdapterRef(number, store.add_path(path))
        source = AdapterStore(store, LocalRegistry(tuple(adapters.values()), base_ref), cache / "adapters")
        self.engine = Engine(str(base), base_asset=base_ref, adapters=source, engine=settings.engine)
        self.engine_class = self.engine.engine_class
        self.models = Models(self.engine, HFCodec(str(base)), adapters)
        self.base_refs = [base_ref]
        self.adapter_refs = list(adapters.values())
        if agent.datanets:
            self.index = _index(agent, base, cache)
            self.attributor = SpanAttributor(
                self.index,
                agent.split,
                _own_models,
                treasury="treasury",
                operator="you",
            )

    def __enter__(self) -> _Bench:
        return self

    def __exit__(self, *_: object) -> None:
        if self.engine is not None:
            self.engine.close()


def _no_bar(_: str) -> None:
    return None


def _own_models(steps: Sequence[ModelCallStep]) -> list[ModelUse]:
    return [ModelUse(step.asset_id, "model owner", len(step.output_tokens)) for step in steps]


def _adapter_path(spec: int | str, cache: Path, base: Path, bar: modelfactory.Progress | None) -> Path:
    if isinstance(spec, str) and spec in datanets.shipped_names():
        return modelfactory.ensure_adapter(cache, base, datanets.shipped(spec), progress=bar)
    if isinstance(spec, str) and Path(spec).is_dir():
        return Path(spec)
    raise UserError(
        f"adapter {spec!r} cannot be had without a chain",
        why="it is neither a shipped datanet nor a directory",
        fix=f"name a PEFT directory or one of {', '.join(datanets.shipped_names())}, or deploy the agent",
    )


def _index(agent: Agent, base: Path, cache: Path) -> SpanIndex:
    nets = []
    for spec in agent.datanets:
        if isinstance(spec, str) and spec in datanets.shipped_names():
            nets.append(datanets.shipped(spec))
        elif isinstance(spec, str) and Path(spec).is_file():
            nets.append(datanets.load(spec))
        else:
            raise UserError(
                f"datanet {spec!r} cannot be had without a chain",
                fix=f"name a JSON-lines file or one of {', '.join(datanets.shipped_names())}",
            )
    return SpanIndex.build(datanets.source_rows(nets), base, cache / "spans")


def _local_key(home: Path) -> Any:
    from eth_account import Account

    path = home / "keys" / "local.json"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_text(json.dumps({"private_key": "0x" + bytes(Account.create().key).hex()}))
    return Account.from_key(json.loads(path.read_text())["private_key"])
