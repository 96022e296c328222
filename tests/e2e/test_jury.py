"""Disputes before juries on a real devnet: bribes, laziness, theft, self-accusation, flight and silence.

No engine: a juror's numbers are fixed by what it is, honest, bribed or lazy. Everything else is real: records in the
content store, batches on the chain, the challenger's and the jurors' own code, the clock moved by the devnet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from openledger.errors import ChainError
from openledger.registry import (
    ActionContent,
    ActionRecord,
    AssetRef,
    Batch,
    BatchEntry,
    Connection,
    Ledger,
    Manifest,
    ModelCallStep,
    Payout,
    ReplayClass,
    Sampling,
    SeedSource,
    SignedRecord,
    Split,
    Status,
    cid_of,
    digest_of,
    steps_tree,
    vote_commitment,
)
from openledger.settings import Settings
from openledger.staking import (
    BatchDispute,
    Challenge,
    Juror,
    build_evidence,
    challenge_batch,
    join_jury,
    open_challenge,
    stake,
    unstake,
)

OPEN = 10**18
FEE = OPEN // 2
SLASH = 80 * FEE
BOND = SLASH // 10
JUROR_FEE = OPEN // 50
JUROR_STAKE = 1000 * OPEN
STAKE = 1000 * OPEN
WRONG, SILENT = OPEN, 2 * OPEN

PROMPT = [11, 12, 13]
TOKENS = [101, 102, 103, 104]
TRUTH = [-1000, -2000, -3000, -4000]
VOCABULARY = 50_000


@dataclass(frozen=True)
class Replays:
    """What a juror's engine gives: for the token at each position, and for any other token."""

    tokens: Sequence[int]
    other: int = -80_000
    vocab_size: int = VOCABULARY
    engine_class: str = "fixed"

    def step(self, prefix: list[int], adapter: Any, token_ids: list[int]) -> list[int]:
        position = len(prefix) - len(PROMPT)
        return [self.tokens[position] if token == TOKENS[position] else self.other for token in token_ids]


HONEST = Replays(TRUTH)


@dataclass
class Court:
    """A chain with jurors on it, and the books of everyone."""

    connection: Connection
    journal: Path
    jurors: dict[str, Any] = field(default_factory=dict)

    def account(self, number: int) -> Ledger:
        assert self.connection.devnet is not None
        return self.connection.as_(self.connection.devnet.accounts[number])

    @property
    def chain(self) -> Any:
        return self.connection.chain

    def juror_stake(self, juror: str) -> int:
        vault = self.connection.contracts.vault.functions
        return int(self.chain.call(vault.jurorStake(juror)))

    def vote(
        self, challenge: Challenge, behaviour: Mapping[str, Replays], silent: Sequence[str] = ()
    ) -> None:
        """Every juror of the present committee votes as it is; the honest are those not named."""
        seated = [
            Juror(
                self.connection.as_(self.jurors[juror]),
                self.connection.store,
                lambda _base, juror=juror: behaviour.get(juror, HONEST),  # type: ignore[misc]
                self.journal,
            )
            for juror in challenge.committee
            if juror not in silent
        ]
        for one in seated:
            one.commit(challenge.id)
        if silent:
            self.pass_until(challenge, "commitBy")
        for one in seated:
            one.reveal(challenge.id)
        if silent:
            self.pass_until(challenge, "revealBy")

    def pass_until(self, challenge: Challenge, deadline: str) -> None:
        dispute = self.chain.call(self.connection.contracts.disputes.functions.dispute(challenge.id))
        self.chain.advance(getattr(dispute, deadline) - self.chain.now() + 1)

    def finish(self, challenge: Challenge) -> str:
        """Nobody appeals."""
        assert challenge.state == "Ruled"
        self.pass_until(challenge, "appealBy")
        return challenge.resolve().state

    def check_books(self) -> None:
        """Everything is decided here: disputes hold nothing, the vault what it owes, OPEN is backed one to one."""
        contracts, call = self.connection.contracts, self.chain.call
        token = contracts.token.functions
        assert call(token.balanceOf(contracts.disputes.address)) == 0
        owed = sum(self.juror_stake(juror) for juror in self.jurors)
        for juror in self.jurors:
            assert call(contracts.vault.functions.jurorOf(juror))[1] == 0
        for agent_id, operator in AGENTS:
            position = call(contracts.vault.functions.positionOf(agent_id, operator))
            assert position.claims == 0
            owed += position.active + position.pending
        assert call(token.balanceOf(contracts.vault.address)) == owed
        backed = self.chain.balance(contracts.token.address)
        assert backed == call(token.totalSupply()) + call(token.burned())


AGENTS: list[tuple[int, str]] = []


@dataclass
class Accused:
    """An agent of the operator that anchored one action; what its record claims differs from the truth."""

    court: Court
    agent_id: int
    operator: Ledger
    epoch: int = 0
    cid: str = ""

    @classmethod
    def open(cls, court: Court) -> Accused:
        operator = court.account(1)
        agents = court.connection.agents
        agent_id = agents.register(operator.signer, "Answerer", "Answers")
        AGENTS.append((agent_id, operator.address))
        stake(operator, agent_id, STAKE)
        manifest = Manifest(
            "Answerer",
            [AssetRef(1, cid_of(b"model"))],
            [],
            [],
            "v1",
            Split(10_000, 0, 0, 0),
            "cpu",
            bytes(32),
        )
        key = court.connection.record_key(agent_id)
        return cls(
            court, agent_id, operator, agents.open_epoch(operator.signer, agent_id, key.address, manifest)
        )

    def act(self, claimed: Sequence[int]) -> str:
        """Anchor one action of four tokens with these logprobs; returns the CID of its record."""
        connection, chain = self.court.connection, self.court.chain
        step = ModelCallStep(
            1, cid_of(b"model"), 1, cid_of(b"model"), PROMPT, TOKENS, list(claimed), Sampling(1.0, 1.0, 0, 4),
            bytes(32), "fixed", "length", "answer",
        )  # fmt: skip
        connection.store.put_blocks(step.encoded.blocks)
        content = ActionContent(
            cid_of(b"manifest"), "1", {"ask": self.agent_id}, {"say": "so"}, None, [step.cid], "v1", {}, None, 0, 1
        )  # fmt: skip
        connection.store.put_blocks(content.encoded.blocks)
        client = self.court.account(2)
        record = ActionRecord(
            self.agent_id, 0, self.epoch, client.address, bytes(32), Status.OK, content.request_hash,
            content.output_hash, steps_tree([step.leaf(0)]).root, bytes(32), FEE, ReplayClass.EXACT_TOLERANCE,
            SeedSource.CLIENT, chain.now() + 3600, digest_of(content.cid),
        )  # fmt: skip
        signed = SignedRecord.make(
            record, connection.record_key(self.agent_id), connection.agents.domain, content.cid
        )
        self.cid = connection.store.put(signed.encode())
        ledger = self.operator
        pay = connection.contracts.token.functions.transfer(ledger.escrow_of(self.agent_id), FEE)
        client.send(pay)
        net = ledger.net(self.agent_id, self.epoch, FEE)
        entry = BatchEntry(record.struct_hash(), self.cid, record.charge)
        batch = Batch(self.agent_id, 0, [entry], [Payout(client.address, net)])
        connection.store.put_blocks(batch.encoded.blocks)
        ledger.anchor(batch, self.epoch)
        return self.cid

    def accuse(self, by: Ledger, token: int) -> Challenge:
        """Open the leaf of a token and draw the committee."""
        evidence = build_evidence(self.cid, 0, token, store=self.court.connection.store, ledger=by)
        challenge = open_challenge(evidence, by)
        challenge.draw()
        return challenge

    @property
    def staked(self) -> int:
        vault = self.court.connection.contracts.vault.functions
        position = self.court.chain.call(vault.positionOf(self.agent_id, self.operator.address))
        return int(position.active + position.pending)


@pytest.fixture(scope="module")
def court(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Court]:
    with Connection.open(Settings(home=tmp_path_factory.mktemp("court"))) as connection:
        assert connection.devnet is not None
        court = Court(connection, tmp_path_factory.mktemp("votes"))
        for number in range(1, 20):
            court.account(number).wrap(20_000 * OPEN)
        for account in connection.devnet.accounts[6:]:
            join_jury(connection.as_(account), JUROR_STAKE)
            court.jurors[str(account.address)] = account
        AGENTS.clear()
        yield court


@pytest.fixture
def accused(court: Court) -> Iterator[Accused]:
    yield Accused.open(court)
    court.check_books()


def lied(position: int) -> list[int]:
    """Claims that are the truth but for one token, which is grossly off."""
    return [value - 40_000 * (i == position) for i, value in enumerate(TRUTH)]


def test_an_honest_majority_wins_after_an_appeal_against_a_bribed_first_round(
    court: Court, accused: Accused
) -> None:
    claimed = lied(2)
    accused.act(claimed)
    auditor, appellant = court.account(3), court.account(4)
    before = {who: who.balance(who.address) for who in (auditor, appellant)}
    challenge = accused.accuse(auditor, 2)
    first = challenge.committee
    stakes = {juror: court.juror_stake(juror) for juror in court.jurors}
    # three of five say what the record says, and lie about the probe too, to make the others lose
    bribed = {juror: Replays(claimed, other=-20_000) for juror in first[:3]}
    court.vote(challenge, bribed)
    assert challenge.resolve().state == "Ruled"
    bond = Challenge(appellant, challenge.id).appeal()
    assert bond == 11 * JUROR_FEE + BOND

    challenge.draw()
    second = challenge.committee
    assert len(second) == 11
    court.vote(challenge, bribed)
    assert challenge.resolve().state == "Ruled"
    assert court.finish(challenge) == "Convicted"
    outcome = challenge.outcome()
    assert outcome.slashed == SLASH
    assert accused.staked == STAKE - SLASH
    assert outcome.to_client == FEE
    assert outcome.to_jury == 16 * JUROR_FEE
    assert auditor.balance(auditor.address) - before[auditor] == outcome.to_challenger == SLASH * 3 // 10
    assert appellant.balance(appellant.address) == before[appellant]
    for juror in court.jurors:
        sat = (juror in first) + (juror in second)
        assert stakes[juror] - court.juror_stake(juror) == (WRONG * sat if juror in bribed else 0)


def test_a_juror_who_copies_the_records_logprob_fails_the_probe(court: Court, accused: Accused) -> None:
    accused.act(TRUTH)
    auditor = court.account(3)
    before = auditor.balance(auditor.address)
    operator = accused.operator.balance(accused.operator.address)
    challenge = accused.accuse(auditor, 1)
    lazy, diligent = challenge.committee[:2]
    purses = {juror: accused.operator.balance(juror) for juror in (lazy, diligent)}
    stakes = {juror: court.juror_stake(juror) for juror in (lazy, diligent)}
    court.vote(challenge, {lazy: Replays(TRUTH, other=-30_000)})
    challenge.resolve()
    assert court.finish(challenge) == "Acquitted"
    assert court.juror_stake(lazy) == stakes[lazy] - WRONG
    assert court.juror_stake(diligent) == stakes[diligent]
    assert accused.operator.balance(lazy) == purses[lazy]
    assert accused.operator.balance(diligent) == purses[diligent] + JUROR_FEE
    # the accuser pays the four, the operator has the rest
    assert auditor.balance(auditor.address) == before - BOND
    assert accused.operator.balance(accused.operator.address) == operator + BOND - 4 * JUROR_FEE
    assert accused.staked == STAKE


def test_a_copied_commitment_cannot_be_revealed(court: Court, accused: Accused) -> None:
    accused.act(TRUTH)
    challenge = accused.accuse(court.account(3), 0)
    disputes = court.connection.contracts.disputes
    thief, *others = challenge.committee
    victim = Juror(
        court.connection.as_(court.jurors[others[0]]),
        court.connection.store,
        lambda _b: HONEST,
        court.journal,
    )
    made = victim.commit(challenge.id)
    copied = court.chain.call(disputes.functions.voteOf(challenge.id, 0, others[0])).commitment
    ledger = court.connection.as_(court.jurors[thief])
    ledger.send(disputes.functions.commitVote(challenge.id, copied))
    stake_before = court.juror_stake(thief)
    for juror in others[1:]:
        Juror(
            court.connection.as_(court.jurors[juror]),
            court.connection.store,
            lambda _b: HONEST,
            court.journal,
        ).act(challenge.id)
    for juror in others:
        Juror(
            court.connection.as_(court.jurors[juror]),
            court.connection.store,
            lambda _b: HONEST,
            court.journal,
        ).reveal(challenge.id)
    # the victim's numbers are public now, its salt is in its reveal
    salt = court.connection.as_(court.jurors[others[0]]).secret("vote", bytes(32), challenge.id, 0)
    numbers = (list(made.token_logprobs), made.probe_logprob, salt)
    chain_id = court.chain.chain_id
    assert copied == vote_commitment(chain_id, disputes.address, challenge.id, 0, others[0], *numbers)
    with pytest.raises(ChainError, match="VoteMismatch"):
        ledger.send(disputes.functions.revealVote(challenge.id, *numbers))
    with pytest.raises(ChainError, match="AlreadyVoted"):
        ledger.send(disputes.functions.commitVote(challenge.id, b"\x01" * 32))
    court.pass_until(challenge, "revealBy")
    challenge.resolve()
    assert court.finish(challenge) == "Acquitted"
    assert court.juror_stake(thief) == stake_before - SILENT


def test_an_accused_that_accuses_itself_ends_poorer_and_stays_convictable(
    court: Court, accused: Accused
) -> None:
    accused.act(lied(3))
    friend, auditor = court.account(5), court.account(3)

    def ours() -> int:
        operator = accused.operator
        return operator.balance(operator.address) + friend.balance(friend.address) + accused.staked

    before = ours()
    innocent = accused.accuse(friend, 0)
    court.vote(innocent, {})
    innocent.resolve()
    assert court.finish(innocent) == "Acquitted"
    assert ours() == before - 5 * JUROR_FEE
    guilty = accused.accuse(auditor, 3)
    court.vote(guilty, {})
    guilty.resolve()
    assert court.finish(guilty) == "Convicted"
    assert ours() == before - 5 * JUROR_FEE - SLASH


def test_an_accused_that_wins_as_its_own_accuser_still_loses(court: Court, accused: Accused) -> None:
    accused.act(lied(3))
    operator = accused.operator
    before = operator.balance(operator.address) + accused.staked
    challenge = accused.accuse(operator, 3)
    court.vote(challenge, {})
    challenge.resolve()
    assert court.finish(challenge) == "Convicted"
    # half is burned, the client and the jury have their parts
    assert operator.balance(operator.address) + accused.staked == before - SLASH * 7 // 10


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_withdrawal_asked_for_before_or_after_the_fault_is_still_slashed(
    court: Court, accused: Accused, when: str
) -> None:
    leave: Callable[[int], int] = lambda amount: unstake(accused.operator, accused.agent_id, amount)  # noqa: E731
    if when == "before":
        # what stays covers the fee, what leaves is most of the stake
        leave(STAKE - 4 * FEE)
    accused.act(lied(1))
    if when == "after":
        leave(STAKE)
    challenge = accused.accuse(court.account(3), 1)
    court.vote(challenge, {})
    challenge.resolve()
    assert court.finish(challenge) == "Convicted"
    assert accused.staked == STAKE - SLASH
    court.chain.advance(15 * 86400)
    vault = court.connection.contracts.vault.functions
    before = accused.operator.balance(accused.operator.address)
    accused.operator.send(vault.withdraw(accused.agent_id))
    left = 0 if when == "after" else max(0, 4 * FEE - SLASH)
    assert accused.operator.balance(accused.operator.address) - before == STAKE - SLASH - left


def test_no_quorum_voids_without_loss_to_the_honest(court: Court, accused: Accused) -> None:
    accused.act(TRUTH)
    auditor = court.account(3)
    before = auditor.balance(auditor.address)
    challenge = accused.accuse(auditor, 2)
    for state in ("Open", "Voided"):
        honest, silent = challenge.committee[0], challenge.committee[1:]
        purse = auditor.balance(honest)
        stakes = {juror: court.juror_stake(juror) for juror in challenge.committee}
        court.vote(challenge, {}, silent=silent)
        assert challenge.resolve().state == state
        assert auditor.balance(honest) == purse + JUROR_FEE
        assert court.juror_stake(honest) == stakes[honest]
        assert all(court.juror_stake(juror) == stakes[juror] - SILENT for juror in silent)
        if state == "Open":
            challenge.draw()
    assert auditor.balance(auditor.address) == before
    assert accused.staked == STAKE


@pytest.mark.parametrize("drift", [0, 300])
def test_small_deviations_show_over_leaves_drawn_across_a_batch(
    court: Court, accused: Accused, drift: int
) -> None:
    # far below what convicts a single leaf
    accused.act([value - drift for value in TRUTH])
    auditor = court.account(3)
    header = auditor.batch_of(accused.agent_id, 0)
    assert header is not None
    dispute = challenge_batch(header, auditor)
    assert dispute.draw_leaves() == "Opening"
    operator = BatchDispute(accused.operator, dispute.id)
    assert operator.open_leaves(operator.header(), court.connection.store) == 64
    assert dispute.close_leaves() == "Open"
    dispute.draw()
    court.vote(dispute, {})
    dispute.resolve()
    assert court.finish(dispute) == ("Convicted" if drift else "Acquitted")
    assert accused.staked == STAKE - (SLASH if drift else 0)
