"""The compiled contracts, shipped as package data: ``abi/<Name>.json`` = {"abi", "bytecode"}."""

from __future__ import annotations

import json
from functools import lru_cache
from importlib import resources
from typing import Any

from ..errors import ChainError

__all__ = ["Artifact", "artifact", "artifact_names", "error_abis"]


class Artifact:
    """One compiled contract: its ``abi`` and creation ``bytecode`` (empty for an interface)."""

    __slots__ = ("abi", "bytecode", "name")

    def __init__(self, name: str, abi: list[dict[str, Any]], bytecode: str) -> None:
        self.name, self.abi, self.bytecode = name, abi, bytecode


@lru_cache(maxsize=64)
def artifact(name: str) -> Artifact:
    """The compiled contract ``name``. Raises ``ChainError`` when the package lacks it."""
    file = resources.files(__package__).joinpath("abi", f"{name}.json")
    try:
        loaded = json.loads(file.read_text())
    except FileNotFoundError:
        raise ChainError(
            f"The compiled contract {name} is missing", why=f"no abi/{name}.json", fix="run `make contracts`"
        ) from None
    return Artifact(name, loaded["abi"], loaded.get("bytecode") or "0x")


def artifact_names() -> list[str]:
    """Every contract and interface in the package."""
    folder = resources.files(__package__).joinpath("abi")
    return sorted(file.name.removesuffix(".json") for file in folder.iterdir() if file.name.endswith(".json"))


@lru_cache(maxsize=1)
def error_abis() -> dict[bytes, dict[str, Any]]:
    """Every custom error of every contract, by its 4-byte selector. What two contracts name differently has no name."""
    from eth_utils.abi import function_abi_to_4byte_selector

    errors: dict[bytes, dict[str, Any]] = {}
    for name in artifact_names():
        for item in artifact(name).abi:
            if item["type"] == "error":
                selector = bytes(function_abi_to_4byte_selector(item))  # type: ignore[arg-type]
                errors[selector] = _common(errors.get(selector, item), item)
    return errors


def _common(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    pairs = zip(one["inputs"], other["inputs"], strict=True)
    inputs = [{**a, "name": a["name"] if a["name"] == b["name"] else ""} for a, b in pairs]
    return {**one, "inputs": inputs}
