"""Deploys every contract once per chain."""

from __future__ import annotations

import fcntl
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..errors import ChainError, UserError
from ._abi import artifact
from ._chain import Chain
from ._contracts import CONTRACTS, Contracts, Deployment, code_hash, deployment_is_live
from ._signing import Signer

__all__ = ["deploy"]

# Constructor argument (without its trailing underscore) -> contract. The contracts know each other in
# circles, so addresses are computed from the deployer's nonces before the first one exists.
_ARGUMENTS = {
    "token": "OpenToken",
    "parameters": "Parameters",
    "agents": "AgentRegistry",
    "assets": "AssetRegistry",
    "vault": "StakeVault",
    "delegations": "DelegationPool",
    "rewardPool": "RewardPool",
    "actionLog": "ActionLog",
    "observer": "ActionLog",
    "disputes": "Disputes",
    "proofs": "DisputeProofs",
    "demands": "DisputeDemands",
    "intake": "DisputeIntake",
    "votes": "DisputeVotes",
    "rulings": "DisputeRulings",
    "batches": "DisputeBatches",
    "questions": "DisputeQuestions",
    "arbiter": "JuryArbiter",
    "curation": "DatanetCuration",
    "owner": "OpenTimelock",
    "timelock": "OpenTimelock",
    "governor": "OpenGovernor",
    "treasury": "Treasury",
    "randomness": "BlockRandomness",
    "validations": "ValidationRegistry",
}


def deploy(
    chain: Chain, signer: Signer, home: Path, *, on_progress: Callable[[str], None] | None = None
) -> Contracts:
    """The contracts of ``chain``: the recorded ones if their code is there, else newly deployed and recorded
    in ``home/deployments/<chain id>.json``.

    On a devnet a record of a discarded chain or of an older build is replaced; elsewhere another build is
    refused. Raises ``ChainError``.
    """
    folder = Path(home) / "deployments"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{chain.chain_id}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        known = Deployment.load(home, chain.chain_id)
        build = _build()
        if known is not None and deployment_is_live(chain, known):
            if known.build == build:
                return Contracts(chain, known)
            if not chain.is_devnet:
                raise ChainError(
                    f"The contracts on chain {chain.chain_id} are of another build",
                    fix="use the openledger version they were deployed with",
                    code="chain.build",
                )
        deployment = _deploy(chain, signer, build, on_progress)
        deployment.save(home)
        return Contracts(chain, deployment)


def address_of(name: str, deployer: str, nonce: int = 0) -> str:
    """Where ``deployer`` will put a contract when it deploys all of them from ``nonce`` on."""
    from web3 import Web3
    from web3.utils import get_create_address

    if not Web3.is_address(deployer):
        raise UserError(f"{deployer!r} is no address")
    place: Any = nonce + CONTRACTS.index(name)
    return str(get_create_address(Web3.to_checksum_address(deployer), place))


def _build() -> str:
    from eth_utils.crypto import keccak

    return "0x" + keccak("".join(artifact(name).bytecode for name in CONTRACTS).encode()).hex()


def _deploy(
    chain: Chain, signer: Signer, build: str, on_progress: Callable[[str], None] | None
) -> Deployment:
    first = chain.w3.eth.get_transaction_count(signer.address, "pending")
    block = chain.block_number()
    expected = {name: address_of(name, signer.address, first) for name in CONTRACTS}
    for name in CONTRACTS:
        compiled = artifact(name)
        if len(compiled.bytecode) <= 2:
            raise ChainError(f"The contract {name} has no bytecode", fix="run `make contracts`")
        factory = chain.w3.eth.contract(abi=compiled.abi, bytecode=compiled.bytecode)
        receipt = chain.send(factory.constructor(*_arguments(compiled.abi, name, expected, block)), signer)
        if receipt.contract_address != expected[name]:
            raise ChainError(
                f"{name} was deployed at {receipt.contract_address}, not {expected[name]}",
                why=f"another transaction from {signer.address} came in between",
                fix="deploy from a key that sends nothing else meanwhile",
                tx=receipt.tx,
            )
        if on_progress is not None:
            on_progress(name)
    hashes = {name: code_hash(chain, address) or "" for name, address in expected.items()}
    return Deployment(chain.chain_id, block, signer.address, expected, hashes, build)


def _arguments(
    abi: list[dict[str, Any]], contract: str, addresses: dict[str, str], first_block: int
) -> list[Any]:
    inputs: list[dict[str, Any]] = next((item["inputs"] for item in abi if item["type"] == "constructor"), [])
    # what the directory lists is all there, and not itself
    listed = {name: address for name, address in addresses.items() if name != contract}
    special: dict[str, Any] = {
        "firstBlock": first_block,
        "names": list(listed),
        "addresses": list(listed.values()),
    }

    def resolve(given: dict[str, Any]) -> Any:
        if given["type"] == "tuple":  # a struct, whose fields are named as arguments are
            return tuple(resolve(field) for field in given["components"])
        name = given["name"].strip("_")
        if name in special:
            return special[name]
        if name in _ARGUMENTS:
            return addresses[_ARGUMENTS[name]]
        raise ChainError(f"{contract} takes an unknown constructor argument {given['name']!r}")

    return [resolve(given) for given in inputs]
