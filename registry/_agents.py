"""Agents as registered on-chain (ERC-8004), and the epochs under which they sign.

Source: https://eips.ethereum.org/EIPS/eip-8004
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import ChainError, ContentError, UserError
from ._cid import cid_from_digest, digest_of
from ._documents import put_document, read_document, registry_of
from ._eip712 import HashSigner, Struct, struct_types
from ._keccak import keccak
from ._manifest import Manifest
from ._record import Domain
from .store import ContentStore

if TYPE_CHECKING:
    from ..contracts import Chain, Contracts, Signer

__all__ = ["Agent", "Agents", "Epoch", "WalletConsent", "read_epoch"]

CONSENT_SECONDS = 240
"""How long a wallet's consent is valid. The registry refuses more than five minutes; clocks differ."""

_REGISTRATION = "https://eips.ethereum.org/EIPS/eip-8004#registration-v1"


@dataclass(frozen=True, slots=True)
class Agent:
    """A registered agent. ``wallet`` is the zero address when unset; ``registration`` is its ERC-8004 file when it can be
    read (from the content store, or on-chain as a data: URI), else None."""

    agent_id: int
    owner: str
    wallet: str
    uri: str
    escrow: str
    registration: dict[str, Any] | None

    def is_named_in_file(self, registry: str) -> bool:
        """Whether the registration file says that it is this agent's; ``registry`` as ``eip155:<chain>:<address>``.

        A file that does not may be another agent's, copied.
        """
        listed = (self.registration or {}).get("registrations")
        return isinstance(listed, list) and any(
            isinstance(one, dict)
            and one.get("agentId") == self.agent_id
            and str(one.get("agentRegistry")).lower() == registry.lower()
            for one in listed
        )


@dataclass(frozen=True, slots=True)
class WalletConsent(Struct):
    """What a wallet signs to act for an agent of ``owner``, until ``deadline`` (unix seconds)."""

    agent_id: int
    new_wallet: str
    owner: str
    deadline: int

    _NAME = "AgentWalletSet"
    _TYPES = struct_types(agent_id="uint256", new_wallet="address", owner="address", deadline="uint256")

    def __post_init__(self) -> None:
        self._check()


@dataclass(frozen=True, slots=True)
class Epoch:
    """A period under one record key and one manifest. Times in unix seconds."""

    agent_id: int
    number: int
    record_key: str
    operator: str
    """The owner at opening, whose stake answers for the epoch's records."""
    manifest: str
    """CID of the :class:`Manifest`."""
    manifest_root: bytes
    opened_at: int
    accept_until: int
    """Last time at which anchors naming this epoch are accepted; far in the future while it is current."""
    liable_until: int
    coverage_bps: int
    cut_bps: int
    """What protocol and audits take of the charges, in 1/10,000."""


class Agents:
    """The ``AgentRegistry`` and the epochs in the ``ActionLog`` of one chain."""

    def __init__(self, contracts: Contracts, store: ContentStore) -> None:
        self._contracts, self._store = contracts, store

    @property
    def chain(self) -> Chain:
        return self._contracts.chain

    @property
    def domain(self) -> Domain:
        """The EIP-712 domain of this chain's records and tickets."""
        return Domain(self.chain.chain_id, self._contracts.address("ActionLog"))

    @property
    def wallet_domain(self) -> Domain:
        """The EIP-712 domain of this chain's wallet consents, as ERC-8004's reference contracts name it."""
        address = self._contracts.address("AgentRegistry")
        return Domain(self.chain.chain_id, address, "ERC8004IdentityRegistry")

    @property
    def registry(self) -> str:
        """This chain's identity registry: ``eip155:<chain id>:<address>``."""
        return registry_of(self._contracts)

    def register(
        self,
        signer: Signer,
        name: str,
        description: str,
        *,
        image: str = "",
        services: Sequence[Mapping[str, Any]] = (),
        x402: bool = True,
    ) -> int:
        """Register an agent owned by ``signer`` and return its id.

        Its ERC-8004 registration file is put into the content store; ``services`` are the file's
        ``{"name", "endpoint", "version"}`` entries (the version may be left out). The file names the agent's id, so it takes a second
        transaction; when that one fails the agent exists, and :meth:`describe` completes it.
        """
        registry = self._contracts.agents
        file = self.registration(name, description, image=image, services=services, x402=x402)
        receipt = self.chain.send(registry.functions.register(put_document(self._store, file)), signer)
        agent_id = int(receipt.event(registry.events.Registered)["agentId"])
        self.describe(signer, agent_id, name, description, image=image, services=services, x402=x402)
        return agent_id

    def describe(
        self,
        signer: Signer,
        agent_id: int,
        name: str,
        description: str,
        *,
        image: str = "",
        services: Sequence[Mapping[str, Any]] = (),
        x402: bool = True,
    ) -> str:
        """Replace an agent's registration file. Returns its CID."""
        file = self.registration(
            name, description, agent_id=agent_id, image=image, services=services, x402=x402
        )
        return self.publish(signer, agent_id, file)

    def publish(self, signer: Signer, agent_id: int, file: Mapping[str, Any]) -> str:
        """Make ``file`` an agent's registration file. Returns its CID."""
        uri = put_document(self._store, file)
        self.chain.send(self._contracts.agents.functions.setAgentURI(agent_id, uri), signer)
        return uri.removeprefix("ipfs://")

    def registration(
        self,
        name: str,
        description: str,
        *,
        agent_id: int | None = None,
        image: str = "",
        services: Sequence[Mapping[str, Any]] = (),
        x402: bool = True,
    ) -> dict[str, Any]:
        """An ERC-8004 registration file, of the agent with that id here. Raises ``UserError`` without a name, or for a
        service without name or endpoint."""
        entry = {"agentId": agent_id, "agentRegistry": self.registry}
        return _registration(name, description, image, services, x402, [] if agent_id is None else [entry])

    def wallet_consent(self, wallet: HashSigner, agent_id: int) -> tuple[WalletConsent, bytes]:
        """``wallet``'s consent to act for the agent under its present owner, and its signature; valid for four minutes
        of the chain's clock."""
        owner = str(self._call(self._contracts.agents.functions.ownerOf(agent_id), agent_id))
        consent = WalletConsent(agent_id, str(wallet.address), owner, self.chain.now() + CONSENT_SECONDS)
        return consent, consent.sign(wallet, self.wallet_domain)

    def set_wallet(self, signer: Signer, consent: WalletConsent, signature: bytes) -> None:
        """Make the consenting wallet the agent's; ``signer`` is its owner or approved. Contract wallets consent by ERC-1271:
        ``signature`` is then whatever they accept. A transfer of the agent clears its wallet."""
        call = self._contracts.agents.functions.setAgentWallet(
            consent.agent_id, consent.new_wallet, consent.deadline, signature
        )
        self.chain.send(call, signer)

    def unset_wallet(self, signer: Signer, agent_id: int) -> None:
        """Leave the agent without a wallet."""
        self.chain.send(self._contracts.agents.functions.unsetAgentWallet(agent_id), signer)

    def get(self, agent_id: int) -> Agent:
        """The agent. Raises ``UserError`` when there is none."""
        functions = self._contracts.agents.functions
        owner = self._call(functions.ownerOf(agent_id), agent_id)
        uri = str(self._call(functions.tokenURI(agent_id), agent_id))
        wallet = self.chain.call(functions.getAgentWallet(agent_id))
        escrow = self.chain.call(self._contracts.pool.functions.escrowOf(agent_id))
        return Agent(agent_id, str(owner), str(wallet), uri, str(escrow), self._read(uri))

    def _call(self, call: Any, agent_id: int) -> Any:
        try:
            return self.chain.call(call)
        except ChainError as error:
            if error.revert is None or not error.revert.startswith("ERC721NonexistentToken"):
                raise
            raise UserError(
                f"Agent {agent_id} is not registered on chain {self.chain.chain_id}",
                fix="register it, or correct the id",
                code="user.agent.unknown",
            ) from None

    def open_epoch(self, signer: Signer, agent_id: int, record_key: str, manifest: Manifest) -> int:
        """Store ``manifest`` and open an epoch under it; ``record_key`` is the address that signs records.

        Returns the epoch's number. Raises ``ChainError`` when the log refuses, e.g. ``SelfStakeTooLow``.
        """
        self._store.put_blocks(manifest.encoded.blocks)
        log = self._contracts.log
        call = log.functions.openEpoch(agent_id, record_key, digest_of(manifest.cid), manifest.root())
        return int(self.chain.send(call, signer).event(log.events.EpochOpened)["epoch"])

    def current_epoch(self, agent_id: int) -> Epoch:
        """The agent's current epoch. Raises ``UserError`` before the first one."""
        number = int(self.chain.call(self._contracts.log.functions.currentEpoch(agent_id)))
        if number == 0:
            raise UserError(
                f"Agent {agent_id} has opened no epoch", fix="deploy it first", code="user.agent.epoch"
            )
        return self.epoch(agent_id, number)

    def epoch(self, agent_id: int, number: int) -> Epoch:
        """One epoch of an agent. Raises ``UserError`` when it was never opened."""
        epoch = read_epoch(self._contracts, agent_id, number)
        if epoch is None:
            raise UserError(f"Agent {agent_id} never opened epoch {number}", code="user.agent.epoch")
        return epoch

    def manifest(self, epoch: Epoch) -> Manifest:
        """The manifest of an epoch, checked against its on-chain root."""
        manifest = Manifest.decode(epoch.manifest, self._store.get)
        if manifest.root() != epoch.manifest_root:
            raise ContentError(
                f"Manifest {epoch.manifest} does not have the root anchored for epoch {epoch.number}",
                why="the operator anchored a root of other assets",
                cid=epoch.manifest,
            )
        return manifest

    def _read(self, uri: str) -> dict[str, Any] | None:
        try:
            return read_document(self._store, uri)
        except ContentError:
            return None


WalletConsent._TYPE_HASH = keccak(WalletConsent.type_string().encode())


def read_epoch(contracts: Contracts, agent_id: int, number: int) -> Epoch | None:
    """An epoch as the log holds it, or None when it was never opened."""
    found = contracts.chain.call(contracts.log.functions.epochOf(agent_id, number))
    if int(found.openedAt) == 0:
        return None
    return Epoch(
        agent_id=agent_id,
        number=number,
        record_key=str(found.recordKey),
        operator=str(found.operator),
        manifest=cid_from_digest(bytes(found.manifestDigest), "dag-cbor"),
        manifest_root=bytes(found.manifestRoot),
        opened_at=int(found.openedAt),
        accept_until=int(found.acceptUntil),
        liable_until=int(found.liableUntil),
        coverage_bps=int(found.coverageBps),
        cut_bps=int(found.cutBps),
    )


def _registration(
    name: str,
    description: str,
    image: str,
    services: Sequence[Mapping[str, Any]],
    x402: bool,
    registrations: list[dict[str, Any]],
) -> dict[str, Any]:
    if not name.strip():
        raise UserError("An agent needs a name")
    for service in services:
        if not service.get("name") or not service.get("endpoint"):
            raise UserError(f"{dict(service)} is no service", fix="give it a name and an endpoint")
    return {
        "type": _REGISTRATION,
        "name": name,
        "description": description,
        "image": image,
        "services": [dict(service) for service in services],
        "x402Support": x402,
        "active": True,
        "registrations": registrations,
        "supportedTrust": ["reputation", "crypto-economic"],
    }
