"""One conformance suite for every content store."""

from __future__ import annotations

import io
import threading
import warnings
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from openledger.errors import ContentError, UserError
from openledger.registry import ContentStore, IpfsStore, cid_of, encode, normalise_cid, open_store, path_cid
from openledger.settings import Settings


@pytest.mark.parametrize("codec", ["raw", "dag-pb", "dag-cbor"])
@pytest.mark.parametrize("size", [0, 1, 4096, 300_000])
def test_a_block_comes_back_under_its_cid(store: ContentStore, codec: str, size: int) -> None:
    if codec == "dag-cbor":
        data = encode({"data": b"\x01" * size})
    elif codec == "dag-pb":
        data = b"\x0a" + _varint(size) + b"\x02" * size
    else:
        data = b"\x03" * size
    cid = store.put(data, codec)
    assert cid == cid_of(data, codec)
    assert store.has(cid)
    assert store.get(cid) == data
    assert store.put(data, codec) == cid


def test_a_missing_block_is_an_error_that_names_it(store: ContentStore) -> None:
    cid = cid_of(b"never stored", "raw")
    assert not store.has(cid)
    with pytest.raises(ContentError, match=cid) as caught:
        store.get(cid)
    assert caught.value.cid == cid
    assert caught.value.fix


@pytest.mark.parametrize("cid", ["", "b", "Qm", "hello", "../../etc/passwd", "bafyreigh2akiscaildc"])
def test_a_malformed_cid_is_the_callers_mistake(store: ContentStore, cid: str) -> None:
    for call in (store.get, store.has):
        with pytest.raises(UserError, match="is not a CID"):
            call(cid)


def test_blocks_are_stored_only_under_their_own_cid(store: ContentStore) -> None:
    data = encode({"a": 1})
    store.put_blocks({cid_of(data): data, cid_of(b"chunk", "raw"): b"chunk"})
    assert store.get(cid_of(data)) == data
    with pytest.raises(ContentError, match="not that block"):
        store.put_blocks({cid_of(b"this", "raw"): b"that"})


def test_a_directory_comes_back_whole(
    store: ContentStore, write_tree: Callable[[], Path], tmp_path: Path
) -> None:
    root = write_tree()
    cid = store.add_path(root)
    assert cid == path_cid(root)
    back = store.fetch_path(cid, tmp_path / "back")
    assert _listing(back) == _listing(root)
    assert store.fetch_path(cid, back) == back, "fetching again over the same content is fine"
    (back / "zero").write_text("changed")
    with pytest.raises(UserError, match="holds something else"):
        store.fetch_path(cid, back)


def test_a_file_is_replaced_atomically(store: ContentStore, tmp_path: Path) -> None:
    source, dest = tmp_path / "source", tmp_path / "dest"
    source.write_bytes(b"new")
    dest.write_bytes(b"old")
    store.fetch_path(store.add_path(source), dest)
    assert dest.read_bytes() == b"new"


def test_a_failed_fetch_leaves_nothing(store: ContentStore, tmp_path: Path) -> None:
    missing = cid_of(b"missing chunk", "raw")
    present = store.put(b"\x00" * 9, "raw")
    node = _file_node([(present, 9), (missing, 13)])
    cid = store.put(node, "dag-pb")
    with pytest.raises(ContentError, match=missing):
        store.fetch_path(cid, tmp_path / "out" / "file")
    assert list((tmp_path / "out").iterdir()) == []


def test_paths_have_the_cids_of_a_real_node(
    ipfs_api: str, write_tree: Callable[[], Path], tmp_path: Path
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from ipfshttpclient.client import Client

        client = Client(ipfs_api, timeout=600)
        for size in (0, 1, 262_144, 262_145, 1_000_000, 174 * 262_144, 174 * 262_144 + 1, 46_000_000):
            data = (b"%d" % size) * (size // len(b"%d" % size) + 1)
            file = tmp_path / "file"
            file.write_bytes(data[:size])
            answer = client.add(io.BytesIO(data[:size]), raw_leaves=True, cid_version=1, pin=False)
            assert normalise_cid(answer["Hash"]) == path_cid(file), size
        root = write_tree()
        (root / "empty").rmdir()  # the client's multipart upload leaves empty directories out
        answers = client.add(str(root), recursive=True, raw_leaves=True, cid_version=1, pin=False)
        assert normalise_cid(answers[-1]["Hash"]) == path_cid(root)


def test_an_unreachable_node_is_named_with_a_remedy() -> None:
    store = open_store(Settings(ipfs_api="/ip4/127.0.0.1/tcp/9/http", ipfs_timeout=2))
    with pytest.raises(ContentError, match="cannot be reached") as caught:
        store.put(b"data", "raw")
    assert "OPENLEDGER_IPFS_API" in caught.value.fix
    with pytest.raises(UserError, match="not the address"):
        IpfsStore("localhost:5001")


class _Liar(BaseHTTPRequestHandler):
    """Answers every block call with other bytes, or not until the test is over."""

    over: threading.Event
    answers: ClassVar[dict[str, bytes]] = {
        "/api/v0/block/get": b"other bytes than asked",
        "/api/v0/block/put": b'{"Key": "%s", "Size": 3}' % cid_of(b"another block", "raw").encode(),
    }

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length") or 0))
        path = self.path.split("?")[0]
        if path == "/api/v0/block/stat":
            self.over.wait()
        body = self.answers.get(path, b"{}")
        self.send_response(200)
        self.send_header("content-type", "application/json" if path.endswith("put") else "text/plain")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Keep the test output quiet."""


@pytest.fixture
def liar() -> Iterator[str]:
    """Its address."""
    over = threading.Event()
    with ThreadingHTTPServer(("127.0.0.1", 0), type("Liar", (_Liar,), {"over": over})) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"/ip4/127.0.0.1/tcp/{server.server_port}/http"
        over.set()
        server.shutdown()


def test_a_store_that_lies_is_caught(liar: str, tmp_path: Path) -> None:
    store = IpfsStore(liar, timeout=600)
    cid = cid_of(b"what was asked", "raw")
    with pytest.raises(ContentError, match="other bytes") as caught:
        store.get(cid)
    assert caught.value.cid == cid
    with pytest.raises(ContentError, match="stored another block"):
        store.put(b"what was asked", "raw")
    with pytest.raises(ContentError, match="other bytes"):
        store.fetch_path(cid, tmp_path / "file")
    assert not (tmp_path / "file").exists()


def test_a_silent_store_times_out(liar: str) -> None:
    store = IpfsStore(liar, timeout=1)
    with pytest.raises(ContentError, match="no answer within 1 s"):
        store.has(cid_of(b"what was asked", "raw"))


def _listing(root: Path) -> dict[str, bytes | None]:
    return {
        str(path.relative_to(root)): path.read_bytes() if path.is_file() else None for path in root.rglob("*")
    }


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def _file_node(children: list[tuple[str, int]]) -> bytes:
    from openledger.registry import cid_bytes

    links = b""
    for cid, size in children:
        link = b"\x0a\x24" + cid_bytes(cid) + b"\x12\x00\x18" + _varint(size)
        links += b"\x12" + _varint(len(link)) + link
    data = b"\x08\x02\x18" + _varint(sum(size for _, size in children))
    data += b"".join(b"\x20" + _varint(size) for _, size in children)
    return links + b"\x0a" + _varint(len(data)) + data
