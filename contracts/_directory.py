"""Contracts by name through the on-chain directory, with their code checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import ChainError
from ._abi import artifact
from ._chain import Chain
from ._contracts import CONTRACTS, Contracts, Deployment, code_hash

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Update", "adopt", "load_contracts", "updates"]


@dataclass(frozen=True, slots=True)
class Update:
    """A contract of which the directory names another than the one in use."""

    name: str
    used: str
    offered: str
    version: int
    since: int
    """Unix time of its registration."""


def load_contracts(chain: Chain, home: Path, directory: str | None) -> Contracts:
    """The contracts of ``chain``: through ``directory``, or as recorded in ``home`` where that is None.

    What the directory names at the first use is recorded in ``home`` and stays in use: a later version is
    adopted by :func:`adopt` only, never by itself. Raises ``ChainError``: ``chain.not_deployed`` where there is no
    directory, ``chain.code`` where the code at an address is not what was registered.
    """
    if directory is None:
        return Contracts.load(chain, home)
    known = Deployment.load(home, chain.chain_id)
    if known is None or known.addresses.get("Directory", "").lower() != directory.lower():
        look_up(chain, directory).save(home)
    return Contracts.load(chain, home)


def look_up(chain: Chain, directory: str) -> Deployment:
    """What the directory names now, every code hash checked against the chain."""
    own_hash = code_hash(chain, directory)
    if own_hash is None:
        raise ChainError(
            f"There is no directory at {directory} on chain {chain.chain_id}",
            fix="correct OPENLEDGER_DIRECTORY or OPENLEDGER_RPC_URL",
            code="chain.not_deployed",
        )
    functions = chain.contract(directory, artifact("Directory").abi).functions
    first_block = int(chain.call(functions.firstBlock()))
    listed = set(chain.call(functions.names()))
    addresses: dict[str, str] = {}
    hashes: dict[str, str] = {}
    for name in CONTRACTS:
        if name == "Directory":
            addresses[name], hashes[name] = chain.w3.to_checksum_address(directory), own_hash
            continue
        if name not in listed:
            raise ChainError(
                f"The directory {directory} lists no {name}",
                fix="use the openledger version that its contracts belong to",
                code="chain.build",
            )
        entry = chain.call(functions.current(name))
        found = code_hash(chain, entry.at)
        if found != "0x" + bytes(entry.codeHash).hex():
            raise ChainError(
                f"The code of {name} at {entry.at} is not what was registered",
                why=f"its hash is {found}, registered was 0x{bytes(entry.codeHash).hex()}",
                fix="do not use this chain before its operators explain it",
                code="chain.code",
            )
        addresses[name], hashes[name] = str(entry.at), str(found)
    return Deployment(chain.chain_id, first_block, "", addresses, hashes)


def updates(contracts: Contracts) -> list[Update]:
    """Contracts of which the directory names a newer version than the one in use."""
    chain, functions = contracts.chain, contracts.directory.functions
    found = []
    for name in chain.call(functions.names()):
        entry = chain.call(functions.current(name))
        used = contracts.deployment.addresses.get(name, "")
        if used and used.lower() != entry.at.lower():
            found.append(Update(name, used, str(entry.at), int(entry.version), int(entry.since)))
    return found


def adopt(contracts: Contracts, home: Path) -> Contracts:
    """Use what the directory names now, from now on. Stakes, escrows and claims in the old contracts stay there until
    their owners move them; keep the old record to reach them."""
    path = Deployment.path(home, contracts.chain.chain_id)
    fresh = look_up(contracts.chain, contracts.address("Directory"))
    contracts.deployment.save_as(path.with_suffix(f".until-{contracts.chain.block_number()}.json"))
    fresh.save(home)
    return Contracts.load(contracts.chain, home)
