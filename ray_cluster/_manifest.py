"""Manifests that others deploy by: for KubeRay, and for ``ray up``. Templates beside this file, values from flags and settings."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from string import Template

from pydantic import SecretStr

from ..errors import UserError
from ..settings import Settings
from ._node import token_path

__all__ = ["Group", "grafana_dashboard", "kuberay_manifest", "ray_manifest"]

_NAME = re.compile(r"[a-z]([-a-z0-9]{0,38}[a-z0-9])?")
_QUANTITY = re.compile(r"[0-9]+(\.[0-9]+)?(m|[KMGT]i?)?")

# Places on this machine, and a URL that may hold a password; the manifest has places of its own, and refers to secrets.
_OWN = {"home", "cache", "keystore", "database_url", "ray_address"}


@dataclass(frozen=True)
class Group:
    """Nodes of one kind, between a least and a most number. CPUs, memory (as Kubernetes writes it) and GPUs are of one."""

    least: int
    most: int
    cpus: str
    memory: str
    gpus: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.least <= self.most or self.gpus < 0:
            raise UserError(
                f"a group of {self.least} to {self.most} nodes was refused", fix="give 0 ≤ least ≤ most"
            )
        for value in (self.cpus, self.memory):
            if not _QUANTITY.fullmatch(value):
                raise UserError(f"{value!r} is no quantity", fix="write e.g. 4, 500m, 16Gi")


def kuberay_manifest(
    settings: Settings,
    *,
    name: str,
    namespace: str,
    image: str,
    gpu_image: str | None,
    cpu: Group,
    gpu: Group,
    deploy: Sequence[str],
    cache_size: str = "100Gi",
    idle_seconds: int = 300,
) -> str:
    """A RayCluster (``ray.io/v1``) with autoscaled groups of CPU and GPU nodes, token authentication and network policy; the
    operator's Deployment, which runs ``openledger agent deploy`` with the words ``deploy``; their volumes.

    Secrets are referred to by name. What else the settings say is written out as environment. The images hold openledger's
    dependencies; openledger itself comes with the image, or as the wheel that ``ray_wheel`` names.
    """
    for what in (name, namespace):
        if not _NAME.fullmatch(what):
            raise UserError(
                f"{what!r} names nothing in Kubernetes", fix="use a-z, 0-9 and -, begin with a letter"
            )
    if not _QUANTITY.fullmatch(cache_size):
        raise UserError(f"{cache_size!r} is no quantity", fix="write e.g. 100Gi")
    if settings.rpc_url is None:
        raise UserError(
            "the manifest needs a chain",
            why="the embedded devnet lives in one process's home and would be lost with its pod",
            fix="set OPENLEDGER_RPC_URL",
        )
    values = {
        "name": name,
        "namespace": namespace,
        "ray_version": _ray_version(),
        "image": image,
        "gpu_image": gpu_image or image,
        "cpu_min": cpu.least,
        "cpu_max": cpu.most,
        "cpu_cpus": cpu.cpus,
        "cpu_memory": cpu.memory,
        "gpu_min": gpu.least,
        "gpu_max": gpu.most,
        "gpu_cpus": gpu.cpus,
        "gpu_memory": gpu.memory,
        "gpu_gpus": gpu.gpus,
        "cache_size": cache_size,
        "idle_seconds": idle_seconds,
        "deploy": shlex.join(deploy),
        "environment": "\n".join(
            f"            - {{name: OPENLEDGER_{key}, value: {json.dumps(value)}}}"
            for key, value in _environment(settings).items()
        ),
    }
    return _template("kuberay.yaml").substitute(values)


def ray_manifest(
    settings: Settings,
    *,
    name: str,
    head: str,
    workers: Sequence[str],
    user: str,
    setup: Sequence[str] = (),
    idle_minutes: int = 10,
) -> str:
    """A cluster for ``ray up`` over machines that exist, reached by SSH as ``user``; ``setup`` are commands run on each."""
    for host in (head, *workers):
        if not re.fullmatch(r"[A-Za-z0-9.:\-]+", host):
            raise UserError(f"{host!r} is no host", fix="give a name or an IP address")
    token = token_path(settings)
    return _template("ray.yaml").substitute(
        name=name,
        head=json.dumps(head),
        workers=json.dumps(list(workers)),
        worker_count=len(workers),
        user=json.dumps(user),
        setup=json.dumps(list(setup)),
        idle_minutes=idle_minutes,
        token=token,
        token_folder=token.parent,
    )


def grafana_dashboard() -> str:
    """The Grafana dashboard, as JSON to import."""
    return _shipped("dashboards", "openledger.json")


def _environment(settings: Settings) -> Mapping[str, str]:
    """What the settings say other than their defaults, as variables without their prefix; no secret."""
    secret = {name for name in type(settings).model_fields if isinstance(getattr(settings, name), SecretStr)}
    said = settings.model_dump(mode="json", exclude=_OWN | secret, exclude_defaults=True)
    return {
        key.upper(): value if isinstance(value, str) else json.dumps(value) for key, value in said.items()
    }


def _template(name: str) -> Template:
    return Template(_shipped("manifests", name))


def _shipped(folder: str, name: str) -> str:
    return resources.files(__package__).joinpath(folder, name).read_text(encoding="utf-8")


def _ray_version() -> str:
    from importlib.metadata import version

    return version("ray")
