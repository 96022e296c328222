"""The block store on disk: tampering, a full disk, crashes and concurrent writers."""

from __future__ import annotations

import errno
import os
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from openledger.errors import ContentError, UserError
from openledger.registry import ContentStore, LocalStore, child_cid, cid_of, open_store, path_cid
from openledger.settings import Settings


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "content")


def test_the_default_store_is_on_disk_under_home(tmp_path: Path) -> None:
    store = open_store(Settings(home=tmp_path, ipfs_api=None))
    assert isinstance(store, LocalStore)
    assert isinstance(store, ContentStore)
    cid = store.put(b"block", "raw")
    assert list((tmp_path / "content").rglob(cid))
    assert pickle.loads(pickle.dumps(store)).get(cid) == b"block"


def test_a_tampered_block_is_caught_and_healed(store: LocalStore) -> None:
    cid = store.put(b"block", "raw")
    (file,) = store.root.rglob(cid)
    file.write_bytes(b"bl0ck")
    with pytest.raises(ContentError, match="other bytes") as caught:
        store.get(cid)
    assert caught.value.cid == cid
    store.put(b"block", "raw")
    assert store.get(cid) == b"block"


def test_a_full_disk_is_named_and_leaves_nothing(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.put(b"before", "raw")
    files = sorted(store.root.rglob("*"))

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(ContentError, match="disk is full") as caught:
            store.put(b"after", "raw")
    assert str(store.root) in str(caught.value)
    assert "free space" in caught.value.fix
    assert [path for path in sorted(store.root.rglob("*")) if path.is_file()] == [
        p for p in files if p.is_file()
    ]
    assert store.get(store.put(b"after", "raw")) == b"after"


def test_an_unusable_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "content").write_text("a file where the folder should be")
    store = LocalStore(tmp_path / "content")
    with pytest.raises(ContentError, match="cannot be written"):
        store.put(b"block", "raw")


def test_a_block_too_large_to_exchange_is_refused(store: LocalStore) -> None:
    with pytest.raises(ContentError, match="too large"):
        store.put(bytes(3 << 20), "raw")


def test_many_writers_of_the_same_blocks(store: LocalStore) -> None:
    blocks = [b"%d" % (i % 10) for i in range(200)]
    with ThreadPoolExecutor(8) as pool:
        cids = list(pool.map(lambda data: store.put(data, "raw"), blocks))
    assert [store.get(cid) for cid in cids] == blocks
    assert not list(store.root.rglob(".new-*"))


def test_more_blocks_than_are_written_at_once_come_back(store: LocalStore) -> None:
    blocks = {cid_of(data, "raw"): data for data in (b"%d" % i for i in range(150))}
    store.put_blocks(blocks)
    assert {cid: store.get(cid) for cid in blocks} == blocks
    assert not list(store.root.rglob(".new-*"))


@given(st.dictionaries(st.text("abc", min_size=1, max_size=3), st.binary(max_size=2000), max_size=5))
@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_directories_come_back(tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes]) -> None:
    root = tmp_path_factory.mktemp("tree")
    source, dest = root / "source", root / "dest"
    source.mkdir()
    for name, data in files.items():
        (source / name).write_bytes(data)
    store = LocalStore(root / "content")
    cid = store.add_path(source)
    store.fetch_path(cid, dest)
    assert {path.name: path.read_bytes() for path in dest.iterdir()} == files
    assert path_cid(dest) == cid


def test_one_file_of_a_directory_is_found_by_its_name(store: LocalStore, tmp_path: Path) -> None:
    folder = tmp_path / "base"
    folder.mkdir()
    (folder / "tokenizer.json").write_bytes(b"{}")
    (folder / "weights").write_bytes(os.urandom(400_000))
    cid = store.add_path(folder)
    found = child_cid(cid, "tokenizer.json", store.get)
    assert store.get(found) == b"{}"
    for wrong, name in ((cid, "config.json"), (cid, ""), (found, "tokenizer.json"), (cid_of(b""), "x")):
        with pytest.raises(ContentError, match="there is no"):
            child_cid(wrong, name, store.get)


def test_one_flipped_byte_changes_a_paths_cid(store: LocalStore, tmp_path: Path) -> None:
    file = tmp_path / "adapter.safetensors"
    data = bytearray(os.urandom(600_000))
    file.write_bytes(data)
    cid = store.add_path(file)
    data[300_000] ^= 1
    file.write_bytes(data)
    assert path_cid(file) != cid


def test_links_out_of_a_directory_are_refused(store: LocalStore, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "link").symlink_to("/etc/passwd")
    with pytest.raises(UserError, match="neither a file nor a directory"):
        store.add_path(source)
    with pytest.raises(UserError, match="cannot be read"):
        store.add_path(tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["..", ".", "", "a/b", "/etc/x", "a\0b"])
def test_unsafe_names_in_a_directory_are_refused(store: LocalStore, tmp_path: Path, name: str) -> None:
    from openledger.registry import cid_bytes

    child = store.put(b"payload", "raw")
    raw = name.encode()
    link = b"\x0a\x24" + cid_bytes(child) + b"\x12" + bytes((len(raw),)) + raw + b"\x18\x07"
    cid = store.put(b"\x12" + bytes((len(link),)) + link + b"\x0a\x02\x08\x01", "dag-pb")
    with pytest.raises(ContentError, match="unsafe name"):
        store.fetch_path(cid, tmp_path / "out" / "dir")
    assert list((tmp_path / "out").iterdir()) == []


def test_other_content_is_not_a_path(store: LocalStore, tmp_path: Path) -> None:
    record = store.put(b"\xa0")
    with pytest.raises(ContentError, match="not a file"):
        store.fetch_path(record, tmp_path / "file")
    for junk in (b"\xff", b"\x12\x05", b"\x0a\x02\x08\x09"):
        with pytest.raises(ContentError):
            store.fetch_path(store.put(junk, "dag-pb"), tmp_path / "file")
    assert not (tmp_path / "file").exists()
    assert not store.has(cid_of(b"nothing", "raw"))
