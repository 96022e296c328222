"""``openledger cluster …``: the Ray cluster that engines and agents run on; and ``openledger agent deploy``."""

from __future__ import annotations

import json
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from ..errors import UserError
from ..registry.commands import Json, console
from ..settings import get_settings
from . import _deploy_cli as deploy_cli
from ._manifest import Group, grafana_dashboard, kuberay_manifest, ray_manifest

__all__ = ["add_to"]

cluster = typer.Typer(
    no_args_is_help=True, help="The Ray cluster: start, join, look at, write manifests for."
)


def add_to(app: typer.Typer, agent: typer.Typer) -> None:
    """Offer the commands; those about agents in the group ``agent``."""
    app.add_typer(cluster, name="cluster")
    deploy_cli.add_to(agent)


@cluster.command()
def up(
    address: Annotated[
        str | None, typer.Option(help="HOST:PORT of a running head: make this machine a node of its cluster")
    ] = None,
    host: Annotated[str, typer.Option(help="this machine's address to other nodes")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1024, max=65535, help="where drivers and nodes join")] = 6379,
    cpus: Annotated[int | None, typer.Option(min=0, help="CPUs to offer; default all")] = None,
    gpus: Annotated[int | None, typer.Option(min=0, help="GPUs to offer; default all")] = None,
    memory: Annotated[
        str | None, typer.Option(help="memory to offer, e.g. 16GiB; default most of it")
    ] = None,
    resource: Annotated[
        list[str] | None, typer.Option(help="NAME=AMOUNT of your own; may be repeated")
    ] = None,
    dashboard: Annotated[bool, typer.Option(help="Ray's dashboard, on loopback")] = True,
    dashboard_port: Annotated[int, typer.Option(min=1024, max=65535)] = 8265,
    metrics_port: Annotated[
        int, typer.Option(min=1024, max=65535, help="Prometheus metrics of this node")
    ] = 8080,
    as_json: Json = False,
) -> None:
    """Start Ray on this machine and leave it running: a new cluster, or with --address a node of another.

    Nobody joins without the token, which is made for a new cluster and kept in home/cluster/token. A cluster on 127.0.0.1
    is for this machine alone; for more of them give --host its address in your private network.
    """
    from ._node import Node

    resources = dict(_resource(one) for one in resource or [])
    with console.status("starting Ray"):
        node = Node.start(
            get_settings(),
            address=address,
            host=host,
            port=port,
            cpus=cpus,
            gpus=gpus,
            memory=None if memory is None else deploy_cli.parse_bytes(memory),
            resources=resources,
            dashboard=dashboard,
            dashboard_port=dashboard_port,
            metrics_port=metrics_port,
        )
    if as_json:
        print(json.dumps(asdict(node), indent=1))
        return
    role = "head of a new cluster" if node.head else "node of the cluster"
    console.print(f"Ray {node.ray_version}: {role} at {node.address} (pid {node.pid})")
    console.print(f"dashboard {node.dashboard or 'none here'}; metrics {node.metrics}")
    console.print(
        "next: openledger agent deploy FILE:NAME; openledger cluster status; openledger cluster down"
    )


@cluster.command()
def down(as_json: Json = False) -> None:
    """Stop what `up` started here, and all that runs on it."""
    from ._node import Node

    settings = get_settings()
    node = Node.running(settings)
    if node is not None:
        with console.status("stopping Ray"):
            node.stop(settings)
    if as_json:
        print(json.dumps({"stopped": None if node is None else node.address}))
    else:
        console.print(
            "no Ray node was started from here" if node is None else f"stopped the node of {node.address}"
        )


@cluster.command()
def status(as_json: Json = False) -> None:
    """Show the cluster's nodes and what is free on them, its engines and its agents' workers."""
    from ._connect import connect
    from ._node import Node
    from ._status import cluster_status

    settings = get_settings()
    if settings.ray_address is None and Node.running(settings) is None:
        raise UserError(
            "no cluster runs here", fix="start one: openledger cluster up; or set OPENLEDGER_RAY_ADDRESS"
        )
    connect(settings)
    found = cluster_status()
    if as_json:
        print(json.dumps(asdict(found), indent=1))
        return
    console.print(f"Ray {found.ray_version} at {found.address}")
    nodes = Table("node", "host", "state", "resources", title="nodes")
    for node in found.nodes:
        nodes.add_row(
            node.node_id[:12], node.host, "alive" if node.alive else "dead", _written(node.resources)
        )
    console.print(nodes)
    console.print(f"free: {_written(found.available)} of {_written(found.total)}")
    engines = Table(
        "pool", "engine", "state", "running", "waiting", "requests", "tokens", "adapters", title="engines"
    )
    for one in found.engines:
        counts = (one.running, one.waiting, one.requests, one.output_tokens, one.adapters)
        state = "serving" if one.answers else "no answer"
        engines.add_row(
            one.pool, str(one.place), state, *(f"{count:,}" if one.answers else "" for count in counts)
        )
    console.print(engines)
    workers = Table("agent", "worker", "state", title="workers")
    for worker in found.workers:
        workers.add_row(worker.agent, worker.name, "serving" if worker.answers else "no answer")
    console.print(workers)


class Kind(StrEnum):
    KUBERAY = "kuberay"
    RAY = "ray"
    GRAFANA = "grafana"


@cluster.command()
def manifest(
    kind: Annotated[Kind, typer.Option(help="for KubeRay, for `ray up`, or the Grafana dashboard")],
    out: Annotated[Path | None, typer.Option(help="the file to write; default standard output")] = None,
    name: Annotated[str, typer.Option(help="of the cluster")] = "openledger",
    namespace: Annotated[str, typer.Option(help="kuberay")] = "openledger",
    image: Annotated[
        str, typer.Option(help="kuberay: with Ray, openledger and what it needs")
    ] = "openledger:latest",
    gpu_image: Annotated[str | None, typer.Option(help="kuberay: of GPU nodes; default the same")] = None,
    cpu_nodes: Annotated[str, typer.Option(help="kuberay: LEAST-MOST nodes without GPU")] = "1-4",
    cpu_cpus: Annotated[str, typer.Option(help="kuberay: CPUs of each")] = "4",
    cpu_memory: Annotated[str, typer.Option(help="kuberay: memory of each")] = "16Gi",
    gpu_nodes: Annotated[str, typer.Option(help="kuberay: LEAST-MOST nodes with GPUs")] = "0-0",
    gpu_cpus: Annotated[str, typer.Option(help="kuberay: CPUs of each")] = "8",
    gpu_memory: Annotated[str, typer.Option(help="kuberay: memory of each")] = "64Gi",
    gpus: Annotated[int, typer.Option(min=1, help="kuberay: GPUs of each")] = 1,
    deploy: Annotated[
        str, typer.Option(help="kuberay: the words after `openledger agent deploy`")
    ] = "/app/agent.py:agent --base 1",
    head: Annotated[str, typer.Option(help="ray: host of the head")] = "",
    worker: Annotated[
        list[str] | None, typer.Option(help="ray: host of another node; may be repeated")
    ] = None,
    user: Annotated[str, typer.Option(help="ray: who logs in by SSH")] = "ray",
    setup: Annotated[list[str] | None, typer.Option(help="ray: command to run on each node first")] = None,
) -> None:
    """Write a manifest: of a cluster on Kubernetes by KubeRay, of one on machines of yours, or Grafana's dashboard.

    What your settings say goes into it; secrets are referred to, never written.
    """
    import shlex

    settings = get_settings()
    if kind is Kind.GRAFANA:
        text = grafana_dashboard()
    elif kind is Kind.RAY:
        if not head:
            raise UserError("a cluster of machines needs a head", fix="give --head HOST and --worker HOST …")
        text = ray_manifest(
            settings, name=name, head=head, workers=worker or [], user=user, setup=setup or []
        )
    else:
        text = kuberay_manifest(
            settings,
            name=name,
            namespace=namespace,
            image=image,
            gpu_image=gpu_image,
            cpu=Group(*_between(cpu_nodes), cpu_cpus, cpu_memory),
            gpu=Group(*_between(gpu_nodes), gpu_cpus, gpu_memory, gpus),
            deploy=shlex.split(deploy),
        )
    if out is None:
        print(text, end="")
    else:
        out.write_text(text)
        console.print(f"written to {out}")


def _between(text: str) -> tuple[int, int]:
    least, dash, most = text.partition("-")
    if not least.isdecimal() or (dash and not most.isdecimal()):
        raise UserError(f"{text!r} is no number of nodes", fix="write LEAST-MOST, e.g. 1-4")
    return int(least), int(most or least)


def _resource(text: str) -> tuple[str, float]:
    name, _, amount = text.partition("=")
    try:
        return name, float(amount)
    except ValueError:
        raise UserError(f"{text!r} is no resource", fix="write NAME=AMOUNT, e.g. fast_disk=1") from None


def _written(resources: dict[str, float]) -> str:
    return ", ".join(
        f"{name} {much / 2**30:.1f} GiB" if name == "memory" else f"{name} {much:g}"
        for name, much in resources.items()
    )
