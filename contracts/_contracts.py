"""Where the contracts of a chain are, and typed access to them."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ChainError
from ._abi import artifact
from ._chain import Chain

if TYPE_CHECKING:
    from web3.contract import Contract

__all__ = ["CONTRACTS", "Contracts", "Deployment"]

CONTRACTS = (
    "OpenToken",
    "Parameters",
    "AgentRegistry",
    "AssetRegistry",
    "StakeVault",
    "RewardPool",
    "ActionLog",
    "BlockRandomness",
    "DisputeProofs",
    "DisputeDemands",
    "DisputeIntake",
    "DisputeVotes",
    "DisputeRulings",
    "DisputeBatches",
    "DisputeQuestions",
    "Disputes",
    "ValidationRegistry",
    "LicenseMarket",
    "ReputationRegistry",
    "JuryArbiter",
    "DatanetCuration",
    "DelegationPool",
    "OpenTimelock",
    "OpenGovernor",
    "Treasury",
    "PaymentCollector",
    "SponsoredAccount",
    "Directory",
)
"""Every deployed contract, in the order of deployment. The directory lists all others, so it comes last."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """One deployment of all contracts. Hashes are 0x… keccak-256."""

    chain_id: int
    block: int
    """The block before the first contract: where to begin reading logs."""
    deployer: str
    addresses: dict[str, str]
    code_hashes: dict[str, str] = field(default_factory=dict)
    """Of the code at each address."""
    build: str = ""
    """Of all creation code: which build of the contracts this is."""

    @staticmethod
    def path(home: Path, chain_id: int) -> Path:
        """Where the deployment of a chain is recorded."""
        return Path(home) / "deployments" / f"{chain_id}.json"

    def save(self, home: Path) -> Path:
        """Record it, atomically."""
        return self.save_as(self.path(home, self.chain_id))

    def save_as(self, path: Path) -> Path:
        """Write it to a file, atomically."""
        path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(
            {
                "chain_id": self.chain_id,
                "block": self.block,
                "deployer": self.deployer,
                "addresses": self.addresses,
                "code_hashes": self.code_hashes,
                "build": self.build,
            },
            indent=1,
        )
        scratch = path.with_suffix(".new")
        with scratch.open("w") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(path)
        return path

    @classmethod
    def load(cls, home: Path, chain_id: int) -> Deployment | None:
        """The recorded deployment of a chain, or None. Raises ``ChainError`` for a damaged record."""
        path = cls.path(home, chain_id)
        try:
            return cls(**json.loads(path.read_text()))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError) as error:
            raise ChainError(
                f"The deployment record {path} is damaged",
                why=str(error),
                fix="restore it, or delete it on a devnet",
            ) from None


class Contracts:
    """The contracts of one chain. Each attribute is a web3 contract; read with ``chain.call``, send with
    ``chain.send``."""

    def __init__(self, chain: Chain, deployment: Deployment) -> None:
        if chain.chain_id != deployment.chain_id:
            raise ChainError(f"A deployment on chain {deployment.chain_id} is not on chain {chain.chain_id}")
        self.chain, self.deployment = chain, deployment

    @classmethod
    def load(cls, chain: Chain, home: Path) -> Contracts:
        """The recorded contracts of ``chain``, after checking that their code is there."""
        deployment = Deployment.load(home, chain.chain_id)
        if deployment is None or not deployment_is_live(chain, deployment):
            raise ChainError(
                f"The contracts are not deployed on chain {chain.chain_id}",
                why="no record of them"
                if deployment is None
                else f"{Deployment.path(home, chain.chain_id)} names addresses without that code",
                fix="deploy them first: on a devnet, `openledger devnet up`",
                code="chain.not_deployed",
            )
        return cls(chain, deployment)

    def address(self, name: str) -> str:
        """The address of a contract by name."""
        return self.deployment.addresses[name]

    def _at(self, name: str) -> Contract:
        return self.chain.contract(self.address(name), artifact(name).abi)

    @cached_property
    def token(self) -> Contract:
        """OpenToken: OPEN, the wrapped native coin."""
        return self._at("OpenToken")

    @cached_property
    def parameters(self) -> Contract:
        """Parameters of the protocol."""
        return self._at("Parameters")

    @cached_property
    def agents(self) -> Contract:
        """AgentRegistry (ERC-8004 identities)."""
        return self._at("AgentRegistry")

    @cached_property
    def assets(self) -> Contract:
        """AssetRegistry: datanets, models, adapters, apps."""
        return self._at("AssetRegistry")

    @cached_property
    def vault(self) -> Contract:
        """StakeVault."""
        return self._at("StakeVault")

    @cached_property
    def delegations(self) -> Contract:
        """DelegationPool."""
        return self._at("DelegationPool")

    @cached_property
    def pool(self) -> Contract:
        """RewardPool."""
        return self._at("RewardPool")

    @cached_property
    def collector(self) -> Contract:
        """PaymentCollector: many signed payments in one transaction."""
        return self._at("PaymentCollector")

    @cached_property
    def sponsored(self) -> Contract:
        """SponsoredAccount: what accounts delegate to (EIP-7702), so that others pay their gas."""
        return self._at("SponsoredAccount")

    @cached_property
    def log(self) -> Contract:
        """ActionLog."""
        return self._at("ActionLog")

    @cached_property
    def disputes(self) -> Contract:
        """Disputes."""
        return self._at("Disputes")

    @cached_property
    def validations(self) -> Contract:
        """ValidationRegistry (ERC-8004 validation, and the verdicts of disputes)."""
        return self._at("ValidationRegistry")

    @cached_property
    def market(self) -> Contract:
        """LicenseMarket: licences of assets, and the income of assets."""
        return self._at("LicenseMarket")

    @cached_property
    def reputation(self) -> Contract:
        """ReputationRegistry (ERC-8004 feedback)."""
        return self._at("ReputationRegistry")

    @cached_property
    def curation(self) -> Contract:
        """DatanetCuration: bonded contributions to datanets."""
        return self._at("DatanetCuration")

    @cached_property
    def arbiter(self) -> Contract:
        """JuryArbiter: has appeals against curators decided by a jury."""
        return self._at("JuryArbiter")

    @cached_property
    def timelock(self) -> Contract:
        """OpenTimelock: owns Parameters, Treasury and Directory."""
        return self._at("OpenTimelock")

    @cached_property
    def governor(self) -> Contract:
        """OpenGovernor: proposals and votes."""
        return self._at("OpenGovernor")

    @cached_property
    def treasury(self) -> Contract:
        """Treasury: the protocol's OPEN."""
        return self._at("Treasury")

    @cached_property
    def directory(self) -> Contract:
        """Directory: which contract goes by which name, now and before."""
        return self._at("Directory")

    @cached_property
    def token_domain(self) -> dict[str, Any]:
        """The EIP-712 domain of OPEN, for authorizations and permits."""
        from ._signing import token_domain

        return token_domain(self.token)


def deployment_is_live(chain: Chain, deployment: Deployment) -> bool:
    """Whether every recorded contract has its recorded code on ``chain``."""
    return all(
        code_hash(chain, address) == deployment.code_hashes.get(name)
        for name, address in deployment.addresses.items()
    )


def code_hash(chain: Chain, address: str) -> str | None:
    """keccak-256 of the code at an address; None where there is none."""
    from eth_utils.crypto import keccak

    code = bytes(chain.w3.eth.get_code(chain.w3.to_checksum_address(address)))
    return "0x" + keccak(code).hex() if code else None
