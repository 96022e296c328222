"""Assets, agents and epochs on a real chain, and hashes as the contracts compute them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from openledger.contracts import Contracts, Devnet, deploy
from openledger.errors import ChainError, ContentError, UserError
from openledger.registry import (
    ActionRecord,
    Agents,
    AssetKind,
    AssetRef,
    Assets,
    LocalStore,
    Manifest,
    ReplayClass,
    SeedSource,
    Split,
    Status,
    Ticket,
    cid_of,
    digest_of,
)


@pytest.fixture(scope="module")
def devnet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Devnet]:
    with Devnet.start(tmp_path_factory.mktemp("home")) as devnet:
        yield devnet


@pytest.fixture(scope="module")
def contracts(devnet: Devnet) -> Contracts:
    return deploy(devnet.connect(), devnet.accounts[0], devnet.home.parent)


@pytest.fixture
def assets(contracts: Contracts) -> Assets:
    return Assets(contracts)


@pytest.fixture
def blocks(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "content")


@pytest.fixture
def agents(contracts: Contracts, blocks: LocalStore) -> Agents:
    return Agents(contracts, blocks)


def test_a_lineage_is_registered_and_read_back(assets: Assets, devnet: Devnet) -> None:
    owner = devnet.accounts[1]
    datanet = assets.register_datanet(owner, cid_of(b"rows"), licence="CC-BY-4.0", royalty_bps=250)
    model = assets.register_model(owner, cid_of(b"weights", "dag-pb"), licence="Apache-2.0")
    adapter = assets.register_adapter(owner, cid_of(b"lora", "dag-pb"), parents=[model, datanet])
    found = assets.get(adapter)
    assert (found.kind, found.cid, found.owner) == (
        AssetKind.ADAPTER,
        cid_of(b"lora", "dag-pb"),
        owner.address,
    )
    assert found.parents == (model, datanet)
    assert assets.get(datanet).royalty_bps == 250
    assert assets.get(datanet).licence == "CC-BY-4.0"
    assert [asset.asset_id for asset in assets.lineage(adapter)] == [adapter, model, datanet]
    assert assets.require_servable(adapter, digest_of(found.cid)) == found


def test_only_registered_versions_are_servable(assets: Assets, devnet: Devnet) -> None:
    owner = devnet.accounts[1]
    first, second = cid_of(b"v1"), cid_of(b"v2")
    asset = assets.register_datanet(owner, first)
    assert assets.add_version(owner, asset, second) == 2
    assert assets.get(asset).cid == second
    assert assets.version_of(asset, digest_of(first)) == 1
    assert assets.require_servable(asset, digest_of(first)).version == 2
    flipped = bytes((digest_of(second)[0] ^ 1,)) + digest_of(second)[1:]
    with pytest.raises(UserError, match="no version of asset") as caught:
        assets.require_servable(asset, flipped)
    assert caught.value.code == "user.asset.version"


def test_unknown_and_revoked_assets_are_never_servable(assets: Assets, devnet: Devnet) -> None:
    with pytest.raises(UserError, match="Asset 4040 is not registered") as caught:
        assets.require_servable(4040)
    assert caught.value.code == "user.asset.unknown"
    asset = assets.register_datanet(devnet.accounts[1], cid_of(b"withdrawn"))
    with pytest.raises(ChainError, match="NotAuthorized"):
        assets.tombstone(devnet.accounts[2], asset)
    assets.tombstone(devnet.accounts[1], asset)
    assert assets.get(asset).revoked
    with pytest.raises(UserError, match="was revoked") as caught:
        assets.require_servable(asset, digest_of(cid_of(b"withdrawn")))
    assert caught.value.code == "user.asset.revoked"
    with pytest.raises(ChainError, match="UnknownParent"):
        assets.register_adapter(devnet.accounts[1], cid_of(b"orphan"), parents=[4040])


def test_an_agent_has_an_erc8004_registration(agents: Agents, blocks: LocalStore, devnet: Devnet) -> None:
    owner = devnet.accounts[3]
    services = [{"name": "web", "endpoint": "http://127.0.0.1:8000"}]
    agent_id = agents.register(owner, "Auditor", "Finds bugs", services=services)
    agent = agents.get(agent_id)
    assert agent.owner == owner.address
    assert agent.registration is not None
    assert agent.registration["name"] == "Auditor"
    assert agent.registration["services"] == services
    assert agent.registration["registrations"][0]["agentId"] == agent_id
    assert json.loads(blocks.get(agent.uri.removeprefix("ipfs://"))) == agent.registration
    assert int(agent.escrow, 16) > 0
    with pytest.raises(UserError, match="Agent 999 is not registered"):
        agents.get(999)
    with pytest.raises(UserError, match="needs a name"):
        agents.register(owner, " ", "nameless")


def _manifest() -> Manifest:
    return Manifest(
        agent="Auditor",
        models=[AssetRef(1, cid_of(b"weights", "dag-pb"))],
        adapters=[AssetRef(2, cid_of(b"lora", "dag-pb"))],
        datanets=[],
        rule="v1",
        split=Split(4000, 2000, 1000, 3000),
        engine_class="cpu-bf16",
        graph_digest=bytes(32),
    )


def _stake(contracts: Contracts, devnet: Devnet, agent_id: int, owner: int) -> None:
    chain, signer, amount = contracts.chain, devnet.accounts[owner], 100_000 * 10**18
    chain.send(contracts.token.functions.deposit(), signer, value=amount)
    chain.send(contracts.token.functions.approve(contracts.address("StakeVault"), amount), signer)
    chain.send(contracts.vault.functions.deposit(agent_id, amount), signer)


def test_epochs_bind_key_and_manifest(
    agents: Agents, contracts: Contracts, devnet: Devnet, tmp_path: Path
) -> None:
    owner, key = devnet.accounts[4], devnet.accounts[5]
    agent_id = agents.register(owner, "Auditor", "Finds bugs")
    with pytest.raises(UserError, match="opened no epoch"):
        agents.current_epoch(agent_id)
    _stake(contracts, devnet, agent_id, 4)
    manifest = _manifest()
    number = agents.open_epoch(owner, agent_id, key.address, manifest)
    epoch = agents.current_epoch(agent_id)
    assert (epoch.number, epoch.record_key, epoch.operator) == (number, key.address, owner.address)
    assert epoch.manifest == manifest.cid
    assert agents.manifest(epoch) == manifest
    later = agents.open_epoch(owner, agent_id, owner.address, manifest)
    assert later == number + 1
    assert agents.epoch(agent_id, number).record_key == key.address
    assert agents.current_epoch(agent_id).number == later
    with pytest.raises(UserError, match="never opened epoch 77"):
        agents.epoch(agent_id, 77)
    with pytest.raises(ChainError, match="NotAuthorized"):
        agents.open_epoch(devnet.accounts[6], agent_id, key.address, manifest)
    with pytest.raises(ContentError, match="not in the store"):
        Agents(contracts, LocalStore(tmp_path / "elsewhere")).manifest(epoch)


def test_the_action_log_computes_the_same_hashes(
    agents: Agents, contracts: Contracts, devnet: Devnet
) -> None:
    chain, key = contracts.chain, devnet.accounts[5]
    record = ActionRecord(
        agent_id=3, nonce=4, epoch=1, client=key.address, payment_id=b"\x01" * 32, status=Status.FAILED,
        request_hash=b"\x02" * 32, output_hash=b"\x03" * 32, steps_root=b"\x04" * 32, rule_id=b"\x05" * 32,
        fee=10**18, replay_class=ReplayClass.RESTRICTED, seed_source=SeedSource.OPERATOR, anchor_by=1_790_000_000,
        content_digest=b"\x06" * 32,
    )  # fmt: skip
    ticket = Ticket(3, 1, b"\x01" * 32, b"\x02" * 32, 1_790_000_000)
    functions = contracts.log.functions
    assert bytes(chain.call(functions.domainSeparator())) == agents.domain.separator()
    assert bytes(chain.call(functions.structHashOf(record.to_abi()))) == record.struct_hash()
    assert bytes(chain.call(functions.digestOf(record.to_abi()))) == record.digest(agents.domain)
    assert bytes(chain.call(functions.ticketDigestOf(ticket.to_abi()))) == ticket.digest(agents.domain)
