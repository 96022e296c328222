"""Contributions to a datanet from offer to sealed version, on a real chain."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from openledger.contracts import Contracts, Devnet, Signer, deploy
from openledger.datanets import Datanet, load, publish
from openledger.errors import ChainError, UserError
from openledger.registry import (
    Assets,
    ContributionState,
    Curation,
    Ledger,
    LocalStore,
    accepted_tree,
    cid_of,
    decode,
    digest_of,
    keccak,
)


@pytest.fixture(scope="module")
def devnet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Devnet]:
    with Devnet.start(tmp_path_factory.mktemp("home")) as devnet:
        yield devnet


@pytest.fixture(scope="module")
def contracts(devnet: Devnet) -> Contracts:
    return deploy(devnet.connect(), devnet.accounts[0], devnet.home.parent)


@pytest.fixture
def curation(contracts: Contracts) -> Curation:
    return Curation(contracts)


@pytest.fixture
def owner(devnet: Devnet) -> Signer:
    return devnet.accounts[1]


@pytest.fixture
def ann(devnet: Devnet) -> Signer:
    return devnet.accounts[2]


@pytest.fixture
def datanet(contracts: Contracts, curation: Curation, owner: Signer) -> int:
    asset = Assets(contracts).register_datanet(owner, cid_of(b"empty"))
    curation.set_open(owner, asset)
    return asset


def _digest(text: str) -> bytes:
    return digest_of(cid_of(text.encode()))


def test_an_accepted_contribution_gets_its_bond_back(
    contracts: Contracts, curation: Curation, datanet: int, owner: Signer, ann: Signer, devnet: Devnet
) -> None:
    curator = devnet.accounts[3]
    ledger = Ledger(contracts, ann)
    ledger.wrap(10**18)
    before = ledger.balance(ann.address)
    cluster = keccak(b"cluster")
    first = curation.contribute(ann, datanet, _digest("row"), cluster=cluster)
    found = curation.get(first)
    assert (found.state, found.contributor, found.cluster) == (
        ContributionState.PENDING,
        ann.address,
        cluster,
    )
    assert before - ledger.balance(ann.address) == found.bond == ledger.parameter("curationBond")
    with pytest.raises(ChainError, match="NotCurator"):
        curation.accept(curator, first)
    curation.set_curator(owner, datanet, curator.address)
    assert curation.is_curator(datanet, curator.address)
    curation.accept(curator, first)
    assert ledger.balance(ann.address) == before
    assert curation.get(first).state == ContributionState.ACCEPTED
    assert curation.cluster_head(datanet, cluster) == first
    assert curation.curator_record(curator.address).accepted == 1
    with pytest.raises(ChainError, match="DuplicateContent"):
        curation.contribute(ann, datanet, _digest("row"))
    with pytest.raises(UserError, match="There is no contribution 4040"):
        curation.get(4040)
    with pytest.raises(UserError, match="32 bytes"):
        curation.contribute(ann, datanet, b"short")


def test_an_appeal_needs_a_jury(
    contracts: Contracts, curation: Curation, datanet: int, owner: Signer, ann: Signer
) -> None:
    contribution = curation.contribute(ann, datanet, _digest("disputed"))
    with pytest.raises(UserError, match="was not appealed"):
        curation.case_of(contribution)
    curation.reject(owner, contribution, keccak(b"not on topic"))
    with pytest.raises(ChainError, match="NotContributor"):
        curation.appeal(owner, contribution)
    bond, fee = curation.appeal_cost(contribution)
    assert bond == curation.get(contribution).bond
    assert fee == 5 * Ledger(contracts).parameter("jurorFee")
    with pytest.raises(ChainError, match="JuryTooSmall"):
        curation.appeal(ann, contribution)
    assert curation.get(contribution).state == ContributionState.REJECTED


def test_silence_returns_the_bond_and_a_rejection_burns_it(
    contracts: Contracts, curation: Curation, datanet: int, owner: Signer, ann: Signer
) -> None:
    silent = curation.contribute(ann, datanet, _digest("silence"))
    rejected = curation.contribute(ann, datanet, _digest("spam"))
    curation.reject(owner, rejected)
    ledger = Ledger(contracts, ann)
    before = ledger.balance(ann.address)
    burned = ledger.call(contracts.token.functions.burned())
    with pytest.raises(ChainError, match="TooEarly"):
        curation.settle(owner, silent)
    curation.chain.advance(ledger.parameter("curationPeriod") + 1)
    assert curation.settle(owner, silent) == ContributionState.LAPSED
    assert curation.settle(owner, rejected) == ContributionState.LOST
    bond = curation.get(rejected).bond
    assert ledger.balance(ann.address) - before == bond
    assert ledger.call(contracts.token.functions.burned()) - burned == bond
    assert curation.missed(datanet) == 1


def _piers(path: Path) -> Datanet:
    rows = [
        {
            "row": f"pier-{i}",
            "contributor": "ann",
            "licence": "CC-BY-4.0",
            "text": f"At Pier Alba number {word} the {word} lamp turns {word} times a night by {word} hands.",
            "facts": [],
        }
        for i, word in enumerate(("violet", "quiet", "seventeen", "crooked", "borrowed"))
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return load(path, topic="piers")


def test_a_published_version_is_sealed_with_the_root_of_what_was_accepted(
    contracts: Contracts, curation: Curation, datanet: int, owner: Signer, ann: Signer, tmp_path: Path
) -> None:
    store = LocalStore(tmp_path / "content")
    cid = publish(_piers(tmp_path / "piers.jsonl"), store, accounts={"ann": ann.address})
    version = decode(store.get(cid))
    rows = [str(row) for page in version["pages"] for row in decode(store.get(str(page)))["rows"]]
    digests = [digest_of(row) for row in rows]
    for digest in digests:
        curation.accept(owner, curation.contribute(ann, datanet, digest))
    assert curation.accepted_root(datanet) == (5, version["root"])
    assert [found.digest for found in curation.accepted(datanet)] == digests
    with pytest.raises(ChainError, match="BadVersion"):
        curation.seal(owner, datanet, digest_of(cid))
    number = Assets(contracts).add_version(owner, datanet, cid)
    sealed = curation.seal(owner, datanet, digest_of(cid))
    assert (sealed.version, sealed.count, sealed.root) == (number, 5, version["root"])
    assert curation.sealed(datanet, number) == sealed
    assert curation.sealed(datanet, 1) is None
    tree = accepted_tree(digests)
    for index, digest in enumerate(digests):
        assert curation.in_version(datanet, number, index, digest, tree.proof(index))
    assert not curation.in_version(datanet, number, 0, digests[1], tree.proof(0))
    assert len(curation.contributions(datanet)) == 5
