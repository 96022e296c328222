"""Governance: what is proposed, by whom, in plain words; voting, queueing, executing. Amounts in wei of OPEN."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ..errors import ChainError, UserError
from ._proposals import Call, Parameter, explain
from ._votes import Proposal, ProposalState, Standing, Support, Voter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..contracts import Contracts, Signer

__all__ = ["Governance", "Grant"]


@dataclass(frozen=True, slots=True)
class Grant:
    """A grant of the treasury: amounts in wei, ``start`` in unix seconds, ``duration`` in seconds (0 once stopped)."""

    id: int
    account: str
    start: int
    duration: int
    total: int
    paid: int
    vested: int


class Governance:
    """``OpenGovernor``, ``OpenTimelock``, ``Parameters``, ``Treasury`` and ``Directory`` of one chain.

    Methods that send take the signer; they raise ``ChainError`` with the decoded ``revert``.
    """

    def __init__(self, contracts: Contracts) -> None:
        self._contracts, self._chain = contracts, contracts.chain

    # -- what there is ---------------------------------------------------------------------------

    @cached_property
    def _table(self) -> list[tuple[str, int, int]]:
        functions = self._contracts.parameters.functions
        count = len(self._chain.call(functions.all()))
        table = []
        for i in range(count):
            least, most = self._chain.call(functions.bounds(i))
            table.append((str(self._chain.call(functions.nameOf(i))), int(least), int(most)))
        return table

    def parameters(self) -> list[Parameter]:
        """Every protocol parameter with its value and bounds."""
        values = self._chain.call(self._contracts.parameters.functions.all())
        return [
            Parameter(number, name, int(value), least, most)
            for number, ((name, least, most), value) in enumerate(zip(self._table, values, strict=True))
        ]

    def parameter(self, name: str) -> Parameter:
        """One by name. Raises ``UserError`` for an unknown one."""
        for known in self.parameters():
            if known.name == name:
                return known
        names = ", ".join(name for name, _, _ in self._table)
        raise UserError(f"there is no parameter {name!r}", fix=f"use one of {names}")

    def paused_until(self) -> int | None:
        """When the guardian's pause of new intake ends; None while intake is open."""
        until = int(self._chain.call(self._contracts.parameters.functions.intakePausedUntil()))
        return until if until > self._chain.now() else None

    def pause_intake(self, signer: Signer, seconds: int) -> int:
        """As the guardian: pause new intake for at most fourteen days; returns the unix time of its end."""
        functions = self._contracts.parameters.functions
        self._chain.send(functions.pauseIntake(seconds), signer)
        return int(self._chain.call(functions.intakePausedUntil()))

    def treasury(self) -> tuple[int, int]:
        """Wei of the treasury that no grant claims, and wei promised to grants."""
        functions = self._contracts.treasury.functions
        return int(self._chain.call(functions.available())), int(self._chain.call(functions.promised()))

    def grants(self) -> list[Grant]:
        """Every grant of the treasury, in order."""
        functions, found = self._contracts.treasury.functions, []
        for number in range(1, int(self._chain.call(functions.grants())) + 1):
            kept = self._chain.call(functions.grantOf(number))
            vested = int(self._chain.call(functions.vested(number)))
            found.append(
                Grant(number, kept.account, kept.start, kept.duration, kept.total, kept.paid, vested)
            )
        return found

    def release(self, signer: Signer, grant_id: int) -> int:
        """Pay what has vested of a grant to its account, and return that. Anyone may."""
        treasury = self._contracts.treasury
        receipt = self._chain.send(treasury.functions.release(grant_id), signer)
        return int(receipt.event(treasury.events.GrantPaid)["amount"])

    def proposals(self) -> list[Proposal]:
        """All of them, oldest first."""
        event = self._contracts.governor.events.ProposalCreated
        found = self._chain.logs(event, self._contracts.deployment.block)
        return [_proposal(log["args"]) for log in found]

    def proposal(self, proposal_id: int) -> Proposal:
        """One by its id. Raises ``UserError`` for an unknown one."""
        for known in self.proposals():
            if known.id == proposal_id:
                return known
        raise UserError(f"there is no proposal {proposal_id}", fix="`openledger gov list` names them")

    def standing(self, proposal_id: int) -> Standing:
        """Its state, votes and quorum now."""
        functions = self._contracts.governor.functions
        state = ProposalState(self._chain.call(functions.state(proposal_id)))
        against, in_favour, abstaining = self._chain.call(functions.proposalVotes(proposal_id))
        opens = int(self._chain.call(functions.proposalSnapshot(proposal_id)))
        # the quorum of a time that has not passed cannot be known yet
        quorum = 0 if state == ProposalState.PENDING else int(self._chain.call(functions.quorum(opens)))
        executable = int(self._chain.call(functions.proposalEta(proposal_id)))
        return Standing(state, int(in_favour), int(against), int(abstaining), quorum, executable)

    def voter(self, account: str) -> Voter:
        """What ``account`` can vote with now."""
        functions = self._contracts.token.functions
        return Voter(
            int(self._chain.call(functions.balanceOf(account))),
            int(self._chain.call(functions.getVotes(account))),
            str(self._chain.call(functions.delegates(account))),
        )

    def explain(self, proposal: Proposal | Sequence[Call]) -> list[str]:
        """What each call does, one sentence each, beside the parameters as they are now."""
        calls = proposal.calls if isinstance(proposal, Proposal) else proposal
        parameters = self.parameters()
        return [explain(call, self._contracts, parameters) for call in calls]

    # -- calls to propose ------------------------------------------------------------------------

    def set_parameter(self, name: str, value: int) -> Call:
        """Set a parameter, in its own unit."""
        return self.call("parameters", "set", self.parameter(name).number, value)

    def set_guardian(self, account: str) -> Call:
        """Appoint a guardian, or dismiss it by the zero address."""
        return self.call("parameters", "setGuardian", self._checksum(account))

    def resume_intake(self) -> Call:
        """End a pause of the guardian's."""
        return self.call("parameters", "resumeIntake")

    def pay(self, account: str, amount: int, reason: str) -> Call:
        """Pay from the treasury. ``reason`` is the CID of a text that says why."""
        return self.call("treasury", "pay", self._checksum(account), amount, reason)

    def pay_agent(self, agent_id: int, amount: int, reason: str) -> Call:
        """Pay whoever owns the agent when the proposal is executed."""
        return self.call("treasury", "payAgent", agent_id, amount, reason)

    def pay_asset(self, asset_id: int, amount: int, reason: str) -> Call:
        """Pay whoever owns the datanet, model or adapter when the proposal is executed."""
        return self.call("treasury", "payAsset", asset_id, amount, reason)

    def grant(self, account: str, amount: int, seconds: int, reason: str, start: int = 0) -> Call:
        """Promise ``amount`` to ``account``, vesting evenly over ``seconds`` from ``start`` (0: its execution)."""
        return self.call("treasury", "grant", self._checksum(account), amount, start, seconds, reason)

    def stop_grant(self, grant_id: int, reason: str) -> Call:
        """Stop a grant; what has vested stays its account's."""
        return self.call("treasury", "stop", grant_id, reason)

    def set_contract(self, name: str, address: str) -> Call:
        """Register the next version of a contract in the directory."""
        return self.call("directory", "set", name, self._checksum(address))

    def call(self, contract: str, function: str, *arguments: Any) -> Call:
        """Any call of a contract by its attribute of ``Contracts``."""
        target = getattr(self._contracts, contract)
        data = target.encode_abi(function, list(arguments))
        return Call(str(target.address), bytes.fromhex(data.removeprefix("0x")))

    # -- from a proposal to its effect -----------------------------------------------------------

    def simulate(self, calls: Sequence[Call]) -> None:
        """Run the calls one after the other as the timelock, on the present state, changing nothing.

        Raises ``ChainError`` with the decoded ``revert`` of the first that fails: executing such a proposal
        reverts as a whole, unless the state changes before.
        """
        from ..contracts import refusal, simulated_block

        timelock = self._contracts.timelock.address
        asked = [
            {
                "from": timelock,
                "to": call.target,
                "value": hex(call.value),
                "input": "0x" + call.data.hex(),
            }
            for call in calls
        ]
        block = simulated_block(self._chain, asked)
        if block is None:
            raise ChainError(
                "The proposal could not be simulated",
                why="the node does not know eth_simulateV1",
                fix="use a node that offers it, or propose without simulation",
            )
        for call, result in zip(calls, block["calls"], strict=True):
            revert = refusal(result)
            if revert is None:
                continue
            says = self.explain([call])[0]
            raise ChainError(
                f"The proposal would fail when executed: {says}",
                why=revert,
                fix="propose what is within bounds",
                revert=revert,
            )

    def propose(
        self, signer: Signer, calls: Sequence[Call], description: str, *, simulate: bool = True
    ) -> int:
        """Propose calls and return the proposal's id. Refuses what would fail now unless ``simulate`` is False.

        The proposer needs ``proposalThreshold`` votes; whoever reads the description should learn why.
        """
        if not calls:
            raise UserError("a proposal needs a call", fix="name what it should change")
        if not description.strip():
            raise UserError("a proposal needs a description", fix="say why")
        if simulate:
            self.simulate(calls)
        governor = self._contracts.governor
        receipt = self._chain.send(governor.functions.propose(*_lists(calls), description), signer)
        return int(receipt.event(governor.events.ProposalCreated)["proposalId"])

    def vote(self, signer: Signer, proposal_id: int, support: Support, reason: str = "") -> int:
        """Vote once; returns the votes counted, in wei."""
        governor = self._contracts.governor
        if reason:
            call = governor.functions.castVoteWithReason(proposal_id, int(support), reason)
        else:
            call = governor.functions.castVote(proposal_id, int(support))
        return int(self._chain.send(call, signer).event(governor.events.VoteCast)["weight"])

    def queue(self, signer: Signer, proposal_id: int) -> int:
        """Put a proposal that won into the timelock; returns the unix time from which it may be executed."""
        governor = self._contracts.governor
        receipt = self._chain.send(governor.functions.queue(*self._identity(proposal_id)), signer)
        return int(receipt.event(governor.events.ProposalQueued)["etaSeconds"])

    def execute(self, signer: Signer, proposal_id: int) -> None:
        """Let the timelock make the calls. Anyone may, once the delay is over."""
        self._chain.send(self._contracts.governor.functions.execute(*self._identity(proposal_id)), signer)

    def cancel(self, signer: Signer, proposal_id: int) -> None:
        """Take one's own proposal back, before voting opens."""
        self._chain.send(self._contracts.governor.functions.cancel(*self._identity(proposal_id)), signer)

    def delegate(self, signer: Signer, account: str | None = None) -> Voter:
        """Let ``account`` (default: oneself) vote with the signer's wrapped OPEN, now and later."""
        account = self._checksum(account or signer.address)
        self._chain.send(self._contracts.token.functions.delegate(account), signer)
        return self.voter(str(signer.address))

    def _identity(self, proposal_id: int) -> tuple[Any, ...]:
        known = self.proposal(proposal_id)
        return (*_lists(known.calls), known.description_hash)

    def _checksum(self, address: str) -> str:
        if not self._chain.w3.is_address(address):
            raise UserError(f"{address!r} is no address")
        return str(self._chain.w3.to_checksum_address(address))


def _lists(calls: Sequence[Call]) -> tuple[list[str], list[int], list[bytes]]:
    return [call.target for call in calls], [call.value for call in calls], [call.data for call in calls]


def _proposal(event: Any) -> Proposal:
    parts = zip(event["targets"], event["calldatas"], event["values"], strict=True)
    calls = tuple(Call(str(target), bytes(data), int(value)) for target, data, value in parts)
    return Proposal(
        int(event["proposalId"]),
        str(event["proposer"]),
        str(event["description"]),
        calls,
        int(event["voteStart"]),
        int(event["voteEnd"]),
    )
