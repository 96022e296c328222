"""Content stores under test: blocks on disk, and a real IPFS node."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from openledger.registry import ContentStore, IpfsStore, LocalStore

IPFS = Path(__file__).parents[2] / "ipfs"


@pytest.fixture(scope="session")
def ipfs_api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The RPC multiaddr of a private js-ipfs node."""
    if shutil.which("node") is None:
        pytest.fail("node is missing: install Node 20")
    subprocess.run([IPFS / "install"], check=True, timeout=900)
    repo = tmp_path_factory.mktemp("ipfs")
    log = (repo / "log").open("wb")
    node = subprocess.Popen([IPFS / "start", repo], stdout=log, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + 120
        while not (repo / "api").exists() or b"Daemon is ready" not in (repo / "log").read_bytes():
            if node.poll() is not None or time.monotonic() > deadline:
                pytest.fail("the IPFS node did not start: " + (repo / "log").read_text())
            time.sleep(0.1)
        yield (repo / "api").read_text().strip()
    finally:
        node.terminate()
        node.wait(30)


@pytest.fixture(params=["local", "ipfs"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ContentStore:
    if request.param == "local":
        return LocalStore(tmp_path / "content")
    return IpfsStore(request.getfixturevalue("ipfs_api"), timeout=5)


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
