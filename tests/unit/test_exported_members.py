"""Every folder's public face: names that exist, exactly once, and nothing heavy behind an import."""

from __future__ import annotations

import ast
import importlib
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
WHEEL = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
FOLDERS = sorted(
    ".".join(path.parent.relative_to(ROOT).parts)
    for top in WHEEL["only-include"]
    for pattern in (f"{top}/__init__.py", f"{top}/*/__init__.py")
    for path in ROOT.glob(pattern)
)
FACES = ["openledger", "openledger.errors", "openledger.settings", "openledger.cli"] + [
    f"openledger.{folder}" for folder in FOLDERS
]
HEAVY = ["ray", "vllm", "torch", "web3", "transformers", "peft", "ipfshttpclient"]


def test_every_folder_of_the_package_is_a_face() -> None:
    assert {"agents", "attribution", "contracts", "datanets", "modelfactory", "openlora", "ray_cluster", "registry",
            "registry.store", "runtime", "runtime.gateway", "staking"} <= set(FOLDERS)  # fmt: skip


@pytest.mark.parametrize("name", FACES)
def test_every_exported_name_exists_once(name: str) -> None:
    face = importlib.import_module(name)
    assert len(set(face.__all__)) == len(face.__all__), "a name is exported twice"
    for exported in face.__all__:
        assert getattr(face, exported) is not None, exported


@pytest.mark.parametrize("name", FACES)
def test_an_unknown_name_is_an_attribute_error(name: str) -> None:
    face = importlib.import_module(name)
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = face.no_such_name


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_face_exports_what_it_imports_from_its_private_modules(folder: str) -> None:
    """A name that the face pulls up, lazily or not, is public; an exported one comes from somewhere."""
    path = ROOT.joinpath(*folder.split("."), "__init__.py")
    tree = ast.parse(path.read_text())
    pulled = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.level == 1 and (node.module or "").startswith("_")
        for alias in node.names
    }
    face = importlib.import_module(f"openledger.{folder}")
    assert pulled <= set(face.__all__), pulled - set(face.__all__)


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_module_of_a_folder_is_private_and_offers_what_it_has(folder: str) -> None:
    for path in ROOT.joinpath(*folder.split(".")).glob("*.py"):
        where = path.relative_to(ROOT)
        assert path.name.startswith("_"), f"{where}: only __init__.py is public"
        names, offered = _bound(ast.parse(path.read_text()))
        if path.name != "__init__.py":  # a face may load names lazily; importing it is tested above
            assert offered <= names, f"{where} offers what it does not have"


def _bound(tree: ast.Module) -> tuple[set[str], set[str]]:
    """The names a module binds at its top level, and its ``__all__``."""
    names: set[str] = set()
    offered: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            bound = {leaf.id for t in targets for leaf in ast.walk(t) if isinstance(leaf, ast.Name)}
            names |= bound
            if "__all__" in bound and node.value is not None:
                offered = set(ast.literal_eval(node.value))
    return names, offered


def test_what_documents_and_examples_import_is_exported() -> None:
    sources = {path: path.read_text() for path in ROOT.glob("examples/**/*.py")}
    for page in [ROOT / "README.md", *ROOT.glob("docs/*.md")]:
        sources[page] = "\n".join(re.findall(r"^```python\n(.*?)^```", page.read_text(), re.M | re.S))
    wrong = []
    for path, source in sources.items():
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "openledger":
                face = importlib.import_module(str(node.module))
                submodules = (
                    {folder.split(".")[0] for folder in FOLDERS} if face.__name__ == "openledger" else set()
                )
                for alias in node.names:
                    if alias.name not in face.__all__ and alias.name not in submodules:
                        wrong.append(f"{path.relative_to(ROOT)}: {node.module}.{alias.name}")
    assert wrong == []


def test_importing_every_face_loads_nothing_heavy() -> None:
    code = f"""
import importlib, json, sys
culprits = {{}}
for face in {FACES!r}:
    before = set(sys.modules)
    importlib.import_module(face)
    loaded = sorted(set({HEAVY!r}) & (set(sys.modules) - before))
    if loaded:
        culprits[face] = loaded
print(json.dumps(culprits))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=600, cwd=ROOT
    )
    assert json.loads(done.stdout) == {}
