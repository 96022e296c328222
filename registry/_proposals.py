"""What a proposal's calls do, in plain words and units: built by name, decoded for whoever votes."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from ..contracts import parse_open, show_open
from ..errors import UserError

if TYPE_CHECKING:
    from ..contracts import Contracts

__all__ = ["Call", "Parameter", "explain", "parse_parameter"]

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_BPS = ("auditRate", "coverage", "burnShare", "challengerShare", "challengerBond", "protocolCut", "auditShare",
        "delegatorSlashCap", "maxCommission")  # fmt: skip
_WEI = ("minSlash", "minSelfStake", "minJurorStake", "jurorFee", "wrongVotePenalty", "nonRevealPenalty",
        "demandBond", "curationBond", "minPayout")  # fmt: skip
_COUNTS = ("outputSlash", "grossDelta", "kLeaves", "falseConvictionRate", "voteTolerance", "drawDelay", "maxDemands",
           "leafDelta")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Call:
    """One call that the timelock makes when a proposal is executed."""

    target: str
    data: bytes
    value: int = 0
    """Wei of native OPEN sent along."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A protocol parameter in its own unit: seconds, 1/10,000, wei, or a plain number."""

    number: int
    name: str
    value: int
    least: int
    most: int

    def show(self, value: int) -> str:
        """A value of this parameter as a person writes it; :func:`parse_parameter` reads it back."""
        if self.name in _BPS:
            return f"{Decimal(value) / 100:f}%"
        if self.name in _WEI:
            return show_open(value)
        if self.name in _COUNTS:
            return str(value)
        unit = next(unit for unit in reversed(_SECONDS) if value % _SECONDS[unit] == 0)
        return f"{value // _SECONDS[unit]}{unit}"


def parse_parameter(parameter: Parameter, text: str) -> int:
    """A value as written by a person: ``5d``, ``12h``, ``30m`` or seconds; ``5%`` or 1/10,000; OPEN; a number.
    Raises ``UserError``."""
    try:
        if parameter.name in _WEI:
            return parse_open(text.removesuffix("OPEN").strip())
        if parameter.name in _BPS and text.endswith("%"):
            value = Decimal(text[:-1]) * 100
        elif parameter.name not in _BPS + _COUNTS and text[-1:] in _SECONDS:
            value = Decimal(text[:-1]) * _SECONDS[text[-1]]
        else:
            value = Decimal(text)
    except InvalidOperation:
        value = Decimal("NaN")
    if not value.is_finite() or value < 0 or value != value.to_integral_value() or value >= 1 << 256:
        raise UserError(
            f"{text!r} is no value of {parameter.name}", fix=f"write e.g. {parameter.show(parameter.value)}"
        )
    return int(value)


def explain(call: Call, contracts: Contracts, parameters: list[Parameter]) -> str:
    """One sentence: what the call changes or moves. What cannot be read is said to be unreadable."""
    names = {address.lower(): name for name, address in contracts.deployment.addresses.items()}
    name = names.get(call.target.lower())
    paid = f", sending {show_open(call.value)} of its native coin along" if call.value else ""
    if name is None:
        return f"call the unknown contract {call.target} with 0x{call.data.hex()}{paid}"
    function, given = _decode(contracts, name, call.data)
    if function is None:
        return f"call {name} with 0x{call.data.hex()}, which is no function of it{paid}"
    sentence = _SENTENCES.get(f"{name}.{function}")
    if sentence is not None:
        return f"{sentence(given)}{paid}"
    if (name, function) == ("Parameters", "set"):
        known = {parameter.number: parameter for parameter in parameters}[int(given["param"])]
        value = int(given["value"])
        off = "" if known.least <= value <= known.most else ", which is OUT OF BOUNDS"
        within = f"{known.show(known.least)} to {known.show(known.most)}"
        return f"set {known.name} from {known.show(known.value)} to {known.show(value)} (bounds {within}){off}{paid}"
    shown = ", ".join(f"{key}={_text(value)}" for key, value in given.items())
    return f"call {name}.{function}({shown}){paid}"


_SENTENCES: dict[str, Any] = {
    "Parameters.setGuardian": lambda g: (
        f"make {g['guardian']} the guardian, who may pause new intake"
        if int(g["guardian"], 16)
        else "dismiss the guardian"
    ),
    "Parameters.resumeIntake": lambda g: "end the pause of intake",
    "Treasury.pay": lambda g: (
        f"pay {show_open(g['amount'])} from the treasury to {g['account']}; why: {g['reason']}"
    ),
    "Treasury.payAgent": lambda g: (
        f"pay {show_open(g['amount'])} from the treasury to the owner of agent {g['agentId']}; why: {g['reason']}"
    ),
    "Treasury.payAsset": lambda g: (
        f"pay {show_open(g['amount'])} from the treasury to the owner of asset {g['assetId']}; why: {g['reason']}"
    ),
    "Treasury.grant": lambda g: (
        f"promise {show_open(g['amount'])} of the treasury to {g['account']}, vesting evenly over "
        f"{g['duration'] / 86_400:g} days from {'its execution' if g['start'] == 0 else g['start']}; why: {g['reason']}"
    ),
    "Treasury.stop": lambda g: f"stop grant {g['id']}; why: {g['reason']}",
    "Directory.set": lambda g: f"register {g['at']} as the next version of {g['name']} in the directory",
}


def _decode(contracts: Contracts, name: str, data: bytes) -> tuple[str | None, dict[str, Any]]:
    from eth_abi.exceptions import DecodingError
    from web3.exceptions import Web3Exception

    from ..contracts import artifact

    contract = contracts.chain.contract(contracts.address(name), artifact(name).abi)
    try:
        function, given = contract.decode_function_input(data)
    except (Web3Exception, DecodingError, ValueError):
        return None, {}
    return str(function.fn_name), {key.strip("_"): value for key, value in given.items()}


def _text(value: Any) -> str:
    return "0x" + value.hex() if isinstance(value, bytes) else str(value)
