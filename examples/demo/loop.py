"""The demo's actions: agents deployed, called, audited, challenged; each function one scene."""

from __future__ import annotations

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cheat as cheat_module
from cheat import SwappedAdapter
from rich.progress import Progress
from world import NETS, OPEN, World

from openledger import datanets, ray_cluster
from openledger.agents import load_agent
from openledger.openlora import EnginePool, Generator, Replayer, pool_config
from openledger.runtime import Client, Observe, Receipt, Registered, Service, deploy_agent, register_agent
from openledger.settings import Settings
from openledger.staking import Outcome, Report, Verdict, build_evidence, hold_jury, open_challenge, verify

DESK = Path(__file__).resolve().parent.parent / "desk.py"
TARGET = f"{DESK}:desk"
STAKE = 1_000 * OPEN


def start_ray(settings: Settings) -> None:
    """Ray as the settings say, and the cheat's module made known to its workers."""
    from ray import cloudpickle

    cloudpickle.register_pickle_by_value(cheat_module)  # workers cannot import a script's neighbours
    ray_cluster.connect(settings)


def start_pool(world: World) -> EnginePool:
    """The vLLM pool that serves, and in this demo also replays."""
    return EnginePool.start(pool_config(world.connection, world.base, world.trained.base))


def deploy(world: World, pool: EnginePool, owner: str, observe: Observe | None = None) -> Service:
    """Register and start the desk: ``owner`` is ``operator`` or ``cheat``.

    Both declare the same; the cheat's generator serves the sensors adapter for the findings one.
    """
    agent = load_agent(TARGET)
    signer = getattr(world.people, owner)
    registered: Registered = register_agent(
        agent,
        world.connection,
        signer,
        base=world.base.asset_id,
        adapters={alias: ref.asset_id for alias, ref in world.adapters.items()},
        datanet_ids=[ref.asset_id for ref in world.datanets.values()],
        stake=STAKE,
        engine_class=pool.engine_class,
    )
    generator: Generator = pool
    if owner == "cheat":
        generator = SwappedAdapter(
            pool, declared=world.adapters["findings"], served=world.adapters["sensors"]
        )
    more = {} if observe is None else {"observe": observe}
    return deploy_agent(TARGET, registered, world.connection, signer, generator, world.trained.base, **more)


def questions(count: int, seed: int = 1) -> list[dict[str, str]]:
    """What clients ask: one fact of each datanet at a time."""
    draw = random.Random(seed)
    findings, sensors = (datanets.shipped(NETS[alias]).questions() for alias in ("findings", "sensors"))
    return [
        {"finding": a[0], "reading": b[0]}
        for a, b in zip(draw.sample(findings, count), draw.sample(sensors, count), strict=True)
    ]


def call(
    world: World, service: Service, asked: list[dict[str, str]], progress: Progress, what: str
) -> list[Receipt]:
    """Pay for and make every call, ten at a time."""
    client = Client(world.people.client, world.connection.as_(world.people.client))
    task = progress.add_task(what, total=len(asked))
    agent_id, price = service.registered.agent_id, service.operator.agent.price

    def one(value: dict[str, str]) -> Receipt:
        receipt = client.call(service.operator, agent_id, value, price)
        progress.advance(task)
        return receipt

    with ThreadPoolExecutor(10) as threads:
        return list(threads.map(one, asked))


def audit(world: World, receipts: list[Receipt], pool: Replayer, progress: Progress) -> list[Report]:
    """Verify every record from its CID alone, in random order, as an auditor who knows nothing else."""
    task = progress.add_task("auditing", total=len(receipts))
    order = random.Random(7).sample(receipts, len(receipts))
    reports = {}
    for receipt in order:
        reports[receipt.cid] = verify(
            receipt.cid,
            store=world.connection.store,
            ledger=world.connection.ledger,
            replayer=lambda _base: pool,
        )
        progress.advance(task)
    return [reports[receipt.cid] for receipt in receipts]


def gross(reports: list[Report]) -> Report | None:
    """The mismatch to challenge: the one whose single opened leaf is furthest off."""
    wrong = [r for r in reports if r.verdict is Verdict.MISMATCH and r.replay is not None and r.replay.gross]
    return max(wrong, key=lambda r: r.replay.max_delta if r.replay else 0, default=None)


def try_before_jury(
    world: World, cid: str, step: int, token: int, pool: Replayer, say: Callable[[str], None]
) -> Outcome:
    """The whole dispute: bond, evidence, draw, five votes, ruling."""
    auditor = world.connection.as_(world.people.auditor)
    evidence = build_evidence(cid, step, token, store=world.connection.store, ledger=auditor)
    challenge = open_challenge(evidence, auditor)
    say(f"dispute {challenge.id}: evidence of step {step}, token {token} shown, bond paid")
    say(
        "five jurors are drawn by stake; each replays that one step (in this demo on one shared engine) and votes"
    )
    return hold_jury(challenge, world.connection, lambda _base: pool)
