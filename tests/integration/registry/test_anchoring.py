"""Records hashed here, anchored, proved, finalised and paid there: one batch through the real contracts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from eth_account import Account

from openledger.contracts import Devnet, deploy
from openledger.errors import ChainError
from openledger.registry import (
    ActionRecord,
    Agents,
    AssetRef,
    Batch,
    BatchEntry,
    Ledger,
    LocalStore,
    Manifest,
    Payment,
    Payout,
    ReplayClass,
    SeedSource,
    SignedRecord,
    Split,
    Status,
    cid_from_digest,
    cid_of,
    claim_due,
    dues,
    encode,
)

FEE = 10**18
COUNT = 5


@pytest.fixture(scope="module")
def devnet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Devnet]:
    with Devnet.start(tmp_path_factory.mktemp("home")) as devnet:
        yield devnet


def test_a_batch_is_anchored_proved_finalised_and_paid(devnet: Devnet, tmp_path: Path) -> None:
    chain = devnet.connect()
    operator, client, key = devnet.accounts[1], devnet.accounts[2], Account.create()
    contracts = deploy(chain, devnet.accounts[0], tmp_path)
    store = LocalStore(tmp_path / "content")
    agents, ledger, payer = (
        Agents(contracts, store),
        Ledger(contracts, operator),
        Ledger(contracts, client),
    )
    agent_id = agents.register(operator, "Auditor", "Finds bugs")
    ledger.wrap(1000 * FEE)
    ledger.approve(contracts.address("StakeVault"), 1000 * FEE)
    ledger.send(contracts.vault.functions.deposit(agent_id, 1000 * FEE))
    manifest = Manifest(
        "Auditor", [AssetRef(1, cid_of(b"model"))], [], [], "v1", Split(10_000, 0, 0, 0), "cpu", bytes(32)
    )
    epoch = agents.open_epoch(operator, agent_id, key.address, manifest)

    # A quarter of the stake backs fees: each has what those before it leave.
    fits, refused, also = ledger.covered(agent_id, [200 * FEE, 51 * FEE, 40 * FEE], pending=10 * FEE)
    assert (fits, also) == (None, None)
    assert refused is not None
    assert (refused.code, "this needs 261" in str(refused)) == ("user.agent.cover", True)

    payer.wrap(COUNT * FEE)
    escrow, records = ledger.payments.escrow_of(agent_id), []
    for nonce in range(COUNT):
        request_hash = bytes((nonce + 1,)) * 32
        draft = Payment(client.address, escrow, FEE, 0, chain.now() + 3600, bytes(65), bytes((nonce,)) * 32)
        payment = payer.payments.authorize(client, draft, draft.nonce(agent_id, request_hash))
        assert ledger.payments.signer_of(payment, agent_id, request_hash) == client.address
        ledger.payments.collect(payment, payment.nonce(agent_id, request_hash))
        content = cid_of(encode({"action": nonce}))
        record = ActionRecord(
            agent_id, nonce, epoch, client.address, payment.payment_id(agent_id, request_hash), Status.OK, request_hash,
            bytes(32), bytes(32), bytes(32), FEE, ReplayClass.EXACT_TOLERANCE, SeedSource.CLIENT, chain.now() + 3600,
            bytes(32),
        )  # fmt: skip
        signed = SignedRecord.make(record, key, agents.domain, cid_from_digest(bytes(32)))
        assert signed.signer() == agents.current_epoch(agent_id).record_key
        assert content != signed.cid
        records.append(BatchEntry(record.struct_hash(), store.put(signed.encode()), record.charge))
    assert ledger.balance(escrow) == COUNT * FEE

    people = [Account.create().address for _ in range(3)]
    net = ledger.settlement.net(agent_id, epoch, COUNT * FEE)
    assert net == COUNT * FEE - COUNT * FEE * 7 // 100
    parts = (net - FEE - 10**15, FEE, 10**15)
    payouts = [Payout(person, part) for person, part in zip(people, parts, strict=True)]
    batch = Batch(agent_id, 0, records, payouts)
    store.put_blocks(batch.encoded.blocks)
    header = ledger.anchor(batch, epoch)
    assert header == batch.header(epoch, header.anchored_at)
    assert bytes(chain.call(contracts.log.functions.headerHashAt(agent_id, 0))) == header.hash()

    # Anyone finds struct hashes and payouts again from the chain and the store alone.
    found = Batch.decode(cid_from_digest(ledger.anchored(agent_id, 0).batch_digest), store.get)
    assert found.header(epoch, header.anchored_at) == header
    for nonce in range(COUNT):
        proof = found.record_proof(nonce)
        assert ledger.includes(header, found.entries[nonce].struct_hash, nonce, proof)
        assert not ledger.includes(header, found.entries[nonce].struct_hash, (nonce + 1) % COUNT, proof)
        assert not ledger.includes(header, bytes(32), nonce, proof)

    with pytest.raises(ChainError, match="WindowOpen"):
        ledger.settlement.finalize(header)
    chain.advance(ledger.challengeable_until(header) - chain.now() + 1)
    ledger.settlement.claim(header, found, 0)  # finalises it
    ledger.settlement.claim(header, found, 0)  # paid once
    assert ledger.balance(people[0]) == payouts[0].amount
    # The others are found by whoever looks, and accrue below the least payout.
    due = list(dues(ledger, store))
    assert [(one.account, one.amount, one.index) for one in due] == [(*payouts[i], i) for i in (1, 2)]
    assert [one.index for one in dues(ledger, store, people[2].lower(), agent_id)] == [2]
    assert claim_due(ledger, due) == payouts[1].amount + payouts[2].amount
    assert list(dues(ledger, store)) == []
    small = [ledger.settlement.credit_of(person) for person in people]
    assert small == [
        0 if payout.amount >= ledger.parameter("minPayout") else payout.amount for payout in payouts
    ]
    for person, credit in zip(people, small, strict=True):
        if credit:
            ledger.settlement.withdraw_credit(person)
    assert [ledger.balance(person) for person in people] == [payout.amount for payout in payouts]
    assert ledger.balance(escrow) == 0
    pool = contracts.pool.functions
    cut = [
        chain.call(pool.creditOf(to)) for to in (ledger.settlement.treasury, contracts.address("Disputes"))
    ]
    assert cut == [COUNT * FEE * 5 // 100, COUNT * FEE * 2 // 100]
