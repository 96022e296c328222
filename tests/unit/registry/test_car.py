"""CAR files between stores."""

from __future__ import annotations

from pathlib import Path

import pytest

from openledger.errors import ContentError, UserError
from openledger.registry import (
    Link,
    LocalStore,
    ToolCallStep,
    cid_of,
    decode_step,
    encode,
    export_car,
    import_car,
)


@pytest.fixture
def stores(tmp_path: Path) -> tuple[LocalStore, LocalStore]:
    return LocalStore(tmp_path / "one"), LocalStore(tmp_path / "two")


def test_a_record_and_all_below_it_travel_in_one_file(
    stores: tuple[LocalStore, LocalStore], tmp_path: Path
) -> None:
    one, two = stores
    step = ToolCallStep("search", {"q": "x"}, " ".join(str(i) for i in range(20_000)))
    one.put_blocks(step.encoded.blocks)
    (tmp_path / "dir").mkdir()
    (tmp_path / "dir" / "file").write_bytes(bytes(600_000))
    folder = one.add_path(tmp_path / "dir")
    car = tmp_path / "blocks.car"
    assert export_car(one, [step.cid, folder], car) > len(step.encoded.blocks)
    assert import_car(two, car) == [step.cid, folder]
    assert decode_step(step.cid, two.get) == step
    two.fetch_path(folder, tmp_path / "back")
    assert (tmp_path / "back" / "file").read_bytes() == bytes(600_000)


def test_a_public_library_could_read_the_header(
    stores: tuple[LocalStore, LocalStore], tmp_path: Path
) -> None:
    root = stores[0].put(b"block", "raw")
    export_car(stores[0], [root], tmp_path / "car")
    header = encode({"version": 1, "roots": [Link(root)]})
    assert (tmp_path / "car").read_bytes()[: len(header) + 1] == bytes((len(header),)) + header


def test_missing_links_stop_an_export_unless_allowed(
    stores: tuple[LocalStore, LocalStore], tmp_path: Path
) -> None:
    one, two = stores
    missing = cid_of(b"elsewhere", "raw")
    root = one.put(encode({"link": Link(missing)}))
    with pytest.raises(ContentError, match=missing):
        export_car(one, [root], tmp_path / "car")
    assert list(tmp_path.glob("*car*")) == []
    assert export_car(one, [root], tmp_path / "car", missing_ok=True) == 1
    assert import_car(two, tmp_path / "car") == [root]
    with pytest.raises(ContentError, match=missing):
        export_car(one, [missing], tmp_path / "car", missing_ok=True)
    with pytest.raises(UserError, match="at least one root"):
        export_car(one, [], tmp_path / "car")


def test_damaged_files_are_refused(stores: tuple[LocalStore, LocalStore], tmp_path: Path) -> None:
    one, two = stores
    root = one.put(encode({"text": "x" * 100}))
    car = tmp_path / "car"
    export_car(one, [root], car)
    data = car.read_bytes()
    for wrong in (b"", data[:-1], data[:5], data + b"\x80", data + b"\x05\x01\x02\x03\x04\x05", b"\x00" + data,
                  b"\xff" * 20, data[:-1] + b"y"):  # fmt: skip
        car.write_bytes(wrong)
        with pytest.raises(ContentError):
            import_car(two, car)
    with pytest.raises(UserError, match="cannot be read"):
        import_car(two, tmp_path / "nowhere")
