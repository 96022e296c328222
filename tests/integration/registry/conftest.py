"""Content stores under test: blocks on disk, and a real IPFS node."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from openledger.registry import ContentStore, IpfsStore, LocalStore
from openledger.registry.store import _ipfs

IPFS = Path(__file__).parents[2] / "ipfs"
LONG = 600.0


@pytest.fixture(scope="session")
def ipfs_api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The RPC multiaddr of a private js-ipfs node."""
    if shutil.which("node") is None:
        pytest.fail("node is missing: install Node 20")
    subprocess.run([IPFS / "install"], check=True, timeout=1500)
    repo = tmp_path_factory.mktemp("ipfs")
    log = (repo / "log").open("wb")
    node = subprocess.Popen([IPFS / "start", repo], stdout=log, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + LONG
        while not (repo / "api").exists() or b"Daemon is ready" not in (repo / "log").read_bytes():
            if node.poll() is not None or time.monotonic() > deadline:
                pytest.fail("the IPFS node did not start: " + (repo / "log").read_text())
            time.sleep(0.1)
        yield (repo / "api").read_text().strip()
    finally:
        node.terminate()
        node.wait(LONG)


class Waiting(IpfsStore):
    """Waits for what was put into it, and hardly for what never was: the node looks for that until its time is over, which it
    then says itself."""

    def __init__(self, api: str) -> None:
        super().__init__(api, LONG)
        self._put: set[str] = set()

    def _write(self, cid: str, data: bytes) -> None:
        super()._write(cid, data)
        self._put.add(cid)

    def _read(self, cid: str) -> bytes | None:
        self.timeout = LONG if cid in self._put else 2.0
        return super()._read(cid)

    def _exists(self, cid: str) -> bool:
        self.timeout = LONG if cid in self._put else 2.0
        return super()._exists(cid)


@pytest.fixture(params=["local", "ipfs"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ContentStore:
    if request.param == "local":
        return LocalStore(tmp_path / "content")
    monkeypatch.setattr(_ipfs, "_LOOK", LONG)
    return Waiting(request.getfixturevalue("ipfs_api"))


@pytest.fixture
def write_tree(tmp_path: Path) -> Callable[[], Path]:
    """A directory with nested, empty and many-chunk files."""

    def write() -> Path:
        root = tmp_path / "tree"
        (root / "nested" / "deep").mkdir(parents=True)
        (root / "empty").mkdir()
        (root / "adapter_config.json").write_text('{"r": 8}')
        (root / "zero").write_bytes(b"")
        (root / "nested" / "two chunks").write_bytes(b"\x07" * (256 * 1024 + 1))
        (root / "nested" / "deep" / "ünïcode").write_text("text")
        return root

    return write
