"""What an operator must show or lose: tickets without a record, undeclared models, blocks nobody can have."""

from __future__ import annotations

from typing import Any

from ..errors import ChainError, ContentError, UserError
from ..registry import (
    ActionContent,
    BatchHeader,
    ContentStore,
    KeptTicket,
    Ledger,
    Manifest,
    ModelCallStep,
    cid_from_digest,
    decode_step,
    digest_of,
    path_to_missing,
    steps_tree,
)
from ._finding import Anchored, Finding
from ._proofs import anchored_records

__all__ = [
    "keeps",
    "omission",
    "refunded_to",
    "require_store",
    "undeclared_model",
    "withheld_batch",
    "withheld_record",
]

_MODEL_KINDS = (2, 3)


def omission(kept: KeptTicket, ledger: Ledger, store: ContentStore) -> Finding | None:
    """The ticket's time is over, and what was paid is not accounted for: by a record in time and what it charges, and by
    what the client has back.

    Raises ``UserError`` for a ticket that is not the agent's, and before its time is over.
    """
    ticket = kept.ticket
    epoch = ledger.epoch(ticket.agent_id, ticket.epoch)
    if epoch is None or ticket.signer(kept.signature, ledger.domain) != epoch.record_key:
        raise UserError("the ticket is not signed by the agent", fix="give the ticket as the agent gave it")
    if ledger.now() <= ticket.anchor_by:
        raise UserError(
            "the ticket's time is not over",
            why=f"the record may be anchored until {ticket.anchor_by}, and it is {ledger.now()}",
            fix="wait",
        )
    if ledger.now() > epoch.liable_until:
        raise UserError(
            "the ticket's key is no longer liable", why=f"it was until {epoch.liable_until}", fix="nothing"
        )
    paid = kept.payment.value
    back = refunded_to(ledger, ticket.agent_id, ticket.payment_id, kept.payment.client)
    if back >= paid:
        return None
    why = f"no record of the payment was anchored until {ticket.anchor_by}, and it was not refunded"
    for shown in anchored_records(ledger, store, ticket.agent_id):
        if not keeps(shown, ticket.payment_id, ticket.request_hash, ticket.anchor_by):
            continue
        if shown.charge + back >= paid:
            return None
        why = f"of {paid} wei paid the record charges {shown.charge}, and {back} went back"
    return Finding(
        "Omission",
        why,
        ticket.agent_id,
        "demandOmission",
        (ticket.to_abi(), kept.signature, kept.payment_abi()),
    )


def keeps(shown: Anchored, payment_id: bytes, request_hash: bytes, anchor_by: int) -> bool:
    """Whether a record is the one that a ticket promised, in time."""
    record = shown.signed.record
    same = (record.payment_id, record.request_hash) == (payment_id, request_hash)
    return same and shown.header.anchored_at <= anchor_by


def refunded_to(ledger: Ledger, agent_id: int, payment_id: bytes, client: str) -> int:
    """Wei of a payment that its client has back."""
    to, amount, *_ = ledger.call(ledger.contracts.pool.functions.refundOf(agent_id, payment_id))
    return int(amount) if str(to) == client else 0


def undeclared_model(shown: Anchored, ledger: Ledger, store: ContentStore) -> Finding | None:
    """A model call of an asset that its epoch's manifest does not declare, or that is no registered model."""
    record = shown.signed.record
    content = ActionContent.decode(shown.signed.content, store.get)
    steps = [decode_step(cid, store.get) for cid in content.steps]
    leaves = [step.leaf(i) for i, step in enumerate(steps)]
    tree = steps_tree(leaves)
    for index, step in enumerate(steps):
        if not isinstance(step, ModelCallStep) or tree.root != record.steps_root:
            continue
        digest = digest_of(step.content)
        if _is_declared(ledger, store, record.agent_id, record.epoch, step.asset_id, digest):
            continue
        return Finding(
            "UndeclaredModel",
            f"step {index} calls version {step.content} of asset {step.asset_id}, which is no declared model",
            shown.header.agent_id,
            "demandModel",
            (shown.to_abi(), leaves[index].to_abi(), tree.proof(index)),
            shown.header.hash(),
        )
    return None


def withheld_batch(
    header: BatchHeader, ledger: Ledger, store: ContentStore, envelope: str | None = None
) -> Finding | None:
    """A block of the batch or of its epoch's manifest that the store cannot deliver; of the records only ``envelope``'s,
    if given."""
    follow = None if envelope is None else frozenset((envelope,))
    path = path_to_missing(cid_from_digest(header.batch_digest), store.get, follow)
    if path is not None:
        return _withheld("batch", header, "demandBatchData", (header.to_abi(),), path)
    epoch = ledger.epoch(header.agent_id, header.epoch)
    # what a manifest lists are assets: only its lists are demanded
    path = None if epoch is None else path_to_missing(epoch.manifest, store.get, frozenset())
    if path is not None:
        return _withheld("manifest", header, "demandManifest", (header.to_abi(),), path)
    return None


def withheld_record(shown: Anchored, store: ContentStore) -> Finding | None:
    """A block of the action that the store cannot deliver."""
    path = path_to_missing(shown.signed.content, store.get)
    if path is None:
        return None
    return _withheld("record", shown.header, "demandRecordData", (shown.to_abi(),), path)


def require_store(store: ContentStore) -> None:
    """Raises ``ContentError`` when the store answers nothing at all: then nothing is known to be withheld."""
    store.get(store.put(b"openledger", "raw"))


def _withheld(
    what: str, header: BatchHeader, function: str, arguments: tuple[Any, ...], path: list[tuple[bytes, int]]
) -> Finding:
    below = f", {len(path)} levels below it" if path else ""
    why = f"a block of the {what} is not to be had{below}"
    return Finding("DataWithheld", why, header.agent_id, function, (*arguments, path), header.hash())


def _is_declared(
    ledger: Ledger, store: ContentStore, agent_id: int, number: int, asset_id: int, digest: bytes
) -> bool:
    epoch = ledger.epoch(agent_id, number)
    if epoch is None:
        return False
    try:
        manifest = Manifest.decode(epoch.manifest, store.get)
    except ContentError:
        return True  # withheld: that is another fault
    if manifest.root() != epoch.manifest_root or not manifest.includes(asset_id, digest):
        return False
    functions = ledger.contracts.assets.functions
    try:
        kind = int(ledger.call(functions.asset(asset_id)).kind)
    except ChainError as error:
        if error.revert is None:
            raise
        return False
    return kind in _MODEL_KINDS and bool(ledger.call(functions.versionOf(asset_id, digest)))
