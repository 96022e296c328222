"""Contract calls (``contract.functions.name(…)``) and deployments (``contract.constructor(…)``) to and from their bytes.

By web3's codec, without what web3 does beside: it searches all of the contract's ABI for each of them, several times.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from ..errors import ChainError

__all__ = ["as_transaction", "decode_result"]


def as_transaction(call: Any) -> dict[str, Any]:
    """``to`` and ``data`` of a call, ``data`` of a deployment.

    Raises ``web3.exceptions.Web3Exception`` or ``ValueError`` for arguments that do not fit.
    """
    from eth_utils.abi import get_abi_input_types

    if getattr(call, "address", None) is None:
        return {"data": call.data_in_transaction}
    arguments = call.w3.codec.encode(get_abi_input_types(call.abi), call.arguments or ())
    return {"to": call.address, "data": call.selector + arguments.hex()}


def decode_result(call: Any, data: bytes) -> Any:
    """What a call gave: its one value, or a named tuple of several. Structs are named tuples, arrays lists, addresses
    checksummed. Raises ``ChainError`` for bytes that are not that."""
    from eth_abi.exceptions import DecodingError
    from eth_utils.abi import get_abi_output_types

    outputs = call.abi["outputs"]
    try:
        values = call.w3.codec.decode(get_abi_output_types(call.abi), data)
    except DecodingError as error:
        raise ChainError(
            f"{call.fn_name} failed",
            why=f"{len(data)} bytes came back, which are not what it returns: {error}"
            if data
            else "nothing came back",
            fix=f"see whether {call.address} is that contract on this chain, and whether the node is up to date",
        ) from None
    return _shaped(outputs[0], values[0]) if len(outputs) == 1 else _struct(outputs, values)


def _shaped(abi: Any, value: Any) -> Any:
    kind: str = abi["type"]
    if kind.endswith("]"):
        item = {**abi, "type": kind[: kind.rindex("[")]}
        plain = not item["type"].startswith(("tuple", "address")) and not item["type"].endswith("]")
        return list(value) if plain else [_shaped(item, one) for one in value]
    if kind == "tuple":
        return _struct(abi["components"], value)
    return _checksummed(value) if kind == "address" else value


def _struct(fields: Sequence[Any], values: Sequence[Any]) -> Any:
    made = _named(tuple(field["name"] for field in fields))
    return made._make(_shaped(field, value) for field, value in zip(fields, values, strict=True))


@lru_cache(1024)
def _named(names: tuple[str, ...]) -> Any:
    return namedtuple("Struct", names, rename=True)


@lru_cache(4096)
def _checksummed(address: str) -> str:
    from eth_utils.address import to_checksum_address

    return str(to_checksum_address(address))
