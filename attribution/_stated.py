"""Influence as a batch states it, on the grid of ``RULE_V2``: its blocks, and when what is stated counts.

Two machines' sums differ in their last bits, and now and then a number on the grid with them. A jury must answer alike
nevertheless, so what a batch states is taken as it stands where it is near enough to what one computes oneself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import ContentError, UserError
from ..registry import CODECS, Encoded, codec_of, decode, pack_value, unpack_value
from ._rules import COARSE, GRID_PARTS, GRID_SAVED, PARTS, SLACK, SLACK_TOGETHER
from ._shares import Influence
from .spans import Source

if TYPE_CHECKING:
    from ..registry import Getter

__all__ = ["NoInfluence", "Stated", "counted", "decode_influence", "encode_influence", "paid_by"]

_VERSION = 1
_LONGEST_WHY = 400
_LARGEST = 1 << 24
"""Bytes that are read of what a stranger's batch states of an action."""


@dataclass(frozen=True, slots=True)
class NoInfluence:
    """An output on which no row has influence, and why: what spans do not own of it is nobody's."""

    why: str


Stated = Influence | NoInfluence
"""What there is to say of one output."""


def paid_by(stated: Stated, tokens: int) -> Influence:
    """What an output of so many tokens is divided by."""
    return stated if isinstance(stated, Influence) else Influence((0,) * tokens)


def counted(stated: Stated | None, own: Stated) -> Stated:
    """What counts of an output: what its batch states, where that is as near to one's own as the rule asks, else one's
    own on a grid that is coarse enough for others to come to the same; see ``RULE_TEXTS``."""
    if isinstance(own, NoInfluence):
        return own
    if isinstance(stated, Influence) and _near(stated, own):
        return stated
    saved, parts = GRID_SAVED * COARSE, GRID_PARTS * COARSE
    return Influence(
        tuple(one // saved * saved for one in own.saved),
        tuple((source, part // parts * parts) for source, part in own.parts if part >= parts),
    )


def _near(stated: Influence, own: Influence) -> bool:
    if len(stated.saved) != len(own.saved):
        return False
    theirs, mine = _by_row(stated.parts), _by_row(own.parts)
    off = [abs(theirs.get(row, 0) - mine.get(row, 0)) for row in theirs.keys() | mine.keys()]
    tokens = [abs(one - other) for one, other in zip(stated.saved, own.saved, strict=True)]
    return all(
        max(several, default=0) <= SLACK * grid and sum(several) <= SLACK_TOGETHER * grid
        for several, grid in ((tokens, GRID_SAVED), (off, GRID_PARTS))
    )


def _by_row(parts: Iterable[tuple[Source, int]]) -> dict[Source, int]:
    summed: dict[Source, int] = {}
    for source, part in parts:
        summed[source] = summed.get(source, 0) + part
    return summed


def encode_influence(outputs: Sequence[Stated]) -> Encoded:
    """What a batch states of an action's model outputs, in call order, as blocks of at most 4 KiB.

    Raises ``UserError`` for numbers that are not on the grid.
    """
    blocks: dict[str, bytes] = {}
    root = {"version": _VERSION, "outputs": pack_value([_packed(one) for one in outputs], blocks)}
    return Encoded.of(root, blocks, "Influence")


def decode_influence(
    cid: str, get: Getter, sources: Sequence[Source], lengths: Sequence[int]
) -> list[Stated]:
    """The inverse of :func:`encode_influence` for outputs of these lengths, in tokens; ``sources`` are the index's rows.

    Raises ``ContentError`` when a block cannot be had. What is malformed states nothing: it is ``NoInfluence``, and
    what one computes oneself counts.
    """
    missing: list[ContentError] = []

    def reading(link: str) -> bytes:
        if codec_of(link) not in (CODECS["dag-cbor"], CODECS["raw"]):
            raise ValueError("a block that nobody can demand")
        try:
            return get(link)
        except ContentError as error:
            missing.append(error)
            raise

    try:
        return _read(cid, reading, {source.accepted: source for source in sources}, lengths)
    except (ContentError, UserError, AttributeError, LookupError, TypeError, ValueError) as error:
        if missing:
            raise missing[0] from None
        return [NoInfluence(f"what its batch states is malformed ({type(error).__name__})")] * len(lengths)


def _read(
    cid: str, get: Callable[[str], bytes], rows: dict[int, Source], lengths: Sequence[int]
) -> list[Stated]:
    block = decode(get(cid), cid)
    if set(block) != {"version", "outputs"} or block["version"] != _VERSION:
        raise ValueError(f"version {block.get('version')!r}")
    packed = block["outputs"]
    linked = packed.get("linked")
    if isinstance(linked, dict) and linked["size"] > _LARGEST:
        raise ValueError(f"{linked['size']} bytes")
    outputs = unpack_value(packed, get, cid)
    made = [_unpacked(one, rows, length) for one, length in zip(outputs, lengths, strict=True)]
    if encode_influence(made).cid != cid:
        raise ValueError("not in canonical form")
    return made


def _packed(stated: Stated) -> dict[str, Any]:
    if isinstance(stated, NoInfluence):
        return {"why": stated.why[:_LONGEST_WHY]}
    parts = sorted(_by_row(stated.parts).items())
    if any(one % GRID_SAVED for one in stated.saved) or any(part % GRID_PARTS for _, part in parts):
        raise UserError(
            "Influence is not on the grid", fix=f"round savings to {GRID_SAVED} and parts to {GRID_PARTS}"
        )
    return {
        "saved": [one // GRID_SAVED for one in stated.saved],
        "parts": [[source.accepted, part // GRID_PARTS] for source, part in parts if part],
    }


def _unpacked(item: Any, rows: dict[int, Source], length: int) -> Stated:
    if set(item) == {"why"}:
        return NoInfluence(_text(item["why"]))
    if set(item) != {"saved", "parts"} or len(item["saved"]) != length:
        raise ValueError("another output")
    saved = tuple(_count(one) * GRID_SAVED for one in item["saved"])
    parts = tuple((rows[_count(place)], _count(part) * GRID_PARTS) for place, part in item["parts"])
    if sum(part for _, part in parts) > PARTS:
        raise ValueError(f"more than {PARTS} parts")
    return Influence(saved, parts)


def _count(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"{value!r} is no count")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is no reason")
    return value
