"""An action's record with everything that a stranger needs to check it, as blocks to be carried between stores."""

from __future__ import annotations

from contextlib import suppress

from ..errors import ContentError
from ..registry import ActionContent, Getter, Manifest, SignedRecord, SubActionStep, decode_step

__all__ = ["CAR", "action_blocks"]

CAR = "application/vnd.ipld.car"
"""The media type of a file of blocks."""

_DEEPEST = 8
"""Receipts within receipts that are carried."""


def action_blocks(cid: str, get: Getter, *, depth: int = _DEEPEST) -> dict[str, bytes]:
    """The blocks of the record at ``cid``: envelope, content and steps; manifest and the receipts that it used as far as
    they are to be had. Models and datanets are not among them.

    Raises ``ContentError`` for what is missing or malformed.
    """
    data = get(cid)
    signed = SignedRecord.decode(data, cid)
    content = ActionContent.decode(signed.content, get)
    steps = [decode_step(step, get) for step in content.steps]
    blocks = {cid: data}
    for part in (content, *steps):
        blocks |= part.encoded.blocks
    with suppress(ContentError):
        blocks |= Manifest.decode(content.manifest, get).encoded.blocks
    for step in steps:
        if isinstance(step, SubActionStep) and depth:
            with suppress(ContentError):
                blocks |= action_blocks(step.receipt, get, depth=depth - 1)
    return blocks
