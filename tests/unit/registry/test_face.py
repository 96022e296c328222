"""The public faces of registry and contracts."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest


@pytest.mark.parametrize("name", ["openledger.registry", "openledger.registry.store", "openledger.contracts"])
def test_every_exported_name_exists_once(name: str) -> None:
    module = importlib.import_module(name)
    assert len(set(module.__all__)) == len(module.__all__)
    for exported in module.__all__:
        assert getattr(module, exported) is not None


def test_importing_the_faces_loads_nothing_heavy() -> None:
    heavy = ["web3", "eth_account", "requests", "ipfshttpclient", "ray", "torch", "vllm", "transformers"]
    code = f"import sys, openledger.registry, openledger.contracts; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=600
    )
    assert done.stdout.strip() == "[]"
