"""Verify one action from its CID alone: content, signature, anchor, manifest, seed, replay.

A check that did not run makes the verdict ``unverified``, never ``verified``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from ..errors import ContentError, EngineError, UserError
from ..openlora import (
    AdapterRef,
    Generation,
    Replay,
    Replayer,
    Sampling,
    ToleranceFor,
    replay,
    tolerance_for,
)
from ..registry import (
    ActionContent,
    ActionRecord,
    AssetRef,
    Batch,
    BatchHeader,
    ContentStore,
    Ledger,
    Manifest,
    ModelCallStep,
    ReplayClass,
    SeedSource,
    SignedRecord,
    Status,
    Step,
    SubActionStep,
    action_fee,
    cid_from_digest,
    decode_step,
    normalise_cid,
    step_seed,
    steps_tree,
    used_tokens,
)

__all__ = ["Action", "Check", "ReplayerFor", "Report", "Verdict", "fetch_action", "generation_of", "verify"]


ReplayerFor = Callable[[AssetRef], Replayer]
"""Gives an engine that holds exactly this base model, by digest."""


class Verdict(StrEnum):
    VERIFIED = "verified"
    MISMATCH = "mismatch"
    UNVERIFIED = "unverified"


@dataclass(frozen=True)
class Check:
    """One check: what was looked at, its verdict, and what was found."""

    name: str
    verdict: Verdict
    found: str


@dataclass
class Report:
    """The verdict on an action and every check behind it. ``step`` and ``token`` locate a mismatch of
    replay, the first or the first that convicts; ``replay`` holds its evidence."""

    cid: str
    checks: list[Check] = field(default_factory=list)
    record: ActionRecord | None = None
    header: BatchHeader | None = None
    step: int | None = None
    token: int | None = None
    replay: Replay | None = None
    tokens_replayed: int = 0

    @property
    def verdict(self) -> Verdict:
        verdicts = {check.verdict for check in self.checks}
        for verdict in (Verdict.MISMATCH, Verdict.UNVERIFIED):
            if verdict in verdicts:
                return verdict
        return Verdict.VERIFIED if self.checks else Verdict.UNVERIFIED

    @property
    def summary(self) -> str:
        """``verified``, ``mismatch at step s token t: …`` or ``unverified: why``."""
        verdict = self.verdict
        why = "; ".join(check.found for check in self.checks if check.verdict is verdict)
        if verdict is Verdict.VERIFIED:
            return "verified"
        if verdict is Verdict.MISMATCH and self.step is not None and self.token is not None:
            return (
                f"mismatch at step {self.step} token {self.token}: {why.removeprefix(f'step {self.step}: ')}"
            )
        return f"{verdict}: {why or 'no check ran'}"

    def add(self, name: str, verdict: Verdict | bool, found: str) -> bool:
        """Note a check; ``True``/``False`` stand for verified/mismatch. Returns whether it held."""
        if isinstance(verdict, bool):
            verdict = Verdict.VERIFIED if verdict else Verdict.MISMATCH
        self.checks.append(Check(name, verdict, found))
        return verdict is Verdict.VERIFIED


@dataclass(frozen=True)
class Action:
    """A record with its content and steps, all fetched by CID and recomputed."""

    cid: str
    signed: SignedRecord
    content: ActionContent
    steps: tuple[Step, ...]

    @property
    def record(self) -> ActionRecord:
        return self.signed.record


def fetch_action(cid: str, store: ContentStore) -> Action:
    """Everything behind a record's CID. Raises ``UserError`` for a malformed CID, ``ContentError`` for
    content that is missing, malformed or not the bytes asked for."""
    cid = normalise_cid(cid)
    signed = SignedRecord.decode(store.get(cid), cid)
    content = ActionContent.decode(signed.content, store.get)
    return Action(cid, signed, content, tuple(decode_step(step, store.get) for step in content.steps))


def generation_of(step: ModelCallStep) -> Generation:
    """The generation a model step committed to, for replay."""
    adapter = None if step.asset_id == step.base_asset_id else AdapterRef(step.asset_id, step.content)
    drawn = step.sampling
    return Generation(
        prompt=tuple(step.prompt_tokens),
        tokens=tuple(step.output_tokens),
        logprobs=tuple(step.logprobs),
        finish=int(step.generation.finish),
        adapter=adapter,
        base=AssetRef(step.base_asset_id, step.base),
        engine_class=step.engine_class,
        seed=step.seed,
        sampling=Sampling(drawn.temperature, drawn.top_p, drawn.top_k, drawn.max_tokens),
    )


def verify(
    cid: str,
    *,
    store: ContentStore,
    ledger: Ledger | None,
    replayer: ReplayerFor | None,
    tolerances: ToleranceFor = tolerance_for,
) -> Report:
    """Check the action behind ``cid``. Without ``ledger`` or ``replayer`` (asked only when there is something
    to replay) those checks are ``unverified``, as is a replay on an engine of whose class and the prover's
    ``tolerances`` says nothing.

    Raises ``UserError`` for a malformed CID; content that cannot be had makes the report ``unverified``.
    """
    report = Report(cid)
    try:
        action = fetch_action(cid, store)
    except ContentError as error:
        report.add("content", Verdict.UNVERIFIED, str(error))
        return report
    record = report.record = action.record
    report.add("content", True, f"{2 + len(action.steps)} blocks recomputed from their CIDs")
    report.add("request", record.request_hash == action.content.request_hash, "request hash")
    report.add("output", record.output_hash == action.content.output_hash, "output hash")
    root = steps_tree([step.leaf(i) for i, step in enumerate(action.steps)]).root
    report.add("steps", record.steps_root == root, f"root over {len(action.steps)} steps")
    _check_seeds(report, action)
    if ledger is None:
        report.add("anchor", Verdict.UNVERIFIED, "no chain was given")
    else:
        _check_chain(report, action, store, ledger)
        _check_subs(report, action, store, ledger)
    _check_replay(report, action, replayer, tolerances)
    return report


def _check_seeds(report: Report, action: Action) -> None:
    payment, record = action.content.payment, action.record
    if record.seed_source is not SeedSource.CLIENT or payment is None:
        report.add("seed", Verdict.UNVERIFIED, "the operator chose the seed: no client signature fixes it")
        return
    paid_for = payment.payment_id(record.agent_id, record.request_hash)
    held = paid_for == record.payment_id and payment.client == record.client and payment.value >= record.fee
    if not report.add("payment", held, "the payment is bound to this request and payer, and covers the fee"):
        return
    for index, step in enumerate(action.steps):
        if isinstance(step, ModelCallStep):
            expected = step_seed(payment.signature, record.request_hash, index)
            report.add(
                "seed", step.seed == expected, f"seed of step {index} follows from the payment signature"
            )


def _check_chain(report: Report, action: Action, store: ContentStore, ledger: Ledger) -> None:
    signed, record = action.signed, action.record
    if signed.domain != ledger.domain:
        there = f"chain {signed.domain.chain_id}, log {signed.domain.verifying_contract}"
        here = f"chain {ledger.domain.chain_id}, log {ledger.domain.verifying_contract}"
        report.add("chain", Verdict.UNVERIFIED, f"signed for {there}; this is {here}")
        return
    epoch = ledger.epoch(record.agent_id, record.epoch)
    if epoch is None:
        report.add("signature", False, f"agent {record.agent_id} never opened epoch {record.epoch}")
        return
    try:
        signer = signed.signer()
    except ContentError as error:
        report.add("signature", False, str(error))
        return
    report.add("signature", signer == epoch.record_key, f"signed by {signer}, epoch key {epoch.record_key}")
    if action.content.payment is not None:
        good = (
            ledger.payments.signer_of(action.content.payment, record.agent_id, record.request_hash)
            == record.client
        )
        report.add("payer", good, "the client signed the payment")
    _check_manifest(report, action, store, epoch.manifest)
    header = report.header = ledger.batch_of(record.agent_id, record.nonce)
    if header is None:
        report.add("anchor", Verdict.UNVERIFIED, f"nonce {record.nonce} is not anchored yet")
        return
    try:
        batch = Batch.decode(cid_from_digest(header.batch_digest), store.get)
    except ContentError as error:
        report.add("anchor", Verdict.UNVERIFIED, f"the batch block is not to be had: {error}")
        return
    proof = batch.record_proof(record.nonce)
    held = ledger.includes(header, record.struct_hash(), record.nonce, proof)
    report.add(
        "anchor", held, f"nonce {record.nonce} in the batch from {header.first_nonce} of {header.count}"
    )


def _check_manifest(report: Report, action: Action, store: ContentStore, cid: str) -> None:
    if action.content.manifest != cid:
        report.add("manifest", False, f"the record names manifest {action.content.manifest}, its epoch {cid}")
        return
    try:
        manifest = Manifest.decode(cid, store.get)
    except ContentError as error:
        report.add("manifest", Verdict.UNVERIFIED, f"the manifest is not to be had: {error}")
        return
    _check_fee(report, action, manifest)
    for index, step in enumerate(action.steps):
        if isinstance(step, ModelCallStep):
            # A declared datanet is no model: each asset must be declared as what it was used for.
            used = {
                AssetRef(step.asset_id, step.content): (*manifest.adapters, *manifest.models),
                AssetRef(step.base_asset_id, step.base): manifest.models,
            }
            missing = [ref.asset_id for ref, declared in used.items() if ref not in declared]
            text = (
                f"step {index} uses undeclared assets {missing}" if missing else f"step {index} is declared"
            )
            report.add("manifest", not missing, text)


def _check_fee(report: Report, action: Action, manifest: Manifest) -> None:
    payment, record = action.content.payment, action.record
    if payment is None or record.status is Status.FAILED:
        return  # nothing was paid, or nothing is charged
    due = action_fee(manifest, action.steps, payment.value)
    by = (
        "what was paid"
        if manifest.tariff is None
        else "its tariff and {} + {} tokens".format(*used_tokens(action.steps))
    )
    report.add("fee", record.fee == due, f"a fee of {record.fee} wei, and by {by} {due}")


def _check_subs(report: Report, action: Action, store: ContentStore, ledger: Ledger) -> None:
    """The receipts of other agents that the action used: each is there, and signed by its agent. What is behind one, a
    ``verify`` of its own says."""
    for index, step in enumerate(action.steps):
        if not isinstance(step, SubActionStep):
            continue
        try:
            signed = SignedRecord.decode(store.get(step.receipt), step.receipt)
            signer = signed.signer()
        except ContentError as error:
            report.add("sub-action", Verdict.UNVERIFIED, f"step {index}: {error}")
            continue
        record = signed.record
        what = f"step {index}: action {record.nonce} of agent {record.agent_id}"
        if signed.domain != ledger.domain:
            report.add("sub-action", Verdict.UNVERIFIED, f"{what}, on another chain")
            continue
        epoch = ledger.epoch(record.agent_id, record.epoch)
        held = epoch is not None and epoch.record_key == signer
        report.add("sub-action", held, f"{what}, {'' if held else 'not '}signed by its key")


def _check_replay(
    report: Report,
    action: Action,
    replayer: ReplayerFor | None,
    tolerances: ToleranceFor,
) -> None:
    calls = [(i, step) for i, step in enumerate(action.steps) if isinstance(step, ModelCallStep)]
    if action.record.replay_class is not ReplayClass.EXACT_TOLERANCE:
        report.add("replay", Verdict.UNVERIFIED, f"replay class {action.record.replay_class.name.lower()}")
        return
    if not calls:
        report.add("replay", True, "no model call to replay")
        return
    if replayer is None:
        report.add("replay", Verdict.UNVERIFIED, "no engine was given to replay on")
        return
    try:
        for index, step in calls:
            base = AssetRef(step.base_asset_id, step.base)
            result = replay(generation_of(step), replayer(base), base=base, tolerances=tolerances)
            report.tokens_replayed += len(step.output_tokens)
            if not report.add(
                "replay",
                Verdict(result.verdict),
                f"step {index}: {result.why or f'{len(step.output_tokens)} tokens replayed'}",
            ) and (report.replay is None or (result.gross and not report.replay.gross)):
                report.step, report.token, report.replay = index, result.first_token, result
    except (EngineError, ContentError, UserError) as error:
        report.add("replay", Verdict.UNVERIFIED, str(error))
