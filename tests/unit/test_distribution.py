"""The wheel holds the whole package, and nothing that is only of use in the repository."""

from __future__ import annotations

import configparser
import json
import subprocess
import sys
import zipfile
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ["agents", "attribution", "contracts", "datanets", "modelfactory", "openlora", "ray_cluster", "registry",
           "registry/store", "runtime", "runtime/gateway", "staking"]  # fmt: skip
DEPLOYED = ["ActionLog", "AgentRegistry", "AssetRegistry", "DisputeRulings", "Disputes", "OpenToken", "Parameters",
            "RewardPool", "StakeVault"]  # fmt: skip


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    dest = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(dest), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return zipfile.ZipFile(next(dest.glob("openledger-*.whl")))


@pytest.fixture(scope="module")
def files(wheel: zipfile.ZipFile) -> set[str]:
    """Paths inside the package, without the wheel's own metadata."""
    names = {PurePosixPath(name) for name in wheel.namelist()}
    return {str(name.relative_to("openledger")) for name in names if name.parts[0] == "openledger"}


def test_everything_is_under_one_package(wheel: zipfile.ZipFile) -> None:
    tops = {name.split("/")[0] for name in wheel.namelist()}
    assert len(tops) == 2
    assert "openledger" in tops
    assert any(top.endswith(".dist-info") for top in tops)


def test_every_module_of_every_folder_is_there(files: set[str]) -> None:
    tops = ["__init__.py", "cli.py", "errors.py", "settings.py", "telemetry.py"]
    modules = [path for folder in FOLDERS for path in (ROOT / folder).glob("*.py")]
    wanted = set(tops) | {path.relative_to(ROOT).as_posix() for path in modules}
    assert {f"{folder}/__init__.py" for folder in FOLDERS} <= wanted
    assert wanted - files == set()


def test_it_is_typed(files: set[str]) -> None:
    assert "py.typed" in files


def test_the_abis_are_there_with_bytecode(wheel: zipfile.ZipFile, files: set[str]) -> None:
    committed = {path.relative_to(ROOT).as_posix() for path in (ROOT / "contracts/abi").glob("*.json")}
    assert {f"contracts/abi/{name}.json" for name in DEPLOYED} <= committed
    assert {name for name in files if name.startswith("contracts/abi/")} == committed
    for name in DEPLOYED:
        compiled = json.loads(wheel.read(f"openledger/contracts/abi/{name}.json"))
        assert compiled["abi"]
        assert len(compiled["bytecode"]) > 1000, f"{name} has no bytecode"


def test_the_shipped_datanets_are_there(wheel: zipfile.ZipFile, files: set[str]) -> None:
    shipped = {path.name for path in (ROOT / "datanets/shipped").glob("*.jsonl")}
    assert shipped >= {"audit_findings.jsonl", "environmental_sensing.jsonl"}
    for name in shipped:
        assert (
            wheel.read(f"openledger/datanets/shipped/{name}")
            == (ROOT / "datanets/shipped" / name).read_bytes()
        )


def test_the_manifests_and_the_dashboard_are_there(files: set[str]) -> None:
    manifests = {f"ray_cluster/manifests/{path.name}" for path in (ROOT / "ray_cluster/manifests").iterdir()}
    assert {*manifests, "ray_cluster/dashboards/openledger.json"} <= files
    assert "ray_cluster/manifests/kuberay.yaml" in manifests


def test_nothing_of_the_repository_s_workshop_is_in_it(files: set[str]) -> None:
    forbidden = {"tests", "benchmarks", "examples", "scripts", "docs", "node_modules", "src", "test", "script",
                 "tools", "snapshots", "out", "cache", "lib", ".dev", ".venv", ".openledger", "__pycache__"}  # fmt: skip
    assert {name for name in files if set(PurePosixPath(name).parts) & forbidden} == set()
    suffixes = {PurePosixPath(name).suffix for name in files}
    assert not suffixes & {".sol", ".mjs", ".cjs", ".js", ".sh", ".toml", ".lock", ".pyc", ".db"}
    assert not {"contracts/package.json", "contracts/package-lock.json"} & files


def test_the_command_and_the_licence_are_declared(wheel: zipfile.ZipFile) -> None:
    info = next(name.split("/")[0] for name in wheel.namelist() if ".dist-info/" in name)
    entries = configparser.ConfigParser()
    entries.read_string(wheel.read(f"{info}/entry_points.txt").decode())
    assert dict(entries["console_scripts"]) == {"openledger": "openledger.cli:main"}
    assert f"{info}/licenses/LICENSE" in wheel.namelist()
    assert "License-Expression: Apache-2.0" in wheel.read(f"{info}/METADATA").decode()


def test_it_imports_from_the_wheel_alone(wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    """Unpacked elsewhere, without the repository on the path: data files are found, too."""
    wheel.extractall(tmp_path)
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import openledger, openledger.contracts as c, "
        "openledger.datanets as d; assert openledger.__file__.startswith(sys.argv[1]), openledger.__file__; "
        "print(len(c.artifact_names()), len(d.shipped('audit_findings').rows))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, timeout=600, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    abis, rows = map(int, done.stdout.split())
    assert abis == len(list((ROOT / "contracts/abi").glob("*.json")))
    assert rows >= 24
