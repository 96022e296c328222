"""Feedback and validations on a real chain: what Python reads from events is what the contracts compute."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from openledger.contracts import Contracts, Devnet, deploy
from openledger.errors import ChainError, ContentError, UserError
from openledger.registry import (
    Agents,
    Ledger,
    LocalStore,
    Reputation,
    Validations,
    keccak,
    validation_key,
)

OPEN = 10**18


@pytest.fixture(scope="module")
def devnet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Devnet]:
    with Devnet.start(tmp_path_factory.mktemp("home")) as devnet:
        yield devnet


@pytest.fixture(scope="module")
def contracts(devnet: Devnet) -> Contracts:
    return deploy(devnet.connect(), devnet.accounts[0], devnet.home.parent)


@pytest.fixture
def blocks(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "content")


@pytest.fixture
def agents(contracts: Contracts, blocks: LocalStore) -> Agents:
    return Agents(contracts, blocks)


@pytest.fixture
def reputation(contracts: Contracts, blocks: LocalStore) -> Reputation:
    return Reputation(contracts, blocks)


@pytest.fixture
def validations(contracts: Contracts, blocks: LocalStore) -> Validations:
    return Validations(contracts, blocks)


@pytest.fixture
def agent_id(agents: Agents, devnet: Devnet) -> int:
    return agents.register(devnet.accounts[1], "Auditor", "Finds bugs")


def on_chain_summary(
    contracts: Contracts, agent_id: int, clients: Sequence[str], tag1: str = "", tag2: str = ""
) -> tuple[int, int, int]:
    found: Any = contracts.chain.call(
        contracts.reputation.functions.getSummary(agent_id, clients, tag1, tag2)
    )
    count, value, decimals = found
    return int(count), int(value), int(decimals)


# -- wallets --------------------------------------------------------------------------------------


def test_a_wallet_consents_and_a_sale_clears_it(agents: Agents, devnet: Devnet, contracts: Contracts) -> None:
    owner, wallet, buyer = devnet.accounts[1], devnet.accounts[2], devnet.accounts[3]
    agent_id = agents.register(owner, "Auditor", "Finds bugs")
    assert agents.get(agent_id).wallet == owner.address
    consent, signature = agents.wallet_consent(wallet, agent_id)
    assert consent.signer(signature, agents.wallet_domain) == wallet.address
    with pytest.raises(ChainError, match="NotAuthorized"):
        agents.set_wallet(buyer, consent, signature)
    with pytest.raises(ChainError, match="InvalidWalletSignature"):
        agents.set_wallet(owner, consent, consent.sign(wallet, agents.domain))
    agents.set_wallet(owner, consent, signature)
    assert agents.get(agent_id).wallet == wallet.address
    agents.unset_wallet(owner, agent_id)
    assert int(agents.get(agent_id).wallet, 16) == 0
    agents.set_wallet(owner, consent, signature)
    transfer = contracts.agents.functions.transferFrom(owner.address, buyer.address, agent_id)
    contracts.chain.send(transfer, owner)
    assert int(agents.get(agent_id).wallet, 16) == 0
    with pytest.raises(ChainError, match="InvalidWalletSignature"):
        agents.set_wallet(buyer, consent, signature)
    contracts.chain.advance(301)
    with pytest.raises(ChainError, match="BadDeadline"):
        agents.set_wallet(buyer, consent, signature)
    with pytest.raises(UserError, match="Agent 4040 is not registered"):
        agents.wallet_consent(wallet, 4040)


def test_a_registration_file_names_its_agent(agents: Agents, contracts: Contracts, devnet: Devnet) -> None:
    owner = devnet.accounts[1]
    first = agents.register(owner, "Auditor", "Finds bugs")
    second = agents.register(owner, "Auditor", "Finds bugs")
    found = agents.get(first)
    assert found.registration is not None
    assert found.registration["supportedTrust"] == ["reputation", "crypto-economic"]
    assert found.is_named_in_file(agents.registry)
    assert not agents.get(second).is_named_in_file(agents.registry.replace("eip155:", "eip155:9"))
    agents.chain.send(contracts.agents.functions.setAgentURI(second, found.uri), owner)
    assert not agents.get(second).is_named_in_file(agents.registry), "a copied file"
    for uri in ("", "https://agent.example/card.json", "ipfs://nonsense", "data:application/json;base64,@"):
        agents.chain.send(contracts.agents.functions.setAgentURI(second, uri), owner)
        assert agents.get(second).registration is None
    uri = "data:application/json;base64,eyJuYW1lIjoiQXVkaXRvciJ9"
    agents.chain.send(contracts.agents.functions.setAgentURI(second, uri), owner)
    assert agents.get(second).registration == {"name": "Auditor"}
    with pytest.raises(UserError, match="is no service"):
        agents.register(owner, "Auditor", "Finds bugs", services=[{"name": "web"}])


# -- feedback -------------------------------------------------------------------------------------


def test_feedback_is_read_back_with_its_answers(
    reputation: Reputation, devnet: Devnet, blocks: LocalStore, agent_id: int
) -> None:
    owner, client = devnet.accounts[1], devnet.accounts[4]
    with pytest.raises(ChainError, match="SelfFeedback"):
        reputation.give(owner, agent_id, 100)
    details = {"proofOfPayment": {"txHash": "0x00"}}
    assert reputation.give(client, agent_id, "99.77", tag1="uptime", tag2="week", details=details) == 1
    assert reputation.give(client, agent_id, -5, endpoint="https://agent.example/a") == 2
    uri = reputation.respond(owner, agent_id, client.address, 1, {"refund": "0x01"})
    first, second = reputation.feedback(agent_id)
    assert (first.client, first.index, first.number) == (client.address, 1, Decimal("99.77"))
    assert (first.tag1, first.tag2, first.revoked) == ("uptime", "week", False)
    assert [(one.responder, one.uri) for one in first.responses] == [(owner.address, uri)]
    assert (second.value, second.decimals, second.endpoint) == (-5, 0, "https://agent.example/a")
    assert second.uri == ""
    file = blocks.get(first.uri.removeprefix("ipfs://"))
    for expected in (b'"value": 9977', b'"valueDecimals": 2', b'"tag1": "uptime"', b'"txHash": "0x00"'):
        assert expected in file

    reputation.revoke(client, agent_id, 2)
    with pytest.raises(ChainError, match="AlreadyRevoked"):
        reputation.revoke(client, agent_id, 2)
    assert [one.index for one in reputation.feedback(agent_id)] == [1]
    assert [one.revoked for one in reputation.feedback(agent_id, revoked=True)] == [False, True]
    assert reputation.feedback(agent_id, tag1="uptime", clients=[client.address]) == [
        reputation.feedback(agent_id)[0]
    ]
    assert reputation.feedback(agent_id, tag2="day") == []
    assert reputation.feedback(agent_id, clients=[owner.address]) == []
    with pytest.raises(UserError, match="is no address"):
        reputation.feedback(agent_id, clients=["alice"])


def test_the_summary_is_the_chains(
    reputation: Reputation, contracts: Contracts, devnet: Devnet, agent_id: int
) -> None:
    clients = [account.address for account in devnet.accounts[4:7]]
    given = [
        (4, "87", "starred"), (4, "99.77", "uptime"), (5, "-3.2", "yield"), (5, "-0.7", "yield"), (6, "99.5", "uptime"),
        (6, str(2**127 - 1), "extreme"), (6, str(-(2**127)), "extreme"), (5, "0." + "0" * 18, "fits"),
        (5, "0." + "0" * 18, "fits"), (5, str(10**30), "fits"),
    ]  # fmt: skip
    for account, value, tag in given:
        reputation.give(devnet.accounts[account], agent_id, value, tag1=tag)
    reputation.revoke(devnet.accounts[4], agent_id, 1)
    for tag in ("", "starred", "uptime", "yield", "extreme", "fits"):
        ours = reputation.summary(agent_id, clients, tag1=tag)
        assert (ours.count, ours.value, ours.decimals) == on_chain_summary(contracts, agent_id, clients, tag)
    assert reputation.summary(agent_id, clients, tag1="yield").number == Decimal("-1.9")
    fits = reputation.summary(agent_id, clients, tag1="fits")
    assert (fits.value, fits.decimals) == (10**38 // 3, 8)
    with pytest.raises(UserError, match="needs the clients"):
        reputation.summary(agent_id, [])


def test_who_paid_is_known(
    reputation: Reputation, contracts: Contracts, devnet: Devnet, agent_id: int
) -> None:
    payer = Ledger(contracts, devnet.accounts[4])
    payer.wrap(5 * OPEN)
    escrow = payer.payments.escrow_of(agent_id)
    payer.send(contracts.token.functions.transfer(escrow, 2 * OPEN))
    payer.send(contracts.token.functions.transfer(escrow, OPEN))
    assert reputation.paid(agent_id) == {payer.address: 3 * OPEN}


# -- validations ----------------------------------------------------------------------------------


def test_a_validation_is_asked_for_and_answered(
    validations: Validations, contracts: Contracts, devnet: Devnet, agent_id: int
) -> None:
    owner, validator = devnet.accounts[1], devnet.accounts[8]
    work = {"input": "2 + 2", "output": "4"}
    with pytest.raises(ChainError, match="NotAuthorized"):
        validations.request(validator, agent_id, validator.address, work)
    asked = validations.request(owner, agent_id, validator.address, work)
    assert asked.response is None
    assert not asked.verdict
    assert validations.work(asked) | work == validations.work(asked)
    key_of = contracts.validations.functions.keyOf(validator.address, agent_id, asked.request_hash)
    assert asked.key == bytes(contracts.chain.call(key_of))
    with pytest.raises(UserError, match="is no response"):
        validations.answer(validator, agent_id, asked.request_hash, 101)
    with pytest.raises(ChainError, match="UnknownRequest"):
        validations.answer(owner, agent_id, asked.request_hash, 100)
    answered = validations.answer(
        validator, agent_id, asked.request_hash, 100, tag="exact", report={"by": "replay"}
    )
    assert (answered.response, answered.tag, answered.key) == (100, "exact", asked.key)
    second = validations.request(owner, agent_id, devnet.accounts[9].address, work)
    validations.answer(devnet.accounts[9], agent_id, second.request_hash, 61)
    assert validations.of_agent(agent_id)[0] == answered
    assert validations.of_validator(validator.address)[-1] == answered
    functions = contracts.validations.functions
    for tag, validators in (("", []), ("exact", []), ("", [validator.address]), ("none", [])):
        summary = contracts.chain.call(functions.getSummary(agent_id, validators, tag))
        assert validations.summary(agent_id, tag=tag, validators=validators) == tuple(summary)
    assert validations.summary(agent_id) == (2, 80)
    with pytest.raises(UserError, match="never asked"):
        validations.get(owner.address, agent_id, asked.request_hash)


def test_a_copied_request_is_recognised_and_changes_nothing(
    validations: Validations, contracts: Contracts, agents: Agents, devnet: Devnet, agent_id: int
) -> None:
    owner, validator, mallory = devnet.accounts[1], devnet.accounts[8], devnet.accounts[9]
    hostile = agents.register(mallory, "Copycat", "Takes credit")
    honest = validations.request(owner, agent_id, validator.address, {"output": "4"})
    copy = contracts.validations.functions.validationRequest(
        validator.address, hostile, honest.request_uri, honest.request_hash
    )
    contracts.chain.send(copy, mallory)
    with pytest.raises(ContentError, match="is another request"):
        validations.work(validations.get(validator.address, hostile, honest.request_hash))
    lie = contracts.validations.functions.validationRequest(
        validator.address, hostile, honest.request_uri, keccak(b"something else")
    )
    contracts.chain.send(lie, mallory)
    with pytest.raises(ContentError, match="is not what the request committed to"):
        validations.work(validations.get(validator.address, hostile, keccak(b"something else")))
    answered = validations.answer(validator, agent_id, honest.request_hash, 90)
    assert answered.response == 90
    assert validations.summary(hostile) == (0, 0)
    # the published getter finds it by the name that the published list gives
    [name] = contracts.chain.call(contracts.validations.functions.getAgentValidations(agent_id))
    assert bytes(name) == validation_key(validator.address, agent_id, honest.request_hash)
    status = contracts.chain.call(contracts.validations.functions.getValidationStatus(name))
    assert (status[0], status[1], status[2]) == (validator.address, agent_id, 90)


def test_a_verdict_names_its_dispute(
    validations: Validations, contracts: Contracts, devnet: Devnet, agent_id: int
) -> None:
    chain, disputes, subject = contracts.chain, contracts.address("Disputes"), keccak(b"record")
    chain.w3.provider.make_request("anvil_setBalance", [disputes, hex(OPEN)])  # type: ignore[arg-type]
    chain.w3.provider.make_request("anvil_impersonateAccount", [disputes])  # type: ignore[arg-type]
    post = contracts.validations.functions.postVerdict(
        agent_id, subject, 0, "", (7).to_bytes(32, "big"), "jury"
    )
    chain.w3.eth.wait_for_transaction_receipt(post.transact({"from": chain.w3.to_checksum_address(disputes)}))
    with pytest.raises(ChainError, match="VerdictsOnly"):
        validations.request(devnet.accounts[1], agent_id, disputes, {"output": "4"})
    [found] = validations.of_agent(agent_id)
    assert (found.validator, found.verdict, found.dispute) == (disputes, True, 7)
    assert (found.request_hash, found.response, found.tag) == (subject, 0, "jury")
    assert validations.summary(agent_id, validators=[disputes]) == (1, 0)
