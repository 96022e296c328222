"""Reading a datanet from JSON lines, with errors that name the line and the remedy."""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from ..errors import UserError
from ._model import Datanet, Fact, Row

__all__ = ["MAX_TEXT", "load", "read_row", "shipped", "shipped_names"]

MAX_TEXT = 3000
"""Longest text of a row in UTF-8 bytes; with facts and names a row must fit one block of 4 KiB."""

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
# The licences data usually comes under; anything else can be named LicenseRef-….
_SPDX_LIST = (
    "CC0-1.0 CC-BY-4.0 CC-BY-3.0 CC-BY-SA-4.0 CC-BY-SA-3.0 CC-BY-NC-4.0 CC-BY-NC-SA-4.0 CC-BY-ND-4.0 CC-PDDC "
    "ODC-By-1.0 ODbL-1.0 PDDL-1.0 CDLA-Permissive-1.0 CDLA-Permissive-2.0 CDLA-Sharing-1.0 C-UDA-1.0 O-UDA-1.0 "
    "Apache-2.0 MIT MIT-0 BSD-2-Clause BSD-3-Clause 0BSD Unlicense OGL-UK-3.0 etalab-2.0 DL-DE-BY-2.0"
)
_SPDX = frozenset(_SPDX_LIST.split())
_LICENCE_REF = re.compile(r"LicenseRef-[A-Za-z0-9.-]+")
_SHIPPED = {
    "audit_findings": "smart-contract audit findings",
    "environmental_sensing": "environmental sensing",
}


def shipped_names() -> tuple[str, ...]:
    """The datanets that come with the package."""
    return tuple(_SHIPPED)


def shipped(name: str) -> Datanet:
    """A datanet that comes with the package, by name. Its projects and stations are invented."""
    if name not in _SHIPPED:
        raise UserError(f"No datanet {name!r} is shipped", fix=f"choose one of {', '.join(_SHIPPED)}")
    text = resources.files(__package__).joinpath("shipped", f"{name}.jsonl").read_text(encoding="utf-8")
    return _parse(text.splitlines(), name, _SHIPPED[name], f"{name}.jsonl")


def load(path: Path | str, *, name: str | None = None, topic: str = "") -> Datanet:
    """A datanet from a JSON-lines file: one object a line with ``row``, ``contributor``, ``licence``, ``text``
    and ``facts`` (objects with ``question``, ``paraphrase``, ``answer``). The file's name is the default name.

    Raises ``UserError`` naming the line, what is wrong with it, and how to mend it. See :func:`validate` for
    the checks between rows.
    """
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"Cannot read {path}", why=str(error), fix="give a JSON-lines file in UTF-8"
        ) from error
    return _parse(lines, name if name is not None else path.stem, topic, path.name)


def _parse(lines: Iterable[str], name: str, topic: str, source: str) -> Datanet:
    if not _NAME.fullmatch(name):
        raise UserError(
            f"{name!r} cannot name a datanet",
            fix="use lower-case letters, digits, - and _, at most 64 characters",
        )
    rows: list[Row] = []
    seen: dict[str, int] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        where = f"{source} line {number}"
        try:
            value = from_json(line)  # nested too deep it is refused, where json overflows the stack
        except ValueError as error:
            raise UserError(
                f"{where} is not JSON", why=str(error), fix="write one JSON object per line"
            ) from error
        row = read_row(value, where)
        if row.row in seen:
            raise UserError(
                f"{where} repeats row id {row.row!r} of line {seen[row.row]}", fix="give each row its own id"
            )
        seen[row.row] = number
        rows.append(row)
    if not rows:
        raise UserError(f"{source} holds no rows", fix="write one JSON object per line")
    return Datanet(name, topic, tuple(rows))


def read_row(value: Any, where: str) -> Row:
    """A row from its JSON or dag-cbor value; ``where`` names it in errors."""
    if not isinstance(value, dict):
        raise UserError(f"{where} is not an object", fix='write {"row": …, "contributor": …, …}')
    expected = {"row", "contributor", "licence", "text", "facts"}
    if set(value) != expected:
        lacks, extra = sorted(expected - set(value)), sorted(set(value) - expected)
        why = "; ".join(
            part
            for part in (f"missing {lacks}" if lacks else "", f"unknown {extra}" if extra else "")
            if part
        )
        raise UserError(
            f"{where} does not follow the schema", why=why, fix=f"give exactly {sorted(expected)}"
        )
    text = _text(value["text"], where, "text", MAX_TEXT)
    if " ".join(text.split()) != text:
        raise UserError(f"{where}: text has line breaks or repeated spaces", fix="use single spaces only")
    licence = _text(value["licence"], where, "licence", 100)
    if licence not in _SPDX and not _LICENCE_REF.fullmatch(licence):
        raise UserError(
            f"{where}: {licence!r} is not a known SPDX licence",
            fix="use an SPDX identifier such as CC-BY-4.0, or LicenseRef-… for terms of your own",
        )
    if not isinstance(value["facts"], list):
        raise UserError(f"{where}: facts is not a list", fix="give a list of objects, or an empty list")
    facts = tuple(_fact(fact, text, f"{where}, fact {n}") for n, fact in enumerate(value["facts"], 1))
    return Row(
        row=_text(value["row"], where, "row", 64),
        contributor=_text(value["contributor"], where, "contributor", 64),
        licence=licence,
        text=text,
        facts=facts,
    )


def _fact(value: Any, text: str, where: str) -> Fact:
    needed = {"question", "paraphrase", "answer"}
    if not isinstance(value, dict) or not needed <= set(value) <= needed | {"also"}:
        raise UserError(
            f"{where} does not follow the schema", fix="give question, paraphrase, answer, perhaps also"
        )
    also = value.get("also", [])
    if not isinstance(also, list):
        raise UserError(f"{where}: also is not a list", fix="give a list of more wordings of the question")
    fact = Fact(
        **{key: _text(value[key], where, key, 600) for key in sorted(needed)},
        also=tuple(_text(wording, where, "also", 600) for wording in also),
    )
    if fact.paraphrase in (fact.question, *fact.also):
        raise UserError(
            f"{where}: the paraphrase is trained on",
            why="it measures how a wording nobody trained is answered",
            fix="ask the same in other words",
        )
    if fact.answer not in text:
        raise UserError(
            f"{where}: the answer does not stand in the row's text",
            why="an answer is credited by finding it word for word",
            fix=f"copy it from the text; it now reads {fact.answer[:60]!r}",
        )
    return fact


def _text(value: Any, where: str, field: str, limit: int) -> str:
    if not isinstance(value, str) or not value.strip():
        raise UserError(f"{where}: {field} is empty or not text", fix=f"give {field} as non-empty text")
    if value != value.strip():
        raise UserError(f"{where}: {field} begins or ends with spaces", fix="remove them")
    if len(value.encode()) > limit:
        raise UserError(f"{where}: {field} is longer than {limit} bytes", fix="split it into several rows")
    return value
