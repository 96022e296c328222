"""The process that reads adapters: gives what was published, refuses as itself, leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import pytest
from blocks import file_of, lose
from safetensors.numpy import save_file

from openledger.errors import ContentError, EngineError, UserError
from openledger.openlora import AdapterRef, AssetRef, Limits
from openledger.openlora._files import AdapterFiles
from openledger.openlora._reader import Reader
from openledger.registry import LocalStore, cid_of

LAYER = "model.layers.0.self_attn.q_proj"
LIMITS = Limits(AssetRef(1, "base"), 8, frozenset({"q_proj"}), {LAYER: (8, 8)})


def publish(root: Path, *, rank: int = 2, fill: float = 0.5) -> AdapterRef:
    made = root / f"made-{rank}-{fill}"
    made.mkdir()
    tensors = {
        f"base_model.model.{LAYER}.lora_A.weight": np.full((rank, 8), fill, np.float32),
        f"base_model.model.{LAYER}.lora_B.weight": np.full((8, rank), 2 * fill, np.float32),
    }
    save_file(tensors, made / "adapter_model.safetensors")
    settings = {"peft_type": "LORA", "r": rank, "lora_alpha": 4, "target_modules": ["q_proj"], "bias": "none"}
    (made / "adapter_config.json").write_text(json.dumps(settings))
    return AdapterRef(2, LocalStore(root / "content").add_path(made))


def files(root: Path) -> AdapterFiles:
    return AdapterFiles(LocalStore(root / "content"), root / "adapters", 1 << 30, 1 << 30, frozenset())


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    made = Reader(files(tmp_path), LIMITS, "F32", 4)
    yield made
    made.close()


def test_an_adapter_arrives_with_its_numbers_and_adapters_alike_are_of_one_kind(
    reader: Reader, tmp_path: Path
) -> None:
    adapters = [publish(tmp_path, fill=fill) for fill in (0.25, 0.5, 0.75, 1.0)]
    other = publish(tmp_path, rank=4)
    with ThreadPoolExecutor(4) as threads:
        made = list(threads.map(reader.read, [*adapters, other]))
    for adapter, fill, packed in zip(adapters, (0.25, 0.5, 0.75, 1.0), made, strict=False):
        assert packed.directory == tmp_path / "adapters" / adapter.cid
        a, b = (np.frombuffer(packed.memory, np.float32, 16, offset=piece.start) for piece in packed.pieces)
        assert (a == fill).all()
        assert (b == 2 * fill).all()
    assert len({packed.kind for packed in made[:4]}) == 1
    assert made[4].kind != made[0].kind


def test_refusals_are_raised_as_they_are_and_the_next_adapter_is_read(reader: Reader, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="its rank is 16, this engine holds at most 8") as refused:
        reader.read(publish(tmp_path, rank=16))
    assert "max_lora_rank=16" in refused.value.fix
    with pytest.raises(ContentError) as missing:
        reader.read(AdapterRef(2, cid_of(b"never stored")))
    assert missing.value.fix
    assert reader.read(publish(tmp_path)).memory


def test_a_disk_that_hangs_costs_its_own_adapter(tmp_path: Path) -> None:
    hangs, good = publish(tmp_path, fill=0.25), publish(tmp_path)
    content = LocalStore(tmp_path / "content")
    lose(content, hangs.cid)
    block = file_of(content, hangs.cid)
    block.parent.mkdir(exist_ok=True)
    os.mkfifo(block)  # opened, it waits for a writer
    reader = Reader(files(tmp_path), LIMITS, "F32", 1, timeout=1)
    reader._timeout = 60  # of the process that replaces it: a busy machine may be slow to start one
    with pytest.raises(EngineError, match="nothing came within"):
        reader.read(hangs)
    assert reader.read(good).memory
    reader.close()


def lives(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def test_it_ends_with_the_process_that_started_it_however_that_ends(tmp_path: Path) -> None:
    code = f"""
import sys, time
from pathlib import Path
from openledger.openlora import AssetRef, Limits
from openledger.openlora._files import AdapterFiles
from openledger.openlora._reader import Reader
from openledger.registry import LocalStore
root = Path({str(tmp_path)!r})
files = AdapterFiles(LocalStore(root / "content"), root / "adapters", 1 << 30, 1 << 30, frozenset())
print(Reader(files, Limits(None, 8, frozenset()), "F32", 2).pid, flush=True)
time.sleep(600)
"""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env=environment) as started:
        assert started.stdout is not None
        pid = int(started.stdout.readline())
        assert lives(pid)
        started.send_signal(signal.SIGKILL)
    until = time.monotonic() + 600
    while lives(pid):
        assert time.monotonic() < until, "the reader is an orphan"
        time.sleep(0.05)
