"""The documents say what is so: their links, commands, code, error codes and settings are checked against the code."""

from __future__ import annotations

import ast
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import typer

from openledger.cli import app
from openledger.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    ROOT / "contracts/known_issues.md",
    *sorted(DOCS.glob("*.md")),
]
UsageError = typer.BadParameter.__bases__[0]  # typer brings its own click
PACKAGE = ["agents", "attribution", "contracts", "datanets", "modelfactory", "openlora", "ray_cluster", "registry",
           "runtime", "staking"]  # fmt: skip

_FENCE = re.compile(
    r"^(?P<mark><!-- run -->\n)?(?P<indent> *)```(?P<lang>[a-z]*)\n(?P<body>.*?)^(?P=indent)```", re.M | re.S
)


def ident(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def blocks(page: Path) -> Iterator[tuple[int, str, str, bool]]:
    """(line, language, text, marked to be run) of every fenced block."""
    text = page.read_text()
    for found in _FENCE.finditer(text):
        line = text[: found.start("body")].count("\n") + 1
        yield line, found["lang"], found["body"], found["mark"] is not None


def prose(page: Path) -> str:
    return _FENCE.sub("", page.read_text())


# -- code -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=ident)
def test_python_blocks_compile(page: Path) -> None:
    for line, language, body, _ in blocks(page):
        if language == "python":
            compile("\n" * (line - 1) + body, str(page), "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


RUNNABLE = [
    pytest.param(body, id=f"{ident(page)}:{line}")
    for page in PAGES
    for line, language, body, run in blocks(page)
    if run and language == "python"
]


@pytest.mark.parametrize("body", RUNNABLE)
def test_marked_python_blocks_run(body: str, tmp_path: Path) -> None:
    """Blocks under ``<!-- run -->`` need no chain and no engine; a comment ``# → text`` is what they print."""
    done = subprocess.run(
        [sys.executable, "-c", body],
        capture_output=True,
        text=True,
        timeout=600,
        cwd=tmp_path,
        env={**os.environ, "OPENLEDGER_HOME": str(tmp_path / "home")},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == re.findall(r"# → (.*)$", body, re.M)


def test_there_are_blocks_to_run() -> None:
    assert len(RUNNABLE) >= 4


# -- commands -------------------------------------------------------------------------------------

_STAND_INS = {"CID": "b" + "a" * 58, "AGENT_ID": "1", "DISPUTE_ID": "1", "ID": "1", "N": "1", "AMOUNT": "1",
              "INDEX": "1", "RESPONSE": "90", "NONCE": "1", "KIND": "datanet", "PRICE": "1", "BPS": "500",
              "ASSET_ID": "1", "OFFER_ID": "1", "LICENCE_ID": "1",
              "FILE:NAME": "desk.py:desk", "FILE:AGENT": "desk.py:desk", "INPUT": "question"}  # fmt: skip


def command_lines(page: Path) -> Iterator[tuple[str, bool]]:
    """Every ``openledger …`` of the page: in fences, complete; in inline code perhaps only named."""
    fenced = [
        line for _, language, body, _ in blocks(page) if language != "python" for line in body.splitlines()
    ]
    inline = re.findall(r"`([^`\n]+)`", prose(page))
    for line, named in [*((line, False) for line in fenced), *((line, True) for line in inline)]:
        found = re.match(r"^\s*(?:\$ )?(?:\.venv/bin/)?openledger (\S.*)$", line)
        if found and not found[1].startswith("…"):
            yield found[1], named


def parse(line: str, named: bool = False) -> None:
    """Parse a command line to its end, types included, without running it; of one that is only named, the
    name. Raises ``UsageError``."""
    command: Any = typer.main.get_command(app)
    words = [_STAND_INS.get(word, word) for word in shlex.split(line, comments=True)]
    if words == ["--help"]:
        return
    while hasattr(command, "commands"):
        words = getattr(command, "complete", list)(words)  # `audit` without a command's name
        assert words, f"openledger {line}: a command is missing"
        name = words.pop(0)
        assert name in command.commands, f"openledger {line}: there is no command {name!r}"
        command = command.commands[name]
    if words or not named:
        command.make_context(command.name, words).close()


COMMANDS = sorted({(ident(page), *found) for page in PAGES for found in command_lines(page)})


@pytest.mark.parametrize(("page", "line", "named"), COMMANDS)
def test_commands_parse(page: str, line: str, named: bool) -> None:
    try:
        parse(line, named)
    except typer.Exit:
        assert "--help" in line
    except Exception as error:
        raise AssertionError(f"{page}: openledger {line}: {error}") from error


def test_every_command_is_documented() -> None:
    def walk(command: Any, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        if not hasattr(command, "commands"):
            yield path
            return
        for name, child in command.commands.items():
            yield from walk(child, (*path, name))

    written = [line.split() for _, line, _ in COMMANDS]
    for path in walk(typer.main.get_command(app), ()):
        assert any(tuple(words[: len(path)]) == path for words in written), (
            f"no page shows openledger {' '.join(path)}"
        )


@pytest.mark.parametrize("line", ["no-such-command", "verify", "verify CID --no-such-option", "stake five 1"])
def test_a_wrong_command_would_be_seen(line: str) -> None:
    with pytest.raises((AssertionError, UsageError)):
        parse(line)


def test_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    for page in PAGES:
        used = re.findall(r"^\s*make ([a-z-]+)", "\n".join(b for _, _, b, _ in blocks(page)), re.M)
        used += re.findall(r"`make ([a-z-]+)`", prose(page))
        assert set(used) <= targets, f"{ident(page)}: {set(used) - targets}"


# -- links ----------------------------------------------------------------------------------------


def anchors(page: Path) -> set[str]:
    """GitHub's anchors of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=ident)
def test_links_resolve(page: Path) -> None:
    text = prose(page)
    targets = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'(?:src|srcset|href)="([^"]+)"', text)
    for target in targets:
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), f"{ident(page)} links to {target}"
        if anchor:
            assert anchor in anchors(there), f"{ident(page)} links to {target}"


def test_every_page_is_in_the_index() -> None:
    index = (DOCS / "index.md").read_text()
    missing = [
        page.name for page in DOCS.glob("*.md") if page.name != "index.md" and f"({page.name})" not in index
    ]
    assert missing == []


def test_pictures_are_self_contained() -> None:
    pictures = list((DOCS / "img").glob("*.svg"))
    assert pictures
    for picture in pictures:
        root = ElementTree.parse(picture).getroot()
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert root.find("{http://www.w3.org/2000/svg}title") is not None, (
            "a picture needs a title to be read out"
        )
        text = picture.read_text().replace('xmlns="http://www.w3.org/2000/svg"', "")
        assert not re.search(r"https?:|@import|url\((?!#)|<image|<script", text), (
            f"{picture.name} needs the network"
        )


# -- errors ---------------------------------------------------------------------------------------

ERRORS = DOCS / "errors.md"


def section(title: str) -> str:
    """The part of errors.md under a heading of the second level."""
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", ERRORS.read_text(), re.M | re.S)
    assert found, f"errors.md has no part {title!r}"
    return found[1]


def first_cells(text: str) -> list[str]:
    return [
        name
        for cell in re.findall(r"^\| ([^|]*`[^|]*)\|", text, re.M)
        for name in re.findall(r"`([^`]+)`", cell)
    ]


def sources() -> Iterator[tuple[Path, ast.Module]]:
    paths = [ROOT / "errors.py", ROOT / "settings.py", ROOT / "cli.py", ROOT / "__init__.py"]
    for folder in PACKAGE:
        paths += [p for p in (ROOT / folder).rglob("*.py") if "node_modules" not in p.parts]
    for path in paths:
        yield path, ast.parse(path.read_text())


def codes_in_code() -> tuple[set[str], set[str]]:
    """Codes that exceptions carry, and codes that only failed records carry."""
    errors: set[str] = set()
    failures: set[str] = set()
    for path, tree in sources():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                given = [word.value for word in node.keywords if word.arg == "code"]
                errors |= {
                    str(v.value) for v in given if isinstance(v, ast.Constant) and isinstance(v.value, str)
                }
                if path.name == "_execute.py" and getattr(node.func, "id", "") == "_error":
                    first = node.args[0]
                    if isinstance(first, ast.Constant):
                        failures.add(str(first.value))
            elif isinstance(node, ast.ClassDef) and path.name == "errors.py":
                for line in node.body:
                    if isinstance(line, ast.Assign) and getattr(line.targets[0], "id", "") == "code":
                        errors.add(ast.literal_eval(line.value))
    return errors, failures


def test_error_codes_are_those_of_the_code() -> None:
    errors, failures = codes_in_code()
    assert {"user", "chain", "outbox"} <= errors
    documented = first_cells(section("Codes"))
    assert len(documented) == len(set(documented)), "a code is documented twice"
    assert set(documented) == errors
    assert set(first_cells(section("Codes in a failed record"))) == failures


def test_reverts_are_those_of_the_contracts() -> None:
    declared: set[str] = set()
    for path in (ROOT / "contracts/abi").glob("*.json"):
        compiled = json.loads(path.read_text())
        declared |= {entry["name"] for entry in compiled["abi"] if entry["type"] == "error"}
    # OpenZeppelin's own are explained by their standards, not here.
    foreign = re.compile(
        r"(ERC\d|ECDSA|Ownable|SafeCast|SafeERC20|Checkpoint|Votes|InvalidShort|StringToo|InvalidAccountN"
        r"|Governor|Timelock|AccessControl|FailedCall|InsufficientBalance|AddressEmptyCode|ReentrancyGuard)"
    )
    ours = {name for name in declared if not foreign.match(name)}
    documented = first_cells(section("Reverts"))
    assert len(documented) == len(set(documented)), "a revert is documented twice"
    assert set(documented) <= declared
    assert ours - set(documented) == set()


# -- configuration --------------------------------------------------------------------------------


def test_every_setting_is_in_the_readme() -> None:
    text = (ROOT / "README.md").read_text()
    rows = set(re.findall(r"^\| `OPENLEDGER_([A-Z_]+?)(?:__[A-Z…]+)?` \|", text, re.M))
    assert rows == {name.upper() for name in Settings.model_fields}


def test_versions_agree() -> None:
    import tomllib

    import openledger

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert openledger.__version__ == project["version"]
    assert f"[{project['version']}]" in (ROOT / "CHANGELOG.md").read_text()


def test_gas_figures_are_those_of_the_snapshots() -> None:
    measured: dict[str, set[int]] = {}
    for path in (ROOT / "contracts" / "snapshots").glob("*.json"):
        for name, gas in json.loads(path.read_text()).items():
            measured.setdefault(name, set()).add(int(gas))
    text = (ROOT / "docs" / "contracts.md").read_text()
    shown = re.findall(r"\|([^|\n]+)\| ([\d,]{4,}) \|", text[text.index("## Gas") :])
    known = [(name.strip(), int(gas.replace(",", ""))) for name, gas in shown if name.strip() in measured]
    assert len(known) > 60
    assert [(name, gas) for name, gas in known if gas not in measured[name]] == []
