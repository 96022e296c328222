"""Our registries driven through the ABI that the ERC-8004 reference contracts publish, by a client that knows no other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_utils.crypto import keccak

from openledger.contracts import Contracts, Devnet
from openledger.errors import ChainError

PUBLISHED = json.loads((Path(__file__).parents[2] / "vectors/erc8004.json").read_text())
HASH = keccak(b"request")


def published(contracts: Contracts, registry: str, ours: str) -> Any:
    abi = [row["abi"] for row in PUBLISHED["registries"][registry]]
    return contracts.chain.contract(contracts.address(ours), abi)


def read(contracts: Contracts, call: Any) -> Any:
    """What a view returns; several values as a plain list."""
    found = contracts.chain.call(call)
    return list(found) if isinstance(found, tuple) else found


@pytest.fixture
def identity(contracts: Contracts) -> Any:
    return published(contracts, "IdentityRegistry", "AgentRegistry")


@pytest.fixture
def reputation(contracts: Contracts) -> Any:
    return published(contracts, "ReputationRegistry", "ReputationRegistry")


@pytest.fixture
def validation(contracts: Contracts) -> Any:
    return published(contracts, "ValidationRegistry", "ValidationRegistry")


@pytest.fixture
def agent_id(contracts: Contracts, devnet: Devnet, identity: Any) -> int:
    register = identity.get_function_by_signature("register(string)")
    receipt = contracts.chain.send(register("ipfs://agent"), devnet.accounts[1])
    return int(receipt.event(identity.events.Registered)["agentId"])


def test_registration(contracts: Contracts, devnet: Devnet, identity: Any) -> None:
    chain, owner, buyer = contracts.chain, devnet.accounts[1], devnet.accounts[2]
    plain = chain.send(identity.get_function_by_signature("register()")(), owner)
    with_uri = chain.send(identity.get_function_by_signature("register(string)")("ipfs://agent"), owner)
    full = identity.get_function_by_signature("register(string,(string,bytes)[])")
    with_more = chain.send(full("ipfs://agent", [("name", b"auditor"), ("empty", b"")]), owner)
    ids = [int(one.event(identity.events.Registered)["agentId"]) for one in (plain, with_uri, with_more)]
    assert ids == [ids[0], ids[0] + 1, ids[0] + 2], "assigned incrementally"
    assert with_uri.event(identity.events.Registered) == {
        "agentId": ids[1], "agentURI": "ipfs://agent", "owner": owner.address,
    }  # fmt: skip
    for receipt, agent_id in ((plain, ids[0]), (with_uri, ids[1]), (with_more, ids[2])):
        moved = receipt.event(identity.events.Transfer)
        assert (int(moved["from"], 16), moved["to"], moved["tokenId"]) == (0, owner.address, agent_id)
        wallet = receipt.events(identity.events.MetadataSet)[0]
        assert wallet["metadataKey"] == "agentWallet"
        assert wallet["metadataValue"] == bytes.fromhex(owner.address[2:])
        assert bytes(wallet["indexedMetadataKey"]) == keccak(b"agentWallet")
        assert chain.call(identity.functions.getAgentWallet(agent_id)) == owner.address
        assert chain.call(identity.functions.getMetadata(agent_id, "agentWallet")) == wallet["metadataValue"]
    assert [event["metadataKey"] for event in with_more.events(identity.events.MetadataSet)] == [
        "agentWallet", "name", "empty",
    ]  # fmt: skip
    assert chain.call(identity.functions.getMetadata(ids[2], "name")) == b"auditor"
    assert chain.call(identity.functions.tokenURI(ids[1])) == "ipfs://agent"
    assert chain.call(identity.functions.ownerOf(ids[0])) == owner.address
    assert chain.call(identity.functions.supportsInterface(bytes.fromhex("80ac58cd"))), "ERC-721"
    assert not chain.call(identity.functions.supportsInterface(bytes.fromhex("ffffffff")))
    assert (chain.call(identity.functions.name()), chain.call(identity.functions.symbol())) == (
        "AgentIdentity",
        "AGENT",
    )
    for reserved in (
        full("ipfs://agent", [("agentWallet", b"\x01")]),
        identity.functions.setMetadata(ids[0], "agentWallet", b"\x01"),
    ):
        with pytest.raises(ChainError, match="ReservedKey"):
            chain.send(reserved, owner)

    updated = chain.send(identity.functions.setAgentURI(ids[0], "ipfs://new"), owner)
    assert updated.event(identity.events.URIUpdated) == {
        "agentId": ids[0], "newURI": "ipfs://new", "updatedBy": owner.address,
    }  # fmt: skip
    changed = chain.send(identity.functions.setMetadata(ids[0], "name", b"new"), owner)
    assert changed.event(identity.events.MetadataSet)["metadataValue"] == b"new"
    with pytest.raises(ChainError, match="NotAuthorized"):
        chain.send(identity.functions.setMetadata(ids[0], "name", b"stolen"), buyer)
    chain.send(identity.functions.approve(buyer.address, ids[0]), owner)
    assert chain.call(identity.functions.isAuthorizedOrOwner(buyer.address, ids[0]))
    chain.send(identity.functions.setAgentURI(ids[0], "ipfs://by an operator"), buyer)
    assert not chain.call(identity.functions.isAuthorizedOrOwner(buyer.address, ids[1]))
    sold = chain.send(identity.functions.transferFrom(owner.address, buyer.address, ids[0]), owner)
    assert sold.event(identity.events.MetadataSet)["metadataValue"] == b""
    assert int(chain.call(identity.functions.getAgentWallet(ids[0])), 16) == 0


def consent(wallet: Any, identity: Any, contracts: Contracts, **changed: Any) -> bytes:
    """A wallet's consent as the reference's clients sign it: from the published domain and struct alone."""
    name, fields = PUBLISHED["walletType"].rstrip(")").split("(")
    types = [dict(zip(("type", "name"), field.split(), strict=True)) for field in fields.split(",")]
    domain = {
        **PUBLISHED["walletDomain"],
        "chainId": changed.pop("chain_id", contracts.chain.chain_id),
        "verifyingContract": changed.pop("contract", identity.address),
    }
    message = encode_typed_data(domain_data=domain, message_types={name: types}, message_data=changed)
    return bytes(wallet.sign_message(message).signature)


def test_wallets(contracts: Contracts, devnet: Devnet, identity: Any, agent_id: int) -> None:
    chain, owner = contracts.chain, devnet.accounts[1]
    wallet = Account.create()
    deadline = chain.now() + 200
    message = {"agentId": agent_id, "newWallet": wallet.address, "owner": owner.address, "deadline": deadline}
    good = consent(wallet, identity, contracts, **message)

    def refused(signature: bytes, why: str, at: int = deadline, by: Any = owner) -> None:
        with pytest.raises(ChainError, match=why):
            chain.send(identity.functions.setAgentWallet(agent_id, wallet.address, at, signature), by)

    refused(consent(wallet, identity, contracts, chain_id=1, **message), "InvalidWalletSignature")
    elsewhere = contracts.address("AssetRegistry")
    refused(consent(wallet, identity, contracts, contract=elsewhere, **message), "InvalidWalletSignature")
    refused(consent(Account.create(), identity, contracts, **message), "InvalidWalletSignature")
    refused(good, "NotAuthorized", by=devnet.accounts[2])
    for at in (chain.now() - 1, chain.now() + PUBLISHED["walletDeadline"] + 60):
        signature = consent(wallet, identity, contracts, **{**message, "deadline": at})
        refused(signature, "BadDeadline", at=at)
    set_ = chain.send(identity.functions.setAgentWallet(agent_id, wallet.address, deadline, good), owner)
    assert set_.event(identity.events.MetadataSet)["metadataValue"] == bytes.fromhex(wallet.address[2:])
    assert chain.call(identity.functions.getAgentWallet(agent_id)) == wallet.address
    unset = chain.send(identity.functions.unsetAgentWallet(agent_id), owner)
    assert unset.event(identity.events.MetadataSet)["metadataValue"] == b""
    fields = chain.call(identity.functions.eip712Domain())
    assert list(fields[1:3]) == list(PUBLISHED["walletDomain"].values())


def test_feedback(contracts: Contracts, devnet: Devnet, reputation: Any, agent_id: int) -> None:
    chain, owner, client = contracts.chain, devnet.accounts[1], devnet.accounts[3]
    functions = reputation.functions
    assert read(contracts, functions.getIdentityRegistry()) == contracts.address("AgentRegistry")
    with pytest.raises(ChainError, match="SelfFeedback"):
        chain.send(functions.giveFeedback(agent_id, 1, 0, "", "", "", "", bytes(32)), owner)
    with pytest.raises(ChainError, match="ERC721NonexistentToken"):
        chain.send(functions.giveFeedback(10**9, 1, 0, "", "", "", "", bytes(32)), client)
    with pytest.raises(ChainError, match="TooManyDecimals"):
        chain.send(functions.giveFeedback(agent_id, 1, 19, "", "", "", "", bytes(32)), client)
    extremes = (2**127 - 1, -(2**127))
    for index, value in enumerate(extremes, 1):
        call = functions.giveFeedback(agent_id, value, 0, "extreme", str(index), "e", "u", HASH)
        given = chain.send(call, client).event(reputation.events.NewFeedback)
        assert (given["feedbackIndex"], given["value"], given["tag1"]) == (index, value, "extreme")
        assert bytes(given["indexedTag1"]) == keccak(b"extreme")
        assert (given["endpoint"], given["feedbackURI"], bytes(given["feedbackHash"])) == ("e", "u", HASH)
        assert read(contracts, functions.readFeedback(agent_id, client.address, index)) == [
            value, 0, "extreme", str(index), False,
        ]  # fmt: skip
    chain.send(functions.giveFeedback(agent_id, 9977, 2, "uptime", "", "", "", bytes(32)), client)
    assert read(contracts, functions.getSummary(agent_id, [client.address], "extreme", "")) == [2, 0, 0]
    assert read(contracts, functions.getSummary(agent_id, [client.address], "", "2")) == [1, extremes[1], 0]
    assert read(contracts, functions.getSummary(agent_id, [client.address], "uptime", "")) == [1, 9977, 2]
    assert read(contracts, functions.getSummary(agent_id, [owner.address], "", "")) == [0, 0, 0]
    with pytest.raises(ChainError, match="NoClients"):
        read(contracts, functions.getSummary(agent_id, [], "", ""))
    assert read(contracts, functions.getClients(agent_id)) == [client.address]
    assert read(contracts, functions.getLastIndex(agent_id, client.address)) == 3

    revoked = chain.send(functions.revokeFeedback(agent_id, 2), client)
    assert revoked.event(reputation.events.FeedbackRevoked)["feedbackIndex"] == 2
    assert read(contracts, functions.getSummary(agent_id, [client.address], "extreme", "")) == [
        1,
        extremes[0],
        0,
    ]
    everything = read(contracts, functions.readAllFeedback(agent_id, [], "", "", True))
    assert everything[1:4] == [[1, 2, 3], [*extremes, 9977], [0, 0, 2]]
    assert everything[6] == [False, True, False]
    assert read(contracts, functions.readAllFeedback(agent_id, [], "", "", False))[1] == [1, 3]
    answered = chain.send(functions.appendResponse(agent_id, client.address, 1, "ipfs://r", HASH), owner)
    event = answered.event(reputation.events.ResponseAppended)
    assert (event["responder"], event["responseURI"], bytes(event["responseHash"])) == (
        owner.address, "ipfs://r", HASH,
    )  # fmt: skip
    count = functions.getResponseCount
    assert read(contracts, count(agent_id, client.address, 1, [])) == 1
    assert read(contracts, count(agent_id, client.address, 0, [owner.address])) == 1
    assert read(contracts, count(agent_id, "0x" + "0" * 40, 0, [])) == 1
    assert read(contracts, count(agent_id, client.address, 1, [client.address])) == 0


def test_validation(contracts: Contracts, devnet: Devnet, validation: Any, agent_id: int) -> None:
    chain, owner, validator = contracts.chain, devnet.accounts[1], devnet.accounts[4]
    functions = validation.functions
    request = functions.validationRequest(validator.address, agent_id, "ipfs://q", HASH)
    assert read(contracts, functions.getIdentityRegistry()) == contracts.address("AgentRegistry")
    with pytest.raises(ChainError, match="NotAuthorized"):
        chain.send(request, validator)
    asked = chain.send(request, owner).event(validation.events.ValidationRequest)
    assert (asked["requestURI"], bytes(asked["requestHash"])) == ("ipfs://q", HASH)
    with pytest.raises(ChainError, match="RequestExists"):
        chain.send(request, owner)
    assert read(contracts, functions.getValidationStatus(HASH))[:5] == [
        validator.address, agent_id, 0, bytes(32), "",
    ]  # fmt: skip
    with pytest.raises(ChainError, match="NotValidator"):
        chain.send(functions.validationResponse(HASH, 100, "", bytes(32), ""), owner)
    with pytest.raises(ChainError, match="BadResponse"):
        chain.send(functions.validationResponse(HASH, 101, "", bytes(32), ""), validator)
    for response, tag in ((80, "soft"), (100, "hard")):
        call = functions.validationResponse(HASH, response, "ipfs://r", keccak(b"r"), tag)
        receipt = chain.send(call, validator)
        event = receipt.event(validation.events.ValidationResponse)
        assert (event["agentId"], bytes(event["requestHash"])) == (agent_id, HASH)
        assert (event["response"], event["responseURI"], event["tag"]) == (response, "ipfs://r", tag)
        block = chain.w3.eth.get_block(receipt.block)
        assert read(contracts, functions.getValidationStatus(HASH)) == [
            validator.address, agent_id, response, keccak(b"r"), tag, block["timestamp"],
        ]  # fmt: skip
    assert read(contracts, functions.getSummary(agent_id, [], "")) == [1, 100]
    assert read(contracts, functions.getSummary(agent_id, [validator.address], "hard")) == [1, 100]
    assert read(contracts, functions.getSummary(agent_id, [owner.address], "")) == [0, 0]
    assert read(contracts, functions.getAgentValidations(agent_id)) == [HASH]
    assert read(contracts, functions.getValidatorRequests(validator.address)) == [HASH]
    with pytest.raises(ChainError, match="UnknownRequest"):
        read(contracts, functions.getValidationStatus(keccak(b"never asked")))


def test_a_front_runner_stops_nobody(
    contracts: Contracts, devnet: Devnet, identity: Any, validation: Any, agent_id: int
) -> None:
    """Seen through the published ABI alone: the event, the list's name for the request, the answer under that name."""
    chain, owner, mallory, validator = (contracts.chain, *(devnet.accounts[i] for i in (1, 5, 6)))
    stolen = keccak(b"seen in the mempool")
    register = identity.get_function_by_signature("register()")
    hostile = int(chain.send(register(), mallory).event(identity.events.Registered)["agentId"])
    functions = validation.functions
    chain.send(functions.validationRequest(validator.address, hostile, "", stolen), mallory)
    receipt = chain.send(functions.validationRequest(validator.address, agent_id, "", stolen), owner)
    assert bytes(receipt.event(validation.events.ValidationRequest)["requestHash"]) == stolen
    with pytest.raises(ChainError, match="AmbiguousRequest"):
        chain.send(functions.validationResponse(stolen, 100, "", bytes(32), ""), validator)
    name = read(contracts, functions.getAgentValidations(agent_id))[-1]
    assert name in read(contracts, functions.getValidatorRequests(validator.address))
    receipt = chain.send(functions.validationResponse(name, 100, "", bytes(32), ""), validator)
    event = receipt.event(validation.events.ValidationResponse)
    assert (event["agentId"], bytes(event["requestHash"])) == (agent_id, stolen)
    assert read(contracts, functions.getSummary(agent_id, [validator.address], "")) == [1, 100]
    assert read(contracts, functions.getSummary(hostile, [], "")) == [0, 0]
