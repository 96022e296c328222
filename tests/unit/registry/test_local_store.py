"""The block store on disk: tampering, a full disk, crashes and concurrent writers."""

from __future__ import annotations

import errno
import os
import pickle
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from blocks import file_of, held, tamper
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from openledger.errors import ContentError, UserError
from openledger.registry import ContentStore, LocalStore, child_cid, cid_of, open_store, path_cid
from openledger.settings import Settings

SMALL, LARGE = b"block", b"block" * 1000


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "content")


def test_the_default_store_is_on_disk_under_home(tmp_path: Path) -> None:
    store = open_store(Settings(home=tmp_path, ipfs_api=None))
    assert isinstance(store, LocalStore)
    assert isinstance(store, ContentStore)
    small, large = store.put(SMALL, "raw"), store.put(LARGE, "raw")
    assert file_of(store, large).read_bytes() == LARGE
    assert not file_of(store, small).exists()
    assert held(store) == {small, large}
    again = pickle.loads(pickle.dumps(store))
    assert (again.get(small), again.get(large)) == (SMALL, LARGE)


@pytest.mark.parametrize("block", [SMALL, LARGE])
def test_a_tampered_block_is_caught_and_healed(store: LocalStore, block: bytes) -> None:
    cid = store.put(block, "raw")
    tamper(store, cid, block[:-1] + b"0")
    with pytest.raises(ContentError, match="other bytes") as caught:
        store.get(cid)
    assert caught.value.cid == cid
    store.put(block, "raw")
    assert store.get(cid) == block


def test_a_small_block_that_an_earlier_version_wrote_is_found(store: LocalStore) -> None:
    cid = cid_of(SMALL, "raw")
    file_of(store, cid).parent.mkdir(parents=True)
    file_of(store, cid).write_bytes(SMALL)
    assert store.has(cid)
    assert store.get(cid) == SMALL


def test_a_full_disk_is_named_and_leaves_nothing(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.put(SMALL, "raw")
    store.put(LARGE, "raw")
    before, after = held(store), LARGE + b"!"

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(ContentError, match="disk is full") as caught:
            store.put(after, "raw")
    assert str(store.root) in str(caught.value)
    assert "free space" in caught.value.fix
    assert held(store) == before
    assert store.get(store.put(after, "raw")) == after


def test_a_database_that_cannot_grow_is_named_and_leaves_nothing(store: LocalStore) -> None:
    store.put(SMALL, "raw")
    before = held(store)
    blocks = {cid_of(data, "raw"): data for data in (os.urandom(4096) for _ in range(20))}
    with store._rows._writer.use() as db:
        db.execute("PRAGMA max_page_count = 4")
    with pytest.raises(ContentError, match="disk is full"):
        store.put_blocks(blocks)
    assert held(store) == before
    with store._rows._writer.use() as db:
        db.execute("PRAGMA max_page_count = 1000000")
    store.put_blocks(blocks)
    assert held(store) == before | set(blocks)


def test_a_damaged_database_is_named(store: LocalStore) -> None:
    cid = store.put(SMALL, "raw")
    for leftover in store.root.glob("blocks.sqlite*"):
        leftover.unlink()
    (store.root / "blocks.sqlite").write_bytes(b"this is no database" * 99)
    for attempt in (lambda: store.get(cid), lambda: store.put(SMALL)):
        with pytest.raises(ContentError, match="not a database") as caught:
            attempt()
        assert "move it away" in caught.value.fix


def test_what_is_written_after_the_folder_was_deleted_is_there(store: LocalStore) -> None:
    cid = store.put(SMALL, "raw")
    shutil.rmtree(store.root)
    assert not store.has(cid)
    assert store.put(SMALL, "raw") == cid
    assert LocalStore(store.root).get(cid) == SMALL


def test_a_forked_process_reads_and_writes_by_its_own_connections(store: LocalStore) -> None:
    before = store.put(SMALL, "raw")
    child = os.fork()
    if child == 0:
        status = 1
        try:
            store.put(b"of the child", "raw")
            status = int(store.get(before) != SMALL)
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert store.get(cid_of(b"of the child", "raw")) == b"of the child"


def test_processes_that_begin_a_store_together_keep_what_each_wrote(store: LocalStore) -> None:
    code = f"""
import sys
from pathlib import Path
from openledger.registry import LocalStore
store = LocalStore(Path({str(store.root)!r}))
sys.stdin.readline()
for at in range(50):
    store.put(b"%d of %s" % (at, sys.argv[1].encode()), "raw")
"""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    writers = [
        subprocess.Popen([sys.executable, "-c", code, name], stdin=subprocess.PIPE, env=environment)
        for name in "abcd"
    ]
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write(b"\n")
        writer.stdin.close()
    assert [writer.wait(600) for writer in writers] == [0] * 4
    assert held(store) == {cid_of(f"{at} of {name}".encode(), "raw") for at in range(50) for name in "abcd"}


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
    data = [(b"%d" % i) * (1 if i % 5 else 5000) for i in range(150)]  # large ones between small ones
    blocks = {cid_of(one, "raw"): one for one in data}
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


@pytest.mark.parametrize("same", [True, False])
def test_of_two_who_fetch_one_directory_at_once_the_slower_finds_it_there(
    store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, same: bool
) -> None:
    source, dest = tmp_path / "source", tmp_path / "dest"
    source.mkdir()
    (source / "weights").write_bytes(os.urandom(300_000))
    cid, faster = store.add_path(source), LocalStore(store.root)
    if not same:
        (source / "weights").write_bytes(b"other")
    other, get = faster.add_path(source), store.get

    def slow(cid: str) -> bytes:
        faster.fetch_path(other, dest)
        return get(cid)

    monkeypatch.setattr(store, "get", slow)
    if same:
        assert store.fetch_path(cid, dest) == dest
    else:
        with pytest.raises(ContentError, match="cannot be written"):
            store.fetch_path(cid, dest)
    assert path_cid(dest) == other
    assert {path.name for path in tmp_path.iterdir()} <= {"source", "dest", store.root.name}


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
