"""Agents that answer with a real engine and anchor what they did, honest or not; built by hand, for a worker stack would
take minutes for two hundred actions. Payments are signed by the client, records by the record key, all as in service."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from world import OPEN, World

from openledger.attribution import RULE_V1
from openledger.openlora import AdapterRef, EnginePool, Generation, GenerationRequest, Sampling
from openledger.registry import (
    ActionContent,
    ActionRecord,
    Batch,
    BatchEntry,
    Ledger,
    Manifest,
    ModelCallStep,
    Payout,
    ReplayClass,
    SeedSource,
    SignedRecord,
    Split,
    Status,
    digest_of,
    step_seed,
    steps_tree,
)
from openledger.registry import Sampling as Drawn
from openledger.runtime import Client, PaidRequest
from openledger.staking import stake

FEE = OPEN // 10
SLASH = 80 * FEE
STAKE = 100 * OPEN

Serve = Callable[[EnginePool, GenerationRequest], Generation]
"""How an answer is made, honestly or not; it is recorded as if the request had been followed."""


def with_adapter(other: AdapterRef) -> Serve:
    """Generated with another adapter, or another version of it, than claimed."""

    def serve(pool: EnginePool, request: GenerationRequest) -> Generation:
        return replace(pool.generate(replace(request, adapter=other)), adapter=request.adapter)

    return serve


def with_an_edited_token(pool: EnginePool, request: GenerationRequest) -> Generation:
    """One token of the output is another; the logprobs are as reported."""
    made = pool.generate(request)
    tokens = list(made.tokens)
    at = len(tokens) // 2
    tokens[at] = next(t for t in range(100, 200) if t != tokens[at] and t not in pool.stop_token_ids)
    return replace(made, tokens=tuple(tokens))


def two_versions(world: World, folder: Path) -> tuple[AdapterRef, AdapterRef]:
    """An adapter's older and newer version: the findings adapter in the middle of its training, and near its end."""
    cids = [_weakened(world, folder / str(share), share) for share in (0.5, 0.95)]
    owner, parents = world.people.model_maker, [world.base.asset_id, world.datanets["findings"].asset_id]
    asset_id = world.connection.assets.register_adapter(owner, cids[0], parents=parents, licence="Apache-2.0")
    world.connection.assets.add_version(owner, asset_id, cids[1])
    return AdapterRef(asset_id, cids[0]), AdapterRef(asset_id, cids[1])


def _weakened(world: World, folder: Path, share: float) -> str:
    from safetensors.numpy import load_file, save_file

    shutil.copytree(world.trained.adapters["findings"], folder)
    path = folder / "adapter_model.safetensors"
    weights = load_file(path)
    save_file({name: w * (share if "lora_B" in name else 1) for name, w in weights.items()}, path)
    return world.connection.store.add_path(folder)


@dataclass
class Desk:
    """One agent with stake and an epoch under one adapter."""

    world: World
    pool: EnginePool
    operator: Ledger
    agent_id: int
    manifest: Manifest
    epoch: int
    adapter: AdapterRef

    @classmethod
    def open(cls, world: World, pool: EnginePool, owner: Any, adapter: AdapterRef) -> Desk:
        connection, operator = world.connection, world.connection.as_(owner)
        agent_id = connection.agents.register(owner, "Desk", "Answers")
        stake(operator, agent_id, STAKE)
        split = Split(10_000, 0, 0, 0)
        manifest = Manifest("Desk", [world.base], [adapter], [], RULE_V1, split, pool.engine_class, bytes(32))
        key = connection.record_key(agent_id)
        epoch = connection.agents.open_epoch(owner, agent_id, key.address, manifest)
        return cls(world, pool, operator, agent_id, manifest, epoch, adapter)

    def answer(self, questions: Sequence[str], serve: Mapping[int, Serve], fee: int = FEE) -> list[str]:
        """Answer in one batch, the n-th question as ``serve`` says for n, else honestly; returns the records' CIDs."""
        connection, ledger = self.world.connection, self.operator
        client = Client(self.world.people.client, connection.as_(self.world.people.client))
        first = ledger.next_nonce(self.agent_id)
        asked = [client.prepare(self.agent_id, question, fee) for question in questions]
        requests = [self._request(paid, number) for number, paid in enumerate(asked)]
        made = self.pool.generate_many(requests)
        for number, lie in serve.items():
            made[number] = lie(self.pool, requests[number])
        entries = [
            self._record(first + number, paid, one)
            for number, (paid, one) in enumerate(zip(asked, made, strict=True))
        ]
        # what the authorizations say, in one transfer
        payer, escrow = connection.as_(self.world.people.client), ledger.payments.escrow_of(self.agent_id)
        payer.send(connection.contracts.token.functions.transfer(escrow, fee * len(entries)))
        net = ledger.settlement.net(self.agent_id, self.epoch, fee * len(entries))
        batch = Batch(self.agent_id, first, entries, [Payout(ledger.address, net)])
        connection.store.put_blocks(batch.encoded.blocks)
        ledger.anchor(batch, self.epoch)
        return [entry.envelope for entry in entries]

    def _request(self, paid: PaidRequest, number: int) -> GenerationRequest:
        """Half of the answers are sampled, half are the most likely ones."""
        prompt = self.pool.tokenizer.encode(paid.request["input"])
        seed = step_seed(paid.payment.signature, paid.request_hash, 0)
        return GenerationRequest(
            tuple(prompt), self.adapter, Sampling(float(number % 2), max_tokens=12), seed
        )

    def _record(self, nonce: int, paid: PaidRequest, made: Generation) -> BatchEntry:
        """Store one action and sign its record."""
        connection, base, adapter = self.world.connection, self.world.base, self.adapter
        step = ModelCallStep(
            adapter.asset_id, adapter.cid, base.asset_id, base.cid, made.prompt, made.tokens, made.logprobs,
            Drawn(made.sampling.temperature, 1.0, 0, made.sampling.max_tokens), made.seed, made.engine_class,
            {1: "stop", 2: "length"}[made.finish], "answer",
        )  # fmt: skip
        answer = self.pool.tokenizer.decode(list(made.tokens))
        content = ActionContent(
            self.manifest.cid, "Desk", paid.request, answer, paid.payment, [step.cid], RULE_V1, {}, None, 0, 1
        )
        record = ActionRecord(
            self.agent_id, nonce, self.epoch, paid.payment.client, paid.payment_id, Status.OK, content.request_hash,
            content.output_hash, steps_tree([step.leaf(0)]).root, bytes(32), paid.payment.value,
            ReplayClass.EXACT_TOLERANCE, SeedSource.CLIENT, self.operator.now() + 3600, digest_of(content.cid),
        )  # fmt: skip
        key = connection.record_key(self.agent_id)
        signed = SignedRecord.make(record, key, connection.agents.domain, content.cid)
        connection.store.put_blocks({**step.encoded.blocks, **content.encoded.blocks})
        return BatchEntry(record.struct_hash(), connection.store.put(signed.encode()), record.charge)

    @property
    def staked(self) -> int:
        vault = self.operator.contracts.vault.functions
        held = self.operator.call(vault.positionOf(self.agent_id, self.operator.address))
        return int(held.active + held.pending)
