"""Turns what a node says about a failed call into one readable line."""

from __future__ import annotations

from typing import Any

from ..errors import ChainError
from ._abi import error_abis

__all__ = ["NO_REASON", "decode_revert", "name_of", "reason_of", "revert_of", "translated", "web3_errors"]

_ERROR, _PANIC = bytes.fromhex("08c379a0"), bytes.fromhex("4e487b71")
_PANICS = {0x01: "assertion failed", 0x11: "arithmetic overflow", 0x12: "division by zero", 0x21: "bad enum value",
           0x31: "pop of an empty array", 0x32: "index out of bounds", 0x41: "out of memory"}  # fmt: skip


NO_REASON = "reverted without a reason"
"""What is made of empty revert data: a call that ran dry inside another leaves none either."""


def decode_revert(data: bytes) -> str:
    """Revert data as text, e.g. ``InsufficientStake(have=1, need=2)``, or its hexadecimal form."""
    from eth_abi.abi import decode
    from eth_abi.exceptions import DecodingError
    from eth_utils.abi import get_abi_input_types

    if not data:
        return NO_REASON
    selector, body = data[:4], data[4:]
    try:
        if selector == _ERROR:
            return str(decode(["string"], body)[0])
        if selector == _PANIC:
            code = int(decode(["uint256"], body)[0])
            return f"Panic({_PANICS.get(code, hex(code))})"
        error = error_abis().get(selector)
        if error is None:
            return f"unknown error 0x{data.hex()}"
        values = decode(get_abi_input_types(error), body)  # type: ignore[arg-type]
    except DecodingError:
        return f"undecodable error 0x{data.hex()}"
    fields = [
        f"{given['name']}={_show(value)}" if given["name"] else _show(value)
        for given, value in zip(error["inputs"], values, strict=True)
    ]
    return f"{error['name']}({', '.join(fields)})"


def revert_of(error: BaseException) -> str | None:
    """The decoded revert inside a web3 exception; None if it is no revert."""
    from web3.exceptions import ContractLogicError, Web3RPCError

    if isinstance(error, ContractLogicError):
        data = _bytes(error.data)
        return str(error.message or error) if data is None else decode_revert(data)
    if isinstance(error, Web3RPCError) and isinstance(error.rpc_response, dict):
        detail: Any = error.rpc_response.get("error") or {}
        data = _bytes(detail.get("data")) if isinstance(detail, dict) else None
        if data is not None or "revert" in str(detail):
            return decode_revert(data or b"")
    return None


def _bytes(data: Any) -> bytes | None:
    if isinstance(data, dict):
        data = data.get("data")
    if isinstance(data, str) and data.startswith("0x"):
        return bytes.fromhex(data[2:])
    return bytes(data) if isinstance(data, bytes) else None


def _show(value: Any) -> str:
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_show(item) for item in value) + "]"
    return str(value)


def web3_errors() -> tuple[type[Exception], ...]:
    from web3.exceptions import Web3Exception

    return (Web3Exception, ValueError)


def translated(action: Any, fn: Any) -> Any:
    try:
        return action()
    except web3_errors() as error:
        revert = revert_of(error)
        what = fn if isinstance(fn, str) else name_of(fn)
        if revert is None:
            raise ChainError(f"{what} failed", why=reason_of(error)) from error
        raise ChainError(f"{what} was refused", why=revert, revert=revert) from None


def name_of(fn: Any) -> str:
    return str(getattr(fn, "fn_name", None) or type(fn).__name__)


def reason_of(error: BaseException) -> str:
    response = getattr(error, "rpc_response", None)
    if isinstance(response, dict) and isinstance(response.get("error"), dict):
        return str(response["error"].get("message") or response["error"])
    return str(error) or type(error).__name__
