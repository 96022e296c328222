"""Contributions to datanets: bonded, decided by curators, appealed, sealed into versions. See ``DatanetCuration``.

Amounts are wei of OPEN, times unix seconds of the chain's clock.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from ..errors import UserError
from ._keccak import keccak
from ._ledger import Ledger
from ._merkle import MerkleTree

if TYPE_CHECKING:
    from ..contracts import Chain, Contracts, Signer

__all__ = [
    "Contribution",
    "ContributionState",
    "Curation",
    "CuratorRecord",
    "SealedVersion",
    "accepted_tree",
]


class ContributionState(IntEnum):
    """What became of a contribution."""

    PENDING = 1
    ACCEPTED = 2
    REJECTED = 3
    APPEALED = 4
    LAPSED = 5
    LOST = 6


@dataclass(frozen=True, slots=True)
class Contribution:
    """Content offered to a datanet. ``until`` is when curators must have decided (PENDING), the contributor appealed
    (REJECTED) or the arbiter ruled (APPEALED); ``cluster`` is the key that near-duplicates share, None without one."""

    contribution_id: int
    asset_id: int
    digest: bytes
    cluster: bytes | None
    contributor: str
    curator: str
    bond: int
    until: int
    state: ContributionState


@dataclass(frozen=True, slots=True)
class CuratorRecord:
    """How a curator has decided so far."""

    accepted: int
    rejected: int
    overturned: int


@dataclass(frozen=True, slots=True)
class SealedVersion:
    """A version of a datanet, and the root over the first ``count`` accepted contributions it consists of."""

    asset_id: int
    version: int
    count: int
    root: bytes


def accepted_tree(digests: Sequence[bytes]) -> MerkleTree:
    """The indexed Merkle tree over accepted contributions, in the order of acceptance, as the contract grows it. A
    published datanet version whose rows are the same in the same order has the same root."""
    return MerkleTree([keccak(keccak(digest)) for digest in digests])


class Curation:
    """The ``DatanetCuration`` of one chain. Methods that send take the signer first and raise ``ChainError`` with the
    decoded ``revert`` when it refuses."""

    def __init__(self, contracts: Contracts) -> None:
        self._contracts, self._curation = contracts, contracts.curation

    @property
    def chain(self) -> Chain:
        return self._contracts.chain

    # -- the datanet's owner ---------------------------------------------------------------------

    def set_open(self, signer: Signer, asset_id: int, open: bool = True) -> None:
        """Let a datanet of ``signer`` take contributions, or no more."""
        self.chain.send(self._curation.functions.setOpen(asset_id, open), signer)

    def set_curator(self, signer: Signer, asset_id: int, curator: str, appointed: bool = True) -> None:
        """Appoint or dismiss a curator. Owners are curators themselves; a sale ends appointments."""
        self.chain.send(self._curation.functions.setCurator(asset_id, curator, appointed), signer)

    def seal(self, signer: Signer, asset_id: int, digest: bytes) -> SealedVersion:
        """Declare that the registered version with this content digest consists of all contributions accepted so far."""
        receipt = self.chain.send(self._curation.functions.seal(asset_id, digest), signer)
        event = receipt.event(self._curation.events.VersionSealed)
        return SealedVersion(asset_id, int(event["version"]), int(event["count"]), bytes(event["root"]))

    # -- contributors ----------------------------------------------------------------------------

    def contribute(
        self, signer: Signer, asset_id: int, digest: bytes, *, cluster: bytes | None = None
    ) -> int:
        """Offer content to a datanet with a bond of ``curationBond``; returns the contribution's id.

        ``digest`` is that of the content's block, ``cluster`` 32 bytes that near-duplicates share.
        """
        bond = Ledger(self._contracts).parameter("curationBond")
        receipt = Ledger(self._contracts, signer).send_taking(
            bond, self._curation.functions.contribute, asset_id, _bytes32(digest), _cluster(cluster)
        )
        return int(receipt.event(self._curation.events.Contributed)["contributionId"])

    def appeal_cost(self, contribution_id: int) -> tuple[int, int]:
        """What an appeal takes: a bond that comes back unless it is lost, and the arbiter's fee, which does not."""
        return self.get(contribution_id).bond, int(self.chain.call(self._contracts.arbiter.functions.fee()))

    def appeal(self, signer: Signer, contribution_id: int, *, max_fee: int | None = None) -> None:
        """Bring a rejection of one's contribution before the arbiter; ``max_fee`` defaults to the fee of now."""
        bond, fee = self.appeal_cost(contribution_id)
        limit = fee if max_fee is None else max_fee
        ledger = Ledger(self._contracts, signer)
        ledger.send_taking(bond + fee, self._curation.functions.appeal, contribution_id, limit)

    def settle(self, signer: Signer, contribution_id: int) -> ContributionState:
        """End what is due: the bond comes back after silence, and is burned after a rejection nobody appealed. Anyone may."""
        self.chain.send(self._curation.functions.settle(contribution_id), signer)
        return self.get(contribution_id).state

    # -- curators -------------------------------------------------------------------------------

    def accept(self, signer: Signer, contribution_id: int, *, cluster: bytes | None = None) -> None:
        """Accept a contribution: its bond goes back. ``cluster`` corrects the contributor's."""
        self.chain.send(self._curation.functions.accept(contribution_id, _cluster(cluster)), signer)

    def reject(self, signer: Signer, contribution_id: int, reason: bytes = bytes(32)) -> None:
        """Reject a contribution; ``reason`` is the digest of a text. Its bond is burned unless it is appealed."""
        self.chain.send(self._curation.functions.reject(contribution_id, _bytes32(reason)), signer)

    def case_of(self, contribution_id: int) -> int:
        """The dispute that decides an appeal; its jury's ruling is delivered by whoever resolves it. Raises
        ``UserError`` when there is none."""
        for log in self._logs(self._contracts.arbiter.events.CaseOpened, contributionId=contribution_id):
            return int(log["args"]["caseId"])
        raise UserError(f"contribution {contribution_id} was not appealed", fix="correct the id")

    # -- reading ---------------------------------------------------------------------------------

    def get(self, contribution_id: int) -> Contribution:
        """A contribution. Raises ``UserError`` when there is none."""
        found = self.chain.call(self._curation.functions.contribution(contribution_id))
        if int(found.state) == 0:
            raise UserError(
                f"There is no contribution {contribution_id} on chain {self.chain.chain_id}",
                fix="correct the id",
            )
        cluster = bytes(found.clusterKey)
        return Contribution(
            contribution_id=contribution_id,
            asset_id=int(found.assetId),
            digest=bytes(found.contentDigest),
            cluster=cluster if any(cluster) else None,
            contributor=str(found.contributor),
            curator=str(found.curator),
            bond=int(found.bond),
            until=int(found.until),
            state=ContributionState(found.state),
        )

    def contributions(self, asset_id: int) -> list[Contribution]:
        """Every contribution ever offered to a datanet, as it stands now."""
        made = self._logs(self._curation.events.Contributed, assetId=asset_id)
        return [self.get(int(log["args"]["contributionId"])) for log in made]

    def accepted(self, asset_id: int) -> list[Contribution]:
        """The accepted contributions of a datanet, in order; their tree is :func:`accepted_tree`."""
        made = self._logs(self._curation.events.ContributionAccepted, assetId=asset_id)
        return [self.get(int(log["args"]["contributionId"])) for log in made]

    def accepted_root(self, asset_id: int) -> tuple[int, bytes]:
        """Number of a datanet's accepted contributions, and the root over them, by the chain."""
        count, root = self.chain.call(self._curation.functions.acceptedRoot(asset_id))
        return int(count), bytes(root)

    def sealed(self, asset_id: int, version: int) -> SealedVersion | None:
        """What a version was sealed with; None when it was not."""
        found = self.chain.call(self._curation.functions.sealedVersion(asset_id, version))
        return SealedVersion(asset_id, version, int(found.count), bytes(found.root)) if found.count else None

    def in_version(
        self, asset_id: int, version: int, index: int, digest: bytes, proof: Sequence[bytes]
    ) -> bool:
        """Whether the chain finds the content at ``index`` of a sealed version."""
        functions = self._curation.functions
        return bool(self.chain.call(functions.inVersion(asset_id, version, index, digest, list(proof))))

    def cluster_head(self, asset_id: int, cluster: bytes) -> int:
        """The first accepted contribution of a cluster, the one that counts; 0 when there is none."""
        return int(self.chain.call(self._curation.functions.clusterHead(asset_id, cluster)))

    def is_curator(self, asset_id: int, account: str) -> bool:
        """Whether the account may decide about the datanet's contributions."""
        return bool(self.chain.call(self._curation.functions.isCurator(asset_id, account)))

    def curator_record(self, curator: str) -> CuratorRecord:
        """How a curator has decided so far."""
        found = self.chain.call(self._curation.functions.curatorRecord(curator))
        return CuratorRecord(int(found.accepted), int(found.rejected), int(found.overturned))

    def missed(self, asset_id: int) -> int:
        """Contributions that the datanet's curators left undecided."""
        return int(self.chain.call(self._curation.functions.missedOf(asset_id)))

    def _logs(self, event: Any, **where: Any) -> Iterator[Any]:
        return self.chain.logs(event, self._contracts.deployment.block, where=where)


def _cluster(cluster: bytes | None) -> bytes:
    return bytes(32) if cluster is None else _bytes32(cluster)


def _bytes32(value: bytes) -> bytes:
    if len(value) != 32:
        raise UserError(f"A digest or cluster key has 32 bytes, not {len(value)}")
    return value
