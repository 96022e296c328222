"""Recompute what an action paid, and its batch, from chain and content store alone.

What could not be computed is ``unverified``, never ``ok``; what a record does not say at all is ``not computed``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from ..attribution import NoInfluence, Shares, retrieval, scores_of
from ..attribution import Payout as Division
from ..errors import ChallengeError, ContentError, UserError
from ..registry import (
    Assets,
    Batch,
    BatchHeader,
    ContentStore,
    Ledger,
    SignedRecord,
    Status,
    normalise_cid,
    payouts_answer,
    steps_tree,
)
from ._due import clock
from ._influence import InfluenceFor
from ._shares import IndexFor, Payouts, Terms, fetch_batch, recompute_payouts
from ._verify import Action, fetch_action

__all__ = ["Difference", "Found", "Line", "Recomputed", "recompute"]


class Found(StrEnum):
    """What recomputing a part gave."""

    OK = "ok"
    DIFFERS = "differs"
    UNVERIFIED = "unverified"
    NOT_COMPUTED = "not computed"


@dataclass(frozen=True)
class Line:
    """One part that was recomputed, and what was found."""

    name: str
    found: Found
    why: str


@dataclass(frozen=True)
class Difference:
    """What an account is paid and what is due to it, in wei. ``where``: ``record`` (what the record says of itself) or
    ``batch`` (what was anchored)."""

    where: str
    account: str
    paid: int
    due: int


@dataclass
class Recomputed:
    """Everything that was recomputed of one action."""

    cid: str
    lines: list[Line] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)
    header: BatchHeader | None = None
    batch: Payouts | None = None
    """What its batch had to pay."""
    shares: Shares | None = None
    payouts: tuple[Division, ...] = ()
    """What its fee had to pay."""
    disputable_until: int | None = None
    """Last unix time at which what its batch pays may be disputed, when it is wrong and nobody disputed it."""
    claims: str = ""
    """How the batch's claims stand: ``open``, ``frozen``, ``awaited`` or ``corrected``."""

    @property
    def found(self) -> Found:
        """``differs`` if any part does, else ``unverified`` if any part is, else ``ok``."""
        parts = {line.found for line in self.lines}
        for one in (Found.DIFFERS, Found.UNVERIFIED):
            if one in parts:
                return one
        return Found.OK if Found.OK in parts else Found.UNVERIFIED

    def add(self, name: str, found: Found | bool, why: str) -> bool:
        """Note a part; ``True`` and ``False`` stand for ok and differs. Returns whether it is ok."""
        if isinstance(found, bool):
            found = Found.OK if found else Found.DIFFERS
        self.lines.append(Line(name, found, why))
        return found is Found.OK


def recompute(
    cid: str,
    *,
    store: ContentStore,
    ledger: Ledger,
    assets: Assets,
    index_for: IndexFor,
    influence_for: InfluenceFor | None = None,
) -> Recomputed:
    """Recompute shares and payouts of the action whose record is at ``cid``, and the payouts of its batch; under a rule that
    pays by influence, with ``influence_for``, that too.

    Raises ``UserError`` for a malformed CID and ``ContentError`` for content that is no action's record. What cannot be
    had makes the parts that need it ``unverified``.
    """
    result = Recomputed(normalise_cid(cid))
    try:
        block = store.get(result.cid)
    except ContentError as error:
        result.add("record", Found.UNVERIFIED, str(error))
        return result
    SignedRecord.decode(block, result.cid)  # what is no record is the caller's mistake, not the agent's
    try:
        action = fetch_action(result.cid, store)
    except ContentError as error:
        result.add("content", Found.UNVERIFIED, str(error))
        return result
    if action.signed.domain != ledger.domain:
        there, here = action.signed.domain, ledger.domain
        why = f"signed for chain {there.chain_id}, log {there.verifying_contract}; this is chain {here.chain_id}"
        result.add("record", Found.UNVERIFIED, f"{why}, log {here.verifying_contract}")
        return result
    batch = _place(result, action, store, ledger)
    given: dict[str, Any] = {
        "store": store,
        "ledger": ledger,
        "assets": assets,
        "index_for": index_for,
        "influence_for": influence_for,
    }
    terms = _action(result, action, given)
    found = None
    if result.header is None:
        result.add("batch", Found.UNVERIFIED, "the action is not anchored yet")
    elif batch is not None:
        found = _batch(result, result.header, batch, given)
    if terms is not None and terms.influence_for is not None:
        _influence(result, action, terms, found)
    return result


def _place(result: Recomputed, action: Action, store: ContentStore, ledger: Ledger) -> Batch | None:
    """Where the record is anchored, and that it and its steps are what the chain committed to."""
    record = action.record
    root = steps_tree([step.leaf(i) for i, step in enumerate(action.steps)]).root
    result.add("steps", record.steps_root == root, f"root over {len(action.steps)} steps")
    header = result.header = ledger.batch_of(record.agent_id, record.nonce)
    if header is None:
        return None
    try:
        batch = fetch_batch(header, store)
    except ContentError as error:
        result.add("batch", Found.UNVERIFIED, str(error))
        return None
    entry = batch.entries[record.nonce - header.first_nonce]
    place = f"nonce {record.nonce} of agent {record.agent_id}"
    if entry.struct_hash == record.struct_hash():
        result.add("record", True, f"{place}, in the batch from {header.first_nonce} of {header.count}")
    else:
        result.add("record", False, f"{place} is anchored with another record: {entry.envelope}")
    return batch


def _action(result: Recomputed, action: Action, given: dict[str, Any]) -> Terms | None:
    """What the record says of itself; under a rule that pays by influence that is what spans pay."""
    record, scores = action.record, action.content.scores
    if record.status is Status.FAILED:
        said = {} if not isinstance(scores, Mapping) else _said(scores)
        result.differences += [Difference("record", to, wei, 0) for to, wei in said.items()]
        result.add("payouts", not said, f"the action failed: {record.fee} wei go back to {record.client}")
        return None
    at = given["ledger"].now() if result.header is None else result.header.anchored_at
    try:
        terms = Terms.of(record.agent_id, record.epoch, at, **given)
        joined, payouts = terms.divide(action)
        again = retrieval(terms.index, action.steps)
    except (ContentError, ChallengeError, UserError) as error:
        result.add("shares", Found.UNVERIFIED, str(error))
        return None
    result.shares, result.payouts = joined, tuple(payouts)
    claimed: Mapping[Any, Any] = scores if isinstance(scores, Mapping) else {}
    mine = scores_of(joined, payouts)
    who = f"{len(joined.weights)} contributor{'' if len(joined.weights) == 1 else 's'}"
    credited = f"{joined.total - joined.unattributed} of {joined.total} millibits credited to {who}"
    result.add("shares", claimed.get("shares") == mine["shares"], f"rule {joined.rule}: {credited}")
    same = claimed.get("payouts") == mine["payouts"]
    if not same:
        result.differences += _compare("record", _said(claimed), _summed(mine["payouts"]))
    result.add("payouts", same, f"{record.fee} wei in {len(payouts)} payouts")
    if "retrieval" in claimed:
        text = f"{len(again.rows)} rows in the prompts, {len(again.refused)} claims refused; not paid by {joined.rule}"
        result.add("retrieval", claimed["retrieval"] == again.to_block(), text)
    else:
        result.add("retrieval", Found.NOT_COMPUTED, "the record says nothing of it")
    if terms.influence_for is None:
        result.add("influence", Found.NOT_COMPUTED, f"rule {joined.rule} does not use it")
    return terms


def _influence(result: Recomputed, action: Action, terms: Terms, batch: Payouts | None) -> None:
    """What the batch states of the action's influence, and what that adds to what its record says."""
    header = result.header
    if header is None:
        result.add("influence", Found.NOT_COMPUTED, "it is stated when the action is anchored")
        return
    place = action.record.nonce - header.first_nonce
    judged = None if batch is None else batch.judged.get(place)
    if batch is None or judged is None:
        result.add("influence", Found.UNVERIFIED, "it could not be computed; see the batch")
        return
    if batch.actions[place].record.struct_hash() != action.record.struct_hash():
        result.add("influence", Found.UNVERIFIED, "the batch states that of another record")
        return
    result.shares, payouts = terms.divide(action, judged)
    result.payouts = tuple(payouts)
    weight = sum(portion.weight for portion in result.shares.portions)
    rows = len(result.shares.portions)
    text = f"{weight} millibits credited to {rows} row{'' if rows == 1 else 's'}"
    for why in dict.fromkeys(one.why for one in judged.counted if isinstance(one, NoInfluence)):
        text += f"; of an output nobody's: {why}"
    if refused := judged.refused:
        said = "nothing" if judged.stated is None else "other numbers"
        text += f"; of output {', '.join(map(str, refused))} the batch states {said}"
    result.add("influence", not refused, text)


def _batch(result: Recomputed, header: BatchHeader, batch: Batch, given: dict[str, Any]) -> Payouts | None:
    ledger: Ledger = given["ledger"]
    try:
        found = result.batch = recompute_payouts(header, **given)
    except (ContentError, ChallengeError, UserError) as error:
        result.add("batch", Found.UNVERIFIED, str(error))
        return None
    root = f"payout root 0x{found.root.hex()}"
    if not found.differ_from(header):
        paid = sum(payout.amount for payout in found.payouts)
        result.add("batch", True, f"{root}, {paid} wei to {len(found.payouts)} accounts")
        return found
    anchored = f"0x{header.payout_root.hex()}"
    result.add("batch", False, f"{root} is due, {anchored} is anchored")
    if payouts_answer(_root(batch), len(batch.payouts)) == payouts_answer(
        header.payout_root, header.payout_count
    ):
        result.differences += _compare("batch", dict(batch.payouts), dict(found.payouts))
    result.claims = ledger.settlement.claims_state(header)
    until = ledger.challengeable_until(header)
    if result.claims == "open" and header.payout_count and clock(ledger) <= until:
        result.disputable_until = until
    return found


def _root(batch: Batch) -> bytes:
    try:
        return batch.payout_tree.root[0]
    except UserError:  # an account twice: not what was anchored
        return bytes(32)


def _compare(where: str, paid: Mapping[str, int], due: Mapping[str, int]) -> list[Difference]:
    accounts = sorted(paid.keys() | due.keys())
    listed = [Difference(where, account, paid.get(account, 0), due.get(account, 0)) for account in accounts]
    return [one for one in listed if one.paid != one.due]


def _said(scores: Mapping[Any, Any]) -> dict[str, int]:
    """What a record says it pays each account, as far as it can be read."""
    lines = scores.get("payouts")
    return _summed(
        [
            line
            for line in (lines if isinstance(lines, list) else [])
            if isinstance(line, list)
            and len(line) == 4
            and isinstance(line[1], str)
            and line[1].isdecimal()
            and len(line[1]) < 79
        ]
    )


def _summed(lines: list[Any]) -> dict[str, int]:
    summed: dict[str, int] = {}
    for account, amount, _, _ in lines:
        summed[str(account)] = summed.get(str(account), 0) + int(amount)
    return summed
