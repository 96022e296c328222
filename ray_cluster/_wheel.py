"""The wheel as it is shipped to Ray's nodes."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from pathlib import Path

from ..errors import UserError

__all__ = ["slim_wheel"]


def slim_wheel(wheel: Path, folder: Path) -> Path:
    """A copy of ``wheel`` in ``folder`` that requires nothing and has its content's hash in its version.

    Ray installs a wheel among ``py_modules`` by ``pip install --target``, which would install all that the wheel requires a
    second time, on each node; and it keeps what it installed by the file's name, so that another build of one version
    would not be taken. The nodes' image has the dependencies.
    """
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()[:12]
    try:
        name, version, *tags = wheel.stem.split("-")
        with zipfile.ZipFile(wheel) as archive:
            files = {entry: archive.read(entry) for entry in archive.namelist()}
        (info,) = {entry.split("/")[0] for entry in files if entry.split("/")[0].endswith(".dist-info")}
        told = files.pop(f"{info}/METADATA").decode()
        del files[f"{info}/RECORD"]
    except (ValueError, KeyError, zipfile.BadZipFile) as error:
        raise UserError(
            f"{wheel} is no wheel", why=str(error), fix="build one: python -m build --wheel"
        ) from None
    local = f"{version}+{digest}"
    head, blank, text = told.partition("\n\n")
    kept = [line for line in head.splitlines() if not line.startswith(("Requires-Dist:", "Provides-Extra:"))]
    lines = [f"Version: {local}" if line.startswith("Version:") else line for line in kept]
    renamed = f"{name}-{local}.dist-info"
    files = {entry.replace(f"{info}/", f"{renamed}/", 1): data for entry, data in files.items()}
    files[f"{renamed}/METADATA"] = ("\n".join(lines) + blank + text).encode()
    record = [f"{entry},sha256={_digest(data)},{len(data)}" for entry, data in files.items()]
    files[f"{renamed}/RECORD"] = ("\n".join([*record, f"{renamed}/RECORD,,"]) + "\n").encode()
    folder.mkdir(parents=True, exist_ok=True)
    made = folder / "-".join([name, local, *tags])
    made = made.with_name(made.name + ".whl")
    if not made.exists():
        scratch = made.with_suffix(".new")
        with zipfile.ZipFile(scratch, "w", zipfile.ZIP_DEFLATED) as archive:
            for entry, data in files.items():
                archive.writestr(
                    zipfile.ZipInfo(entry), data, zipfile.ZIP_DEFLATED
                )  # no time: the same wheel gives the same bytes
        scratch.replace(made)
    return made


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
