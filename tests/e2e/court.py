"""A chain with jurors on it, agents that they judge, and the books of everyone.

No engine: a juror's numbers are fixed by what it is, honest, bribed or lazy. Everything else is real: records in the
content store, batches on the chain, the challenger's and the jurors' own code, the clock moved by the devnet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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
    Step,
    cid_of,
    digest_of,
    keccak,
    steps_tree,
)
from openledger.staking import (
    BatchDispute,
    Challenge,
    Juror,
    build_evidence,
    join_jury,
    open_challenge,
    stake,
)

OPEN = 10**18
FEE = OPEN // 2
SLASH = 80 * FEE
BOND = SLASH // 10
JUROR_FEE = OPEN // 50
JUROR_STAKE = 1000 * OPEN
STAKE = 1000 * OPEN
WRONG, SILENT = OPEN, 2 * OPEN

MODEL = cid_of(b"model")
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
    model: AssetRef
    """What the accused call."""
    jurors: dict[str, Any] = field(default_factory=dict)
    agents: list[tuple[int, str]] = field(default_factory=list)
    """Every accused, and its operator."""

    @classmethod
    def open(cls, connection: Connection, journal: Path, model: str = MODEL) -> Court:
        """Everybody has OPEN, accounts 6 to 19 are jurors, and the model with this CID is registered."""
        assert connection.devnet is not None
        owner = connection.devnet.accounts[1]
        court = cls(connection, journal, AssetRef(connection.assets.register_model(owner, model), model))
        for number in range(1, 20):
            court.account(number).wrap(20_000 * OPEN)
        for account in connection.devnet.accounts[6:]:
            join_jury(connection.as_(account), JUROR_STAKE)
            court.jurors[str(account.address)] = account
        return court

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

    @property
    def audit_fund(self) -> int:
        """Wei there is for random audits, in Disputes and credited to it."""
        contracts = self.connection.contracts
        held = self.chain.call(contracts.disputes.functions.auditFund())
        return int(held) + self.connection.ledger.settlement.credit_of(contracts.disputes.address)

    def mine_draw(self, audit: BatchDispute, selected: bool) -> None:
        """Mine the block that decides whether a requested audit takes place until it decides as wanted."""
        from eth_abi.abi import encode

        chain, ask = self.chain, self.chain.w3.provider.make_request
        chain.mine(audit.draw_block - 1 - chain.block_number())
        rate = self.connection.ledger.parameter("auditRate")
        for seconds in range(1, 500):
            before = ask("evm_snapshot", [])["result"]
            ask("evm_increaseTime", [seconds])
            chain.mine()
            drawn = bytes(chain.w3.eth.get_block(audit.draw_block)["hash"])
            seed = keccak(encode(["bytes32", "uint256", "string"], [drawn, audit.id, "leaves"]))
            if (int.from_bytes(keccak(seed), "big") % 10_000 < rate) == selected:
                return
            ask("evm_revert", [before])
        raise AssertionError(f"500 blocks and none decides {selected}")

    def acquit(self, audit: BatchDispute) -> None:
        """A selected audit of honest leaves to its end: they are opened from the content store, five jurors, no appeal."""
        opener = BatchDispute(self.account(4), audit.id)
        assert opener.open_leaves(opener.header(), self.connection.store) == 64
        assert audit.close_leaves() == "Open"
        audit.draw()
        self.vote(audit, {})
        audit.resolve()
        self.finish(audit)

    def check_books(self) -> None:
        """Everything is decided here: disputes hold the audit fund, the vault what it owes, OPEN is backed one to one."""
        contracts, call = self.connection.contracts, self.chain.call
        token = contracts.token.functions
        assert call(token.balanceOf(contracts.disputes.address)) == call(
            contracts.disputes.functions.auditFund()
        )
        owed = sum(self.juror_stake(juror) for juror in self.jurors)
        for juror in self.jurors:
            assert call(contracts.vault.functions.jurorOf(juror))[1] == 0
        for agent_id, operator in self.agents:
            position = call(contracts.vault.functions.positionOf(agent_id, operator))
            assert position.claims == 0
            owed += position.active + position.pending
        assert call(token.balanceOf(contracts.vault.address)) == owed
        backed = self.chain.balance(contracts.token.address)
        assert backed == call(token.totalSupply()) + call(token.burned())


@dataclass
class Accused:
    """An agent of the operator that anchors actions, one a batch; what a record claims may differ from the truth."""

    court: Court
    agent_id: int
    operator: Ledger
    manifest: Manifest
    epoch: int
    cid: str = ""

    @classmethod
    def open(cls, court: Court) -> Accused:
        operator = court.account(1)
        agents = court.connection.agents
        agent_id = agents.register(operator.signer, "Answerer", "Answers")
        court.agents.append((agent_id, operator.address))
        stake(operator, agent_id, STAKE)
        manifest = Manifest("Answerer", [court.model], [], [], "v1", Split(10_000, 0, 0, 0), "cpu", bytes(32))
        key = court.connection.record_key(agent_id)
        epoch = agents.open_epoch(operator.signer, agent_id, key.address, manifest)
        return cls(court, agent_id, operator, manifest, epoch)

    def act(self, claimed: Sequence[int], fee: int = FEE) -> str:
        """Anchor one action of four tokens with these logprobs; returns the CID of its record."""
        model = self.court.model
        return self.anchor(
            ModelCallStep(
                model.asset_id, model.cid, model.asset_id, model.cid, PROMPT, TOKENS, list(claimed),
                Sampling(1.0, 1.0, 0, 4), bytes(32), "fixed", "length", "answer",
            ),
            fee,
        )  # fmt: skip

    def anchor(self, step: Step, fee: int = FEE) -> str:
        """Anchor one action of this one step; returns the CID of its record."""
        connection, ledger = self.court.connection, self.operator
        nonce = ledger.next_nonce(self.agent_id)
        connection.store.put_blocks(step.encoded.blocks)
        asked = {"ask": self.agent_id, "time": nonce}
        content = ActionContent(
            self.manifest.cid, "1", asked, {"say": "so"}, None, [step.cid], "v1", {}, None, 0, 1
        )
        connection.store.put_blocks(content.encoded.blocks)
        client = self.court.account(2)
        record = ActionRecord(
            self.agent_id, nonce, self.epoch, client.address, nonce.to_bytes(32, "big"), Status.OK, content.request_hash,
            content.output_hash, steps_tree([step.leaf(0)]).root, bytes(32), fee, ReplayClass.EXACT_TOLERANCE,
            SeedSource.CLIENT, ledger.now() + 3600, digest_of(content.cid),
        )  # fmt: skip
        signed = SignedRecord.make(
            record, connection.record_key(self.agent_id), connection.agents.domain, content.cid
        )
        self.cid = connection.store.put(signed.encode())
        client.send(
            connection.contracts.token.functions.transfer(ledger.payments.escrow_of(self.agent_id), fee)
        )
        net = ledger.settlement.net(self.agent_id, self.epoch, fee)
        entry = BatchEntry(record.struct_hash(), self.cid, record.charge)
        batch = Batch(self.agent_id, nonce, [entry], [Payout(client.address, net)])
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


def lied(position: int) -> list[int]:
    """Claims that are the truth but for one token, which is grossly off."""
    return [value - 40_000 * (i == position) for i, value in enumerate(TRUTH)]
