"""What a relayer pays for: which calls, how long ahead, how dear."""

from __future__ import annotations

from dataclasses import dataclass

from ...contracts import Batch, BatchCall, Contracts
from ...errors import UserError

__all__ = ["Terms", "check_calls"]

_SPENDERS = {"approve": "spender", "permit": "spender"}
_HARMLESS = {"delegate", "delegateBySig", "cancelAuthorization", "deposit", "withdraw"}
"""Functions of the token that give nobody else anything."""
_CARRIERS = {"PaymentCollector", "SponsoredAccount"}
"""They would move the token anywhere, or do nothing."""


@dataclass(frozen=True)
class Terms:
    """Amounts in wei of the native coin, times in seconds."""

    account_cap: int = 5 * 10**16
    """Gas of one account in a day of UTC."""
    cap: int = 5 * 10**18
    """Gas of all accounts in a day: the most a day can cost."""
    fee_cap: int = 10**11
    """The most for a unit of gas."""
    max_gas: int = 3_000_000
    """Of one batch."""
    max_calls: int = 16
    """In one batch."""
    max_bytes: int = 1 << 16
    """Of a batch's calls."""
    window: int = 3600
    """How far ahead a deadline may be."""
    transfers: bool = False
    """Whether OPEN may also be moved to anyone."""
    targets: frozenset[str] = frozenset()
    """Contracts to pay for beside the protocol's own; addresses."""
    account_rate: float = 0.2
    """Batches a second of one account, on average."""
    account_burst: int = 10
    """Batches of one account at once."""

    def __post_init__(self) -> None:
        least = min(self.account_cap, self.cap, self.fee_cap, self.max_gas, self.max_calls, self.window)
        if least < 1 or self.account_rate <= 0 or self.account_burst < 1:
            raise UserError("a relayer's limits are above 0", fix="raise them")


def check_calls(terms: Terms, contracts: Contracts, batch: Batch) -> None:
    """Raises ``UserError`` with code ``relay.target`` for a call that is not paid for."""
    if not 0 < len(batch.calls) <= terms.max_calls:
        raise _refused(f"a batch has 1 to {terms.max_calls} calls, not {len(batch.calls)}")
    if sum(len(call.data) // 2 for call in batch.calls) > terms.max_bytes:
        raise _refused(f"a batch's calls have at most {terms.max_bytes} bytes")
    names = {address.lower(): name for name, address in contracts.deployment.addresses.items()}
    others = {address.lower() for address in terms.targets}
    for call in batch.calls:
        target = call.target.lower()
        if target in others:
            continue
        if target not in names:
            raise _refused(f"{call.target} is none of the protocol's contracts")
        if len(call.data) < 10:
            raise _refused(f"a call of {names[target]} names no function")
        if not terms.transfers:
            if names[target] in _CARRIERS:
                raise _refused(f"calls of {names[target]} are not paid for")
            if names[target] == "OpenToken":
                _check_token(contracts, call, set(names))


def _check_token(contracts: Contracts, call: BatchCall, protocol: set[str]) -> None:
    try:
        function, arguments = contracts.token.decode_function_input(call.data)  # type: ignore[arg-type]
    except (
        Exception
    ) as error:  # web3's and eth_abi's exceptions for what a stranger made up have no common root
        raise _refused("a call of OpenToken is malformed") from error
    name = str(function.fn_name)
    if name in _HARMLESS:
        return
    if name not in _SPENDERS:
        raise _refused(f"OpenToken.{name} is not paid for: it may give OPEN to anyone")
    spender = str(arguments[_SPENDERS[name]])
    if spender.lower() not in protocol:
        raise _refused(
            f"OpenToken.{name} would let {spender} take OPEN, which is none of the protocol's contracts"
        )


def _refused(why: str) -> UserError:
    return UserError(
        "this relayer does not pay for that",
        why=why,
        fix="unset OPENLEDGER_RELAYER and pay the gas yourself; nothing was sent",
        code="relay.target",
    )
