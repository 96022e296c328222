"""Votes on a real devnet: what they change, what they cannot, and what a guardian may do in between."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account

from openledger import staking
from openledger.contracts import adopt, artifact, updates
from openledger.errors import ChainError, UserError
from openledger.registry import (
    ActionRecord,
    Agents,
    AssetRef,
    Batch,
    BatchEntry,
    Call,
    Connection,
    Governance,
    Ledger,
    Manifest,
    Payout,
    ProposalState,
    ReplayClass,
    SeedSource,
    SignedRecord,
    Split,
    Status,
    Support,
    cid_from_digest,
    cid_of,
)
from openledger.settings import Settings

OPEN = 10**18
DAY = 86_400


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[Connection]:
    with Connection.open(Settings(home=tmp_path)) as opened:
        yield opened


@dataclass
class Senate:
    """Two holders who reach the quorum together, and the way from a proposal to its effect."""

    connection: Connection
    voters: list[Any]

    @property
    def governance(self) -> Governance:
        return self.connection.governance

    def pass_(self, calls: list[Call], why: str, *, simulate: bool = True) -> int:
        """Propose, vote, queue, wait; the caller executes."""
        chain, governance, one = self.connection.chain, self.governance, self.voters[0]
        proposal = governance.propose(one, calls, why, simulate=simulate)
        assert governance.standing(proposal).state == ProposalState.PENDING
        self.wait_until(governance.proposal(proposal).opens + 1)
        for voter in self.voters:
            assert governance.vote(voter, proposal, Support.FOR) == 15_000_000 * OPEN
        self.wait_until(governance.proposal(proposal).closes + 1)
        assert governance.standing(proposal).state == ProposalState.SUCCEEDED
        due = governance.queue(one, proposal)
        with pytest.raises(ChainError, match="TimelockUnexpectedOperationState"):
            governance.execute(one, proposal)
        assert due - chain.now() >= 8 * DAY - 60
        self.wait_until(due)
        return proposal

    def wait_until(self, time: int) -> None:
        chain = self.connection.chain
        if time > chain.now():
            chain.advance(time - chain.now())


@pytest.fixture
def senate(connection: Connection) -> Senate:
    assert connection.devnet is not None
    voters = connection.devnet.accounts[10:12]
    for voter in voters:
        connection.as_(voter).wrap(15_000_000 * OPEN)
        connection.governance.delegate(voter)
    connection.chain.advance(1)
    return Senate(connection, list(voters))


def test_a_proposal_changes_parameters_through_the_timelock(connection: Connection, senate: Senate) -> None:
    governance = senate.governance
    window = governance.set_parameter("challengeWindow", 6 * DAY)
    # alone it would let stake leave too early; together with a longer delay it would not
    with pytest.raises(ChainError, match="ExitFormulaBroken"):
        governance.simulate([window])
    calls = [governance.set_parameter("withdrawalDelay", 21 * DAY), window]
    assert governance.explain(calls) == [
        "set withdrawalDelay from 14d to 21d (bounds 7d to 90d)",
        "set challengeWindow from 3d to 6d (bounds 1d to 7d)",
    ]
    proposal = senate.pass_(calls, "more time to audit")
    assert governance.parameter("challengeWindow").value == 3 * DAY
    stranger = connection.devnet.accounts[5]  # type: ignore[union-attr]
    governance.execute(stranger, proposal)
    assert governance.parameter("challengeWindow").value == 6 * DAY
    assert connection.as_(stranger).parameter("withdrawalDelay") == 21 * DAY
    assert governance.standing(proposal).state == ProposalState.EXECUTED
    with pytest.raises(ChainError, match="GovernorUnexpectedProposalState"):
        governance.execute(stranger, proposal)
    # nobody does it without a vote, whoever deployed the contracts least of all
    deployer = connection.devnet.accounts[0]  # type: ignore[union-attr]
    with pytest.raises(ChainError, match="OwnableUnauthorizedAccount"):
        connection.chain.send(connection.contracts.parameters.functions.set(1, DAY), deployer)


def test_an_out_of_bounds_value_is_refused(connection: Connection, senate: Senate) -> None:
    governance = senate.governance
    calls = [governance.set_parameter("burnShare", 4999)]
    assert "OUT OF BOUNDS" in governance.explain(calls)[0]
    with pytest.raises(ChainError, match="would fail when executed") as caught:
        governance.propose(senate.voters[0], calls, "burn less")
    assert caught.value.revert is not None
    assert caught.value.revert.startswith("OutOfBounds(")
    assert governance.proposals() == []

    proposal = senate.pass_(calls, "burn less all the same", simulate=False)
    with pytest.raises(ChainError, match="OutOfBounds"):
        governance.execute(senate.voters[0], proposal)
    assert governance.parameter("burnShare").value == 5000


def test_a_tiny_wrapped_supply_never_meets_the_quorum(connection: Connection) -> None:
    assert connection.devnet is not None
    governance, holder = connection.governance, connection.devnet.accounts[10]
    connection.as_(holder).wrap(19_000_000 * OPEN)
    governance.delegate(holder)
    connection.chain.advance(1)
    proposal = governance.propose(holder, [governance.set_parameter("grossDelta", 5000)], "only we are here")
    senate = Senate(connection, [holder])
    senate.wait_until(governance.proposal(proposal).opens + 1)
    counted = governance.vote(holder, proposal, Support.FOR)
    # every wrapped wei there is, in favour
    assert counted == connection.chain.call(connection.contracts.token.functions.totalSupply())
    senate.wait_until(governance.proposal(proposal).closes + 1)
    standing = governance.standing(proposal)
    assert (standing.in_favour, standing.against) == (counted, 0)
    assert standing.quorum == 20_000_000 * OPEN
    assert standing.state == ProposalState.DEFEATED
    with pytest.raises(ChainError, match="GovernorUnexpectedProposalState"):
        governance.queue(holder, proposal)


def test_a_guardian_pauses_intake_but_no_exit_and_no_claim(connection: Connection, senate: Senate) -> None:
    assert connection.devnet is not None
    chain, contracts, governance = connection.chain, connection.contracts, senate.governance
    operator, client, guardian, juror = connection.devnet.accounts[1:5]
    with pytest.raises(ChainError, match="OnlyGuardian"):
        governance.pause_intake(guardian, 14 * DAY)
    governance.execute(operator, senate.pass_([governance.set_guardian(guardian.address)], "a guardian"))

    ledger, agents = connection.as_(operator), connection.agents
    agent_id = agents.register(operator, "Auditor", "Finds bugs")
    newcomer = agents.register(operator, "Newcomer", "Not yet")
    for agent in (agent_id, newcomer):
        staking.stake(ledger, agent, 1000 * OPEN)
    staking.join_jury(connection.as_(juror), 500 * OPEN)
    key = Account.create()
    manifest = Manifest(
        "Auditor", [AssetRef(1, cid_of(b"model"))], [], [], "v1", Split(10_000, 0, 0, 0), "cpu", bytes(32)
    )
    agents.open_epoch(operator, agent_id, key.address, manifest)
    connection.as_(client).wrap(10 * OPEN)
    for _ in range(2):
        chain.send(contracts.token.functions.transfer(ledger.payments.escrow_of(agent_id), OPEN), client)
    before = anchored(ledger, agents, agent_id, key, client.address, connection)
    staking.unstake(ledger, agent_id, 100 * OPEN)
    chain.advance(14 * DAY)

    until = governance.pause_intake(guardian, 14 * DAY)
    assert governance.paused_until() == until
    for refused in (
        lambda: staking.stake(ledger, agent_id, OPEN),
        lambda: staking.join_jury(connection.as_(client), 500 * OPEN),
        lambda: agents.open_epoch(operator, newcomer, key.address, manifest),
    ):
        with pytest.raises(ChainError, match="IntakePaused"):
            refused()

    # exits, refunds, key rotation, anchors, claims go on
    assert staking.withdraw(ledger, agent_id) == 100 * OPEN
    staking.leave_jury(connection.as_(juror))
    ledger.payments.refund(agent_id, bytes(31) + b"\1", client.address, OPEN // 2)
    agents.open_epoch(operator, agent_id, key.address, manifest)
    payee = before[1].payouts[0]
    ledger.settlement.claim(*before, 0)
    assert ledger.balance(payee.account) == payee.amount
    chain.send(contracts.token.functions.transfer(ledger.payments.escrow_of(agent_id), OPEN), client)
    anchored(ledger, agents, agent_id, key, client.address, connection)

    # and the guardian alone can neither prolong nor repeat it
    with pytest.raises(ChainError, match="GuardianResting"):
        governance.pause_intake(guardian, 1)
    chain.advance(until - chain.now())
    assert governance.paused_until() is None
    staking.stake(ledger, agent_id, OPEN)
    agents.open_epoch(operator, newcomer, key.address, manifest)
    with pytest.raises(ChainError, match="GuardianResting"):
        governance.pause_intake(guardian, 1)
    # the juror left some seconds after the pause began: its 14 days end as much later
    chain.advance(DAY)
    staking.withdraw_jury(connection.as_(juror))


def test_the_treasury_pays_by_proposal_only(connection: Connection, senate: Senate) -> None:
    assert connection.devnet is not None
    chain, contracts, governance = connection.chain, connection.contracts, senate.governance
    donor, payee, builder = connection.devnet.accounts[1:4]
    treasury, token = contracts.treasury.functions, contracts.token.functions
    connection.as_(donor).wrap(1000 * OPEN)
    chain.send(token.transfer(contracts.treasury.address, 600 * OPEN), donor)
    chain.transfer(str(contracts.treasury.address), donor, 400 * OPEN)  # native OPEN is as good
    assert chain.call(treasury.available()) == 1000 * OPEN

    why = connection.store.put(b"Pay for the audit.", "raw")
    with pytest.raises(ChainError, match="OwnableUnauthorizedAccount"):
        chain.send(treasury.pay(payee.address, OPEN, why), connection.devnet.accounts[0])
    with pytest.raises(ChainError, match="TreasuryShort"):
        governance.propose(
            senate.voters[0], [governance.pay(payee.address, 1001 * OPEN, why)], "more than it has"
        )
    calls = [
        governance.pay(payee.address, 300 * OPEN, why),
        governance.grant(builder.address, 600 * OPEN, 100 * DAY, why),
    ]
    assert governance.explain(calls) == [
        f"pay 300 OPEN from the treasury to {payee.address}; why: {why}",
        f"promise 600 OPEN of the treasury to {builder.address}, vesting evenly over 100 days from its execution;"
        f" why: {why}",
    ]
    proposal = senate.pass_(calls, "Pay for the audit.")
    governance.execute(donor, proposal)
    assert connection.ledger.balance(payee.address) == 300 * OPEN
    assert chain.call(treasury.available()) == 100 * OPEN
    start = chain.call(treasury.grantOf(1)).start

    stop = senate.pass_([governance.stop_grant(1, why)], "The builder has left.")
    governance.execute(donor, stop)
    vested = 600 * OPEN * (chain.now() - start) // (100 * DAY)
    chain.send(treasury.release(1), donor)  # anyone may
    assert connection.ledger.balance(builder.address) == vested
    assert 0 < vested < 600 * OPEN
    assert chain.call(treasury.available()) == 700 * OPEN - vested
    with pytest.raises(ChainError, match="NothingVested"):
        chain.send(treasury.release(1), builder)


def test_an_upgrade_is_adopted_by_choice(connection: Connection, senate: Senate, tmp_path: Path) -> None:
    chain, contracts, governance = connection.chain, connection.contracts, senate.governance
    directory = str(contracts.directory.address)
    rpc_url = chain.rpc_url
    settings = Settings(home=tmp_path / "elsewhere", rpc_url=rpc_url, directory=directory)
    with Connection.open(settings) as guest:
        assert guest.contracts.deployment.addresses == contracts.deployment.addresses
        assert updates(guest.contracts) == []

    compiled = artifact("Treasury")
    factory = chain.w3.eth.contract(abi=compiled.abi, bytecode=compiled.bytecode)
    names = ("OpenTimelock", "OpenToken", "AgentRegistry", "AssetRegistry")
    made = chain.send(factory.constructor(*map(contracts.address, names)), senate.voters[0])
    assert made.contract_address is not None
    call = governance.set_contract("Treasury", made.contract_address)
    governance.execute(senate.voters[0], senate.pass_([call], "a second treasury"))

    with Connection.open(settings) as guest:  # stays with what it knows
        assert guest.contracts.address("Treasury") == contracts.address("Treasury")
        [update] = updates(guest.contracts)
        assert (update.name, update.version, update.offered) == ("Treasury", 2, made.contract_address)
        adopt(guest.contracts, settings.home_dir)
    with Connection.open(settings) as guest:
        assert guest.contracts.address("Treasury") == made.contract_address
        assert guest.contracts.address("StakeVault") == contracts.address("StakeVault")

    with pytest.raises(ChainError, match="There is no directory") as caught:
        Connection.open(
            Settings(home=tmp_path / "third", rpc_url=rpc_url, directory=senate.voters[0].address)
        )
    assert caught.value.code == "chain.not_deployed"
    # code that is not what was registered is refused: here by force, as no contract of ours can change its own
    chain.w3.provider.make_request("anvil_setCode", [made.contract_address, "0x00"])  # type: ignore[arg-type]
    with pytest.raises(ChainError, match="is not what was registered") as caught:
        Connection.open(Settings(home=tmp_path / "third", rpc_url=rpc_url, directory=directory))
    assert caught.value.code == "chain.code"


def test_what_cannot_be_proposed_says_why(connection: Connection, senate: Senate) -> None:
    assert connection.devnet is not None
    governance, voter = senate.governance, senate.voters[0]
    with pytest.raises(UserError, match="there is no parameter 'windowOfChallenge'"):
        governance.set_parameter("windowOfChallenge", 1)
    with pytest.raises(UserError, match="needs a call"):
        governance.propose(voter, [], "nothing")
    with pytest.raises(UserError, match="needs a description"):
        governance.propose(voter, [governance.resume_intake()], " ", simulate=False)
    with pytest.raises(UserError, match="is no address"):
        governance.pay("0x12", 1, "why")
    with pytest.raises(ChainError, match="IntakeNotPaused"):
        governance.propose(voter, [governance.resume_intake()], "open up")
    with pytest.raises(ChainError, match="GovernorInsufficientProposerVotes"):
        governance.propose(
            connection.devnet.accounts[5], [governance.set_parameter("grossDelta", 3000)], "me too"
        )
    with pytest.raises(UserError, match="there is no proposal 7"):
        governance.proposal(7)
    unknown = Call("0x000000000000000000000000000000000000dEaD", b"\x12\x34")
    odd = Call(str(connection.contracts.treasury.address), b"\x12\x34\x56\x78")
    assert governance.explain([unknown, odd]) == [
        "call the unknown contract 0x000000000000000000000000000000000000dEaD with 0x1234",
        "call Treasury with 0x12345678, which is no function of it",
    ]


def anchored(
    ledger: Ledger, agents: Agents, agent_id: int, key: Any, client: str, connection: Connection
) -> tuple[Any, Batch]:
    """One paid action, anchored: its header and batch."""
    nonce, epoch = ledger.next_nonce(agent_id), agents.current_epoch(agent_id).number
    record = ActionRecord(
        agent_id, nonce, epoch, client, bytes(31) + bytes((nonce + 7,)), Status.OK, bytes(32), bytes(32), bytes(32),
        bytes(32), OPEN // 2, ReplayClass.EXACT_TOLERANCE, SeedSource.CLIENT, ledger.now() + 3600, bytes(32),
    )  # fmt: skip
    signed = SignedRecord.make(record, key, agents.domain, cid_from_digest(bytes(32)))
    entry = BatchEntry(record.struct_hash(), connection.store.put(signed.encode()), record.charge)
    net = ledger.settlement.net(agent_id, epoch, record.charge)
    batch = Batch(agent_id, nonce, [entry], [Payout(Account.create().address, net)])
    return ledger.anchor(batch, epoch), batch
