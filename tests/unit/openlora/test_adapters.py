"""What reaches the engine and what does not, on a real content store and hand-made PEFT directories."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from blocks import tamper
from safetensors.numpy import load_file, save_file

from openledger.errors import ChainError, ContentError, OpenLedgerError, UserError
from openledger.openlora import AdapterRef, AdapterStore, AssetRef, Limits
from openledger.openlora import _disk as disk_module
from openledger.registry import LocalStore, child_cid, cid_of, digest_of

MODULES = frozenset({"q_proj", "down_proj"})
BASE = AssetRef(1, "bafybase")
LAYER = "model.layers.0.self_attn.q_proj"


def peft_directory(
    path: Path, *, rank: int = 4, module: str = "q_proj", fill: float = 0.1, **config: Any
) -> Path:
    path.mkdir(parents=True)
    prefix = f"base_model.model.model.layers.0.self_attn.{module}"
    save_file(
        {
            f"{prefix}.lora_A.weight": np.full((rank, 8), fill, np.float32),
            f"{prefix}.lora_B.weight": np.full((8, rank), fill, np.float32),
        },
        path / "adapter_model.safetensors",
    )
    settings = {"peft_type": "LORA", "r": rank, "lora_alpha": 8, "target_modules": [module], "bias": "none"}
    (path / "adapter_config.json").write_text(json.dumps(settings | config))
    return path


@dataclass(frozen=True)
class Entry:
    cid: str
    kind: int = 3
    revoked: bool = False
    parents: tuple[int, ...] = (1,)


@dataclass
class World:
    """A content store, a table in the registry's place, and an adapter store over both."""

    root: Path
    content: LocalStore
    entries: dict[int, Entry] = field(default_factory=dict)
    asked: int = 0
    away: ChainError | None = None

    def resolve(self, asset_id: int) -> Entry:
        self.asked += 1
        if self.away is not None:
            raise self.away
        if asset_id not in self.entries:
            raise UserError(f"Asset {asset_id} is not registered", fix="register it first")
        return self.entries[asset_id]

    def publish(self, directory: Path, **changes: Any) -> AdapterRef:
        cid = self.content.add_path(directory)
        asset_id = len(self.entries) + 2
        self.entries[asset_id] = replace(Entry(cid), **changes)
        return AdapterRef(asset_id, cid)

    def store(self, **options: Any) -> AdapterStore:
        return AdapterStore(self.content, self.resolve, self.root / "adapters", **options)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, LocalStore(tmp_path / "content"))


def fetch(store: AdapterStore, adapter: AdapterRef, **changes: Any) -> Path:
    return store.fetch(adapter, replace(Limits(BASE, 8, MODULES, {LAYER: (8, 8)}), **changes))


def test_an_adapter_arrives_as_it_was_published(world: World) -> None:
    made = peft_directory(world.root / "a")
    adapter = world.publish(made)
    path = fetch(world.store(), adapter)
    assert path.is_absolute()
    assert path.name == adapter.cid
    for file in made.iterdir():
        assert (path / file.name).read_bytes() == file.read_bytes()


def test_the_registry_is_asked_again_only_after_the_ttl(world: World) -> None:
    adapter = world.publish(peft_directory(world.root / "a"))
    store = world.store(ttl=3600)
    for _ in range(3):
        fetch(store, adapter)
    assert world.asked == 1
    eager = world.store(ttl=0)
    for _ in range(3):
        fetch(eager, adapter)
    assert world.asked == 4


def test_while_the_chain_is_away_what_it_said_is_believed_for_a_while_longer(world: World) -> None:
    adapter, other = (world.publish(peft_directory(world.root / name)) for name in "ab")
    store, strict = world.store(ttl=0, away=3600), world.store(ttl=0, away=0)
    for each in (store, strict):
        fetch(each, adapter)
    world.away = ChainError("away", code="chain.unreachable")
    assert fetch(store, adapter).is_dir()
    with pytest.raises(ChainError):
        fetch(strict, adapter)
    with pytest.raises(ChainError):
        fetch(store, other)  # of it, it said nothing yet
    world.away = ChainError("no such function")
    with pytest.raises(ChainError):
        fetch(store, adapter)
    world.away = None
    world.entries[adapter.asset_id] = replace(world.entries[adapter.asset_id], revoked=True)
    with pytest.raises(UserError, match="revoked"):
        fetch(store, adapter)


def test_a_kept_adapter_needs_no_content_store(world: World) -> None:
    adapter = world.publish(peft_directory(world.root / "a"))
    fetch(world.store(), adapter)
    world.content = LocalStore(world.root / "empty")
    assert fetch(world.store(), adapter).is_dir()


@pytest.mark.parametrize("restarted", [False, True], ids=["same process", "after a restart"])
def test_a_kept_adapter_that_was_changed_is_fetched_anew(world: World, restarted: bool) -> None:
    adapter = world.publish(peft_directory(world.root / "a"))
    store = world.store()
    weights = fetch(store, adapter) / "adapter_model.safetensors"
    good = weights.read_bytes()
    weights.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    assert fetch(world.store() if restarted else store, adapter) == weights.parent
    assert weights.read_bytes() == good


def test_a_link_put_in_a_kept_adapters_place_is_not_followed(world: World) -> None:
    adapter = world.publish(peft_directory(world.root / "a"))
    path = fetch(world.store(), adapter)
    elsewhere = path.rename(world.root / "elsewhere")
    path.symlink_to(elsewhere.absolute())
    assert not fetch(world.store(), adapter).is_symlink()
    (path / "adapter_config.json").unlink()
    (path / "adapter_config.json").symlink_to("/etc/hostname")
    assert not (fetch(world.store(), adapter) / "adapter_config.json").is_symlink()


def test_many_threads_fetch_one_adapter_once(world: World) -> None:
    adapter = world.publish(peft_directory(world.root / "a"))
    store, found = world.store(), []
    threads = [threading.Thread(target=lambda: found.append(fetch(store, adapter))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1


class Counting(LocalStore):
    """Counts the blocks that are read, slowly."""

    reads = 0

    def get(self, cid: str) -> bytes:
        self.reads += 1
        time.sleep(0.01)
        return super().get(cid)


def test_processes_that_share_a_directory_fetch_an_adapter_once_between_them(world: World) -> None:
    # As two processes: nothing but the directory is shared by two stores.
    content = Counting(world.root / "content")
    adapter = world.publish(peft_directory(world.root / "a"))
    world.content = content
    stores, found = [world.store() for _ in range(4)], []
    threads = [threading.Thread(target=lambda s=s: found.append(fetch(s, adapter))) for s in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert content.reads == 3  # the directory and its two files


def test_the_disk_budget_counts_what_other_processes_keep(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk_module, "_RECOUNT", 0.0)
    adapters = [world.publish(peft_directory(world.root / str(at), fill=0.1 + at)) for at in range(6)]
    size = sum(file.stat().st_size for file in (world.root / "0").iterdir())
    stores = [world.store(disk_bytes=3 * size + 99) for _ in range(2)]
    for at, adapter in enumerate(adapters):
        assert fetch(stores[at % 2], adapter).is_dir()
    assert len(os.listdir(world.root / "adapters")) == 3


def test_a_flipped_byte_in_the_content_store_is_refused_and_leaves_nothing(world: World) -> None:
    adapter = world.publish(peft_directory(world.root / "a"))
    weights = child_cid(adapter.cid, "adapter_model.safetensors", world.content.get)
    data = world.content.get(weights)
    tamper(world.content, weights, data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(ContentError) as caught:
        fetch(world.store(), adapter)
    assert caught.value.cid
    assert caught.value.fix
    assert not (world.root / "adapters" / adapter.cid).exists()


def test_missing_content_is_refused(world: World) -> None:
    adapter = world.publish(peft_directory(world.root / "a"))
    world.content = LocalStore(world.root / "empty")
    with pytest.raises(ContentError, match="not in the store"):
        fetch(world.store(), adapter)


def test_an_older_version_may_be_replayed_where_the_registry_knows_it(world: World) -> None:
    old = world.publish(peft_directory(world.root / "old"))
    new = world.publish(peft_directory(world.root / "new", fill=0.2))
    world.entries[old.asset_id] = world.entries[new.asset_id]
    with pytest.raises(UserError, match="is not registered for it"):
        fetch(world.store(), old)
    versions = {(old.asset_id, digest_of(old.cid)): 1}
    store = world.store(version_of=lambda asset_id, digest: versions.get((asset_id, digest), 0))
    assert fetch(store, old).is_dir()


def test_a_revocation_reaches_a_running_store(world: World) -> None:
    adapter = world.publish(peft_directory(world.root / "a"))
    store = world.store(ttl=0)
    fetch(store, adapter)
    world.entries[adapter.asset_id] = replace(world.entries[adapter.asset_id], revoked=True)
    with pytest.raises(UserError, match="revoked"):
        fetch(store, adapter)


def test_an_adapter_of_another_base_is_refused(world: World) -> None:
    adapter = world.publish(peft_directory(world.root / "a"), parents=(9,))
    with pytest.raises(UserError, match="base 9, this engine runs asset 1"):
        fetch(world.store(), adapter)
    assert fetch(world.store(), adapter, base=None).is_dir()


def test_what_the_engine_cannot_hold_is_refused(world: World) -> None:
    adapter = world.publish(peft_directory(world.root / "a", rank=16))
    with pytest.raises(UserError, match="max_lora_rank=16"):
        fetch(world.store(), adapter)
    with pytest.raises(UserError, match="lora_target_modules"):
        fetch(world.store(), adapter, max_rank=16, modules=frozenset({"o_proj"}))


def test_layers_the_base_lacks_or_has_in_another_size_are_refused(world: World) -> None:
    adapter = world.publish(peft_directory(world.root / "a"))
    with pytest.raises(UserError, match="this base model lacks"):
        fetch(world.store(), adapter, layers={})
    with pytest.raises(UserError, match="8 inputs and 8 outputs, which has 16 and 8 here"):
        fetch(world.store(), adapter, layers={LAYER: (16, 8)})
    assert fetch(world.store(), adapter, layers=None).is_dir()


def test_unknown_and_malformed_references_are_refused(world: World) -> None:
    adapter = world.publish(peft_directory(world.root / "a"))
    with pytest.raises(UserError, match="not registered"):
        fetch(world.store(), AdapterRef(99, adapter.cid))
    for cid in ("", "../../etc", "/etc/passwd", "bafynonsense"):
        with pytest.raises(UserError):
            fetch(world.store(), AdapterRef(adapter.asset_id, cid))


def add(name: str, data: bytes) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        (path / name).parent.mkdir(exist_ok=True)
        (path / name).write_bytes(data)

    return change


def tensors(**named: tuple[int, ...]) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        arrays = {name.replace("__", "."): np.zeros(shape, np.float32) for name, shape in named.items()}
        save_file(arrays, path / "adapter_model.safetensors")

    return change


def refill(path: Path, value: float, dtype: type = np.float32) -> None:
    shutil.rmtree(path)
    peft_directory(path, fill=0.1)
    arrays = {
        name: array.astype(dtype) for name, array in load_file(path / "adapter_model.safetensors").items()
    }
    next(iter(arrays.values()))[1, 1] = value
    save_file(arrays, path / "adapter_model.safetensors")


def config(**changes: Any) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        file = path / "adapter_config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | changes))

    return change


HOSTILE = {
    "a pickle": (add("adapter_model.bin", pickle.dumps({})), r"adapter_model\.bin"),
    "a torch checkpoint": (add("model.pt", b"x"), r"model\.pt"),
    "more safetensors": (add("new_embeddings.safetensors", b"x"), "new_embeddings"),
    "code": (add("modeling.py", b"import os"), r"modeling\.py"),
    "a folder": (add("sub/adapter_config.json", b"{}"), "sub is not a plain file"),
    "a hidden file": (add(".env.json", b"{}"), r"\.env"),
    "no weights": (lambda path: (path / "adapter_model.safetensors").unlink(), "lacks adapter_model"),
    "no configuration": (lambda path: (path / "adapter_config.json").unlink(), "lacks adapter_config"),
    "weights that are none": (add("adapter_model.safetensors", b"\0" * 64), "cannot be read"),
    "a configuration that is none": (add("adapter_config.json", b"[1"), "cannot be read"),
    "a configuration of another shape": (add("adapter_config.json", b"[1]"), "cannot be read"),
    "a configuration without a rank": (add("adapter_config.json", b"{}"), "cannot be read"),
    "a rank of zero": (config(r=0), "rank 0"),
    "a rank below zero": (config(r=-4), "rank -4"),
    "matrices of rank zero": (
        tensors(
            **{
                f"base_model__model__{LAYER}.lora_A.weight": (0, 8),
                f"base_model__model__{LAYER}.lora_B.weight": (8, 0),
            }
        ),
        "not that of rank 4",
    ),
    "matrices of three dimensions": (
        tensors(**{f"base_model__model__{LAYER}.lora_A.weight": (4, 8, 1)}),
        "not that of rank 4",
    ),
    "another kind of adapter": (config(peft_type="IA3"), "IA3"),
    "trained copies of modules": (config(modules_to_save=["lm_head"]), "modules_to_save"),
    "DoRA": (config(use_dora=True), "use_dora"),
    "a bias": (config(bias="all"), "bias"),
    "an adapted output head": (
        tensors(
            base_model__model__lm_head__lora_A__weight=(4, 8),
            base_model__model__lm_head__lora_B__weight=(8, 4),
        ),
        "lm_head",
    ),
    "adapted embeddings": (
        tensors(base_model__model__model__embed_tokens__lora_embedding_A=(4, 8)),
        "embed_tokens",
    ),
    "a whole module": (tensors(base_model__model__model__norm__weight=(8,)), "not a LoRA matrix"),
    "a larger rank than it says": (
        tensors(base_model__model__model__layers__0__q_proj__lora_A__weight=(6, 8)),
        "rank 4",
    ),
    "half a pair": (tensors(**{f"base_model__model__{LAYER}.lora_A.weight": (4, 8)}), "do not fit"),
    "a pair that does not fit": (
        tensors(
            **{
                f"base_model__model__{LAYER}.lora_A.weight": (4, 8),
                f"base_model__model__{LAYER}.lora_B.weight": (8, 3),
            }
        ),
        "do not fit",
    ),
    "no tensors": (tensors(), "no weights"),
    "a weight that is no number": (lambda path: refill(path, np.nan), "not finite"),
    "an infinite weight": (lambda path: refill(path, -np.inf), "not finite"),
    "weights of another type": (lambda path: refill(path, 1, np.float64), "F64"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_directory_is_refused_and_not_kept(world: World, name: str) -> None:
    change, said = HOSTILE[name]
    made = peft_directory(world.root / "a")
    change(made)
    adapter = world.publish(made)
    with pytest.raises(UserError, match=said) as caught:
        fetch(world.store(), adapter)
    assert caught.value.why
    assert caught.value.fix
    assert os.listdir(world.root / "adapters") == []


@pytest.mark.parametrize("changes", [{"kind": 2}, {"revoked": True}, {"cid": cid_of(b"another")}])
def test_what_the_registry_does_not_vouch_for_is_refused_unfetched(
    world: World, changes: dict[str, Any]
) -> None:
    adapter = world.publish(peft_directory(world.root / "a"), **changes)
    with pytest.raises(UserError, match="was refused"):
        fetch(world.store(), adapter)
    assert not (world.root / "adapters").exists()


def test_a_single_file_is_no_adapter(world: World) -> None:
    file = world.root / "weights"
    file.write_bytes(b"x" * 10)
    with pytest.raises(OpenLedgerError, match="single file"):
        fetch(world.store(), world.publish(file))
