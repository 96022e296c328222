"""Steps, action content, manifests and batches as blocks of at most 4 KiB."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openledger.errors import ContentError, UserError
from openledger.registry import (
    MAX_BLOCK,
    ActionContent,
    AssetRef,
    Batch,
    BatchEntry,
    Encoded,
    Manifest,
    ModelCallStep,
    Payment,
    Payout,
    RetrievalStep,
    Sampling,
    Split,
    Step,
    SubActionStep,
    ToolCallStep,
    cid_from_digest,
    cid_of,
    decode,
    decode_step,
    digest_of,
    encode,
    fixed_split_leaf,
    manifest_leaf,
    steps_tree,
    value_hash,
    verify_proof,
    verify_sum_proof,
)

CID = cid_of(b"adapter", "dag-pb")
CLIENT, ESCROW = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8", "0x5FbDB2315678afecb367f032d93F642f64180aa3"


def _model_call(prompt: list[int], output: list[int], **changes: Any) -> ModelCallStep:
    base: dict[str, Any] = {
        "asset_id": 5, "content": CID, "base_asset_id": 1, "base": CID, "prompt_tokens": prompt,
        "output_tokens": output, "logprobs": [-i for i in range(len(output))],
        "sampling": Sampling(0.7, 0.95, 0, 64), "seed": b"\x03" * 32, "engine_class": "cpu-bf16", "finish": "stop",
        "node": "answer",
    }  # fmt: skip
    return ModelCallStep(**(base | changes))


tokens = st.lists(st.integers(0, 2**32 - 1), max_size=3000)
plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text("abc"), inner),
    max_leaves=30,
)
steps = (
    st.builds(_model_call, tokens, tokens)
    | st.builds(ToolCallStep, st.text("abc"), plain, plain, st.none() | st.just("0x" + "ab" * 32))
    | st.builds(RetrievalStep, st.integers(0, 2**60), plain, st.none() | st.just(CID))
    | st.just(SubActionStep(CID))
)


def _check_blocks(encoded: Encoded) -> None:
    assert encoded.blocks[encoded.cid] == encoded.data
    for cid, data in encoded.blocks.items():
        assert len(data) <= MAX_BLOCK
        assert digest_of(cid_of(data)) == digest_of(cid)


@given(steps)
@settings(deadline=None)
def test_a_step_comes_back_with_the_same_leaf(step: Step) -> None:
    _check_blocks(step.encoded)
    back = decode_step(step.cid, step.encoded.blocks.__getitem__)
    assert back.encoded.blocks == step.encoded.blocks
    assert back.leaf(3) == step.leaf(3)
    assert step.leaf(3).detail_digest == digest_of(step.cid)


@pytest.mark.parametrize("length", [0, 1, 128, 129, 1024, 1025, 8 * 1024, 8 * 1024 + 1, 600_000])
def test_long_generations_stay_within_small_blocks(length: int) -> None:
    step = _model_call(list(range(length)), list(range(length)))
    _check_blocks(step.encoded)
    back = decode_step(step.cid, step.encoded.blocks.__getitem__)
    assert isinstance(back, ModelCallStep)
    assert list(back.output_tokens) == list(range(length))
    assert list(back.logprobs) == [-i for i in range(length)]


def test_a_models_leaf_commits_to_every_token() -> None:
    step = _model_call([1, 2, 3], [10, 11, 12, 13])
    leaf = step.leaf(0)
    assert leaf.count == 5, "the end is a leaf of its own"
    for index in range(leaf.count):
        token = step.generation.leaf(index)
        assert verify_proof(
            leaf.generation_root, token.hash(), index, leaf.count, step.generation.proof(index)
        )
    changes: list[dict[str, Any]] = [
        {"prompt_tokens": [1, 2, 4]}, {"output_tokens": [10, 11, 12, 14]}, {"logprobs": [0, -1, -2, -4]},
        {"seed": bytes(32)}, {"finish": "length"}, {"asset_id": 6}, {"content": cid_of(b"other")}, {"node": "other"},
        {"sampling": Sampling(0.8, 0.95, 0, 64)},
    ]  # fmt: skip
    roots = {steps_tree([replace(step, **change).leaf(0)]).root for change in [{}, *changes]}
    assert len(roots) == len(changes) + 1
    with pytest.raises(UserError, match="no leaf"):
        step.generation.leaf(5)
    with pytest.raises(UserError, match="numbered"):
        steps_tree([step.leaf(1)])


@pytest.mark.parametrize(
    "change",
    [
        {"logprobs": [1]}, {"seed": b"short"}, {"finish": "eos"}, {"output_tokens": [2**32, 1]},
        {"output_tokens": [-1, 1]}, {"logprobs": [2**31, 0]}, {"node": "n" * 5000}, {"content": "nonsense"},
    ],
)  # fmt: skip
def test_an_impossible_model_call_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(UserError):
        _ = _model_call([1], [1, 2], **change).leaf(0), _model_call([1], [1, 2], **change).encoded


def test_seed_may_be_hexadecimal() -> None:
    assert _model_call([1], [2], seed="0x" + "03" * 32) == _model_call([1], [2])


def _payment() -> Payment:
    return Payment(CLIENT, ESCROW, 10**18, 0, 1_790_000_000, b"\x01" * 65, b"\x02" * 32)


def _content(**changes: Any) -> ActionContent:
    base: dict[str, Any] = {
        "manifest": CID, "agent": "auditor", "request": {"question": "what?"}, "output": {"answer": "that"},
        "payment": _payment(), "steps": [CID], "rule": "v1", "scores": {"spans": []}, "parent": None, "started": 1,
        "ended": 2,
    }  # fmt: skip
    return ActionContent(**(base | changes))


@given(plain, plain, plain, st.integers(0, 300))
@settings(deadline=None)
def test_content_comes_back(request: Any, output: Any, scores: Any, count: int) -> None:
    links = [cid_of(b"%d" % i) for i in range(count)]
    content = _content(request=request, output=output, scores=scores, steps=links, parent=CID)
    _check_blocks(content.encoded)
    back = ActionContent.decode(content.cid, content.encoded.blocks.__getitem__)
    assert (back.request, back.output, back.scores, list(back.steps)) == (request, output, scores, links)
    assert back.payment == content.payment
    assert back.cid == content.cid
    assert content.request_hash == value_hash(request)


def test_long_texts_are_split() -> None:
    content = _content(request={"text": " ".join(str(i) for i in range(50_000))}, payment=None)
    _check_blocks(content.encoded)
    assert len(content.encoded.blocks) > 50
    back = ActionContent.decode(content.cid, content.encoded.blocks.__getitem__)
    assert back.request == content.request


def test_a_payment_is_bound_to_agent_and_request() -> None:
    payment = _payment()
    nonces = {payment.nonce(agent, bytes((request,)) * 32) for agent in (1, 2) for request in (0, 1)}
    assert len(nonces) == 4
    assert payment.payment_id(1, bytes(32)) != payment.nonce(1, bytes(32))


def _manifest(adapters: int = 2, **changes: Any) -> Manifest:
    base: dict[str, Any] = {
        "agent": "auditor", "models": [AssetRef(1, CID)],
        "adapters": [AssetRef(i + 2, cid_of(b"adapter%d" % i, "dag-pb")) for i in range(adapters)],
        "datanets": [(100, CID)], "rule": "v1", "split": Split(4000, 2000, 1000, 3000), "engine_class": "cpu-bf16",
        "graph_digest": bytes(32),
    }  # fmt: skip
    return Manifest(**(base | changes))


@pytest.mark.parametrize("adapters", [0, 1, 8, 300])
def test_a_manifest_comes_back_and_proves_its_assets(adapters: int) -> None:
    manifest = _manifest(adapters)
    _check_blocks(manifest.encoded)
    back = Manifest.decode(manifest.cid, manifest.encoded.blocks.__getitem__)
    assert back == manifest
    assert back.root() == manifest.root()
    for index, ref in enumerate(manifest.assets):
        digest = digest_of(ref.cid)
        assert manifest.index_of(ref.asset_id, digest) == index
        proof = manifest.tree.proof(index)
        assert verify_proof(
            manifest.root(), manifest_leaf(ref.asset_id, digest), index, len(manifest.assets), proof
        )
    assert not manifest.includes(1, bytes(32))
    assert not manifest.includes(99, digest_of(CID))


def test_a_manifest_commits_to_fixed_shares() -> None:
    app, tools = "0x" + "ab" * 20, "0x" + "cd" * 20
    manifest = _manifest(fixed=[(app, 1500), (tools, 2500)])
    back = Manifest.decode(manifest.cid, manifest.encoded.blocks.__getitem__)
    assert back == manifest
    assert back.fixed[0].account != app, "spelt with its checksum"
    count = len(manifest.assets) + 2
    proof = manifest.tree.proof(count - 1)
    assert verify_proof(manifest.root(), fixed_split_leaf(1, tools, 2500), count - 1, count, proof)
    assert manifest.root() != _manifest().root()
    for fixed in ([(app, 4001)], [(app, 1), (app.upper().replace("X", "x"), 1)], [(app, 0)], [("0xzz", 1)]):
        with pytest.raises(UserError):
            _manifest(fixed=fixed)


def test_a_split_adds_up() -> None:
    for parts in ((10_000, 1, 0, 0), (0, 0, 0, 0), (-1, 10_001, 0, 0)):
        with pytest.raises(UserError, match="10,000"):
            Split(*parts)


def _batch(count: int, payouts: int) -> Batch:
    return Batch(
        7,
        40,
        [BatchEntry(bytes((i % 256, i // 256)) * 16, cid_of(b"%d" % i), 10**19 + i) for i in range(count)],
        [Payout("0x" + (i + 1).to_bytes(20, "big").hex(), 10**20 + i) for i in range(payouts)],
    )


@pytest.mark.parametrize(("count", "payouts"), [(1, 0), (1, 1), (6, 11), (100, 41), (4096, 1000)])
def test_a_batch_comes_back_with_the_same_roots(count: int, payouts: int) -> None:
    batch = _batch(count, payouts)
    _check_blocks(batch.encoded)
    back = Batch.decode(batch.cid, batch.encoded.blocks.__getitem__)
    assert back.header(2, 99) == batch.header(2, 99)
    assert back.header(2, 99).hash() == batch.header(2, 99).hash()
    header = batch.header(2)
    assert header.sum == sum(entry.charge for entry in batch.entries)
    assert header.batch_digest == digest_of(batch.cid)
    from openledger.registry import payout_leaf, record_leaf

    for i in {0, count // 2, count - 1}:
        proof = batch.record_proof(40 + i)
        leaf = record_leaf(batch.entries[i].struct_hash, proof.charge)
        assert verify_sum_proof((header.record_root, header.sum), leaf, i, count, proof.path)
        more = record_leaf(batch.entries[i].struct_hash, proof.charge + 1)
        assert not verify_sum_proof((header.record_root, header.sum), more, i, count, proof.path)
    for i in range(0, payouts, 97):
        leaf_node = payout_leaf(i, *batch.payouts[i])
        root = (header.payout_root, sum(payout.amount for payout in batch.payouts))
        assert verify_sum_proof(root, leaf_node, i, payouts, batch.payout_tree.proof(i))


def test_a_batch_without_influence_is_the_block_it_was_before_there_was_any() -> None:
    """Byte for byte: what is anchored names its digest."""
    assert _batch(1, 1).cid == "bafyreigklkhuglosgdardec2v2hiqcsj6zyr666ltxdx4t2z3ciq24wwn4"
    assert _batch(100, 41).cid == "bafyreibniafxxoenp6io7y3bgbdemc7izmetiiwqb46b2bdbyg4vdhjcte"


def _with_influence(count: int) -> Batch:
    """Every third record charges nothing, so there is nothing to state of it."""
    plain = _batch(count, 2)
    entries = [
        entry if i % 3 == 2 else entry._replace(influence=cid_of(b"influence %d" % i))
        for i, entry in enumerate(plain.entries)
    ]
    return Batch(plain.agent_id, plain.first_nonce, entries, plain.payouts)


@pytest.mark.parametrize("count", [1, 2, 24, 25, 4096])
def test_a_batch_names_what_it_states_of_influence_and_anchors_the_same_records(count: int) -> None:
    batch = _with_influence(count)
    _check_blocks(batch.encoded)
    back = Batch.decode(batch.cid, batch.encoded.blocks.__getitem__)
    assert back == batch
    header, plain = batch.header(2), _batch(count, 2).header(2)
    assert (header.record_root, header.payout_root, header.sum) == (
        plain.record_root,
        plain.payout_root,
        plain.sum,
    )
    assert header.batch_digest != plain.batch_digest


def test_a_batch_that_states_nothing_is_written_one_way() -> None:
    """The block of influence without any is not canonical: one batch has one CID."""
    root = decode(_batch(1, 1).encoded.data)
    (entry,) = root["entries"]
    wrong = encode({**root, "version": 3, "entries": [[*entry[:2], None, entry[2]]]})
    with pytest.raises(ContentError, match="canonical"):
        Batch.decode(cid_of(wrong), lambda _cid: wrong)


def test_an_empty_batch_is_refused() -> None:
    with pytest.raises(UserError, match="at least one"):
        _batch(0, 0)


ROOTS: list[tuple[Any, Any]] = [
    (_model_call([1], list(range(400))), decode_step),
    (ToolCallStep("pay", {"to": "x"}, "y" * 2000, "0x" + "ab" * 32), decode_step),
    (RetrievalStep(3, ["a", "b"], CID), decode_step),
    (SubActionStep(CID), decode_step),
    (_content(request="z" * 9000), ActionContent.decode),
    (_manifest(40), Manifest.decode),
    (_batch(60, 50), Batch.decode),
    (_with_influence(60), Batch.decode),
    (_with_influence(2), Batch.decode),
]


@pytest.mark.parametrize(("made", "read"), ROOTS)
def test_malformed_content_is_refused(made: Any, read: Any) -> None:
    blocks = dict(made.encoded.blocks)
    root = decode(made.encoded.data)
    wrong: list[Any] = [None, [], {}, "text", {**root, "extra": 1}]
    for key in root:
        wrong.append({k: v for k, v in root.items() if k != key})
        for value in (None, -1, 1.5, "x", b"x", [], [1], {}, {"value": 1, "more": 2}, {"depth": 0, "links": [1]},
                      {"depth": 99, "links": []}, {"depth": 0, "links": [], "size": 5}, {"linked": b"\xff"}):  # fmt: skip
            if value != root[key]:
                wrong.append({**root, key: value})
    accepted = []
    for value in wrong:
        data = encode(value)
        cid = cid_of(data)
        try:
            read(cid, {**blocks, cid: data}.__getitem__)
        except ContentError:
            continue
        accepted.append(next(key for key in root if value[key] != root[key]))
    # A free-form field may hold another text or number; nothing structural may change.
    free = {"node", "engine_class", "name", "agent", "rule", "tx_hash", "content", "parent", "payment", "prompt_tokens",
            "entries", "payouts", "steps", "models", "adapters", "datanets"}  # fmt: skip
    assert set(accepted) <= free


@pytest.mark.parametrize(("made", "read"), ROOTS)
def test_every_block_counts(made: Any, read: Any) -> None:
    for missing in made.encoded.blocks:
        blocks = {cid: data for cid, data in made.encoded.blocks.items() if cid != missing}

        def get(cid: str, blocks: dict[str, bytes] = blocks) -> bytes:
            if cid not in blocks:
                raise ContentError("missing", cid=cid)
            return blocks[cid]

        with pytest.raises(ContentError):
            read(made.cid, get)


def test_another_chunking_of_the_same_step_is_refused() -> None:
    step = _model_call([1], list(range(400)))
    blocks = dict(step.encoded.blocks)
    root = decode(step.encoded.data)
    packed = b"".join(i.to_bytes(4, "big") for i in range(400))
    data = encode({**root, "output_tokens": packed})  # in place although long
    cid = cid_of(data)
    with pytest.raises(ContentError, match="canonical"):
        decode_step(cid, {**blocks, cid: data}.__getitem__)
    bad = cid_from_digest(bytes(32))
    data = encode(
        {**root, "sampling": {"temperature": 1, "top_p": 1.0, "top_k": 0, "max_tokens": 1}, "base": bad}
    )
    with pytest.raises(ContentError):
        decode_step(cid_of(data), {**blocks, cid_of(data): data}.__getitem__)
