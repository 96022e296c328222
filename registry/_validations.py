"""Validations of agents' work (ERC-8004): requests, validators' answers, and the verdicts of disputes.

Source: https://eips.ethereum.org/EIPS/eip-8004. Requests are kept under a key that binds them to who asked, see
``IValidationRegistry``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..errors import ContentError, UserError
from ._documents import account_of, document_bytes, dump, put_document, read_document, registry_of
from ._hashing import address_word, word
from ._keccak import keccak
from ._reputation import _checksummed
from .store import ContentStore

if TYPE_CHECKING:
    from ..contracts import Chain, Contracts, Signer

__all__ = ["Validation", "Validations", "validation_key"]


def validation_key(validator: str, agent_id: int, request_hash: bytes) -> bytes:
    """What a request is kept under, as ``ValidationRegistry.keyOf`` computes it."""
    return keccak(address_word(validator) + word(agent_id) + request_hash)


@dataclass(frozen=True, slots=True)
class Validation:
    """One request to a validator and its latest answer.

    ``response`` is 0 (failed) to 100 (passed), None while unanswered; ``verdict`` marks a ruling of Disputes;
    ``block`` is where it changed last. Hashes are 32 bytes.
    """

    validator: str
    agent_id: int
    request_hash: bytes
    request_uri: str
    response: int | None
    response_uri: str
    response_hash: bytes
    tag: str
    verdict: bool
    block: int

    @property
    def key(self) -> bytes:
        """What the registry finds it by, whoever else uses the same hash."""
        return validation_key(self.validator, self.agent_id, self.request_hash)

    @property
    def dispute(self) -> int | None:
        """Of a verdict: the dispute that led to it. Its request hash is the struct hash of the action's record."""
        return int.from_bytes(self.response_hash, "big") if self.verdict else None


class Validations:
    """The ``ValidationRegistry`` of one chain. Lists are read from events, where the chain itself would loop."""

    def __init__(self, contracts: Contracts, store: ContentStore) -> None:
        self._contracts, self._store = contracts, store

    @property
    def chain(self) -> Chain:
        return self._contracts.chain

    def request(self, signer: Signer, agent_id: int, validator: str, work: Mapping[str, Any]) -> Validation:
        """Ask ``validator`` to check work of an agent; ``signer`` is its owner or approved.

        ``work`` is all that the validator needs, inputs and outputs included. It is stored together with the names
        of agent and validator, so that the request is worth nothing to anybody who copies its hash.
        Raises ``ChainError`` when the registry refuses, e.g. ``NotAuthorized``.
        """
        validator = _checksummed(validator)
        bound = dict(work) | self._binding(agent_id, validator)
        uri, request_hash = put_document(self._store, bound), keccak(dump(bound))
        call = self._contracts.validations.functions.validationRequest(validator, agent_id, uri, request_hash)
        self.chain.send(call, signer)
        return self.get(validator, agent_id, request_hash)

    def work(self, validation: Validation) -> dict[str, Any]:
        """What a validator was asked to check. Raises ``ContentError`` when it is missing, not what the hash commits
        to, or names another agent or validator: then somebody copied another's request, and it must not be answered."""
        data = document_bytes(self._store, validation.request_uri)
        if keccak(data) != validation.request_hash:
            raise ContentError(f"{validation.request_uri!r} is not what the request committed to")
        work = read_document(self._store, validation.request_uri)
        expected = self._binding(validation.agent_id, validation.validator)
        if {name: work.get(name) for name in expected} != expected:
            raise ContentError(
                f"{validation.request_uri!r} is another request",
                why="it names another agent or validator",
                fix="do not answer it",
            )
        return work

    def answer(
        self,
        signer: Signer,
        agent_id: int,
        request_hash: bytes,
        response: int,
        *,
        tag: str = "",
        report: Mapping[str, Any] | None = None,
    ) -> Validation:
        """Answer a request made to the signer, by its key; may be repeated, the latest answer counts.

        ``report`` is stored and linked as evidence.
        """
        if not 0 <= response <= 100:
            raise UserError(f"{response} is no response", fix="give 0 (failed) to 100 (passed)")
        uri = "" if report is None else put_document(self._store, report)
        key = validation_key(str(signer.address), agent_id, request_hash)
        functions = self._contracts.validations.functions
        self.chain.send(functions.validationResponse(key, response, uri, bytes(32), tag), signer)
        return self.get(str(signer.address), agent_id, request_hash)

    def get(self, validator: str, agent_id: int, request_hash: bytes) -> Validation:
        """One request by all that identifies it. Raises ``UserError`` when it was never made."""
        found = self._find(
            validatorAddress=_checksummed(validator), agentId=agent_id, requestHash=request_hash
        )
        if not found:
            raise UserError(f"Agent {agent_id} never asked {validator} about 0x{request_hash.hex()}")
        return found[0]

    def of_agent(self, agent_id: int) -> list[Validation]:
        """An agent's requests and the verdicts about it, oldest first."""
        return self._find(agentId=agent_id)

    def of_validator(self, validator: str) -> list[Validation]:
        """What a validator was asked, oldest first. Anybody with an agent can ask."""
        return self._find(validatorAddress=_checksummed(validator))

    def summary(self, agent_id: int, *, validators: Sequence[str] = (), tag: str = "") -> tuple[int, int]:
        """(number, rounded-down average) of an agent's answered requests, as ``getSummary`` computes them."""
        wanted = {_checksummed(validator) for validator in validators}
        responses = [
            one.response
            for one in self.of_agent(agent_id)
            if one.response is not None and (not wanted or one.validator in wanted) and tag in ("", one.tag)
        ]
        return len(responses), sum(responses) // len(responses) if responses else 0

    def _binding(self, agent_id: int, validator: str) -> dict[str, Any]:
        return {
            "agentRegistry": registry_of(self._contracts),
            "agentId": agent_id,
            "validatorAddress": account_of(self._contracts, validator),
        }

    def _find(self, **where: Any) -> list[Validation]:
        events = self._contracts.validations.events
        first = self._contracts.deployment.block
        disputes = self._contracts.address("Disputes")
        found: dict[bytes, Validation] = {}
        for log in self.chain.logs(events.ValidationRequest, first, where=where):
            at = log["args"]
            one = Validation(
                validator=str(at["validatorAddress"]),
                agent_id=int(at["agentId"]),
                request_hash=bytes(at["requestHash"]),
                request_uri=str(at["requestURI"]),
                response=None,
                response_uri="",
                response_hash=bytes(32),
                tag="",
                verdict=at["validatorAddress"] == disputes,
                block=int(log["blockNumber"]),
            )
            found[one.key] = one
        for log in self.chain.logs(events.ValidationResponse, first, where=where):
            at = log["args"]
            key = validation_key(str(at["validatorAddress"]), int(at["agentId"]), bytes(at["requestHash"]))
            if key not in found:
                continue  # asked after the requests were read
            found[key] = replace(
                found[key],
                response=int(at["response"]),
                response_uri=str(at["responseURI"]),
                response_hash=bytes(at["responseHash"]),
                tag=str(at["tag"]),
                block=int(log["blockNumber"]),
            )
        return list(found.values())
