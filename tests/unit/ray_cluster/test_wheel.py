"""The wheel that Ray's nodes get."""

from __future__ import annotations

import base64
import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from openledger.errors import UserError
from openledger.ray_cluster import slim_wheel


def make_wheel(folder: Path, text: str = "x = 1\n") -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / "parcel-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("parcel/__init__.py", text)
        archive.writestr(
            "parcel-1.0.dist-info/METADATA",
            "Metadata-Version: 2.3\nName: parcel\nVersion: 1.0\nRequires-Dist: torch>=2\nProvides-Extra: gpu\n\nRequires-Dist: is text here\n",
        )
        archive.writestr(
            "parcel-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr("parcel-1.0.dist-info/RECORD", "")
    return path


def test_it_requires_nothing_and_installs(tmp_path: Path) -> None:
    slim = slim_wheel(make_wheel(tmp_path), tmp_path / "out")
    target = tmp_path / "target"
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--no-index",
        "--quiet",
        f"--target={target}",
        str(slim),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    assert (target / "parcel/__init__.py").read_text() == "x = 1\n"
    (told,) = target.glob("parcel-*.dist-info/METADATA")
    assert "torch" not in told.read_text()
    assert "Requires-Dist: is text here" in told.read_text()


def test_its_record_is_of_its_files(tmp_path: Path) -> None:
    with zipfile.ZipFile(slim_wheel(make_wheel(tmp_path), tmp_path / "out")) as archive:
        (record,) = [name for name in archive.namelist() if name.endswith("/RECORD")]
        lines = [line.rsplit(",", 2) for line in archive.read(record).decode().splitlines()]
        assert {name for name, _, _ in lines} == set(archive.namelist())
        for name, digest, size in lines:
            if name != record:
                data = archive.read(name)
                found = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
                assert (digest, size) == (f"sha256={found}", str(len(data)))


def test_another_build_of_a_version_has_another_name(tmp_path: Path) -> None:
    first = slim_wheel(make_wheel(tmp_path), tmp_path / "out")
    assert slim_wheel(make_wheel(tmp_path), tmp_path / "out") == first
    assert slim_wheel(make_wheel(tmp_path / "two", "x = 2\n"), tmp_path / "out").name != first.name


def test_what_is_no_wheel_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "parcel-1.0-py3-none-any.whl"
    path.write_bytes(b"not a zip")
    with pytest.raises(UserError, match="no wheel"):
        slim_wheel(path, tmp_path / "out")
