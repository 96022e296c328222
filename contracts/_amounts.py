"""Amounts of OPEN and spans of time as people write them."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation

from ..errors import UserError

__all__ = ["parse_open", "parse_span", "show_open"]

_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


def parse_open(amount: str, *, zero: bool = False) -> int:
    """OPEN as written by a person, such as ``100`` or ``0.5``, in wei. Raises ``UserError`` for anything finer than
    a wei or not above 0 (with ``zero``: below 0)."""
    try:
        value = Decimal(amount) * 10**18
    except InvalidOperation:
        raise UserError(f"{amount!r} is no amount of OPEN", fix="write e.g. 100 or 0.5") from None
    if not value.is_finite() or value < 0 or (value == 0 and not zero) or value != value.to_integral_value():
        raise UserError(
            f"{amount!r} is no amount of OPEN", why="it must be above 0, to the wei", fix="write e.g. 0.5"
        )
    return int(value)


def show_open(wei: int) -> str:
    """An amount in wei as OPEN, exactly."""
    whole, rest = divmod(abs(wei), 10**18)
    text = f"{whole}.{rest:018d}".rstrip("0").rstrip(".")
    return f"{'-' if wei < 0 else ''}{text} OPEN"


def parse_span(text: str) -> int:
    """A span of time as written by a person, such as ``30d``, ``12h``, ``90m`` or ``3600s``, in seconds. Raises ``UserError``
    for anything else."""
    found = re.fullmatch(r"([1-9][0-9]{0,8})([smhd])", text)
    if found is None:
        raise UserError(f"{text!r} is no span of time", fix="write e.g. 30d, 12h, 90m or 3600s")
    return int(found[1]) * _UNITS[found[2]]
