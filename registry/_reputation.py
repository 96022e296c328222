"""Feedback about agents (ERC-8004): what clients say, what was answered, and who of them ever paid.

Source: https://eips.ethereum.org/EIPS/eip-8004
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from ..errors import UserError
from ._documents import account_of, put_document, registry_of, stamp
from .store import ContentStore

if TYPE_CHECKING:
    from ..contracts import Chain, Contracts, Signer

__all__ = ["Feedback", "FeedbackResponse", "Reputation", "Summary", "fixed_point", "summarise"]

_MAX_DECIMALS, _MAX_DIGITS = 18, 39
_LEAST, _MOST = -(1 << 127), (1 << 127) - 1


@dataclass(frozen=True, slots=True)
class FeedbackResponse:
    """An answer to feedback. ``hash`` is the keccak-256 of the file at ``uri``, or 32 zero bytes."""

    responder: str
    uri: str
    hash: bytes


@dataclass(frozen=True, slots=True)
class Feedback:
    """One piece of feedback, the client's ``index``-th (from 1) for this agent: ``value`` / 10^``decimals``.

    ``hash`` is the keccak-256 of the file at ``uri``, or 32 zero bytes; ``block`` is where it was given.
    """

    agent_id: int
    client: str
    index: int
    value: int
    decimals: int
    tag1: str
    tag2: str
    endpoint: str
    uri: str
    hash: bytes
    revoked: bool
    responses: tuple[FeedbackResponse, ...]
    block: int

    @property
    def number(self) -> Decimal:
        """The value as a decimal number."""
        return Decimal(f"{self.value}E-{self.decimals}")


@dataclass(frozen=True, slots=True)
class Summary:
    """``count`` pieces of feedback and their average, ``value`` / 10^``decimals``."""

    count: int
    value: int
    decimals: int

    @property
    def number(self) -> Decimal:
        """The average as a decimal number."""
        return Decimal(f"{self.value}E-{self.decimals}")


def fixed_point(value: int | str | Decimal) -> tuple[int, int]:
    """(value, decimals) of a number as written: ``"99.70"`` is (9970, 2). Raises ``UserError`` for what is no number,
    has more than 18 decimals or exceeds an int128."""
    try:
        number = Decimal(value)
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite():
        raise UserError(f"{value!r} is no number", fix="write e.g. 87 or 99.77")
    sign, digits, exponent = number.as_tuple()
    assert isinstance(exponent, int)
    decimals = max(-exponent, 0)
    whole = 1 << 127  # does not fit
    if len(digits) + max(exponent, 0) <= _MAX_DIGITS:
        # in integers: a Decimal's arithmetic rounds to the precision of its context
        whole = int("".join(map(str, digits))) * 10 ** max(exponent, 0) * (-1 if sign else 1)
    if decimals > _MAX_DECIMALS or not _LEAST <= whole <= _MOST:
        raise UserError(f"{value!r} does not fit", why="feedback has at most 18 decimals and 127 bits")
    return whole, decimals


def summarise(feedback: Iterable[Feedback]) -> Summary:
    """The average of what is not revoked, exactly as ``getSummary`` computes it: at the most frequent number of decimals
    (of equals, the smallest; fewer where the average does not fit), rounded towards zero."""
    counted = [given for given in feedback if not given.revoked]
    if not counted:
        return Summary(0, 0, 0)
    frequency = Counter(given.decimals for given in counted)
    decimals = min(frequency, key=lambda d: (-frequency[d], d))
    total = sum(given.value * 10 ** (_MAX_DECIMALS - given.decimals) for given in counted)
    mean = abs(total) // len(counted)
    while True:
        value = mean // 10 ** (_MAX_DECIMALS - decimals) * (-1 if total < 0 else 1)
        if _LEAST <= value <= _MOST:
            return Summary(len(counted), value, decimals)
        decimals -= 1


class Reputation:
    """The ``ReputationRegistry`` of one chain. Lists are read from events, where the chain itself would loop."""

    def __init__(self, contracts: Contracts, store: ContentStore) -> None:
        self._contracts, self._store = contracts, store

    @property
    def chain(self) -> Chain:
        return self._contracts.chain

    def give(
        self,
        signer: Signer,
        agent_id: int,
        value: int | str | Decimal,
        *,
        tag1: str = "",
        tag2: str = "",
        endpoint: str = "",
        details: Mapping[str, Any] | None = None,
    ) -> int:
        """Give feedback and return its number. ``value`` is kept with the decimals it is written with.

        With ``details`` an ERC-8004 feedback file is stored too; they are its optional fields, such as
        ``proofOfPayment``. Raises ``ChainError`` when the registry refuses, e.g. ``SelfFeedback``.
        """
        whole, decimals = fixed_point(value)
        uri = ""
        if details is not None:
            file = {
                "agentRegistry": registry_of(self._contracts),
                "agentId": agent_id,
                "clientAddress": account_of(self._contracts, str(signer.address)),
                "createdAt": stamp(self.chain.now()),
                "value": whole,
                "valueDecimals": decimals,
            }
            optional = {"tag1": tag1, "tag2": tag2, "endpoint": endpoint}
            file |= {name: text for name, text in optional.items() if text}
            uri = put_document(self._store, dict(details) | file)
        registry = self._contracts.reputation
        # an ipfs:// URI names its content: the standard leaves the hash out
        call = registry.functions.giveFeedback(
            agent_id, whole, decimals, tag1, tag2, endpoint, uri, bytes(32)
        )
        return int(self.chain.send(call, signer).event(registry.events.NewFeedback)["feedbackIndex"])

    def revoke(self, signer: Signer, agent_id: int, index: int) -> None:
        """Take the signer's own feedback back; it stays readable and leaves the summaries."""
        self.chain.send(self._contracts.reputation.functions.revokeFeedback(agent_id, index), signer)

    def respond(
        self, signer: Signer, agent_id: int, client: str, index: int, document: Mapping[str, Any]
    ) -> str:
        """Answer feedback with a document, e.g. a refund's transaction. Returns the URI it was stored under."""
        uri = put_document(self._store, document)
        functions = self._contracts.reputation.functions
        call = functions.appendResponse(agent_id, _checksummed(client), index, uri, bytes(32))
        self.chain.send(call, signer)
        return uri

    def feedback(
        self,
        agent_id: int,
        *,
        clients: Sequence[str] = (),
        tag1: str = "",
        tag2: str = "",
        revoked: bool = False,
    ) -> list[Feedback]:
        """Feedback about an agent in the order it was given; ``revoked`` includes what was taken back."""
        events = self._contracts.reputation.events
        where: dict[str, Any] = {"agentId": agent_id}
        if clients:
            where["clientAddress"] = [_checksummed(client) for client in clients]
        gone = {
            (log["args"]["clientAddress"], log["args"]["feedbackIndex"])
            for log in self._logs(events.FeedbackRevoked, where)
        }
        answers: dict[tuple[str, int], list[FeedbackResponse]] = defaultdict(list)
        for log in self._logs(events.ResponseAppended, where):
            at = log["args"]
            answers[at["clientAddress"], at["feedbackIndex"]].append(
                FeedbackResponse(str(at["responder"]), str(at["responseURI"]), bytes(at["responseHash"]))
            )
        found = []
        for log in self._logs(events.NewFeedback, where):
            at = log["args"]
            key = at["clientAddress"], at["feedbackIndex"]
            given = Feedback(
                agent_id=agent_id,
                client=str(at["clientAddress"]),
                index=int(at["feedbackIndex"]),
                value=int(at["value"]),
                decimals=int(at["valueDecimals"]),
                tag1=str(at["tag1"]),
                tag2=str(at["tag2"]),
                endpoint=str(at["endpoint"]),
                uri=str(at["feedbackURI"]),
                hash=bytes(at["feedbackHash"]),
                revoked=key in gone,
                responses=tuple(answers[key]),
                block=int(log["blockNumber"]),
            )
            if (revoked or not given.revoked) and tag1 in ("", given.tag1) and tag2 in ("", given.tag2):
                found.append(given)
        return found

    def summary(self, agent_id: int, clients: Sequence[str], *, tag1: str = "", tag2: str = "") -> Summary:
        """The average of these clients' feedback. Raises ``UserError`` without clients: anybody can invent some."""
        if not clients:
            raise UserError("A summary needs the clients whose feedback counts", fix="name those you trust")
        return summarise(self.feedback(agent_id, clients=clients, tag1=tag1, tag2=tag2))

    def paid(self, agent_id: int) -> dict[str, int]:
        """Wei of OPEN that each account has sent to the agent's escrow: who of its clients ever paid.

        Payments can be refunded, and an operator can pay itself at the price of the protocol's cut.
        """
        escrow = self.chain.call(self._contracts.pool.functions.escrowOf(agent_id))
        paid: dict[str, int] = defaultdict(int)
        for log in self._logs(self._contracts.token.events.Transfer, {"to": escrow}):
            paid[str(log["args"]["from"])] += int(log["args"]["value"])
        return dict(paid)

    def _logs(self, event: Any, where: dict[str, Any]) -> Iterable[Any]:
        return self.chain.logs(event, self._contracts.deployment.block, where=where)


def _checksummed(address: str) -> str:
    from eth_utils.address import is_address, to_checksum_address

    if not is_address(address):
        raise UserError(f"{address!r} is no address", fix="write 0x and 40 hexadecimal digits")
    return str(to_checksum_address(address))
