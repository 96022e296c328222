"""What the demo shows, scene by scene, and the books at the end."""

from __future__ import annotations

import time
from dataclasses import dataclass

import loop
from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from world import OPEN, People, Trained, World, bars, fund, publish, train

from openledger import datanets, modelfactory
from openledger.registry import Connection
from openledger.runtime import Receipt, Service, explain_action
from openledger.settings import get_settings
from openledger.staking import Outcome, Report, Verdict, fetch_action

ACTIONS = 10
console = Console(highlight=False)


def tell(started: float) -> int:
    """The whole demo; returns the exit code: 0 only if the honest were verified and paid, the cheat slashed."""
    settings = get_settings()
    scene("1  Train, once: a small base model and one LoRA adapter per datanet")
    trained = train(settings.cache_dir)
    show_learning(trained)
    with Connection.open(settings) as connection:
        assert connection.devnet is not None, "the demo runs on the embedded devnet: unset OPENLEDGER_RPC_URL"
        scene("2  Publish and register: datanets, base, adapters, two agents with stake")
        people = People.of(connection.devnet, str(connection.contracts.treasury.address))
        fund(connection, people)
        books = Books.open(connection, people)
        world = publish(connection, people, trained)
        loop.start_ray(settings)
        with console.status("starting Ray and the vLLM pool"):
            pool = loop.start_pool(world)
            honest = loop.deploy(world, pool, "operator")
            cheat = loop.deploy(world, pool, "cheat")
        show_registered(world, pool.engine_class, honest, cheat)

        scene(f"3  {ACTIONS} paid actions each: pay, run the graph on Ray, record, sign")
        asked = loop.questions(ACTIONS)
        with bars() as progress:
            good = loop.call(world, honest, asked, progress, "the honest desk")
            bad = loop.call(world, cheat, asked, progress, "the cheating desk")
        show_answers(asked, good, bad)

        scene("4  Anchor: one transaction a batch; the challenge window opens")
        for service in (honest, cheat):
            for header in service.batcher.anchor():
                console.print(
                    f"  agent {header.agent_id}: nonces {header.first_nonce}-{header.first_nonce + header.count - 1}, "
                    f"{header.sum / OPEN:g} OPEN in fees, root {header.record_root.hex()[:16]}…"
                )

        scene("5  Audit: every record verified from its CID alone, each token replayed")
        with bars() as progress:
            reports = loop.audit(world, [*good, *bad], pool, progress)
        show_audit(reports[:ACTIONS], reports[ACTIONS:])
        found = loop.gross(reports)
        if found is None or found.step is None or found.replay is None or found.replay.evidence is None:
            console.print("[red]the cheat was not found[/]")
            return 1

        scene("6  Challenge: evidence, a drawn jury, a ruling")
        outcome = loop.try_before_jury(
            world,
            found.cid,
            found.step,
            found.replay.evidence,
            pool,
            lambda text: console.print(f"  {text}"),
        )
        show_outcome(outcome)

        scene("7  Settle: the window passes (the devnet's clock is moved), everyone is paid")
        connection.chain.advance(connection.ledger.parameter("challengeWindow") + 1)
        for service in (honest, cheat):
            service.batcher.settle()
        show_payouts(world, people, honest, good)
        balanced = books.close(connection, people)

        scene("8  Left open for you")
        with bars() as progress:
            one = loop.questions(1, seed=99)
            fresh = loop.call(world, honest, one, progress, "one more, honest")
            faked = loop.call(world, cheat, one, progress, "one more, cheating")
        for service in (honest, cheat):
            service.batcher.anchor()
            service.close()
        pool.close()
        verified = all(r.verdict is Verdict.VERIFIED for r in reports[:ACTIONS])
        caught = all(r.verdict is Verdict.MISMATCH for r in reports[ACTIONS:])
        summary(verified, caught, outcome, balanced, time.perf_counter() - started, fresh[0], faked[0])
    return 0 if verified and caught and outcome.convicted and balanced else 1


def scene(title: str) -> None:
    console.print()
    console.rule(f"[bold]{title}", align="left")


def show_learning(trained: Trained) -> None:
    table = Table(
        "adapter", "questions", "before", "after", title="Exact answers (facts are memorised, no more)"
    )
    for alias, path in trained.adapters.items():
        net = datanets.shipped(loop.NETS[alias])
        for kind, asked in (("seen", net.questions()), ("paraphrased", net.paraphrases())):
            before = modelfactory.evaluate(trained.base, None, asked)
            after = modelfactory.evaluate(trained.base, path, asked)
            table.add_row(alias, kind, f"{before.exact:.0%}", f"{after.exact:.0%} of {after.total}")
    console.print(table)


def show_registered(world: World, engine: str, honest: Service, cheat: Service) -> None:
    table = Table(
        "asset", "id", "CID", title=f"Registered on chain {world.connection.chain.chain_id}; engine {engine}"
    )
    table.add_row("base model", str(world.base.asset_id), world.base.cid)
    for kind, refs in (("datanet", world.datanets), ("adapter", world.adapters)):
        for alias, ref in refs.items():
            table.add_row(f"{kind} {alias}", str(ref.asset_id), ref.cid)
    for what, service in (("honest desk", honest), ("cheating desk", cheat)):
        table.add_row(f"agent: {what}", str(service.registered.agent_id), service.registered.manifest.cid)
    console.print(table)


def show_answers(asked: list[dict[str, str]], good: list[Receipt], bad: list[Receipt]) -> None:
    table = Table(
        "asked", "the honest desk answered", "the cheating desk answered", title="Two of the answers"
    )
    for question, honest, cheat in list(zip(asked, good, bad, strict=True))[:2]:
        table.add_row(f"{question['finding']}\n{question['reading']}", honest.output, cheat.output)
    console.print(table)


def show_audit(good: list[Report], bad: list[Report]) -> None:
    table = Table("agent", "verified", "mismatch", "unverified", "tokens replayed", "for example")
    for name, reports in (("honest", good), ("cheating", bad)):
        counts = [sum(r.verdict is verdict for r in reports) for verdict in Verdict]
        tokens = sum(r.tokens_replayed for r in reports)
        table.add_row(name, *map(str, counts), str(tokens), reports[0].summary.split(":")[0])
    console.print(table)


def show_outcome(outcome: Outcome) -> None:
    table = Table(
        "ruling", "slashed", "burned", "to the challenger", "to the client", "to the jury", title="OPEN"
    )
    amounts = (outcome.slashed, outcome.burned, outcome.to_challenger, outcome.to_client, outcome.to_jury)
    table.add_row(outcome.state, *(f"{amount / OPEN:g}" for amount in amounts))
    console.print(table)


def show_payouts(world: World, people: People, service: Service, receipts: list[Receipt]) -> None:
    names = people.named()
    table = Table(
        "the agent said",
        "row",
        "contributor",
        "earned (OPEN)",
        title="Why contributors were paid: one answer",
    )
    action = fetch_action(receipts[0].cid, world.connection.store)
    receipt = explain_action(service.attributor.index, action.content, action.steps)
    assert receipt is not None
    for line in receipt.lines:
        table.add_row(
            f"“{line.text}”", line.source.row, names.get(line.account, line.account), f"{line.wei / OPEN:.6f}"
        )
    for other in receipt.others:
        table.add_row("", other.reason, names.get(other.account, other.account), f"{other.amount / OPEN:.6f}")
    console.print(table)


@dataclass
class Books:
    """Every account's OPEN at the start, to be compared with the end."""

    before: dict[str, int]
    burned: int

    @classmethod
    def open(cls, connection: Connection, people: People) -> Books:
        return cls(_balances(connection, people), _burned(connection))

    def close(self, connection: Connection, people: People) -> bool:
        """Print what changed; whether every wei is accounted for."""
        after, burned = _balances(connection, people), _burned(connection) - self.burned
        table = Table("account", "before", "after", "change", title="The books (OPEN)")
        for name, amount in after.items():
            was = self.before.get(name, 0)
            if amount != was:
                table.add_row(
                    name, f"{was / OPEN:,.4f}", f"{amount / OPEN:,.4f}", f"{(amount - was) / OPEN:+,.4f}"
                )
        change = sum(after.values()) - sum(self.before.values())
        table.add_section()
        table.add_row("burned", "", "", f"{burned / OPEN:+,.4f}")
        table.add_row("sum of changes and burned", "", "", f"{(change + burned) / OPEN:+,.4f}")
        console.print(table)
        return change + burned == 0


def _balances(connection: Connection, people: People) -> dict[str, int]:
    ledger, contracts = connection.ledger, connection.contracts
    held = {name: ledger.balance(address) for address, name in people.named().items()}
    places = {
        "stake vault": contracts.vault,
        "delegations": contracts.delegations,
        "reward pool": contracts.pool,
        "disputes": contracts.disputes,
    }
    held |= {name: ledger.balance(str(contract.address)) for name, contract in places.items()}
    agents = [int(event["agentId"]) for event in ledger.events(contracts.agents.events.Registered)]
    held["escrows"] = sum(ledger.balance(ledger.payments.escrow_of(agent_id)) for agent_id in agents)
    return held


def _burned(connection: Connection) -> int:
    return int(connection.chain.call(connection.contracts.token.functions.burned()))


def summary(
    verified: bool,
    caught: bool,
    outcome: Outcome,
    balanced: bool,
    seconds: float,
    fresh: Receipt,
    faked: Receipt,
) -> None:
    lines = [
        _line(
            verified,
            f"{ACTIONS} of {ACTIONS} honest actions verified: signature, anchor, manifest, seed, every token",
        ),
        _line(caught, f"{ACTIONS} of {ACTIONS} swapped-adapter actions caught by replay"),
        _line(
            outcome.convicted,
            f"the cheat lost {outcome.slashed / OPEN:g} OPEN of stake; the client was made whole",
        ),
        _line(balanced, "every wei accounted for"),
        f"  {seconds:.0f} s",
    ]
    console.print(Panel("\n".join(lines), title="OpenLedger", expand=False))
    console.print("Try next (the devnet starts again by itself):")
    for command, note in {
        f"verify {fresh.cid}": "",
        f"verify {faked.cid}": "",
        f"attribution show {fresh.cid}": "",
        f"challenge {faked.cid}": "",
        f"challenge {fresh.cid} --anyway": "  # an honest record: you lose the bond",
        "run examples/desk.py:desk 'How was Brindlow Vault fixed?'": "",
    }.items():
        console.print(f"  .venv/bin/openledger {command}{note}", soft_wrap=True)


def _line(good: bool, text: str) -> str:
    return f"[green]✓[/] {text}" if good else f"[red]✗ not so:[/] {text}"
