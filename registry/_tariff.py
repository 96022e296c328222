"""What a metered action costs, as its agent's manifest commits to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..errors import UserError
from ._blocks import parse_uint256

__all__ = ["Tariff"]

_MOST = 1 << 96


@dataclass(frozen=True, slots=True)
class Tariff:
    """Wei of OPEN for each token of an action's model calls, and ``base`` for the action itself.

    A client authorises the most that an action may cost; what is charged is the tariff's, and the rest goes back. Raises
    ``UserError`` for what is no amount of wei.
    """

    prompt: int
    """Wei a token that a model was given."""
    output: int
    """Wei a token that a model made."""
    base: int = 0

    def __post_init__(self) -> None:
        for part in (self.prompt, self.output, self.base):
            if type(part) is not int or not 0 <= part < _MOST:
                raise UserError(f"a tariff of {part!r} wei was refused", fix="give whole numbers of wei ≥ 0")

    def of(self, prompt: int, output: int) -> int:
        """Wei for so many tokens."""
        return self.base + self.prompt * prompt + self.output * output

    def to_block(self) -> list[str]:
        return [str(part) for part in (self.base, self.prompt, self.output)]

    def to_json(self) -> dict[str, str]:
        return {"base": str(self.base), "prompt_token": str(self.prompt), "output_token": str(self.output)}

    @classmethod
    def from_block(cls, block: Any) -> Tariff:
        """Raises ``ValueError`` or ``UserError`` for anything malformed."""
        base, prompt, output = (parse_uint256(part) for part in block)
        if base is None or prompt is None or output is None:
            raise ValueError(block)
        return cls(prompt, output, base)
